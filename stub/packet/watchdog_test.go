// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"context"
	"errors"
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
	if err := p.ended(); err == nil || !strings.Contains(err.Error(), "silent for 50ms") {
		t.Errorf("Serve returned %v", err)
	}
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
