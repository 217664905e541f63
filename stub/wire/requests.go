// SPDX-License-Identifier: Apache-2.0

package wire

import "bytes"

// Kind says what an argument means, and so which values are valid.
type Kind uint8

// Kinds of arguments. All but Data are unsigned decimal numbers.
const (
	Core      Kind = iota // core number
	Global                // 1 all cores, 0 this core
	Register              // register number
	Space                 // memory space id
	Address               // address, 64 bits
	Count                 // number of bytes
	Data                  // hex, two digits a byte
	Trigger               // trigger type, 1 to 4
	TriggerID             // accepted and ignored
	ResetID               // reset class
	Handle                // index of the next element of a list
)

// Arg is one argument of a request.
type Arg struct {
	Name     string
	Kind     Kind
	Optional bool
}

// Reply is the form of the answer to a well-formed request.
type Reply uint8

// Forms of replies.
const (
	NoReply Reply = iota // '+' only
	Text                 // fixed text
	Hex                  // hex digits, or "error"
	Status               // "success" or "error"
	Fields               // key=value. pairs
	List                 // handle!key=value. pairs
)

// Request is one request of the protocol.
type Request struct {
	Name    string // letter, or "q" and the query's name; a payload is this request if it begins with Name
	Args    []Arg
	Reply   Reply
	Meaning string
}

// Names of the requests.
const (
	OpenServer       = "I"
	CloseServer      = "D"
	OpenCore         = "i"
	CloseCore        = "d"
	Kill             = "k"
	Go               = "C"
	Step             = "c"
	Break            = "b"
	Reset            = "r"
	ReadRegister     = "p"
	WriteRegister    = "P"
	ReadMemory       = "m"
	WriteMemory      = "M"
	InsertTrigger    = "t"
	RemoveTrigger    = "T"
	QuerySystem      = "qsystem"
	QueryCores       = "qcores"
	QueryResetFirst  = "qresetf"
	QueryResetNext   = "qresetc"
	QueryTrigger     = "qtrigger"
	QueryMemoryFirst = "qmemoryf"
	QueryMemoryNext  = "qmemoryc"
	QueryGroupFirst  = "qreggroupf"
	QueryGroupNext   = "qreggroupc"
	QueryRegFirst    = "qregf"
	QueryRegNext     = "qregc"
	QueryState       = "qstate"
)

var (
	core    = Arg{Name: "core", Kind: Core}
	global  = Arg{Name: "global", Kind: Global}
	trigger = []Arg{core, {Name: "type", Kind: Trigger}, {Name: "address", Kind: Address}, {Name: "trigger id", Kind: TriggerID, Optional: true}}
	memory  = []Arg{core, {Name: "memory space id", Kind: Space}, {Name: "address", Kind: Address}, {Name: "byte count", Kind: Count}}
	handle  = []Arg{{Name: "handle", Kind: Handle}}
)

// Requests is every request of the protocol. No name is the beginning of another one.
var Requests = []Request{
	{OpenServer, nil, Text, "open server"},
	{CloseServer, nil, NoReply, "close server: remove every trigger and let the VM run"},
	{OpenCore, []Arg{core}, NoReply, "open core"},
	{CloseCore, []Arg{core}, NoReply, "close core"},
	{Kill, nil, NoReply, "end QEMU"},
	{Go, []Arg{global, core}, NoReply, "go"},
	{Step, []Arg{global, core}, NoReply, "single step"},
	{Break, []Arg{{Name: "global", Kind: Global, Optional: true}, {Name: "core", Kind: Core, Optional: true}}, NoReply, "stop"},
	{Reset, []Arg{{Name: "reset id", Kind: ResetID}}, NoReply, "reset"},
	{ReadRegister, []Arg{core, {Name: "register", Kind: Register}}, Hex, "read register"},
	{WriteRegister, []Arg{core, {Name: "register", Kind: Register}, {Name: "byte count", Kind: Count}, {Name: "data", Kind: Data}}, Status, "write register"},
	{ReadMemory, memory, Hex, "read memory"},
	{WriteMemory, append(memory[:len(memory):len(memory)], Arg{Name: "data", Kind: Data}), Status, "write memory"},
	{InsertTrigger, trigger, Status, "insert trigger"},
	{RemoveTrigger, trigger, Status, "remove trigger"},
	{QuerySystem, nil, Text, "name of the system"},
	{QueryCores, nil, Fields, "device, core type, number of cores"},
	{QueryResetFirst, nil, List, "first reset class"},
	{QueryResetNext, handle, List, "next reset class"},
	{QueryTrigger, nil, Fields, "what triggers there are"},
	{QueryMemoryFirst, []Arg{core}, List, "first memory space"},
	{QueryMemoryNext, handle, List, "next memory space"},
	{QueryGroupFirst, []Arg{core}, List, "first register group"},
	{QueryGroupNext, handle, List, "next register group"},
	{QueryRegFirst, []Arg{core}, List, "first register"},
	{QueryRegNext, handle, List, "next register"},
	{QueryState, []Arg{core}, Fields, "core state"},
}

// Match finds the request that a payload begins with, and returns what follows its name. It returns nil for an unknown
// request, also for the empty payload.
func Match(payload []byte) (*Request, []byte) {
	if len(payload) == 0 {
		return nil, nil
	}
	for i := range Requests {
		r := &Requests[i]
		if r.Name[0] == payload[0] && bytes.HasPrefix(payload, []byte(r.Name)) {
			return r, payload[len(r.Name):]
		}
	}
	return nil, nil
}
