// SPDX-License-Identifier: Apache-2.0

package memtarget

import (
	"bytes"
	"context"
	"encoding/binary"

	"mcdtest/stub/target"
)

// layout says where in a core's bytes each register lies.
type layout struct {
	at   map[int]slot // by register number
	size int
}

type slot struct {
	offset, bytes, group int
}

func layoutOf(c *target.Core) *layout {
	if l := armLayouts[&c.Registers[0]]; l != nil {
		return l
	}
	l := &layout{at: make(map[int]slot, len(c.Registers))}
	for _, r := range c.Registers {
		l.at[r.Number] = slot{l.size, r.Bytes(), r.Group}
		l.size += r.Bytes()
	}
	return l
}

func (m *Machine) register(core, number int) (value []byte, group int, ok bool) {
	s, ok := m.layout.at[number]
	if !ok {
		return nil, 0, false
	}
	return m.cores[core].registers[s.offset : s.offset+s.bytes], s.group, true
}

// ReadRegister implements target.Target.
func (m *Machine) ReadRegister(_ context.Context, core, number int, p []byte) ([]byte, error) {
	m.lock()
	defer m.mu.Unlock()
	if err := m.check(core, false); err != nil {
		return p, target.Errorf(err, "read register %d of core %d", number, core)
	}
	value, _, ok := m.register(core, number)
	if !ok {
		return p, target.Errorf(target.ErrNoRegister, "read register %d of core %d", number, core)
	}
	return append(p, value...), nil
}

// WriteRegister implements target.Target.
func (m *Machine) WriteRegister(_ context.Context, core, number int, p []byte) error {
	m.lock()
	defer m.mu.Unlock()
	refuse := func(reason error) error {
		return target.Errorf(reason, "write %d bytes to register %d of core %d", len(p), number, core)
	}
	if err := m.check(core, false); err != nil {
		return refuse(err)
	}
	value, group, ok := m.register(core, number)
	switch {
	case !ok:
		return refuse(target.ErrNoRegister)
	case len(p) != len(value):
		return refuse(target.ErrSize)
	case m.cfg.Fixed != nil && m.cfg.Fixed(m.cfg.Core.Groups[group].Name) && !bytes.Equal(value, p):
		return refuse(target.ErrNotTaken)
	}
	copy(value, p)
	return nil
}

// CPU is a core as the instruction that it executes sees it.
type CPU struct {
	m    *Machine
	core int
}

// Core is the number of the core.
func (c *CPU) Core() int { return c.core }

func (c *CPU) order() binary.ByteOrder {
	if c.m.cfg.BigEndian {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// Register reads a register of at most 64 bits.
func (c *CPU) Register(number int) uint64 {
	value, _, _ := c.m.register(c.core, number)
	switch len(value) {
	case 8:
		return c.order().Uint64(value)
	case 4:
		return uint64(c.order().Uint32(value))
	case 2:
		return uint64(c.order().Uint16(value))
	case 1:
		return uint64(value[0])
	}
	return 0
}

// SetRegister writes a register of at most 64 bits.
func (c *CPU) SetRegister(number int, v uint64) {
	value, _, _ := c.m.register(c.core, number)
	switch len(value) {
	case 8:
		c.order().PutUint64(value, v)
	case 4:
		c.order().PutUint32(value, uint32(v))
	case 2:
		c.order().PutUint16(value, uint16(v))
	case 1:
		value[0] = byte(v)
	}
}

// PC is the address of the instruction to execute, and after SetPC that of the next one.
func (c *CPU) PC() uint64 {
	if c.m.pc < 0 {
		return 0
	}
	return c.Register(c.m.pc)
}

// SetPC makes the core go on from addr.
func (c *CPU) SetPC(addr uint64) {
	if c.m.pc >= 0 {
		c.SetRegister(c.m.pc, addr)
	}
}

// Fetch reads a word of code.
func (c *CPU) Fetch(addr uint64) (word uint32, ok bool) {
	if ok, _ := c.m.memory.mapped(addr, 4, c.m.cores[c.core].secure); !ok {
		return 0, false
	}
	var p [4]byte
	c.m.memory.get(addr, p[:])
	return c.order().Uint32(p[:]), true
}

// Load reads a word of data, which triggers watchpoints.
func (c *CPU) Load(addr uint64) (word uint32, ok bool) {
	word, ok = c.Fetch(addr)
	if ok {
		c.m.watch(c.core, addr, target.Read)
	}
	return word, ok
}

// Store writes a word of data, which triggers watchpoints.
func (c *CPU) Store(addr uint64, word uint32) (ok bool) {
	mapped, writable := c.m.memory.mapped(addr, 4, c.m.cores[c.core].secure)
	if !mapped {
		return false
	}
	if writable {
		var p [4]byte
		c.order().PutUint32(p[:], word)
		c.m.memory.put(addr, p[:])
	}
	c.m.watch(c.core, addr, target.Write)
	return true
}
