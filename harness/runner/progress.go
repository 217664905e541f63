// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"sync"
	"time"

	"mcdtest/harness/result"
)

// Progress is how far a run has come. It is safe for concurrent use; a nil Progress keeps nothing.
type Progress struct {
	mu      sync.Mutex
	start   time.Time
	seats   map[*Seat]*seatProgress
	workers int
	total   int
	left    time.Duration // thought to be left, of all workers together
	costed  time.Duration // what the items that have ended were thought to take
	took    time.Duration // what they took
	summary result.Summary
}

type seatProgress struct {
	id    string
	since time.Time
}

// NewProgress is for a run of these items, each of them so many times.
func NewProgress(items []Item, times, workers int) *Progress {
	p := &Progress{start: time.Now(), seats: make(map[*Seat]*seatProgress), workers: max(workers, 1)}
	p.More(items, times)
	return p
}

// Seat tells of a seat that may have something to run.
func (p *Progress) Seat(s *Seat) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seats[s] = &seatProgress{}
}

// Began tells of an item that a seat has begun.
func (p *Progress) Began(s *Seat, id string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	*p.seats[s] = seatProgress{id, time.Now()}
}

// Done tells of an item that has ended.
func (p *Progress) Done(s *Seat, item Item, spec result.Spec) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	*p.seats[s] = seatProgress{}
	p.left -= item.Cost
	p.costed += item.Cost
	p.took += spec.Took
	p.summary.Add(spec)
}

// More tells of items that are to run so many times beside those of NewProgress.
func (p *Progress) More(items []Item, times int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total += len(items) * times
	for _, i := range items {
		p.left += i.Cost * time.Duration(times)
	}
}

// Snapshot is a moment of a run.
type Snapshot struct {
	Total, Done int
	Summary     result.Summary
	Running     []Running
	Elapsed     time.Duration
	Left        time.Duration // an estimate; 0 if there is none yet
}

// Running is an item that runs.
type Running struct {
	ID  string
	For time.Duration
}

// Snapshot says how far the run is.
func (p *Progress) Snapshot() Snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Snapshot{Total: p.total, Summary: p.summary, Elapsed: time.Since(p.start)}
	sum := p.summary
	s.Done = sum.Passed + sum.Failed + sum.Skipped + sum.Interrupted + sum.ExpectedFailures + sum.UnexpectedPasses
	for _, seat := range p.seats {
		if seat.id != "" {
			s.Running = append(s.Running, Running{seat.id, time.Since(seat.since)})
		}
	}
	// The first few items say too little about how fast this machine is.
	if s.Done >= 3 && p.costed > 0 {
		s.Left = time.Duration(float64(p.left) * float64(p.took) / float64(p.costed) / float64(p.workers))
	}
	return s
}

// Describe says where every machine of the run stands.
func (p *Progress) Describe() string {
	p.mu.Lock()
	var seats []*Seat
	for s := range p.seats {
		seats = append(seats, s)
	}
	p.mu.Unlock()
	texts := make([]string, len(seats))
	var wg sync.WaitGroup
	for i, s := range seats {
		wg.Go(func() { texts[i] = s.Describe() })
	}
	wg.Wait()
	var all string
	for _, t := range texts {
		all += t
	}
	return all
}
