// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"mcdtest/harness/result"
	"mcdtest/harness/runner"
)

// Side is base or head.
type Side int

// Sides.
const (
	Base Side = iota
	Head
)

func (s Side) String() string {
	if s == Base {
		return "base"
	}
	return "head"
}

// other is the opposite side.
func (s Side) other() Side { return 1 - s }

// lanes runs a round: each item on both sides, one right after the other. A lane has a worker for each side, of which
// one runs at a time; lanes run next to each other. Which side is first changes from item to item and from round to
// round.
type lanes struct {
	commands [2]runner.Command
	items    [2][]runner.Item // of each side
	limits   runner.Limits
	count    int
	round    int
	progress *runner.Progress
	done     func(Side, result.Spec) error
	warn     func(string)

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at each change
	byID    [2]map[string]runner.Item
	turns   map[string]*turn
	busy    []bool    // by lane
	over    [][2]bool // by lane: the side has walked all items
	errs    []error
}

// turn is an item that a lane has taken.
type turn struct {
	lane    int
	first   Side
	started [2]bool
	ended   [2]bool
}

func (l *lanes) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.changed, l.turns = make(chan struct{}), make(map[string]*turn)
	planned := 0
	for s := range l.items {
		l.byID[s] = make(map[string]runner.Item)
		for _, item := range l.items[s] {
			l.byID[s][item.ID] = item
		}
		planned = max(planned, len(l.items[s]))
	}
	count := max(1, min(l.count, planned))
	l.busy, l.over = make([]bool, count), make([][2]bool, count)
	fail := func(err error) {
		l.mu.Lock()
		l.errs = append(l.errs, err)
		l.mu.Unlock()
		cancel()
	}
	var wg sync.WaitGroup
	for lane := range count {
		for _, side := range []Side{Base, Head} {
			if len(l.items[side]) == 0 {
				continue
			}
			seat := &runner.Seat{Command: l.commands[side], Limits: l.limits}
			seat.Deal = func(ctx context.Context, id string) bool { return l.deal(ctx, lane, side, id) }
			seat.Began = func(id string) { l.progress.Began(seat, id) }
			seat.Done = func(s result.Spec) {
				if err := l.ended(seat, lane, side, s); err != nil {
					fail(err)
				}
			}
			seat.Stuck = func(_, state string) { l.warn(fmt.Sprintf("still running on %v: %s", side, state)) }
			seat.Died = func(err error) { fail(fmt.Errorf("%v: %w", side, err)) }
			l.progress.Seat(seat)
			wg.Go(func() {
				if err := seat.Run(ctx); err != nil {
					fail(fmt.Errorf("%v: %w", side, err))
				}
				l.mu.Lock()
				defer l.mu.Unlock()
				l.over[lane][side] = true
				l.tell()
			})
		}
	}
	wg.Wait()
	if len(l.errs) == 0 && ctx.Err() == nil {
		l.leftOver()
	}
	return errors.Join(l.errs...)
}

// deal waits for the turn of a side. The workers of both sides walk the items in the same order, so the one that comes
// second will come.
func (l *lanes) deal(ctx context.Context, lane int, side Side, id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	item, ok := l.byID[side][id]
	if !ok {
		return false
	}
	t := l.turns[id]
	if t == nil {
		t = &turn{lane: lane, first: Side((item.Index + l.round) % 2)}
		if _, both := l.byID[side.other()][id]; !both {
			t.first = side
		}
		l.turns[id] = t
	}
	if t.lane != lane || t.started[side] {
		return false
	}
	for l.busy[lane] || side != t.first && !t.ended[t.first] && !l.over[lane][t.first] {
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
			l.mu.Lock()
		case <-ctx.Done():
			l.mu.Lock()
			return false
		}
	}
	t.started[side] = true
	l.busy[lane] = true
	return true
}

func (l *lanes) ended(seat *runner.Seat, lane int, side Side, s result.Spec) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	item := l.byID[side][s.ID]
	s = item.Complete(s)
	s.Round = l.round
	l.turns[s.ID].ended[side] = true
	l.busy[lane] = false
	l.tell()
	l.progress.Done(seat, item, s)
	return l.done(side, s)
}

// tell wakes the sides that wait for their turn.
func (l *lanes) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// leftOver makes an error of items that have not run.
func (l *lanes) leftOver() {
	for side, items := range l.byID {
		for id := range items {
			if t := l.turns[id]; t == nil || !t.ended[side] {
				l.errs = append(l.errs, fmt.Errorf("%v: the workers do not know the spec %q", Side(side), id))
				return
			}
		}
	}
}
