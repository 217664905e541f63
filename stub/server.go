// SPDX-License-Identifier: Apache-2.0

// Package stub is an MCD server over a target.Target: it listens, admits one client at a time, tells the dialects
// apart and leaves the talking to them. It touches the network and nothing else of the host; what a client can do to the
// machine is up to the Target.
package stub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"mcdtest/stub/busypoll"
	"mcdtest/stub/packet"
	"mcdtest/stub/target"
)

// Options of a Server. The zero value is usable: any dialect, no kill.
type Options struct {
	Dialect Dialect
	// AllowKill lets a client end the machine, if the Target is a Killer.
	AllowKill bool
	// MaxRead is the largest number of bytes of memory that one packet reads; default 4 MiB.
	MaxRead int
	// MaxRequest is the largest request of the JSON dialect in bytes; default jsonwire.MaxRequest. A packet has its own limit.
	MaxRequest int
	// MaxPending is how many bytes of replies may gather before a client has to take them; default 64 KiB.
	MaxPending int
	// WriteTimeout is how long a client may leave its replies unread before it is dropped; default 10 s.
	WriteTimeout time.Duration
	// RequestTimeout is how long the Target may take for a request before the client is dropped or told so; default: what
	// the dialect's client has patience for.
	RequestTimeout time.Duration
	// IdleTimeout is how long a client may be silent before it is dropped; default: for ever. A client keeps all others
	// out, but a debugger that waits for its user is silent for hours.
	IdleTimeout time.Duration
	// ConnRate is how many clients a second Serve admits, after as many at once; default: any number.
	ConnRate int
	// BusyPoll looks for a client's next request for a moment before it sleeps. It is for clients in other processes: one
	// in this process would have to wait for a thread that this takes.
	BusyPoll bool
	// Log gets clients that come and go, and the requests that are refused; default: nothing.
	Log *slog.Logger
}

// ErrClosed is returned by a Server that has been closed.
var ErrClosed = errors.New("the server is closed")

// Server serves the clients of one Target.
type Server struct {
	target target.Target
	opts   Options
	packet *packet.Dialect
	json   dialect

	busy chan struct{} // holds a token while a client is served

	ctx    context.Context
	cancel context.CancelCauseFunc
	mu     sync.Mutex
	closed bool
	active sync.WaitGroup
}

// dialect is what both dialects are.
type dialect interface {
	Serve(ctx context.Context, conn net.Conn) error
}

// NewServer makes a Server. It does not own the Target.
func NewServer(t target.Target, o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	reports := new(target.Reports)
	s := &Server{
		target: t, opts: o,
		packet: packet.NewDialect(t, reports, packet.Options{
			AllowKill: o.AllowKill, MaxRead: o.MaxRead, MaxPending: o.MaxPending,
			WriteTimeout: o.WriteTimeout, RequestTimeout: o.RequestTimeout, IdleTimeout: o.IdleTimeout, Log: o.Log,
		}),
		json: newJSON(t, reports, o),
		busy: make(chan struct{}, 1),
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s
}

// enter counts a call that Close waits for, and joins its context with the server's and the life of the Target.
func (s *Server) enter(ctx context.Context) (context.Context, context.CancelFunc, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, ErrClosed
	}
	s.active.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.ctx, func() { cancel(ErrClosed) })
	left := make(chan struct{})
	go func() {
		select {
		case <-s.target.Done():
			cancel(fmt.Errorf("the machine has ended: %w", s.target.Err()))
		case <-left:
		}
	}()
	return ctx, func() {
		close(left)
		stop()
		cancel(nil)
		s.active.Done()
	}, nil
}

// Serve admits the clients of l, one at a time: the next one waits in the backlog until the one before has left. It returns, with
// l closed, when ctx is done, the Server is closed (ErrClosed) or the Target has ended (its error).
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer l.Close()
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	admitted := rate.NewLimiter(rate.Inf, 0)
	if n := s.opts.ConnRate; n > 0 {
		admitted = rate.NewLimiter(rate.Limit(n), n)
	}
	var delay time.Duration
	for {
		if err := admitted.Wait(ctx); err != nil {
			return context.Cause(ctx)
		}
		conn, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return context.Cause(ctx)
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("wait for a client on %v: %w", l.Addr(), err)
		}
		if err != nil {
			// Out of descriptors, most likely; it passes.
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			s.opts.Log.Error("no client can be admitted", "address", l.Addr(), "error", err, "again in", delay)
			if wait(ctx, delay) != nil {
				return context.Cause(ctx)
			}
			continue
		}
		delay = 0
		s.serve(ctx, conn)
	}
}

// ServeConn serves one client that is connected already, after the present one, if there is one. It closes conn. The error says why the
// client was dropped; it is nil if the client left or the Target ended.
func (s *Server) ServeConn(ctx context.Context, conn net.Conn) error {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		conn.Close()
		return err
	}
	defer leave()
	return s.serve(ctx, conn)
}

func (s *Server) serve(ctx context.Context, conn net.Conn) error {
	defer conn.Close()
	select {
	case s.busy <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-s.busy }()
	log := s.opts.Log.With("client", conn.RemoteAddr())
	log.Info("client connected")
	if s.opts.BusyPoll {
		conn = busypoll.New(conn, busypoll.ForClient)
		defer conn.Close()
	}
	err := s.talk(ctx, conn)
	select {
	case <-s.target.Done():
		log.Info("client dropped", "reason", "the machine has ended")
		return nil
	default:
	}
	if err != nil {
		log.Warn("client dropped", "reason", err)
		return err
	}
	log.Info("client left")
	return nil
}

// wait returns after d, or with an error when ctx is done.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends all clients and every Serve, and returns when they have ended. The Target is left alone.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel(ErrClosed)
	s.active.Wait()
	return nil
}
