// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"mcdtest/stub/jsonwire"
)

const (
	// chunk is how much is read at once: the largest request of the real client in one piece.
	chunk = 64 << 10
	// keepBuffer is the largest output buffer that is kept for the next reply, unless the last one needed more.
	keepBuffer = 256 << 10
	// keepArgs is how long the requests may be together whose arguments are kept: each element of a list keeps the most that it has had
	// to hold in any of them.
	keepArgs = 4 << 20
	// keepReplies is how long replies wait for those to the requests behind them.
	keepReplies = 10 * time.Millisecond
	// endGrace is how long a session may take when the server or the machine ends.
	endGrace = time.Second
)

// session is one connection: its parser, and what its client has opened.
type session struct {
	*Dialect
	conn     net.Conn
	splitter *jsonwire.Splitter
	out      []byte

	// ctx is that of the request that is worked on. It is made anew after a time-out only.
	base     context.Context
	ctx      context.Context
	cancel   context.CancelCauseFunc
	watchdog watchdog

	uid    uint32  // of the open server, 0 if there is none
	last   outcome // the server's slot
	cores  []*core // by core, nil if it is not open
	closed []bool  // by core: opened and closed since the server was opened

	slot    *outcome // where the outcome of the present command goes; nil for none
	request jsonwire.Request
	args    [commandCount]any // by command, used again and again
	results [commandCount]any
	kept    int // bytes of the requests since they were made
}

// core is an open core.
type core struct {
	index    int
	last     outcome
	alone    bool       // not part of global run, stop and step
	triggers []*trigger // as of the last know
	trigID   uint32     // the last one given
}

func (c *core) uid() uint32 { return uint32(c.index) + 1 }

func newSession(d *Dialect, conn net.Conn) *session {
	return &session{
		Dialect: d, conn: conn,
		splitter: jsonwire.NewSplitter(d.opts.MaxRequest),
		cores:    make([]*core, len(d.info.Cores)),
		closed:   make([]bool, len(d.info.Cores)),
	}
}

func (s *session) serve(ctx context.Context) error {
	s.base = ctx
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	defer func() { s.cancel(nil) }()
	s.watchdog.start(s)

	finished := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-ctx.Done():
		case <-s.target.Done():
		case <-finished:
			return
		}
		// A request in progress sees the end by itself; its reply is still sent, if the client takes it.
		s.conn.SetReadDeadline(time.Unix(1, 0))
		s.conn.SetWriteDeadline(time.Now().Add(endGrace))
	}()
	err := s.talk()
	close(finished)
	<-watched
	s.watchdog.stop()
	s.leave()
	s.conn.Close()
	select {
	case <-s.target.Done():
		return nil
	default:
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE):
		return nil // the client left without reading its last replies
	}
	return err
}

// talk is the loop of the session: read a chunk, answer everything in it, send the answers.
func (s *session) talk() error {
	in := make([]byte, chunk)
	heard := time.Now() // when the last request was done
	for {
		if s.opts.IdleTimeout > 0 {
			s.conn.SetReadDeadline(heard.Add(s.opts.IdleTimeout))
			if s.ended() {
				return nil
			}
		}
		n, err := s.conn.Read(in)
		flushed := time.Now()
		for rest := in[:n]; len(rest) > 0; {
			used, event := s.splitter.Next(rest)
			rest = rest[used:]
			switch event {
			case jsonwire.NeedMore:
			case jsonwire.Complete:
				s.handle(s.splitter.Object())
				heard = time.Now()
			default:
				s.refuse(event.Err(), nil)
			}
			if gone := s.watchdog.gone(); gone != nil {
				return gone
			}
			// A client that has left is noticed by this, however many requests it has left behind.
			if len(s.out) > s.opts.MaxPending || heard.Sub(flushed) > keepReplies {
				if err := s.flush(); err != nil {
					return err
				}
				flushed = heard
			}
		}
		if err := s.flush(); err != nil {
			return err
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded) && s.opts.IdleTimeout > 0:
			return fmt.Errorf("client dropped: no request came for %v", s.opts.IdleTimeout)
		default:
			return fmt.Errorf("read from the client: %w", err)
		}
	}
}

func (s *session) ended() bool {
	select {
	case <-s.base.Done():
	case <-s.target.Done():
	default:
		return false
	}
	return true
}

// flush sends what has gathered.
func (s *session) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	limit := s.opts.WriteTimeout
	s.conn.SetWriteDeadline(time.Now().Add(limit))
	if s.ended() { // looked at last, as it may have come between the two
		limit = min(limit, endGrace)
		s.conn.SetWriteDeadline(time.Now().Add(limit))
	}
	_, err := s.conn.Write(s.out)
	if cap(s.out) > keepBuffer && len(s.out) <= keepBuffer { // large replies mostly come in a row
		s.out = nil
	}
	s.out = s.out[:0]
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("client dropped: it did not read its replies for %v", limit)
	}
	if err != nil {
		return fmt.Errorf("write to the client: %w", err)
	}
	return nil
}

// handle answers one object.
func (s *session) handle(obj []byte) {
	if s.kept += len(obj); s.kept > keepArgs {
		s.kept = len(obj)
		clear(s.args[:])
		clear(s.results[:])
	}
	r := &s.request
	if err := jsonwire.ParseRequest(obj, r); err != nil {
		s.refuse(err, r.ID)
		return
	}
	i := r.Command.Index
	if s.args[i] == nil {
		s.args[i], s.results[i] = r.Command.NewArgs(), r.Command.NewResult()
	}
	args, result := s.args[i], s.results[i]
	if err := r.DecodeArgs(args); err != nil {
		s.refuse(err, r.ID)
		return
	}
	s.watchdog.enter()
	s.slot = &s.last
	err := handlers[i](s, args, result)
	timedOut := s.watchdog.leave()
	o := outcomeOf(err)
	if s.slot != nil {
		*s.slot = o
	}
	switch info, ok := result.(*jsonwire.ErrorInfo); {
	case ok:
		o.status = info.Status
	case err != nil:
		s.opts.Log.Debug("command refused", "command", r.Command.Name, "code", o.code, "error", err)
		result = nil
	}
	s.out = jsonwire.AppendReturn(s.out, r.Command, o.status, result, r.ID)
	if timedOut {
		s.cancel(nil)
		s.ctx, s.cancel = context.WithCancelCause(s.base)
	}
}

// refuse answers something that is no request.
func (s *session) refuse(err error, id []byte) {
	s.opts.Log.Debug("not a request", "error", err)
	var e *jsonwire.Error
	if !errors.As(err, &e) {
		e = &jsonwire.Error{Class: jsonwire.GenericError, Desc: err.Error()}
	}
	s.out = jsonwire.AppendError(s.out, e, id)
}

// core finds an open core for a command, whose outcome goes to that core's slot from now on.
func (s *session) core(uid uint32) (*core, error) {
	if err := s.needServer(); err != nil {
		return nil, err
	}
	if uid == 0 || uint64(uid) > uint64(len(s.cores)) || s.cores[uid-1] == nil {
		return nil, fail(jsonwire.ErrParam, "core-uid %d is not an open core", uid)
	}
	c := s.cores[uid-1]
	s.slot = &c.last
	return c, nil
}

// leave closes everything that the client has left open.
func (s *session) leave() {
	if s.uid == 0 {
		return
	}
	limit := s.opts.RequestTimeout
	if s.ended() {
		limit = min(limit, endGrace)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.base), limit)
	defer cancel()
	if err := s.closeServer(ctx); err != nil && !s.ended() {
		s.opts.Log.Warn("the client has left, and its triggers could not be removed", "error", err)
	}
}
