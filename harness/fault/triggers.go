// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"mcdtest/stub/target"
)

// Faults of break- and watchpoints.

// lateTimeout bounds what a fault does to the machine when a state is asked for, which has no context.
const lateTimeout = 5 * time.Second

// insertions counts the triggers that a client has, where the machine's differ.
type insertions struct {
	mu    sync.Mutex
	count map[insertion]int
}

type insertion struct {
	core int
	tr   target.Trigger
}

func (n *insertions) add(core int, tr target.Trigger) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.count == nil {
		n.count = make(map[insertion]int)
	}
	n.count[insertion{core, tr}]++
}

// remove takes one back; it reports whether there was one.
func (n *insertions) remove(core int, tr target.Trigger) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.count[insertion{core, tr}] == 0 {
		return false
	}
	n.count[insertion{core, tr}]--
	return true
}

func triggerLeftBehind(t target.Target) target.Target {
	var have insertions
	return &altered{
		Target: t,
		insertTrigger: func(ctx context.Context, core int, tr target.Trigger) error {
			err := t.InsertTrigger(ctx, core, tr)
			if err == nil {
				have.add(core, tr)
			}
			return err
		},
		removeTrigger: func(_ context.Context, core int, tr target.Trigger) error {
			if !have.remove(core, tr) {
				return target.Errorf(target.ErrNoTrigger, "remove %v of core %d", tr, core)
			}
			return nil
		},
	}
}

// notInserted says that a kind of triggers is there that is not.
func notInserted(is func(target.TriggerType) bool) func(target.Target) target.Target {
	return func(t target.Target) target.Target {
		var have insertions
		return &altered{
			Target: t,
			insertTrigger: func(ctx context.Context, core int, tr target.Trigger) error {
				if is(tr.Type) {
					have.add(core, tr)
					return nil
				}
				return t.InsertTrigger(ctx, core, tr)
			},
			removeTrigger: func(ctx context.Context, core int, tr target.Trigger) error {
				if have.remove(core, tr) {
					return nil
				}
				return t.RemoveTrigger(ctx, core, tr)
			},
		}
	}
}

func isExec(k target.TriggerType) bool  { return k == target.Exec }
func isWatch(k target.TriggerType) bool { return k != target.Exec && k.Valid() }

// atHit does something to a core that has come to a trigger before anybody is told of it, and keeps the state as it was.
func atHit(t target.Target, is func(target.State) bool, do func(ctx context.Context, core int, s target.State)) *altered {
	var mu sync.Mutex
	type told struct{ before, after target.State }
	done := make(map[int]told)
	return &altered{Target: t, state: func(core int) target.State {
		mu.Lock()
		defer mu.Unlock()
		s := t.State(core)
		if d, ok := done[core]; ok {
			switch s {
			case d.after, d.before:
				return d.before
			}
			delete(done, core)
		}
		if !hit(s) || !is(s) {
			return s
		}
		ctx, cancel := context.WithTimeout(context.Background(), lateTimeout)
		defer cancel()
		do(ctx, core, s)
		done[core] = told{s, t.State(core)}
		return s
	}}
}

func atBreakpoint(s target.State) bool { return s.Cause == target.CauseBreakpoint }
func atWatchpoint(s target.State) bool { return s.Cause == target.CauseWatchpoint }

// breakpointLate lets a core execute the instruction of its breakpoint.
func breakpointLate(t target.Target) target.Target {
	return atHit(t, atBreakpoint, func(ctx context.Context, core int, _ target.State) { _ = t.Step(ctx, core) })
}

// watchpointEarly puts pc in front of the access that a watchpoint has stopped at.
func watchpointEarly(t target.Target) target.Target {
	return atHit(t, atWatchpoint, func(ctx context.Context, core int, _ target.State) {
		const instruction = 4 // bytes; on architectures with shorter ones pc is wrong all the same
		movePC(ctx, t, core, -instruction)
	})
}

// movePC adds to the program counter.
func movePC(ctx context.Context, t target.Target, core, by int) {
	for _, r := range t.Info().Cores[core].Registers {
		if !slices.Contains([]string{"pc", "eip", "rip"}, r.Name) {
			continue
		}
		p, err := t.ReadRegister(ctx, core, r.Number, nil)
		if err != nil {
			return
		}
		if t.Info().BigEndian {
			slices.Reverse(p)
		}
		v := uint64(0)
		for i, b := range p {
			v |= uint64(b) << (8 * i)
		}
		v += uint64(by)
		for i := range p {
			p[i] = byte(v >> (8 * i))
		}
		if t.Info().BigEndian {
			slices.Reverse(p)
		}
		_ = t.WriteRegister(ctx, core, r.Number, p)
		return
	}
}

// breakpointFiresOnce removes a breakpoint that has been hit, and says nothing of it.
func breakpointFiresOnce(t target.Target) target.Target {
	var gone insertions
	a := atHit(t, atBreakpoint, func(ctx context.Context, core int, s target.State) {
		if t.RemoveTrigger(ctx, core, s.Trigger) == nil {
			gone.add(core, s.Trigger)
		}
	})
	a.removeTrigger = func(ctx context.Context, core int, tr target.Trigger) error {
		if gone.remove(core, tr) {
			return nil
		}
		return t.RemoveTrigger(ctx, core, tr)
	}
	return a
}

func absentRemovalSucceeds(t target.Target) target.Target {
	return &altered{Target: t, removeTrigger: func(ctx context.Context, core int, tr target.Trigger) error {
		if err := t.RemoveTrigger(ctx, core, tr); !errors.Is(err, target.ErrNoTrigger) {
			return err
		}
		return nil
	}}
}

// duplicatesCountOnce takes a second insertion for the first.
func duplicatesCountOnce(t target.Target) target.Target {
	var have insertions
	return &altered{
		Target: t,
		insertTrigger: func(ctx context.Context, core int, tr target.Trigger) error {
			if have.remove(core, tr) {
				have.add(core, tr)
				return nil
			}
			err := t.InsertTrigger(ctx, core, tr)
			if err == nil {
				have.add(core, tr)
			}
			return err
		},
		removeTrigger: func(ctx context.Context, core int, tr target.Trigger) error {
			have.remove(core, tr)
			return t.RemoveTrigger(ctx, core, tr)
		},
	}
}

func tooManyTriggers(t target.Target) target.Target {
	return &altered{Target: t, insertTrigger: func(ctx context.Context, core int, tr target.Trigger) error {
		if err := t.InsertTrigger(ctx, core, tr); !errors.Is(err, target.ErrTriggersFull) {
			return err
		}
		return nil
	}}
}

// otherTrigger has the machine hold another trigger than the one that was asked for, and tells of it as if it were that.
func otherTrigger(to, from func(target.Trigger) target.Trigger) func(target.Target) target.Target {
	return func(t target.Target) target.Target {
		return &altered{
			Target: t,
			insertTrigger: func(ctx context.Context, core int, tr target.Trigger) error {
				return t.InsertTrigger(ctx, core, to(tr))
			},
			removeTrigger: func(ctx context.Context, core int, tr target.Trigger) error {
				return t.RemoveTrigger(ctx, core, to(tr))
			},
			state: func(core int) target.State {
				s := t.State(core)
				if hit(s) {
					s.Trigger = from(s.Trigger)
				}
				return s
			},
		}
	}
}

// reportedTrigger tells of another trigger than the one that was hit.
func reportedTrigger(told func(target.Trigger) target.Trigger) func(target.Target) target.Target {
	return func(t target.Target) target.Target {
		return &altered{Target: t, state: func(core int) target.State {
			s := t.State(core)
			if hit(s) {
				s.Trigger = told(s.Trigger)
			}
			return s
		}}
	}
}

// swapReadWrite takes a read watchpoint for a write watchpoint and the other way round.
func swapReadWrite(tr target.Trigger) target.Trigger {
	switch tr.Type {
	case target.Read:
		tr.Type = target.Write
	case target.Write:
		tr.Type = target.Read
	}
	return tr
}

// shiftWatch moves a watchpoint.
func shiftWatch(by uint64) func(target.Trigger) target.Trigger {
	return func(tr target.Trigger) target.Trigger {
		if isWatch(tr.Type) {
			tr.Addr += by
		}
		return tr
	}
}

// accessReadsOnly makes an access watchpoint one for reads. No read watchpoint stands beside it, so that it can be told
// back.
func accessReadsOnly(t target.Target) target.Target {
	var mu sync.Mutex
	have := make(map[uint64]bool)
	to := func(tr target.Trigger) target.Trigger {
		if tr.Type == target.Access {
			mu.Lock()
			defer mu.Unlock()
			have[tr.Addr] = true
			tr.Type = target.Read
		}
		return tr
	}
	from := func(tr target.Trigger) target.Trigger {
		mu.Lock()
		defer mu.Unlock()
		if tr.Type == target.Read && have[tr.Addr] {
			tr.Type = target.Access
		}
		return tr
	}
	return otherTrigger(to, from)(t)
}

// breakpointShows has reads of memory find a trap instruction where a breakpoint is.
func breakpointShows(t target.Target) target.Target {
	var mu sync.Mutex
	var traps []uint64
	return &altered{
		Target: t,
		insertTrigger: func(ctx context.Context, core int, tr target.Trigger) error {
			err := t.InsertTrigger(ctx, core, tr)
			if err == nil && tr.Type == target.Exec {
				mu.Lock()
				traps = append(traps, tr.Addr)
				mu.Unlock()
			}
			return err
		},
		removeTrigger: func(ctx context.Context, core int, tr target.Trigger) error {
			mu.Lock()
			if i := slices.Index(traps, tr.Addr); i >= 0 && tr.Type == target.Exec {
				traps = slices.Delete(traps, i, i+1)
			}
			mu.Unlock()
			return t.RemoveTrigger(ctx, core, tr)
		},
		readMemory: func(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
			err := t.ReadMemory(ctx, core, space, addr, p)
			mu.Lock()
			defer mu.Unlock()
			for _, trap := range traps {
				if trap >= addr && trap-addr < uint64(len(p)) {
					p[trap-addr] = 0xcc
				}
			}
			return err
		},
	}
}
