// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"mcdtest/stub/hangup"
)

// What a session is doing.
const (
	reading uint64 = iota // waits for the client's next bytes
	acting                // works on a request
	writing               // waits until the client takes a reply
	phases
)

const (
	// alert is how often the watchdog looks at a session that has something to do, and so about how long a '+' that waits for its
	// reply may be held back.
	alert = 5 * time.Millisecond
	// quiet is how often it looks and sees nothing before it looks less often.
	quiet = 10
	// hangupGrace is how long a request may go on after its client has left.
	hangupGrace = time.Second
)

var errMachineGone = errors.New("the machine has ended")

// watchdog ends a session that stands still, by closing its connection and the context of its requests, and sends a '+' that
// has waited too long. It looks from time to time; the session itself only counts, for timers and deadlines set for every
// request are a large part of a request's time.
type watchdog struct {
	// at counts the changes of phase: it is congruent to the phase, modulo phases, and grows with each.
	at atomic.Uint64
	// packets grows when a whole packet has come, and when it is answered.
	packets atomic.Uint64
	dozing  atomic.Bool
	wake    chan struct{}
}

// enter says what the session does from now on. Only the session's goroutine calls it.
func (w *watchdog) enter(phase uint64) {
	at := w.at.Load()
	w.at.Store(at - at%phases + phases + phase)
	if phase != reading && w.dozing.Load() && w.dozing.CompareAndSwap(true, false) {
		w.wake <- struct{}{}
	}
}

// watch returns when finished is closed or the session is told to end.
func (w *watchdog) watch(s *session, cancel context.CancelCauseFunc, finished <-chan struct{}) {
	limits := [phases]time.Duration{reading: s.opts.IdleTimeout, acting: s.opts.RequestTimeout, writing: s.opts.WriteTimeout}
	doze := time.Minute
	if limits[reading] > 0 {
		doze = max(min(doze, limits[reading]/4), time.Millisecond)
	}
	drop := func(reason error) {
		cancel(reason)
		s.conn.Close()
	}
	timer := time.NewTimer(alert)
	defer timer.Stop()
	seen, since, idle := w.at.Load(), time.Now(), 0
	packets, heard := w.packets.Load(), time.Now()
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
		case <-w.wake:
			seen, since, idle = w.at.Load(), time.Now(), 0
			timer.Reset(alert)
			continue
		case <-timer.C:
		}
		now := time.Now()
		if n := w.packets.Load(); n != packets {
			packets, heard = n, now
		}
		at := w.at.Load()
		// Bytes that are no packet do not count.
		if silent := at%phases == reading && limits[reading] > 0 && now.Sub(heard) >= limits[reading]; at != seen && !silent {
			seen, since, idle = at, now, 0
			timer.Reset(alert)
			continue
		}
		phase := at % phases
		stands := now.Sub(since)
		if phase == reading {
			stands = now.Sub(heard)
		}
		if limit := limits[phase]; limit > 0 && stands >= limit {
			drop(fmt.Errorf("client dropped: %s for %v", [phases]string{
				"no packet came", "the machine did not answer its request", "it did not read its replies"}[phase], limit))
			return
		}
		next := alert
		switch phase {
		case acting:
			s.sendLate()
			if stands >= hangupGrace && hangup.Seen(s.conn) {
				drop(errors.New("the client left while the machine worked on its request"))
				return
			}
		case reading:
			if idle++; idle >= quiet {
				next = doze
				w.dozing.Store(true)
				if w.at.Load() != at && w.dozing.CompareAndSwap(true, false) {
					next = alert
				}
			}
		}
		timer.Reset(next)
	}
}
