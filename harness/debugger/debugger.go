// SPDX-License-Identifier: Apache-2.0

// Package debugger is MCD as a debugger sees it, whatever the dialect: typed operations that a behavioural spec is
// written against once. Packet implements them over the packet dialect, JSON over the JSON dialect. It speaks through
// the client that it is given and starts nothing.
package debugger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"mcdtest/harness/rawclient"
)

// AllCores in place of a core number means every core. Go, Stop and Step take it.
const AllCores = -1

// ErrRefused is wrapped by the error of an operation that the stub answered in the negative; the session goes on. Any
// other error of an operation means that the session is broken, or the context's end.
var ErrRefused = rawclient.ErrRefused

// Error is an operation that failed.
type Error struct {
	Op  string // "read 4 bytes at 0x40210000 in space 1 of core 0"
	Err error
}

func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// failed makes an Error of err, or nil of nil.
func failed(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Op: fmt.Sprintf(format, args...), Err: err}
}

// Debugger is a session with an MCD endpoint. It is used by one goroutine at a time.
type Debugger interface {
	// Dialect is "packet" or "json".
	Dialect() string

	// Open opens the server and every core. It comes first.
	Open(ctx context.Context) error
	// Close closes the cores and the server, then the connection. With the packet dialect the machine runs on
	// afterwards, without triggers.
	Close(ctx context.Context) error

	// Cores describes the cores. The tables are read when they are first needed and kept.
	Cores(ctx context.Context) ([]Core, error)
	// ResetClasses lists the reset classes.
	ResetClasses(ctx context.Context) ([]ResetClass, error)
	// ByteOrder is that of memory and registers.
	ByteOrder(ctx context.Context) (binary.ByteOrder, error)

	// ReadMemory reads n bytes; space is a Space.ID. A small read is one request, a large one is cut at page ends.
	ReadMemory(ctx context.Context, core, space int, addr uint64, n int) ([]byte, error)
	// WriteMemory writes p. If a large write fails on its way, the error says how much has been written.
	WriteMemory(ctx context.Context, core, space int, addr uint64, p []byte) error

	// FindRegister finds a register by its name, the first if there are several.
	FindRegister(ctx context.Context, core int, name string) (Register, error)
	// ReadRegister reads the register with the given Register.ID.
	ReadRegister(ctx context.Context, core, id int) ([]byte, error)
	// WriteRegister writes the register with the given Register.ID.
	WriteRegister(ctx context.Context, core, id int, p []byte) error

	// Insert adds a trigger to a core. The same one may be inserted several times and needs as many removals.
	Insert(ctx context.Context, core int, t Trigger) error
	// Remove takes one insertion of a trigger back.
	Remove(ctx context.Context, core int, t Trigger) error

	// Go lets a core, or AllCores, run. From a breakpoint it stops again at once: see Continue.
	Go(ctx context.Context, core int) error
	// Stop stops a core, or AllCores. The published packet stub always stops all.
	Stop(ctx context.Context, core int) error
	// Step executes one instruction of a core, or of each of AllCores, and returns when it is done. It is refused while
	// the core runs.
	Step(ctx context.Context, core int) error

	// State asks for the state of a core. The reason of a stop is told once.
	State(ctx context.Context, core int) (State, error)
	// WaitStopped asks for the state until the core stands.
	WaitStopped(ctx context.Context, core int) (State, error)

	// Reset carries out the reset class with the given ResetClass.ID. Cores that stood stand at the reset pc
	// afterwards, the others run on from there.
	Reset(ctx context.Context, class int) error
}

// Core describes a core.
type Core struct {
	Index     int
	Type      string // QOM type of the CPU: "cortex-a15-arm-cpu"
	Spaces    []Space
	Groups    []Group
	Registers []Register
}

// Space is a memory space of a core.
type Space struct {
	ID        int
	Name      string
	Logical   bool // through the core's translation
	Physical  bool // the bus
	Registers bool // not memory: registers have addresses in it
	Secure    bool // ARM's secure world
	BigEndian bool
}

// Group is a register group of a core.
type Group struct {
	ID   int
	Name string
}

// Register is a register of a core. Names are not always unique (QEMU has two "q10").
type Register struct {
	ID    int
	Name  string
	Bits  int
	Group int // Group.ID
	Space int // Space.ID; the published packet stub names spaces that do not exist on machines without EL3
}

// Bytes is the number of bytes that hold the register.
func (r Register) Bytes() int { return (r.Bits + 7) / 8 }

// ResetClass is a way to reset the machine.
type ResetClass struct {
	ID   int
	Name string
}

// ErrNoSpace is wrapped by the error for a kind of memory space that a core has not.
var ErrNoSpace = errors.New("no such memory space")

// Logical is the space that the core's own accesses go through, secure or not.
func (c Core) Logical(secure bool) (Space, error) {
	return c.space("logical", secure, func(s Space) bool { return s.Logical })
}

// Physical is the space of the bus, secure or not.
func (c Core) Physical(secure bool) (Space, error) {
	return c.space("physical", secure, func(s Space) bool { return s.Physical })
}

func (c Core) space(kind string, secure bool, is func(Space) bool) (Space, error) {
	for _, s := range c.Spaces {
		if is(s) && s.Secure == secure {
			return s, nil
		}
	}
	world := "non-secure"
	if secure {
		world = "secure"
	}
	return Space{}, fmt.Errorf("core %d: %w: %s, %s; it has %v", c.Index, ErrNoSpace, kind, world, c.Spaces)
}

// TriggerType is the kind of a trigger.
type TriggerType uint8

// Trigger types.
const (
	Exec TriggerType = iota + 1 // execution breakpoint: stops before the instruction
	Read                        // watchpoints: stop after the access, 4 bytes long
	Write
	Access // read or write
)

var triggerNames = [...]string{"no trigger", "breakpoint", "read watchpoint", "write watchpoint", "access watchpoint"}

func (t TriggerType) String() string {
	if int(t) < len(triggerNames) {
		return triggerNames[t]
	}
	return fmt.Sprintf("TriggerType(%d)", uint8(t))
}

// Trigger is a breakpoint or a watchpoint at a logical address.
type Trigger struct {
	Type TriggerType
	Addr uint64
}

func (t Trigger) String() string { return fmt.Sprintf("%v at %#x", t.Type, t.Addr) }
