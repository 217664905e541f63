// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"mcdtest/harness/result"
)

// Pool runs items in several workers at the same time.
type Pool struct {
	Command Command
	Limits  Limits
	Workers int
	Items   []Item
	Round   int // of the results, if the run repeats its items

	// Expected gives the reason of an expectation that the outcome meets or goes against, or "". It may be nil.
	Expected func(result.Spec) string
	// Done is called for each item as it ends, one call after the other. An error ends the run.
	Done func(result.Spec) error
	// Warn is called with what should be known at once: a spec that takes long, a worker that died.
	Warn func(string)
	// Progress is told of what runs; it may be nil.
	Progress *Progress

	mu      sync.Mutex
	claimed map[string]bool
	ended   map[string]bool
	byID    map[string]Item
	errs    []error
}

// long is the cost from which on items are dealt in a pass of their own before the others: a long one that is dealt last
// would keep the whole run waiting.
const long = 500 * time.Millisecond

// Run runs every item once. It returns an error if not all of them could be run; the end of ctx is none.
func (p *Pool) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.claimed, p.ended, p.byID = make(map[string]bool), make(map[string]bool), make(map[string]Item, len(p.Items))
	for _, item := range p.Items {
		p.byID[item.ID] = item
	}
	fail := func(err error) {
		p.mu.Lock()
		p.errs = append(p.errs, err)
		p.mu.Unlock()
		cancel()
	}
	workers := max(1, min(p.Workers, len(p.Items)))
	passes := []time.Duration{0}
	if slices.ContainsFunc(p.Items, func(i Item) bool { return i.Cost >= long }) {
		passes = []time.Duration{long, 0}
	}
	var wg sync.WaitGroup
	for i := range workers {
		seat := &Seat{Command: p.Command, Limits: p.Limits}
		seat.Began = func(id string) { p.Progress.Began(seat, id) }
		seat.Done = func(s result.Spec) {
			if err := p.done(seat, s); err != nil {
				fail(err)
			}
		}
		seat.Stuck = func(id, state string) { p.warn("still running: " + state) }
		seat.Died = func(err error) {
			p.warn(err.Error())
			p.mu.Lock()
			p.errs = append(p.errs, err)
			p.mu.Unlock()
		}
		p.Progress.Seat(seat)
		wg.Go(func() {
			for _, least := range passes {
				seat.Deal = func(_ context.Context, id string) bool { return p.deal(id, least) }
				if err := seat.Run(ctx); err != nil {
					fail(fmt.Errorf("worker %d: %w", i+1, err))
				}
			}
		})
	}
	wg.Wait()
	if len(p.errs) == 0 && ctx.Err() == nil {
		p.leftOver()
	}
	return errors.Join(p.errs...)
}

// deal gives an item to whoever asks first, if it takes long enough.
func (p *Pool) deal(id string, least time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if item, ok := p.byID[id]; !ok || p.claimed[id] || item.Cost < least {
		return false
	}
	p.claimed[id] = true
	return true
}

func (p *Pool) done(seat *Seat, s result.Spec) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	item := p.byID[s.ID]
	s = item.Complete(s)
	s.Round = p.Round
	if p.Expected != nil {
		s.Expected = p.Expected(s)
	}
	p.ended[s.ID] = true
	p.Progress.Done(seat, item, s)
	return p.Done(s)
}

// Complete puts what was known of an item before it ran into its result.
func (i Item) Complete(s result.Spec) result.Spec {
	s.Index, s.Subject, s.Arch, s.Cores, s.Dialect, s.Labels = i.Index, i.Subject, i.Arch, i.Cores, i.Dialect, i.Labels
	return s
}

func (p *Pool) warn(text string) {
	if p.Warn != nil {
		p.Warn(text)
	}
}

// leftOver makes an error of items that no worker asked for.
func (p *Pool) leftOver() {
	var left []string
	for _, item := range p.Items {
		if !p.ended[item.ID] {
			left = append(left, item.ID)
		}
	}
	if len(left) > 0 {
		p.errs = append(p.errs, fmt.Errorf("the workers do not know %d of the %d specs that were to run, such as %q", len(left), len(p.Items), left[0]))
	}
}
