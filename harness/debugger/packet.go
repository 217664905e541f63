// SPDX-License-Identifier: Apache-2.0

package debugger

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"mcdtest/harness/rawclient"
	"mcdtest/stub/wire"
)

// A read or write of up to these many bytes is one request, also across the end of a page. The published stub gets such
// an access wrong, so longer ones are cut at page ends.
const (
	packetRead  = 2048
	packetWrite = 480 // 960 digits, which leaves room for the other arguments within wire.MaxPayload
)

// Packet is a session in the packet dialect.
type Packet struct {
	c     *rawclient.Client
	cores []packetCore

	// The stub remembers the core of the last query for the first element of a list, for the queries that go on. This
	// is that core if the list was that of registers.
	listCore int
}

const unknownCore = -1

type packetCore struct {
	opened bool
	typ    string
	spaces []Space
	groups []Group

	registers []Register
	next      uint64 // handle of the register behind the ones that are known
	complete  bool

	kept State // a stop that was told to Step
}

var _ Debugger = (*Packet)(nil)

// NewPacket makes a session of a client, which it owns. Nothing is sent before Open.
func NewPacket(c *rawclient.Client) *Packet { return &Packet{c: c, listCore: unknownCore} }

// Client is the client that the session speaks through, for requests of its own.
func (d *Packet) Client() *rawclient.Client { return d.c }

// Dialect implements Debugger.
func (d *Packet) Dialect() string { return "packet" }

// Open implements Debugger.
func (d *Packet) Open(ctx context.Context) error {
	greeting, err := d.c.OpenServer(ctx)
	if err != nil {
		return failed(err, "open the server")
	}
	if greeting != wire.Handshake {
		return failed(fmt.Errorf("%w: it greets with %q, not with %q: is it an MCD stub?", rawclient.ErrBadReply, greeting, wire.Handshake), "open the server")
	}
	cores, err := d.c.Cores(ctx)
	if err != nil {
		return failed(err, "ask for the cores")
	}
	if cores.Count < 1 || cores.Count > 4096 {
		return failed(fmt.Errorf("%w: %d cores", rawclient.ErrBadReply, cores.Count), "ask for the cores")
	}
	d.cores = make([]packetCore, cores.Count)
	for i := range d.cores {
		d.cores[i].typ = cores.Core
		if err := d.c.OpenCore(ctx, i); err != nil {
			return failed(err, "open core %d", i)
		}
		d.cores[i].opened = true
	}
	return nil
}

// Close implements Debugger.
func (d *Packet) Close(ctx context.Context) error {
	defer d.c.Close()
	for i := range d.cores {
		if !d.cores[i].opened {
			continue
		}
		if err := d.c.CloseCore(ctx, i); err != nil {
			return failed(err, "close core %d", i)
		}
	}
	if err := d.c.CloseServer(ctx); err != nil {
		return failed(err, "close the server")
	}
	return nil
}

// core finds a core by its number. What the stub does with another number is not this layer's business to test.
func (d *Packet) core(i int) (*packetCore, error) {
	if i < 0 || i >= len(d.cores) {
		return nil, fmt.Errorf("no such core: %d are open", len(d.cores))
	}
	return &d.cores[i], nil
}

// Cores implements Debugger.
func (d *Packet) Cores(ctx context.Context) ([]Core, error) {
	list := make([]Core, len(d.cores))
	for i := range d.cores {
		c := &d.cores[i]
		if err := d.loadSpaces(ctx, i); err != nil {
			return nil, failed(err, "list the memory spaces of core %d", i)
		}
		if err := d.loadGroups(ctx, i); err != nil {
			return nil, failed(err, "list the register groups of core %d", i)
		}
		for !c.complete {
			if err := d.loadRegister(ctx, i); err != nil {
				return nil, failed(err, "list the registers of core %d", i)
			}
		}
		list[i] = Core{Index: i, Type: c.typ, Spaces: c.spaces, Groups: c.groups, Registers: c.registers}
	}
	return list, nil
}

func (d *Packet) loadSpaces(ctx context.Context, core int) error {
	if d.cores[core].spaces != nil {
		return nil
	}
	d.listCore = unknownCore
	list, err := d.c.Spaces(ctx, core)
	if err != nil {
		return err
	}
	for _, s := range list {
		d.cores[core].spaces = append(d.cores[core].spaces, Space{
			ID: s.ID, Name: s.Name,
			Logical:   s.Type&rawclient.SpaceLogical != 0,
			Physical:  s.Type&rawclient.SpacePhysical != 0,
			Registers: s.Type&rawclient.SpaceRegisters != 0,
			Secure:    strings.Contains(s.Name, "Secure") && !strings.Contains(s.Name, "Non Secure"),
			BigEndian: s.Endian == 2,
		})
	}
	return nil
}

func (d *Packet) loadGroups(ctx context.Context, core int) error {
	if d.cores[core].groups != nil {
		return nil
	}
	d.listCore = unknownCore
	list, err := d.c.Groups(ctx, core)
	if err != nil {
		return err
	}
	for _, g := range list {
		d.cores[core].groups = append(d.cores[core].groups, Group(g))
	}
	return nil
}

// loadRegister asks for one register more. There are hundreds, and a session seldom wants more than the first.
func (d *Packet) loadRegister(ctx context.Context, core int) error {
	c := &d.cores[core]
	var r rawclient.Register
	var next uint64
	var err error
	if len(c.registers) == 0 || d.listCore != core {
		r, next, err = d.c.FirstRegister(ctx, core)
	}
	if err == nil && len(c.registers) > 0 {
		r, next, err = d.c.NextRegister(ctx, c.next)
	}
	if err != nil {
		d.listCore = unknownCore
		return err
	}
	d.listCore = core
	c.registers = append(c.registers, Register{ID: r.ID, Name: r.Name, Bits: r.Bits, Group: r.Group, Space: r.Space})
	c.next, c.complete = next, next == 0
	if len(c.registers) > rawclient.MaxList {
		return fmt.Errorf("%w: the list has no end: %d registers so far", rawclient.ErrBadReply, len(c.registers))
	}
	return nil
}

// FindRegister implements Debugger.
func (d *Packet) FindRegister(ctx context.Context, core int, name string) (Register, error) {
	c, err := d.core(core)
	if err != nil {
		return Register{}, failed(err, "find register %q of core %d", name, core)
	}
	for i := 0; ; i++ {
		if i == len(c.registers) {
			if c.complete {
				return Register{}, failed(fmt.Errorf("%w: core %d has %d registers, none with this name", ErrNoRegister, core, i), "find register %q of core %d", name, core)
			}
			if err := d.loadRegister(ctx, core); err != nil {
				return Register{}, failed(err, "find register %q of core %d", name, core)
			}
		}
		if c.registers[i].Name == name {
			return c.registers[i], nil
		}
	}
}

// ResetClasses implements Debugger.
func (d *Packet) ResetClasses(ctx context.Context) ([]ResetClass, error) {
	list, err := d.c.ResetClasses(ctx)
	if err != nil {
		return nil, failed(err, "list the reset classes")
	}
	classes := make([]ResetClass, len(list))
	for i, c := range list {
		classes[i] = ResetClass(c)
	}
	return classes, nil
}

// ByteOrder implements Debugger.
func (d *Packet) ByteOrder(ctx context.Context) (binary.ByteOrder, error) {
	if _, err := d.core(0); err != nil {
		return nil, failed(err, "ask for the byte order")
	}
	if err := d.loadSpaces(ctx, 0); err != nil {
		return nil, failed(err, "ask for the byte order")
	}
	for _, s := range d.cores[0].spaces {
		if s.BigEndian {
			return binary.BigEndian, nil
		}
	}
	return binary.LittleEndian, nil
}

// ReadMemory implements Debugger.
func (d *Packet) ReadMemory(ctx context.Context, core, space int, addr uint64, n int) ([]byte, error) {
	p := make([]byte, n)
	err := blocks(addr, p, packetRead, func(a uint64, part []byte) error { return d.c.ReadMemory(ctx, core, space, a, part) })
	if err != nil {
		return nil, failed(err, "read %d bytes at %#x in space %d of core %d", n, addr, space, core)
	}
	return p, nil
}

// WriteMemory implements Debugger.
func (d *Packet) WriteMemory(ctx context.Context, core, space int, addr uint64, p []byte) error {
	done := 0
	err := blocks(addr, p, packetWrite, func(a uint64, part []byte) error {
		err := d.c.WriteMemory(ctx, core, space, a, part)
		if err == nil {
			done += len(part)
		}
		return err
	})
	if err != nil && done > 0 {
		err = fmt.Errorf("the first %d bytes are written, the rest is not: %w", done, err)
	}
	return failed(err, "write %d bytes at %#x in space %d of core %d", len(p), addr, space, core)
}

// blocks hands p to do, whole if it is short enough, else in parts of at most size bytes that do not cross a page end.
func blocks(addr uint64, p []byte, size int, do func(addr uint64, part []byte) error) error {
	if len(p) <= size {
		return do(addr, p)
	}
	const page = 4096
	for len(p) > 0 {
		n := min(len(p), size, page-int(addr%page))
		if err := do(addr, p[:n]); err != nil {
			return err
		}
		addr += uint64(n)
		p = p[n:]
	}
	return nil
}

// ReadRegister implements Debugger.
func (d *Packet) ReadRegister(ctx context.Context, core, id int) ([]byte, error) {
	p, err := d.c.ReadRegister(ctx, core, id, nil)
	return p, failed(err, "read register %d of core %d", id, core)
}

// WriteRegister implements Debugger.
func (d *Packet) WriteRegister(ctx context.Context, core, id int, p []byte) error {
	return failed(d.c.WriteRegister(ctx, core, id, p), "write %d bytes to register %d of core %d", len(p), id, core)
}

// Insert implements Debugger.
func (d *Packet) Insert(ctx context.Context, core int, t Trigger) error {
	return failed(d.c.InsertTrigger(ctx, core, int(t.Type), t.Addr), "insert %v on core %d", t, core)
}

// Remove implements Debugger.
func (d *Packet) Remove(ctx context.Context, core int, t Trigger) error {
	return failed(d.c.RemoveTrigger(ctx, core, int(t.Type), t.Addr), "remove %v from core %d", t, core)
}

// Go implements Debugger.
func (d *Packet) Go(ctx context.Context, core int) error {
	global, i := global(core)
	return failed(d.c.Go(ctx, global, i), "let %s run", coreName(core))
}

// Stop implements Debugger.
func (d *Packet) Stop(ctx context.Context, core int) error {
	global, i := global(core)
	return failed(d.c.Break(ctx, global, i), "stop %s", coreName(core))
}

// Step implements Debugger. A stub acknowledges the request before the step is done, so the state is asked for until
// the core stands; the reason that comes with it is kept for the next State.
func (d *Packet) Step(ctx context.Context, core int) error {
	if core == AllCores {
		for i := range d.cores {
			if err := d.Step(ctx, i); err != nil {
				return err
			}
		}
		return nil
	}
	c, err := d.core(core)
	if err != nil {
		return failed(err, "step core %d", core)
	}
	s, err := d.State(ctx, core)
	if err != nil {
		return failed(err, "step core %d", core)
	}
	if s.Status == Running {
		return failed(fmt.Errorf("%w: it runs (%v)", ErrRefused, s), "step core %d", core)
	}
	if err := d.c.Step(ctx, false, core); err != nil {
		return failed(err, "step core %d", core)
	}
	s, err = d.WaitStopped(ctx, core)
	if err != nil {
		return failed(err, "step core %d", core)
	}
	if strings.HasPrefix(s.Info, "error: ") {
		return failed(fmt.Errorf("%w: %s", ErrRefused, s.Info), "step core %d", core)
	}
	c.kept = s
	return nil
}

// State implements Debugger.
func (d *Packet) State(ctx context.Context, core int) (State, error) {
	raw, err := d.c.State(ctx, core)
	if err != nil {
		return State{}, failed(err, "ask for the state of core %d", core)
	}
	s := State{Stop: raw.Stop, Info: raw.Info}
	switch raw.Name {
	case rawclient.Running:
		s.Status = Running
	case rawclient.Halted:
		s.Status = Halted
	case rawclient.Debug:
		s.Status = Debug
	}
	switch {
	case raw.Type >= int(Read) && raw.Type <= int(Access):
		s.Reason, s.Trigger, s.Addr = Watchpoint, TriggerType(raw.Type), raw.Address
	case raw.Type == int(Exec):
		s.Reason, s.Trigger, s.Addr = Breakpoint, Exec, raw.Address
	case strings.Contains(raw.Stop, "single step"):
		s.Reason = Stepped
	case strings.Contains(raw.Stop, "because of break"):
		s.Reason = Stopped
	}
	if c, err := d.core(core); err == nil {
		s = merge(&c.kept, s)
	}
	return s, nil
}

// WaitStopped implements Debugger.
func (d *Packet) WaitStopped(ctx context.Context, core int) (State, error) {
	return poll(ctx, d.State, core, "stopped", State.Standing)
}

// Reset implements Debugger.
func (d *Packet) Reset(ctx context.Context, class int) error {
	return failed(d.c.Reset(ctx, class), "reset, class %d", class)
}

func global(core int) (bool, int) {
	if core == AllCores {
		return true, 0
	}
	return false, core
}

func coreName(core int) string {
	if core == AllCores {
		return "all cores"
	}
	return fmt.Sprintf("core %d", core)
}
