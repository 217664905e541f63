// SPDX-License-Identifier: Apache-2.0

package gdbtarget

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"mcdtest/stub/rsp"
	"mcdtest/stub/target"
)

// InsertTrigger implements target.Target.
func (t *Target) InsertTrigger(ctx context.Context, core int, tr target.Trigger) error {
	return t.changeTriggers(ctx, "insert", core, tr, func() error {
		if err := t.books.Check(core, tr); err != nil {
			return err
		}
		if limit := t.lastAddress(core); tr.Addr > limit {
			return fmt.Errorf("%w: addresses of core %d end at %#x", target.ErrBadTrigger, core, limit)
		}
		if !t.inserted[tr] {
			if err := t.paused(func() error { return t.machineTriggers('Z', []target.Trigger{tr}) }); err != nil {
				t.doubtful[tr] = true
				return err
			}
			t.inserted[tr] = true
		}
		_, err := t.books.Add(core, tr)
		return err
	})
}

// RemoveTrigger implements target.Target.
func (t *Target) RemoveTrigger(ctx context.Context, core int, tr target.Trigger) error {
	return t.changeTriggers(ctx, "remove", core, tr, func() error {
		last, err := t.books.Remove(core, tr)
		if err != nil || !last {
			return err
		}
		return t.takeOut([]target.Trigger{tr})
	})
}

// RemoveTriggers implements target.Target.
func (t *Target) RemoveTriggers(ctx context.Context, core int) error {
	return t.changeTriggers(ctx, "remove all triggers", core, target.Trigger{}, func() error {
		var out []target.Trigger
		for i := range t.info.Cores {
			if core != target.AllCores && i != core {
				continue
			}
			for _, tr := range t.books.Of(i) {
				for t.books.Has(i, tr) {
					if last, err := t.books.Remove(i, tr); err != nil {
						return err
					} else if last {
						out = append(out, tr)
					}
				}
			}
		}
		return t.takeOut(out)
	})
}

// Triggers implements target.Target.
func (t *Target) Triggers(core int) []target.Trigger {
	if t.checkCore(core) != nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.books.Inserted(core)
}

func (t *Target) changeTriggers(ctx context.Context, what string, core int, tr target.Trigger, change func() error) error {
	if tr.Type.Valid() {
		what += " " + tr.String()
	}
	if core != target.AllCores {
		if err := t.checkCore(core); err != nil {
			return target.Errorf(err, "%s", what)
		}
	}
	if err := t.lock(ctx); err != nil {
		return target.Errorf(err, "%s", what)
	}
	defer t.mu.Unlock()
	if err := change(); err != nil {
		return target.Errorf(err, "%s of core %d", what, core)
	}
	return nil
}

// takeOut removes triggers that no core has any more from the machine.
func (t *Target) takeOut(list []target.Trigger) error {
	if len(list) == 0 {
		return nil
	}
	err := t.paused(func() error { return t.machineTriggers('z', list) })
	for _, tr := range list {
		delete(t.inserted, tr)
		if err != nil {
			t.doubtful[tr] = true
		}
	}
	return err
}

// settleTriggers makes sure of what the gdbstub has, while the VM stands.
func (t *Target) settleTriggers() error {
	for tr := range t.doubtful {
		// One that it has not is refused. It would take one that it has once more, and have it twice.
		err := t.machineTriggers('z', []target.Trigger{tr})
		if err != nil && !errors.Is(err, target.ErrBadTrigger) {
			return err
		}
		if t.inserted[tr] {
			if err := t.machineTriggers('Z', []target.Trigger{tr}); err != nil {
				return err
			}
		}
		delete(t.doubtful, tr)
	}
	return nil
}

// machineTriggers inserts ('Z') or removes ('z') triggers while the VM stands.
func (t *Target) machineTriggers(letter byte, list []target.Trigger) error {
	if len(list) == 0 {
		return nil
	}
	for _, tr := range list {
		kind, length := 0, t.breakpointKind()
		if tr.Type != target.Exec {
			length = target.WatchLength
		}
		switch tr.Type {
		case target.Write:
			kind = 2
		case target.Read:
			kind = 3
		case target.Access:
			kind = 4
		}
		t.gdb.Queue(fmt.Sprintf("%c%d,%x,%x", letter, kind, tr.Addr, length))
	}
	if err := t.gdb.Flush(); err != nil {
		return t.wireError(err)
	}
	var first error
	for _, tr := range list {
		reply, err := t.gdb.Receive(rsp.Timeout)
		if err != nil {
			for _, tr := range list {
				t.doubtful[tr] = true
			}
			return t.wireError(err)
		}
		if !bytes.Equal(reply, []byte("OK")) && first == nil {
			first = fmt.Errorf("%w: gdbstub answers %q to %c for the %v", target.ErrBadTrigger, reply, letter, tr)
		}
	}
	return first
}

// breakpointKind is the length field of a breakpoint; QEMU under TCG ignores it, but wants one that is plausible.
func (t *Target) breakpointKind() int {
	switch t.info.Arch {
	case "i386", "x86_64":
		return 1
	}
	return 4
}
