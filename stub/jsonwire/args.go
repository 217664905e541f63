// SPDX-License-Identifier: Apache-2.0

package jsonwire

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
)

// Kind is the JSON type of a value, and for numbers the range.
type Kind uint8

// Kinds.
const (
	U8 Kind = iota
	U16
	U32
	U64
	String
	Bool
	Object    // all of Fields
	Union     // exactly one of Fields
	List      // of Elem
	ByteArray // numbers from 0 to 255
)

var kindNames = [...]string{"uint8", "uint16", "uint32", "uint64", "string", "boolean", "object", "object", "array", "array of uint8"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Max is the largest number of a kind, 0 for kinds that are no numbers.
func (k Kind) Max() uint64 {
	switch k {
	case U8:
		return math.MaxUint8
	case U16:
		return math.MaxUint16
	case U32:
		return math.MaxUint32
	case U64:
		return math.MaxUint64
	}
	return 0
}

// Role says what an argument refers to, so that a generator of hostile input knows where to find the last valid value.
type Role string

// Roles. The text is that of the mcd tag.
const (
	NoRole         Role = ""
	CoreUID        Role = "core-uid"         // an open core
	ServerUID      Role = "server-uid"       // the open server
	CoreID         Role = "core-id"          // index of a core
	SystemName     Role = "system"           // as mcd-qry-systems gives it, or empty
	DeviceName     Role = "device"           // as mcd-qry-devices gives it, or empty
	CoreName       Role = "core"             // as mcd-qry-cores gives it, or empty
	Index          Role = "index"            // index into a list
	Count          Role = "count"            // number of elements that are asked for
	MemSpaceID     Role = "mem-space-id"     // id of a memory space
	RegGroupID     Role = "reg-group-id"     // id of a register group, or 0
	Address        Role = "address"          // address, or number of a register
	Length         Role = "length"           // length of the array beside it
	AccessKind     Role = "access-type"      // AccessType
	AccessWidth    Role = "access-width"     // divisor of num-bytes, or 0
	StepKind       Role = "step-type"        // StepType
	Steps          Role = "steps"            // number of steps
	TrigKind       Role = "trig-type"        // TrigType
	TrigActionKind Role = "trig-action"      // TrigAction
	TrigID         Role = "trig-id"          // id of a trigger
	ResetClass     Role = "rst-class"        // number of a reset class
	ResetClassVec  Role = "rst-class-vector" // reset classes, a bit each
)

// Arg is one key of an object: an argument of a command, a part of one, or a part of a result.
type Arg struct {
	Name     string
	Kind     Kind
	Role     Role
	Optional bool  // may be absent
	Fields   []Arg // of an Object or a Union
	Elem     *Arg  // of a List; its Name is empty
}

// plan is what Decode and Append know of a struct type.
type plan struct {
	union  bool
	fields []fieldPlan
}

type fieldPlan struct {
	name     string
	key      string // `"name":`
	role     Role
	index    int
	kind     Kind
	pointer  bool
	optional bool
	sub      *plan      // of an Object, a Union, or the elements of a List that are objects
	elem     *fieldPlan // of a List
}

var plans sync.Map // reflect.Type → *plan

var bytesType = reflect.TypeFor[Bytes]()

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p := &plan{union: t.NumField() > 0}
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		fp := planField(f.Type)
		fp.name, fp.key, fp.index = name, `"`+name+`":`, i
		fp.role = Role(f.Tag.Get("mcd"))
		fp.optional = opts == "omitempty"
		p.union = p.union && fp.pointer
		p.fields = append(p.fields, fp)
	}
	if len(p.fields) > 64 {
		panic(fmt.Sprintf("jsonwire: %v has more than 64 keys", t))
	}
	actual, _ := plans.LoadOrStore(t, p)
	return actual.(*plan)
}

func planField(t reflect.Type) fieldPlan {
	if t == bytesType {
		return fieldPlan{kind: ByteArray}
	}
	switch t.Kind() {
	case reflect.Uint8:
		return fieldPlan{kind: U8}
	case reflect.Uint16:
		return fieldPlan{kind: U16}
	case reflect.Uint32:
		return fieldPlan{kind: U32}
	case reflect.Uint64:
		return fieldPlan{kind: U64}
	case reflect.String:
		return fieldPlan{kind: String}
	case reflect.Bool:
		return fieldPlan{kind: Bool}
	case reflect.Slice:
		elem := planField(t.Elem())
		return fieldPlan{kind: List, elem: &elem}
	case reflect.Pointer:
		fp := planField(t.Elem())
		fp.pointer = true
		return fp
	case reflect.Struct:
		sub := planOf(t)
		if sub.union {
			return fieldPlan{kind: Union, sub: sub}
		}
		return fieldPlan{kind: Object, sub: sub}
	}
	panic(fmt.Sprintf("jsonwire: no JSON for %v", t))
}

func argsOf(t reflect.Type) []Arg { return planOf(t).args() }

func (p *plan) args() []Arg {
	var list []Arg
	for i := range p.fields {
		list = append(list, p.fields[i].arg())
	}
	return list
}

func (fp *fieldPlan) arg() Arg {
	a := Arg{Name: fp.name, Kind: fp.kind, Role: fp.role, Optional: fp.optional}
	if fp.sub != nil {
		a.Fields = fp.sub.args()
	}
	if fp.elem != nil {
		elem := fp.elem.arg()
		a.Elem = &elem
	}
	return a
}
