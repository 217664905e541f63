// SPDX-License-Identifier: Apache-2.0

package gdbtarget

import (
	"context"
	"fmt"
	"slices"

	"mcdtest/stub/target"
)

// Reset implements target.Resetter. The VM is paused for it, since QEMU lets every core run after the reset of a
// running machine, also those that were held.
func (t *Target) Reset(ctx context.Context, class int, halt bool) error {
	if !slices.ContainsFunc(t.info.ResetClasses, func(c target.ResetClass) bool { return c.ID == class }) {
		return target.Errorf(fmt.Errorf("%w: %d", target.ErrNoResetClass, class), "reset")
	}
	if err := t.lock(ctx); err != nil {
		return target.Errorf(err, "reset")
	}
	defer t.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	t.noteStops()
	ran := slices.Clone(t.want)
	err := t.paused(func() error {
		t.runOn(ran)
		events, err := t.mon.Events(ctx)
		if err != nil {
			return err
		}
		t.ownResets++
		t.viewsFresh = false
		if err := t.mon.Execute(ctx, "system_reset", nil, nil); err != nil {
			t.ownResets--
			return err
		}
		for ev := range events {
			if ev.Event == "RESET" {
				for i, run := range t.want {
					switch {
					case !run:
						t.forgetCause(i)
					case halt:
						t.stopped(i, target.CauseBoot, target.Trigger{})
					}
				}
				return nil
			}
		}
		t.ownResets--
		return fmt.Errorf("QMP took system_reset, but no RESET event came within %v", stopTimeout)
	})
	if err != nil {
		return target.Errorf(err, "reset the machine")
	}
	return nil
}

// runOn takes a hit back that came in the moment of the pause for a reset, if one did: with the reset nobody would be told of it, and the
// cores that ran are to run afterwards.
func (t *Target) runOn(ran []bool) {
	for i := range ran {
		if ran[i] && t.justHit(i) {
			copy(t.want, ran)
			_ = t.publishRunning()
			return
		}
	}
}

// forgetCause notes that a core which stands does so because of a reset, whatever had stopped it before.
func (t *Target) forgetCause(core int) {
	t.stateMu.Lock()
	defer t.stateMu.Unlock()
	t.states[core] = target.State{Cause: target.CauseBoot, Stops: t.states[core].Stops, Moot: true}
}

// Kill implements target.Killer.
func (t *Target) Kill(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	// QEMU may be gone before its answer is read.
	err := t.mon.Execute(ctx, "quit", nil, nil)
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
		if t.Err() != nil { // it has ended, and the client's session with it
			return nil
		}
		return target.Errorf(fmt.Errorf("it still runs after QMP quit: %v", err), "end QEMU")
	}
}
