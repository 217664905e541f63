// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"errors"
	"sync"
	"time"

	"mcdtest/stub/hangup"
)

// hangupGrace is how long a request may go on after its client has left.
const hangupGrace = time.Second

var (
	errTimedOut = errors.New("the machine did not do it in time")
	errHangup   = errors.New("the client left while the machine worked on its request")
)

// watchdog ends the context of a request that takes too long or whose client has left. It is one timer for the life of a
// session, that fires now and then: to set it for every request would cost more than many requests.
type watchdog struct {
	s     *session
	timer *time.Timer

	mu      sync.Mutex
	begun   time.Time // of the request in progress; zero if there is none
	expired bool
	left    error
	over    bool
}

func (w *watchdog) start(s *session) {
	w.s = s
	w.mu.Lock()
	w.timer = time.AfterFunc(w.tick(), w.look)
	w.mu.Unlock()
}

func (w *watchdog) tick() time.Duration { return min(hangupGrace/2, w.s.opts.RequestTimeout/4) }

func (w *watchdog) stop() {
	w.mu.Lock()
	w.over = true
	w.timer.Stop()
	w.mu.Unlock()
}

func (w *watchdog) enter() {
	now := time.Now()
	w.mu.Lock()
	w.begun, w.expired = now, false
	w.mu.Unlock()
}

// leave reports whether the request's context has been ended.
func (w *watchdog) leave() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begun = time.Time{}
	return w.expired
}

// gone is the reason to end the session, nil if there is none.
func (w *watchdog) gone() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.left
}

func (w *watchdog) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	w.timer.Reset(w.tick())
	if w.begun.IsZero() || w.expired {
		return
	}
	// The request in progress holds s.ctx and s.cancel still: they change after leave only.
	switch took := time.Since(w.begun); {
	case took >= w.s.opts.RequestTimeout:
		w.expired = true
		w.s.cancel(errTimedOut)
	case took >= hangupGrace && hangup.Seen(w.s.conn):
		w.expired = true
		w.left = errHangup
		w.s.cancel(errHangup)
	}
}
