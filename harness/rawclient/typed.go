// SPDX-License-Identifier: Apache-2.0

package rawclient

import (
	"context"
	"encoding/hex"

	"mcdtest/stub/wire"
)

// OpenServer opens the server and returns its greeting, wire.Handshake.
func (c *Client) OpenServer(ctx context.Context) (string, error) {
	c.request(wire.OpenServer)
	return c.text(ctx)
}

// CloseServer closes the server.
func (c *Client) CloseServer(ctx context.Context) error {
	c.request(wire.CloseServer)
	return c.command(ctx)
}

// OpenCore makes the stub build the tables of a core.
func (c *Client) OpenCore(ctx context.Context, core int) error {
	c.request(wire.OpenCore)
	c.args(core)
	return c.command(ctx)
}

// CloseCore is the counterpart of OpenCore.
func (c *Client) CloseCore(ctx context.Context, core int) error {
	c.request(wire.CloseCore)
	c.args(core)
	return c.command(ctx)
}

// Kill ends the machine, and with it the connection.
func (c *Client) Kill(ctx context.Context) error {
	c.request(wire.Kill)
	if err := c.command(ctx); err != nil {
		return err
	}
	return c.ExpectEOF(ctx)
}

// Go lets one core run, or all with global.
func (c *Client) Go(ctx context.Context, global bool, core int) error {
	c.request(wire.Go)
	c.args(flag(global), core)
	return c.command(ctx)
}

// Step executes one instruction of one core, or of all with global.
func (c *Client) Step(ctx context.Context, global bool, core int) error {
	c.request(wire.Step)
	c.args(flag(global), core)
	return c.command(ctx)
}

// Break stops one core, or all with global. The published stub always stops all.
func (c *Client) Break(ctx context.Context, global bool, core int) error {
	c.request(wire.Break)
	c.args(flag(global), core)
	return c.command(ctx)
}

// Reset carries out a reset class.
func (c *Client) Reset(ctx context.Context, class int) error {
	c.request(wire.Reset)
	c.args(class)
	return c.command(ctx)
}

// ReadRegister appends the bytes of a register to p.
func (c *Client) ReadRegister(ctx context.Context, core, register int, p []byte) ([]byte, error) {
	c.request(wire.ReadRegister)
	c.args(core, register)
	answer, err := c.data(ctx)
	if err != nil {
		return p, err
	}
	if len(answer) == 0 {
		return p, c.refused(answer)
	}
	if q, err := hex.AppendDecode(p, answer); err == nil {
		return q, nil
	}
	return p, c.badReply(answer, "not hex digits, two a byte")
}

// WriteRegister writes a register.
func (c *Client) WriteRegister(ctx context.Context, core, register int, p []byte) error {
	c.request(wire.WriteRegister)
	c.args(core, register, len(p))
	c.out = append(c.out, wire.Separator)
	c.out = hex.AppendEncode(c.out, p)
	return c.status(ctx)
}

// ReadMemory fills p from addr on, in one request.
func (c *Client) ReadMemory(ctx context.Context, core, space int, addr uint64, p []byte) error {
	c.memory(wire.ReadMemory, core, space, addr, len(p))
	answer, err := c.data(ctx)
	if err != nil {
		return err
	}
	return c.hexInto(p, answer)
}

// WriteMemory writes p from addr on, in one request: a stub drops it without an answer if its payload is longer than
// wire.MaxPayload.
func (c *Client) WriteMemory(ctx context.Context, core, space int, addr uint64, p []byte) error {
	c.memory(wire.WriteMemory, core, space, addr, len(p))
	c.out = append(c.out, wire.Separator)
	c.out = hex.AppendEncode(c.out, p)
	return c.status(ctx)
}

func (c *Client) memory(name string, core, space int, addr uint64, n int) {
	c.request(name)
	c.args(core, space)
	c.arg(false, addr)
	c.arg(false, uint64(n))
}

// InsertTrigger inserts a trigger of type 1 to 4.
func (c *Client) InsertTrigger(ctx context.Context, core, typ int, addr uint64) error {
	return c.trigger(ctx, wire.InsertTrigger, core, typ, addr)
}

// RemoveTrigger removes a trigger.
func (c *Client) RemoveTrigger(ctx context.Context, core, typ int, addr uint64) error {
	return c.trigger(ctx, wire.RemoveTrigger, core, typ, addr)
}

func (c *Client) trigger(ctx context.Context, name string, core, typ int, addr uint64) error {
	c.request(name)
	c.args(core, typ)
	c.arg(false, addr)
	return c.status(ctx)
}

// System asks for the name of the system.
func (c *Client) System(ctx context.Context) (string, error) {
	c.request(wire.QuerySystem)
	return c.text(ctx)
}

// State asks for the state of a core. The stub reports a stop only once.
func (c *Client) State(ctx context.Context, core int) (State, error) {
	c.request(wire.QueryState)
	c.args(core)
	var s State
	err := c.fields(ctx, func(r *fieldReader) { s = r.state() })
	return s, err
}

// Cores asks for device, core type and number of cores.
func (c *Client) Cores(ctx context.Context) (Cores, error) {
	c.request(wire.QueryCores)
	var cores Cores
	err := c.fields(ctx, func(r *fieldReader) {
		cores = Cores{Device: r.text("device"), Core: r.text("core"), Count: r.number("nr_cores")}
	})
	return cores, err
}

// Triggers asks what triggers there are.
func (c *Client) Triggers(ctx context.Context) (Triggers, error) {
	c.request(wire.QueryTrigger)
	var t Triggers
	err := c.fields(ctx, func(r *fieldReader) {
		t = Triggers{Count: r.number("nr_trigger"), Types: r.numbers("type"), Option: r.text("option"), Action: r.text("action")}
	})
	return t, err
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
