// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"mcdtest/stub/target"
)

// counted notes every call that would reach the machine.
type counted struct {
	target.Target
	mu    sync.Mutex
	calls []string
}

func (c *counted) call(format string, a ...any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, fmt.Sprintf(format, a...))
	return nil
}

func (c *counted) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := c.calls
	c.calls = nil
	return calls
}

func (c *counted) ReadMemory(_ context.Context, core int, _ target.Space, addr uint64, p []byte) error {
	return c.call("read %d %#x %d", core, addr, len(p))
}
func (c *counted) WriteMemory(_ context.Context, core int, _ target.Space, addr uint64, p []byte) error {
	return c.call("write %d %#x %d", core, addr, len(p))
}
func (c *counted) ReadRegister(_ context.Context, core, number int, p []byte) ([]byte, error) {
	return append(p, 0), c.call("read register %d %d", core, number)
}
func (c *counted) WriteRegister(_ context.Context, core, number int, _ []byte) error {
	return c.call("write register %d %d", core, number)
}
func (c *counted) InsertTrigger(_ context.Context, core int, t target.Trigger) error {
	return c.call("insert %d %v", core, t)
}
func (c *counted) RemoveTrigger(_ context.Context, core int, t target.Trigger) error {
	return c.call("remove %d %v", core, t)
}
func (c *counted) RemoveTriggers(_ context.Context, core int) error {
	return c.call("remove all of %d", core)
}
func (c *counted) Go(_ context.Context, core int) error       { return c.call("go %d", core) }
func (c *counted) Stop(_ context.Context, core int) error     { return c.call("stop %d", core) }
func (c *counted) Step(_ context.Context, cores ...int) error { return c.call("step %d", cores[0]) }
func (c *counted) Reset(_ context.Context, class int, _ bool) error {
	return c.call("reset %d", class)
}
func (c *counted) Kill(context.Context) error { return c.call("kill") }

// What is refused is checked whole before the machine hears of it.
func TestRefusedRequestsDoNotReachTheMachine(t *testing.T) {
	c := &counted{Target: loop(t, nil)}
	p := open(t, c, Options{MaxRead: 100})
	p.does("i0")
	for _, payload := range []string{
		"m1;1;0;4", "m0;0;0;4", "m0;3;0;4", "m0;9;0;4", "m0;1;0;101", "m0;1;0;18446744073709551615", "m0;1;0;0",
		"M1;1;0;1;00", "M0;3;0;1;00", "M0;1;0;2;00", "M0;1;0;1;0", "M0;1;0;1;0000", "M0;1;0;1;zz", "M0;1;0;0;",
		"p1;0", "p0;16", "p0;18446744073709551615", "P1;0;4;00000000", "P0;16;4;00000000", "P0;0;3;000000", "P0;0;5;0000000000",
		"P0;0;4;000000", "P0;0;4;0000000z", "P0;0;18446744073709551615;00",
		"t1;1;0", "t0;0;0", "t0;5;0", "t0;257;0", "T1;1;0", "T0;0;0", "T0;5;0", "T0;260;0",
		"m", "M0;1;0;1", "p0", "P0;0;4", "t0;1", "T0;1", "C", "C0", "c0", "r", "m0;1;-1;4", "C0;+0", "rx",
	} {
		p.ask(payload)
		if calls := c.take(); calls != nil {
			t.Errorf("%s reached the machine: %q", payload, calls)
		}
	}
	for _, payload := range []string{"C2;0", "C0;1", "C1;1", "c2;0", "c0;1", "c1;1", "r1", "r18446744073709551615", "k", "i1", "d1"} {
		p.does(payload)
		if calls := c.take(); calls != nil {
			t.Errorf("%s reached the machine: %q", payload, calls)
		}
	}
}
