// SPDX-License-Identifier: Apache-2.0

package qmp

import (
	"context"
	"errors"
	"sync"

	goqmp "github.com/digitalocean/go-qemu/qmp"
)

// subscription is one subscriber's queue of events. It has no bound, so that the reader of the connection never waits
// for a subscriber.
type subscription struct {
	cancel context.CancelFunc
	taken  func(e goqmp.Event, before uint64) bool // nil: every event is queued

	mu       sync.Mutex
	queue    []goqmp.Event
	finished bool
	wake     chan struct{} // capacity 1
}

// Events returns every event from now on, in order. It may be called before Connect, to miss none, and any number of
// times. The channel is closed when ctx ends, at once by Disconnect, and when QEMU closes the connection, after the
// events that came before that.
func (m *Monitor) Events(ctx context.Context) (<-chan goqmp.Event, error) {
	events, _, err := m.CountedEvents(ctx, nil)
	return events, err
}

// CountedEvents is Events, and says how many events EventCount has counted that came before and are not returned. taken, unless
// nil, sees each event first, with the count of those before it, and says whether that was all; it must not wait, nor ask the
// Monitor anything.
func (m *Monitor) CountedEvents(ctx context.Context, taken func(e goqmp.Event, before uint64) bool) (events <-chan goqmp.Event, before uint64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &subscription{cancel: cancel, taken: taken, wake: make(chan struct{}, 1)}

	m.mu.Lock()
	if m.err != nil {
		err := m.err
		m.mu.Unlock()
		cancel()
		return nil, 0, errors.Join(errors.New("QMP: subscribe to events"), err)
	}
	m.subs[s] = struct{}{}
	before = m.events
	m.mu.Unlock()

	out := make(chan goqmp.Event)
	go func() {
		defer close(out)
		defer cancel()
		s.deliver(ctx, out)
		m.mu.Lock()
		delete(m.subs, s)
		m.mu.Unlock()
	}()
	return out, before, nil
}

// EventCount is how many events QEMU has sent. Those that belong to a command come before its answer.
func (m *Monitor) EventCount() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.events
}

func (s *subscription) push(e goqmp.Event) {
	s.mu.Lock()
	s.queue = append(s.queue, e)
	s.mu.Unlock()
	s.signal()
}

func (s *subscription) finish() {
	s.mu.Lock()
	s.finished = true
	s.mu.Unlock()
	s.signal()
}

func (s *subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// deliver passes the queue on until it is finished and empty, or ctx ends.
func (s *subscription) deliver(ctx context.Context, out chan<- goqmp.Event) {
	for {
		s.mu.Lock()
		batch, finished := s.queue, s.finished
		s.queue = nil
		s.mu.Unlock()
		for _, e := range batch {
			select {
			case out <- e:
			case <-ctx.Done():
				return
			}
		}
		if len(batch) > 0 {
			continue
		}
		if finished {
			return
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return
		}
	}
}

// finishSubscriptions lets every subscriber see the end after its last event.
func (m *Monitor) finishSubscriptions() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := range m.subs {
		s.finish()
	}
}
