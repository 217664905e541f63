// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// What a session is doing.
const (
	reading uint64 = iota // waits for the client's next bytes
	acting                // works on a request
	writing               // waits until the client takes a reply
	phases
)

// hangupGrace is how long a request may go on after its client has left.
const hangupGrace = time.Second

var errMachineGone = errors.New("the machine has ended")

// watchdog ends a session that stands still, by closing its connection and the context of its requests. It looks from time to
// time; the session itself only counts, for deadlines set for every request are a large part of a request's time.
type watchdog struct {
	// at counts the changes of phase: it is congruent to the phase, modulo phases, and grows with each.
	at atomic.Uint64
}

// enter says what the session does from now on. Only the session's goroutine calls it.
func (w *watchdog) enter(phase uint64) {
	at := w.at.Load()
	w.at.Store(at - at%phases + phases + phase)
}

// watch returns when finished is closed or the session is told to end.
func (w *watchdog) watch(s *session, cancel context.CancelCauseFunc, finished <-chan struct{}) {
	limits := [phases]time.Duration{reading: s.opts.IdleTimeout, acting: s.opts.RequestTimeout, writing: s.opts.WriteTimeout}
	tick := hangupGrace / 2
	for _, limit := range limits {
		if limit > 0 {
			tick = min(tick, limit/4)
		}
	}
	ticker := time.NewTicker(max(tick, time.Millisecond))
	defer ticker.Stop()
	drop := func(reason error) {
		cancel(reason)
		s.conn.Close()
	}
	seen, since := w.at.Load(), time.Now()
	for {
		select {
		case <-finished:
			return
		case <-s.ctx.Done():
			s.conn.Close()
			return
		case <-s.target.Done():
			drop(errMachineGone)
			return
		case now := <-ticker.C:
			at := w.at.Load()
			if at != seen {
				seen, since = at, now
				continue
			}
			phase, stands := at%phases, now.Sub(since)
			if limit := limits[phase]; limit > 0 && stands >= limit {
				drop(fmt.Errorf("client dropped: %s for %v", [phases]string{
					"it was silent", "the machine did not answer its request", "it did not read its replies"}[phase], limit))
				return
			}
			if phase == acting && stands >= hangupGrace && hungUp(s.conn) {
				drop(errors.New("the client left while the machine worked on its request"))
				return
			}
		}
	}
}
