// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"mcdtest/stub/target"
)

func TestPhasesCount(t *testing.T) {
	var w watchdog
	for _, phase := range []uint64{reading, acting, writing, writing, reading, acting, acting, reading} {
		before := w.at.Load()
		w.enter(phase)
		if after := w.at.Load(); after <= before || after%phases != phase {
			t.Errorf("from %d to phase %d: %d", before, phase, after)
		}
	}
}

func TestAClientThatDoesNotReadIsDropped(t *testing.T) {
	m := loop(t, nil)
	p := open(t, m, Options{WriteTimeout: 50 * time.Millisecond})
	p.does("i0")
	p.send("$C0;0#|" + strings.Repeat("$m0;1;1073741824;1000000#|", 64))
	if err := p.ended(); err == nil || !strings.Contains(err.Error(), "did not read its replies for 50ms") {
		t.Errorf("Serve returned %v", err)
	}
	if !m.State(0).Running {
		t.Error("the machine no longer runs")
	}
}

func TestASlowReaderIsNotDropped(t *testing.T) {
	p := open(t, loop(t, nil), Options{WriteTimeout: time.Minute})
	p.does("i0")
	p.send(strings.Repeat("$m0;1;1073741824;1000000#|", 8))
	for range 8 {
		p.expect("+$" + strings.Repeat("00", 1000000) + "#|")
	}
	p.settled()
}

func TestASilentClientIsDropped(t *testing.T) {
	p := open(t, loop(t, nil), Options{IdleTimeout: 50 * time.Millisecond})
	p.settled()
	if err := p.ended(); err == nil || !strings.Contains(err.Error(), "no packet came for 50ms") {
		t.Errorf("Serve returned %v", err)
	}
}

// Bytes that are no packet do not keep a session.
func TestAClientThatSendsNoPacketIsDropped(t *testing.T) {
	p := open(t, loop(t, nil), Options{IdleTimeout: 200 * time.Millisecond})
	p.settled()
	go func() {
		for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
			if _, err := p.conn.Write([]byte("x$")); err != nil {
				tick.Stop()
				return
			}
		}
	}()
	if err := p.ended(); err == nil || !strings.Contains(err.Error(), "no packet came for 200ms") {
		t.Errorf("Serve returned %v", err)
	}
}

// A request that takes longer than a client may be silent is none of its silence.
func TestALongRequestIsNoSilence(t *testing.T) {
	b := blocking{loop(t, nil), make(chan struct{}), make(chan struct{})}
	p := open(t, b, Options{IdleTimeout: 200 * time.Millisecond})
	p.send("$c0;0#|")
	<-b.called
	<-time.After(300 * time.Millisecond)
	b.release <- struct{}{}
	p.expect("+")
	<-time.After(10 * alert)
	p.settled()
}

func TestARequestThatNeverEnds(t *testing.T) {
	b := blocking{loop(t, nil), make(chan struct{}), make(chan struct{})}
	p := open(t, b, Options{RequestTimeout: 50 * time.Millisecond})
	p.send("$c0;0#|")
	<-b.called
	if err := p.ended(); err == nil || !strings.Contains(err.Error(), "did not answer its request for 50ms") {
		t.Errorf("Serve returned %v", err)
	}
	p.expect("+")
	p.closed()
}

func TestAClientThatLeavesDuringARequest(t *testing.T) {
	b := blocking{loop(t, nil), make(chan struct{}), make(chan struct{})}
	p := open(t, b, Options{})
	p.send("$c0;0#|$qsystem#|") // what lies behind the request hides the end of the stream from a reader
	<-b.called
	p.conn.Close()
	if err := p.ended(); err == nil || !strings.Contains(err.Error(), "the client left") {
		t.Errorf("Serve returned %v", err)
	}
}

// slow is a Target whose steps take their time.
type slow struct {
	target.Target
	steps chan struct{}
}

func (s slow) Step(context.Context, ...int) error {
	s.steps <- struct{}{}
	<-time.After(50 * time.Millisecond)
	return nil
}

// A client that leaves many requests behind, none of which takes long, does not hold the server for as long as all of them take.
func TestAClientThatLeavesManyRequests(t *testing.T) {
	const requests = 500
	s := slow{loop(t, nil), make(chan struct{}, requests)}
	p := open(t, s, Options{})
	p.send(strings.Repeat("$c0;0#|", requests))
	<-s.steps
	p.conn.Close()
	if err := p.ended(); err != nil {
		t.Errorf("Serve returned %v", err)
	}
	if n := len(s.steps); n > 3 {
		t.Errorf("%d requests were carried out after the client had left", n)
	}
}

// Whatever a client sends, the log does not grow without a limit.
func TestMistakesDoNotFillTheLog(t *testing.T) {
	var log bytes.Buffer
	p := open(t, loop(t, nil), Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	const mistakes = 5000
	for range mistakes / 100 {
		p.send(strings.Repeat("$d9#|", 100))
		p.expect(strings.Repeat("+", 100))
	}
	p.settled()
	p.conn.Close()
	p.ended()
	if n := strings.Count(log.String(), "\n"); n < warnedAtOnce || n > 2*warnedAtOnce {
		t.Errorf("%d lines about %d mistakes", n, mistakes)
	}
}

func TestAClientThatLeavesItsReplies(t *testing.T) {
	p := open(t, loop(t, nil), Options{})
	p.does("i0")
	p.send(strings.Repeat("$m0;1;1073741824;1000000#|", 8))
	p.expect("+$00")
	p.conn.Close()
	if err := p.ended(); err != nil {
		t.Errorf("Serve returned %v", err)
	}
}

func TestTheContextEndsASession(t *testing.T) {
	b := blocking{loop(t, nil), make(chan struct{}), make(chan struct{})}
	for _, busy := range []bool{false, true} {
		client, stub := socketpair(t)
		ctx, cancel := context.WithCancelCause(context.Background())
		end := make(chan error, 1)
		go func() { end <- NewDialect(b, new(target.Reports), Options{}).Serve(ctx, stub) }()
		p := &peer{t: t, conn: client, end: end}
		p.settled()
		if busy {
			p.send("$c0;0#|")
			<-b.called
			p.expect("+")
		}
		reason := errors.New("the server is closed")
		cancel(reason)
		if err := p.ended(); !errors.Is(err, reason) {
			t.Errorf("busy %v: Serve returned %v", busy, err)
		}
		p.closed()
		client.Close()
	}
}
