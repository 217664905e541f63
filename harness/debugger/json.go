// SPDX-License-Identifier: Apache-2.0

package debugger

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"mcdtest/harness/jsonclient"
	"mcdtest/harness/rawclient"
	"mcdtest/stub/jsonwire"
)

// jsonBlock is the most that one transaction reads or writes: four characters a byte have to fit the real client's buffer.
const jsonBlock = 4096

// JSON is a session in the JSON dialect.
type JSON struct {
	c      *jsonclient.Client
	server uint32
	cores  []jsonCore
}

type jsonCore struct {
	con       jsonwire.Con
	uid       uint32
	spaces    []Space
	groups    []Group
	registers []Register
	triggers  []jsonTrigger
}

// jsonTrigger is an inserted trigger with the number that the endpoint gave it.
type jsonTrigger struct {
	Trigger
	id uint32
}

var _ Debugger = (*JSON)(nil)

// NewJSON makes a session of a client, which it owns. Nothing is sent before Open.
func NewJSON(c *jsonclient.Client) *JSON { return &JSON{c: c} }

// Client is the client that the session speaks through, for requests of its own.
func (d *JSON) Client() *jsonclient.Client { return d.c }

// ServerUID is the number of the open server, for requests through Client.
func (d *JSON) ServerUID() uint32 { return d.server }

// CoreUIDs are the numbers of the open cores, in the order of their indices.
func (d *JSON) CoreUIDs() []uint32 {
	var uids []uint32
	for _, c := range d.cores {
		uids = append(uids, c.uid)
	}
	return uids
}

// Dialect implements Debugger.
func (d *JSON) Dialect() string { return "json" }

// refused asks why a command was refused. slot is a core-uid, 0 for the server.
func (d *JSON) refused(ctx context.Context, err error, slot uint32, format string, args ...any) error {
	return failed(d.c.Explain(ctx, err, slot), format, args...)
}

// Open implements Debugger.
func (d *JSON) Open(ctx context.Context) error {
	server, err := d.c.OpenServer(ctx, "", "")
	if err != nil {
		return d.refused(ctx, err, 0, "open the server")
	}
	d.server = server.ServerUID
	list, err := d.c.Cores(ctx)
	if err != nil {
		return d.refused(ctx, err, 0, "ask for the cores")
	}
	if len(list) == 0 {
		return failed(fmt.Errorf("%w: no cores", rawclient.ErrBadReply), "ask for the cores")
	}
	for i, con := range list {
		r, err := d.c.OpenCore(ctx, con)
		if err != nil {
			return d.refused(ctx, err, 0, "open core %d", i)
		}
		d.cores = append(d.cores, jsonCore{con: con, uid: r.CoreUID})
	}
	return nil
}

// Close implements Debugger.
func (d *JSON) Close(ctx context.Context) error {
	defer d.c.Close()
	for i, c := range d.cores {
		if err := d.c.CloseCore(ctx, c.uid); err != nil {
			return d.refused(ctx, err, 0, "close core %d", i)
		}
	}
	if err := d.c.CloseServer(ctx, d.server); err != nil {
		return d.refused(ctx, err, 0, "close the server")
	}
	return nil
}

func (d *JSON) core(i int) (*jsonCore, error) {
	if i < 0 || i >= len(d.cores) {
		return nil, fmt.Errorf("%w: no such core: %d are open", ErrRefused, len(d.cores))
	}
	return &d.cores[i], nil
}

// any is the core to send a command for all cores to.
func (d *JSON) any(core int) (c *jsonCore, global bool, err error) {
	if core == AllCores {
		c, err = d.core(0)
		return c, true, err
	}
	c, err = d.core(core)
	return c, false, err
}

// Cores implements Debugger.
func (d *JSON) Cores(ctx context.Context) ([]Core, error) {
	list := make([]Core, len(d.cores))
	for i := range d.cores {
		c := &d.cores[i]
		if err := d.loadSpaces(ctx, c); err != nil {
			return nil, d.refused(ctx, err, c.uid, "list the memory spaces of core %d", i)
		}
		if c.groups == nil {
			groups, err := d.c.RegGroups(ctx, c.uid)
			if err != nil {
				return nil, d.refused(ctx, err, c.uid, "list the register groups of core %d", i)
			}
			for _, g := range groups {
				c.groups = append(c.groups, Group{ID: int(g.ID), Name: g.Name})
			}
		}
		if err := d.loadRegisters(ctx, c); err != nil {
			return nil, d.refused(ctx, err, c.uid, "list the registers of core %d", i)
		}
		list[i] = Core{Index: i, Type: c.con.Core, Spaces: c.spaces, Groups: c.groups, Registers: c.registers}
	}
	return list, nil
}

func (d *JSON) loadSpaces(ctx context.Context, c *jsonCore) error {
	if c.spaces != nil {
		return nil
	}
	list, err := d.c.MemSpaces(ctx, c.uid)
	if err != nil {
		return err
	}
	for _, s := range list {
		c.spaces = append(c.spaces, Space{
			ID: int(s.ID), Name: s.Name,
			Logical:   s.Type&jsonwire.MemIsLogical != 0,
			Physical:  s.Type&jsonwire.MemIsPhysical != 0,
			Registers: s.Type&jsonwire.MemIsRegisters != 0,
			Secure:    s.Type&jsonwire.MemIsSecure != 0,
			BigEndian: s.Endian == jsonwire.EndianBig,
		})
	}
	return nil
}

func (d *JSON) loadRegisters(ctx context.Context, c *jsonCore) error {
	if c.registers != nil {
		return nil
	}
	list, err := d.c.Regs(ctx, c.uid, 0)
	if err != nil {
		return err
	}
	for _, r := range list {
		c.registers = append(c.registers, Register{
			ID: int(r.Addr.Address), Name: r.Name, Bits: int(r.Size), Group: int(r.GroupID), Space: int(r.Addr.MemSpaceID),
		})
	}
	return nil
}

// ResetClasses implements Debugger.
func (d *JSON) ResetClasses(ctx context.Context) ([]ResetClass, error) {
	c, err := d.core(0)
	if err != nil {
		return nil, failed(err, "list the reset classes")
	}
	vector, err := d.c.QryRstClasses(ctx, c.uid)
	if err != nil {
		return nil, d.refused(ctx, err, c.uid, "list the reset classes")
	}
	var classes []ResetClass
	for id := range 32 {
		if vector&(1<<id) == 0 {
			continue
		}
		info, err := d.c.QryRstClassInfo(ctx, c.uid, uint8(id))
		if err != nil {
			return nil, d.refused(ctx, err, c.uid, "ask for reset class %d", id)
		}
		classes = append(classes, ResetClass{ID: id, Name: info.InfoStr})
	}
	return classes, nil
}

// ByteOrder implements Debugger.
func (d *JSON) ByteOrder(ctx context.Context) (binary.ByteOrder, error) {
	c, err := d.core(0)
	if err != nil {
		return nil, failed(err, "ask for the byte order")
	}
	if err := d.loadSpaces(ctx, c); err != nil {
		return nil, d.refused(ctx, err, c.uid, "ask for the byte order")
	}
	for _, s := range c.spaces {
		if s.BigEndian {
			return binary.BigEndian, nil
		}
	}
	return binary.LittleEndian, nil
}

// transact carries out one transaction.
func (d *JSON) transact(ctx context.Context, c *jsonCore, kind jsonwire.AccessType, space int, addr uint64, p []byte) ([]byte, error) {
	list, err := d.c.ExecuteTxList(ctx, c.uid, jsonwire.Tx{
		Addr:       jsonwire.Addr{Address: addr, MemSpaceID: uint32(space)},
		AccessType: kind,
		Data:       p,
		NumBytes:   uint32(len(p)),
	})
	if err != nil {
		return nil, d.c.Explain(ctx, err, c.uid)
	}
	if len(list.Tx) != 1 || list.NumTxOK != 1 || len(list.Tx[0].Data) != len(p) {
		return nil, fmt.Errorf("%w: one transaction of %d bytes was sent, %d of %d are reported as done", rawclient.ErrBadReply, len(p), list.NumTxOK, len(list.Tx))
	}
	return list.Tx[0].Data, nil
}

// ReadMemory implements Debugger.
func (d *JSON) ReadMemory(ctx context.Context, core, space int, addr uint64, n int) ([]byte, error) {
	p := make([]byte, n)
	c, err := d.core(core)
	if err == nil {
		err = blocks(addr, p, jsonBlock, func(a uint64, part []byte) error {
			data, err := d.transact(ctx, c, jsonwire.TxRead, space, a, part)
			copy(part, data)
			return err
		})
	}
	if err != nil {
		return nil, failed(err, "read %d bytes at %#x in space %d of core %d", n, addr, space, core)
	}
	return p, nil
}

// WriteMemory implements Debugger.
func (d *JSON) WriteMemory(ctx context.Context, core, space int, addr uint64, p []byte) error {
	done := 0
	c, err := d.core(core)
	if err == nil {
		err = blocks(addr, p, jsonBlock, func(a uint64, part []byte) error {
			_, err := d.transact(ctx, c, jsonwire.TxWrite, space, a, part)
			if err == nil {
				done += len(part)
			}
			return err
		})
	}
	if err != nil && done > 0 {
		err = fmt.Errorf("the first %d bytes are written, the rest is not: %w", done, err)
	}
	return failed(err, "write %d bytes at %#x in space %d of core %d", len(p), addr, space, core)
}

// FindRegister implements Debugger.
func (d *JSON) FindRegister(ctx context.Context, core int, name string) (Register, error) {
	c, err := d.core(core)
	if err == nil {
		err = d.loadRegisters(ctx, c)
	}
	if err != nil {
		return Register{}, failed(err, "find register %q of core %d", name, core)
	}
	for _, r := range c.registers {
		if r.Name == name {
			return r, nil
		}
	}
	return Register{}, failed(fmt.Errorf("%w: core %d has %d registers, none with this name", ErrNoRegister, core, len(c.registers)), "find register %q of core %d", name, core)
}

// register finds a register by its number. One that is not listed is asked for in the same memory space, so that it is
// the endpoint that refuses it.
func (d *JSON) register(ctx context.Context, core, id int) (*jsonCore, Register, error) {
	c, err := d.core(core)
	if err == nil {
		err = d.loadRegisters(ctx, c)
	}
	if err != nil {
		return nil, Register{}, err
	}
	r := Register{ID: id, Bits: 32}
	for _, known := range c.registers {
		if known.ID == id {
			return c, known, nil
		}
		r.Space = known.Space
	}
	return c, r, nil
}

// ReadRegister implements Debugger.
func (d *JSON) ReadRegister(ctx context.Context, core, id int) ([]byte, error) {
	c, r, err := d.register(ctx, core, id)
	var p []byte
	if err == nil {
		p, err = d.transact(ctx, c, jsonwire.TxRead, r.Space, uint64(id), make([]byte, r.Bytes()))
	}
	return p, failed(err, "read register %d of core %d", id, core)
}

// WriteRegister implements Debugger.
func (d *JSON) WriteRegister(ctx context.Context, core, id int, p []byte) error {
	c, r, err := d.register(ctx, core, id)
	if err == nil {
		_, err = d.transact(ctx, c, jsonwire.TxWrite, r.Space, uint64(id), p)
	}
	return failed(err, "write %d bytes to register %d of core %d", len(p), id, core)
}

// jsonTypes are the trigger types in the dialect's bits.
var jsonTypes = map[TriggerType]jsonwire.TrigType{
	Exec: jsonwire.TrigTypeIP, Read: jsonwire.TrigTypeRead, Write: jsonwire.TrigTypeWrite, Access: jsonwire.TrigTypeRW,
}

// Insert implements Debugger.
func (d *JSON) Insert(ctx context.Context, core int, t Trigger) error {
	c, err := d.core(core)
	if err == nil {
		err = d.loadSpaces(ctx, c)
	}
	if err != nil {
		return failed(err, "insert %v on core %d", t, core)
	}
	i := slices.IndexFunc(c.spaces, func(s Space) bool { return s.Logical })
	if i < 0 {
		return failed(fmt.Errorf("%w: none is logical", ErrNoSpace), "insert %v on core %d", t, core)
	}
	length := uint64(4)
	if t.Type == Exec {
		length = 0
	}
	r, err := d.c.CreateTrig(ctx, c.uid, jsonwire.Trig{SimpleCore: &jsonwire.TrigSimpleCore{
		Type:      jsonTypes[t.Type],
		Action:    jsonwire.TrigActionDebug,
		AddrStart: jsonwire.Addr{Address: t.Addr, MemSpaceID: uint32(c.spaces[i].ID)},
		AddrRange: length,
	}})
	if err != nil {
		return d.refused(ctx, err, c.uid, "insert %v on core %d", t, core)
	}
	c.triggers = append(c.triggers, jsonTrigger{t, r.TrigID})
	return nil
}

// Remove implements Debugger.
func (d *JSON) Remove(ctx context.Context, core int, t Trigger) error {
	c, err := d.core(core)
	if err != nil {
		return failed(err, "remove %v from core %d", t, core)
	}
	i := slices.IndexFunc(c.triggers, func(have jsonTrigger) bool { return have.Trigger == t })
	id := uint32(0) // no trigger has it, so it is the endpoint that refuses
	if i >= 0 {
		id = c.triggers[i].id
	}
	if err := d.c.RemoveTrig(ctx, c.uid, id); err != nil {
		return d.refused(ctx, err, c.uid, "remove %v from core %d", t, core)
	}
	if i >= 0 {
		c.triggers = slices.Delete(c.triggers, i, i+1)
	}
	return nil
}

// Go implements Debugger.
func (d *JSON) Go(ctx context.Context, core int) error {
	c, global, err := d.any(core)
	if err != nil {
		return failed(err, "let %s run", coreName(core))
	}
	return d.refused(ctx, d.c.Run(ctx, c.uid, global), c.uid, "let %s run", coreName(core))
}

// Stop implements Debugger.
func (d *JSON) Stop(ctx context.Context, core int) error {
	c, global, err := d.any(core)
	if err != nil {
		return failed(err, "stop %s", coreName(core))
	}
	return d.refused(ctx, d.c.Stop(ctx, c.uid, global), c.uid, "stop %s", coreName(core))
}

// Step implements Debugger. The dialect's step is done when it is answered.
func (d *JSON) Step(ctx context.Context, core int) error {
	c, global, err := d.any(core)
	if err != nil {
		return failed(err, "step %s", coreName(core))
	}
	return d.refused(ctx, d.c.Step(ctx, c.uid, global, jsonwire.StepInstructions, 1), c.uid, "step %s", coreName(core))
}

// State implements Debugger. The dialect tells of a stop only which trigger it was, if any.
func (d *JSON) State(ctx context.Context, core int) (State, error) {
	c, err := d.core(core)
	if err != nil {
		return State{}, failed(err, "ask for the state of core %d", core)
	}
	raw, err := d.c.QryState(ctx, c.uid)
	if err != nil {
		return State{}, d.refused(ctx, err, c.uid, "ask for the state of core %d", core)
	}
	s := State{Stop: raw.StopStr, Info: raw.InfoStr}
	switch raw.State {
	case jsonwire.CoreStateRunning:
		s.Status = Running
	case jsonwire.CoreStateHalted:
		s.Status = Halted
	case jsonwire.CoreStateDebug:
		s.Status = Debug
	}
	if raw.Event&jsonwire.CoreEventTriggerChange != 0 {
		t, err := d.trigger(ctx, c, raw.TrigID)
		if err != nil {
			return s, failed(err, "ask for the state of core %d", core)
		}
		s.Reason, s.Trigger, s.Addr = Watchpoint, t.Type, t.Addr
		if t.Type == Exec {
			s.Reason = Breakpoint
		}
	}
	return s, nil
}

// trigger is the one with a number: of this session, or of another client, which only the endpoint knows.
func (d *JSON) trigger(ctx context.Context, c *jsonCore, id uint32) (Trigger, error) {
	if i := slices.IndexFunc(c.triggers, func(t jsonTrigger) bool { return t.id == id }); i >= 0 {
		return c.triggers[i].Trigger, nil
	}
	trig, err := d.c.QryTrig(ctx, c.uid, id)
	switch {
	case err != nil:
		return Trigger{}, fmt.Errorf("%w: trigger %d was hit, and the endpoint does not know it: %w", rawclient.ErrBadReply, id, err)
	case trig.SimpleCore == nil:
		return Trigger{}, fmt.Errorf("%w: trigger %d was hit, which is not a simple one", rawclient.ErrBadReply, id)
	}
	for kind, of := range jsonTypes {
		if of == trig.SimpleCore.Type {
			return Trigger{Type: kind, Addr: trig.SimpleCore.AddrStart.Address}, nil
		}
	}
	return Trigger{}, fmt.Errorf("%w: trigger %d was hit, whose type is %d", rawclient.ErrBadReply, id, trig.SimpleCore.Type)
}

// WaitStopped implements Debugger.
func (d *JSON) WaitStopped(ctx context.Context, core int) (State, error) {
	return poll(ctx, d.State, core, "stopped", State.Standing)
}

// Reset implements Debugger.
func (d *JSON) Reset(ctx context.Context, class int) error {
	c, err := d.core(0)
	if err == nil && (class < 0 || class > 31) {
		err = fmt.Errorf("%w: the dialect has reset classes 0 to 31", ErrRefused)
	}
	if err != nil {
		return failed(err, "reset, class %d", class)
	}
	return d.refused(ctx, d.c.Rst(ctx, c.uid, 1<<class, false), c.uid, "reset, class %d", class)
}
