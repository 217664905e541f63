// SPDX-License-Identifier: Apache-2.0

package jsonclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"mcdtest/harness/transcript"
)

const (
	firstBuffer = 64 << 10 // holds every reply that the real client's buffer holds
	tail        = 64       // bytes already used that stay in the buffer for error messages

	// goneGrace is how long a wait goes on after the machine has gone: what it sent last is in the socket by then.
	goneGrace = 50 * time.Millisecond
	// closeGrace is how long the end of the stream waits for the news that the machine has gone, which comes later.
	closeGrace = 250 * time.Millisecond
)

// stream is the byte layer: it writes, and reads into a buffer, each for as long as the wait in progress lasts.
type stream struct {
	conn    net.Conn
	rec     *transcript.Recorder
	timeout time.Duration
	gone    <-chan struct{}
	goneErr func() error

	isGone atomic.Bool
	closed chan struct{}
	once   sync.Once

	watched <-chan struct{} // Done of the context that unwatch belongs to
	unwatch func() bool

	began    time.Time // of the wait in progress
	deadline time.Time

	buf   []byte // buf[r:w] is received and unread; some of what is in front of it was read
	r, w  int
	ended error // how the stream ended, once seen
}

func (s *stream) watchGone() {
	select {
	case <-s.gone:
		s.isGone.Store(true)
		s.conn.SetDeadline(time.Now().Add(goneGrace))
	case <-s.closed:
	}
}

// arm begins a wait of at most limit, or as long as ctx lasts.
func (s *stream) arm(ctx context.Context, limit time.Duration) error {
	s.began = time.Now()
	s.deadline = s.began.Add(limit)
	if d, ok := ctx.Deadline(); ok && d.Before(s.deadline) {
		s.deadline = d
	}
	if done := ctx.Done(); done != s.watched {
		// The watch outlives the wait, for the next one mostly has the same context.
		if s.unwatch != nil {
			s.unwatch()
			s.unwatch = nil
		}
		if s.watched = done; done != nil {
			s.unwatch = context.AfterFunc(ctx, func() { s.conn.SetDeadline(time.Unix(1, 0)) })
		}
	}
	s.rearm()
	return ctx.Err()
}

func (s *stream) rearm() {
	s.conn.SetDeadline(s.deadline)
	if s.isGone.Load() {
		// Set last, as the news of the end may have come between the two.
		s.conn.SetDeadline(time.Now().Add(goneGrace))
	}
}

// reason says why the connection failed. nil means that the wait is not over: a deadline was left from an earlier one.
func (s *stream) reason(ctx context.Context, err error) error {
	switch {
	case (errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe)) && s.closedHere():
		return errClosedHere
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return s.end(ctx, err)
	case s.isGone.Load():
		return s.goneReason()
	case ctx.Err() != nil:
		return ctx.Err()
	case !time.Now().Before(s.deadline):
		return ErrTimeout
	}
	s.rearm()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return nil
}

func (s *stream) closedHere() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// end is the reason of a stream that has ended: because the machine has, or not.
func (s *stream) end(ctx context.Context, err error) error {
	if s.ended == nil {
		s.ended = ErrClosed
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
			s.ended = fmt.Errorf("%w: %w", ErrClosed, err)
		}
		s.rec.Closed(transcript.Stub)
	}
	if s.gone != nil {
		t := time.NewTimer(closeGrace)
		defer t.Stop()
		select {
		case <-s.gone:
			return s.goneReason()
		case <-ctx.Done():
		case <-t.C:
		}
	}
	return s.ended
}

func (s *stream) goneReason() error {
	if s.goneErr != nil {
		if err := s.goneErr(); err != nil {
			return fmt.Errorf("%w: %w", ErrGone, err)
		}
	}
	return ErrGone
}

// more waits for at least one byte more.
func (s *stream) more(ctx context.Context) error {
	if s.ended != nil {
		return s.ended
	}
	s.makeRoom()
	for {
		n, err := s.conn.Read(s.buf[s.w:])
		if n > 0 {
			s.rec.Received(s.buf[s.w : s.w+n])
			s.w += n
			return nil
		}
		if err != nil {
			if err := s.reason(ctx, err); err != nil {
				return err
			}
		}
	}
}

// makeRoom sees to it that half of the buffer is free.
func (s *stream) makeRoom() {
	if s.w <= len(s.buf)/2 {
		return
	}
	from := max(0, s.r-tail)
	if s.w-from > len(s.buf)/2 {
		bigger := make([]byte, 2*len(s.buf))
		copy(bigger, s.buf[from:s.w])
		s.buf = bigger
	} else {
		copy(s.buf, s.buf[from:s.w])
	}
	s.r -= from
	s.w -= from
}

// write sends all of p.
func (s *stream) write(ctx context.Context, p []byte) error {
	s.rec.Sent(p)
	for len(p) > 0 {
		n, err := s.conn.Write(p)
		p = p[n:]
		if err != nil {
			if err := s.reason(ctx, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// unread is what has been received and not been used.
func (s *stream) unread() []byte { return s.buf[s.r:s.w] }
