// SPDX-License-Identifier: Apache-2.0

package rawclient

import (
	"context"
	"fmt"

	"mcdtest/stub/wire"
)

// MaxList bounds a list, so that a stub whose handles go round in a circle is found out.
const MaxList = 10_000

// Element is one element of a list as it was sent.
type Element struct {
	Handle uint64 // of the next element; 0 for the last one
	Fields Fields
}

// First asks for the first element of a list: name is wire.QueryRegFirst or another one that takes a core.
func (c *Client) First(ctx context.Context, name string, core int) (Element, error) {
	c.request(name)
	c.args(core)
	return c.element(ctx, nil)
}

// Next asks for the element with this handle: name is wire.QueryRegNext or another one that takes a handle.
func (c *Client) Next(ctx context.Context, name string, handle uint64) (Element, error) {
	c.request(name)
	c.arg(true, handle)
	return c.element(ctx, nil)
}

// walk asks for every element of a list and hands it to add.
func (c *Client) walk(ctx context.Context, first, next string, core int, add func(*fieldReader)) error {
	if first == wire.QueryResetFirst {
		c.request(first) // it takes no core
	} else {
		c.request(first)
		c.args(core)
	}
	e, err := c.element(ctx, add)
	for n := 1; err == nil && e.Handle != 0; n++ {
		if n == MaxList {
			return fmt.Errorf("%s: %w: the list has no end: %d elements so far", first, ErrBadReply, n)
		}
		c.request(next)
		c.arg(true, e.Handle)
		e, err = c.element(ctx, add)
	}
	return err
}

// Space is an element of the list of memory spaces.
type Space struct {
	ID            int
	Name          string
	Type          int // SpaceRegisters and so on
	BitsPerUnit   int
	Invariance    int
	Endian        int // 1 little, 2 big
	Min, Max      uint64
	AccessOptions int
}

// Type bits of a Space.
const (
	SpaceRegisters = 1
	SpaceProgram   = 2
	SpacePhysical  = 16
	SpaceLogical   = 32
)

// Spaces walks the list of memory spaces.
func (c *Client) Spaces(ctx context.Context, core int) ([]Space, error) {
	var list []Space
	err := c.walk(ctx, wire.QueryMemoryFirst, wire.QueryMemoryNext, core, func(r *fieldReader) {
		list = append(list, Space{
			ID: r.number("id"), Name: r.text("name"), Type: r.number("type"), BitsPerUnit: r.number("bpm"),
			Invariance: r.number("i"), Endian: r.number("e"), Min: r.address("min"), Max: r.address("max"), AccessOptions: r.number("sao"),
		})
	})
	return list, err
}

// Group is an element of the list of register groups.
type Group struct {
	ID   int
	Name string
}

// Groups walks the list of register groups.
func (c *Client) Groups(ctx context.Context, core int) ([]Group, error) {
	var list []Group
	err := c.walk(ctx, wire.QueryGroupFirst, wire.QueryGroupNext, core, func(r *fieldReader) {
		list = append(list, Group{ID: r.number("id"), Name: r.text("name")})
	})
	return list, err
}

// Register is an element of the list of registers.
type Register struct {
	ID     int
	Name   string
	Bits   int
	Group  int // a Group.ID
	Space  int // a Space.ID; the published stub names spaces that do not exist on a machine without EL3
	Type   int
	Thread int
	Opcode int
}

func (r *fieldReader) register() Register {
	return Register{
		ID: r.number("id"), Name: r.text("name"), Bits: r.number("size"), Group: r.number("reggroupid"),
		Space: r.number("memspaceid"), Type: r.number("type"), Thread: r.number("thread"), Opcode: r.number("opcode"),
	}
}

// Registers walks the list of registers.
func (c *Client) Registers(ctx context.Context, core int) ([]Register, error) {
	var list []Register
	err := c.walk(ctx, wire.QueryRegFirst, wire.QueryRegNext, core, func(r *fieldReader) {
		list = append(list, r.register())
	})
	return list, err
}

// FirstRegister asks for the first register of a core, and NextRegister for the one with a handle. next is the handle of
// the one that follows, or 0.
func (c *Client) FirstRegister(ctx context.Context, core int) (reg Register, next uint64, err error) {
	c.request(wire.QueryRegFirst)
	c.args(core)
	e, err := c.element(ctx, func(r *fieldReader) { reg = r.register() })
	return reg, e.Handle, err
}

// NextRegister is the counterpart of FirstRegister.
func (c *Client) NextRegister(ctx context.Context, handle uint64) (reg Register, next uint64, err error) {
	c.request(wire.QueryRegNext)
	c.arg(true, handle)
	e, err := c.element(ctx, func(r *fieldReader) { reg = r.register() })
	return reg, e.Handle, err
}

// ResetClass is an element of the list of reset classes.
type ResetClass struct {
	ID   int
	Name string
}

// ResetClasses walks the list of reset classes.
func (c *Client) ResetClasses(ctx context.Context) ([]ResetClass, error) {
	var list []ResetClass
	err := c.walk(ctx, wire.QueryResetFirst, wire.QueryResetNext, 0, func(r *fieldReader) {
		list = append(list, ResetClass{ID: r.number("id"), Name: r.text("name")})
	})
	return list, err
}
