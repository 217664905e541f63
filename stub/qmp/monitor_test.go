// SPDX-License-Identifier: Apache-2.0

package qmp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	goqmp "github.com/digitalocean/go-qemu/qmp"
	"github.com/google/go-cmp/cmp"

	"mcdtest/stub/qmp"
)

var _ goqmp.Monitor = (*qmp.Monitor)(nil)

func letters(letter string, size int) []byte {
	return fmt.Appendf(nil, `{"execute": "letters", "arguments": {"letter": %q, "size": %d}}`, letter, size)
}

func letterReply(letter string, size int) string {
	return fmt.Sprintf(`{"return":%q}`, strings.Repeat(letter, size))
}

func TestConnect(t *testing.T) {
	_, m := connected(t)
	if got, want := m.Version().String(), "7.2.22"; got != want {
		t.Errorf("version: got %q, want %q", got, want)
	}
	if err := m.Connect(); err == nil {
		t.Error("the second Connect succeeded")
	}
}

// Hole 1 of go-qemu's SocketMonitor: a reply is a slice of the reader's buffer, so a later reply changes it.
func TestReplyBelongsToItsCaller(t *testing.T) {
	q, m := connected(t)
	go q.serve()
	const size = 3000 // more than half of a reader's usual first buffer
	var replies [][]byte
	for i := range 26 {
		reply, err := m.Run(letters(string(rune('a'+i)), size))
		if err != nil {
			t.Fatal(err)
		}
		replies = append(replies, reply)
	}
	for i, reply := range replies {
		if want := letterReply(string(rune('a'+i)), size); string(reply) != want {
			t.Errorf("reply %d reads %.40q… after later commands, want %.40q…", i, reply, want)
		}
	}
}

// Hole 1 again, as the race detector sees it, and replies that reach the wrong caller.
func TestConcurrentCommands(t *testing.T) {
	q, m := connected(t)
	go q.serve()
	var wg sync.WaitGroup
	for i := range 20 {
		letter := string(rune('a' + i))
		wg.Go(func() {
			for range 20 {
				reply, err := m.Run(letters(letter, 100))
				if err != nil {
					t.Error(err)
				} else if got, want := string(reply), letterReply(letter, 100); got != want {
					t.Errorf("got %.30q…, want %.30q…", got, want)
				}
			}
		})
	}
	wg.Wait()
}

// Hole 2: events that nobody reads hang Run and Disconnect.
func TestUndrainedEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a hang is a deadlock of the bubble, reported at once
		q, m := connected(t)
		events, err := m.Events(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for i := range 1000 {
				q.event(i)
			}
			q.serve()
		}()
		if _, err := m.Run(letters("x", 1)); err != nil {
			t.Error(err)
		}
		if err := m.Disconnect(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if e, open := <-events; open {
			t.Errorf("event %v after Disconnect", e)
		}
	})
}

// Hole 3: a reply above 64 KiB ends the monitor.
func TestLargeReply(t *testing.T) {
	q, m := connected(t)
	go q.serve()
	const size = 3 << 20
	reply, err := m.Run(letters("x", size))
	if err != nil {
		t.Fatal(err)
	}
	if string(reply) != letterReply("x", size) {
		t.Errorf("a reply of %d bytes came back as %d bytes %.30q…", size, len(reply), reply)
	}
	if _, err := m.Run(letters("y", 1)); err != nil {
		t.Errorf("after a large reply: %v", err)
	}
}

// Hole 4: nothing has a time-out.
func TestTimeouts(t *testing.T) {
	ms := func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, 50*time.Millisecond)
	}
	tests := []struct {
		name    string
		connect bool // before the measured call
		fake    func(q *fakeQEMU)
		call    func(ctx context.Context, m *qmp.Monitor) error
		limit   time.Duration
		says    string
	}{
		{"Connect without greeting", false, func(q *fakeQEMU) {},
			func(_ context.Context, m *qmp.Monitor) error { return m.Connect() },
			qmp.DefaultTimeout, "waited for QEMU's greeting"},
		{"Connect without reply", false, func(q *fakeQEMU) { q.send(greeting); q.receive() },
			func(_ context.Context, m *qmp.Monitor) error { return m.Connect() },
			qmp.DefaultTimeout, "qmp_capabilities: sent, but no answer"},
		{"ConnectContext", false, func(q *fakeQEMU) {},
			func(ctx context.Context, m *qmp.Monitor) error {
				ctx, cancel := ms(ctx)
				defer cancel()
				return m.ConnectContext(ctx)
			}, 50 * time.Millisecond, "waited for QEMU's greeting"},
		{"Run", true, func(q *fakeQEMU) { q.receive() },
			func(_ context.Context, m *qmp.Monitor) error { _, err := m.Run(letters("x", 1)); return err },
			qmp.DefaultTimeout, "letters: sent, but no answer"},
		{"Execute with a context", true, func(q *fakeQEMU) { q.receive() },
			func(ctx context.Context, m *qmp.Monitor) error {
				ctx, cancel := ms(ctx)
				defer cancel()
				return m.Execute(ctx, "query-status", nil, nil)
			}, 50 * time.Millisecond, "query-status: sent, but no answer"},
		{"QEMU does not read", true, func(q *fakeQEMU) {},
			func(ctx context.Context, m *qmp.Monitor) error { _, err := m.HMP(ctx, 0, "info registers"); return err },
			qmp.DefaultTimeout, `HMP "info registers": QMP human-monitor-command: not sent`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var q *fakeQEMU
				var m *qmp.Monitor
				if tt.connect {
					q, m = connected(t)
				} else {
					fake, conn := newFake(t)
					q, m = fake, qmp.New(conn)
					defer m.Disconnect()
				}
				go tt.fake(q)
				start := time.Now()
				err := tt.call(context.Background(), m)
				if err == nil {
					t.Fatal("succeeded")
				}
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("got error %q, want one that says %q and is context.DeadlineExceeded", err, tt.says)
				}
				if took := time.Since(start); took != tt.limit {
					t.Errorf("took %v, want %v", took, tt.limit)
				}
			})
		})
	}
}

// A command that ran out of time leaves a connection that works: neither its late reply nor its time limit reach others.
func TestAfterTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, m := connected(t)
		ctx, cancel := context.WithCancel(t.Context())
		abandoned := make(chan request)
		go func() {
			abandoned <- q.receive()
		}()
		result := make(chan error)
		go func() { result <- m.Execute(ctx, "slow", nil, nil) }()
		slow := <-abandoned
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled command: got %v", err)
		}
		// The cancelled context does not cut short what is written after it, nor do writes that never began.
		if err := m.Execute(ctx, "never-sent", nil, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("command with an ended context: got %v", err)
		}
		go func() {
			fast := q.receive()
			q.reply(slow, `"return": "late"`)
			q.reply(fast, `"return": "on time"`)
		}()
		var got string
		if err := m.Execute(t.Context(), "fast", nil, &got); err != nil || got != "on time" {
			t.Errorf("next command: got %q, %v", got, err)
		}
	})
}

// What a subscriber takes where it arrives is not queued for it, and is counted all the same.
func TestTakenEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, m := connected(t)
		q.event(1)
		synctest.Wait()
		var seen []uint64
		events, before, err := m.CountedEvents(t.Context(), func(e goqmp.Event, before uint64) bool {
			seen = append(seen, before)
			return e.Data["n"] == 2.0
		})
		if err != nil || before != 1 {
			t.Fatalf("%d events before, %v", before, err)
		}
		q.event(2)
		q.event(3)
		if e := <-events; e.Data["n"] != 3.0 {
			t.Errorf("the first event is %v, want the third", e)
		}
		if n := m.EventCount(); n != 3 || !slices.Equal(seen, []uint64{1, 2}) {
			t.Errorf("%d events were counted, and seen with %v before them; want 3, and 1 and 2", n, seen)
		}
	})
}

// A monitor that was retired, or has said quit, sends nothing any more, and what it had sent before is answered.
func TestRetired(t *testing.T) {
	for _, how := range []string{"retired", "quit"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, m := connected(t)
				got := make(chan request)
				go func() { got <- q.receive() }()
				before, err := m.Send(t.Context(), "before", nil)
				if err != nil {
					t.Fatal(err)
				}
				first := <-got
				retired := make(chan struct{})
				go func() {
					defer close(retired)
					if how == "retired" {
						m.Retire(t.Context())
						return
					}
					if err := m.Execute(t.Context(), "quit", nil, nil); err != nil {
						t.Error(err)
					}
				}()
				var quit request
				if how == "quit" {
					quit = q.receive()
				}
				synctest.Wait()
				if err := m.Execute(t.Context(), "after", nil, nil); !errors.Is(err, qmp.ErrEnded) || !strings.Contains(err.Error(), "QMP after: ") {
					t.Errorf("a command afterwards: %v", err)
				}
				select {
				case <-retired:
					t.Error("it did not wait for the command before")
				default:
				}
				q.reply(first, `"return": {}`)
				if how == "quit" {
					q.reply(quit, `"return": {}`)
				}
				<-retired
				if err := before.Wait(t.Context(), nil); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Retire waits no longer than it may.
func TestRetireIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, m := connected(t)
		go q.receive()
		if _, err := m.Send(t.Context(), "never-answered", nil); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		m.Retire(ctx)
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %v, want a second", took)
		}
	})
}

// Hole 5: the end of QEMU does not always reach those who wait for events. Events that came before it are kept.
func TestEndReachesEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, m := connected(t)
		var channels []<-chan goqmp.Event
		for range 3 {
			c, err := m.Events(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			channels = append(channels, c)
		}
		errs := make(chan error, 5)
		for range cap(errs) {
			go func() { errs <- m.Execute(context.Background(), "query-status", nil, nil) }()
		}
		for range cap(errs) {
			q.receive()
		}
		for i := range 3 {
			q.event(i)
		}
		q.conn.Close()

		start := time.Now()
		<-m.Done()
		if !errors.Is(m.Err(), qmp.ErrEnded) {
			t.Errorf("Err: got %v", m.Err())
		}
		for range cap(errs) {
			if err := <-errs; !errors.Is(err, qmp.ErrEnded) || !strings.Contains(err.Error(), "query-status") {
				t.Errorf("waiting command: got %v", err)
			}
		}
		for i, c := range channels {
			var seen []int64
			for e := range c {
				seen = append(seen, e.Timestamp.Seconds)
			}
			if diff := cmp.Diff([]int64{0, 1, 2}, seen); diff != "" {
				t.Errorf("subscriber %d (-want +got):\n%s", i, diff)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v to notice", took)
		}
		if err := m.Execute(context.Background(), "query-status", nil, nil); !errors.Is(err, qmp.ErrEnded) {
			t.Errorf("command after the end: got %v", err)
		}
		if _, err := m.Events(context.Background()); !errors.Is(err, qmp.ErrEnded) {
			t.Errorf("Events after the end: got %v", err)
		}
	})
}

// slowConn returns from a Write only when the connection has ended.
type slowConn struct {
	net.Conn
	m    *qmp.Monitor
	slow bool
}

func (c *slowConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.slow {
		<-c.m.Done()
	}
	return n, err
}

// "quit" is answered and then the connection ends. A caller that finds both at once must get the answer.
func TestLastReplyBeforeTheEnd(t *testing.T) {
	for range 20 {
		q, conn := newFake(t)
		slow := &slowConn{Conn: conn}
		m := qmp.New(slow)
		slow.m = m
		go func() {
			q.negotiate()
			q.reply(q.receive(), `"return": {}`)
			q.conn.Close()
		}()
		if err := m.Connect(); err != nil {
			t.Fatal(err)
		}
		slow.slow = true
		if err := m.Execute(t.Context(), "quit", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEventsEndWithTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, m := connected(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended, err := m.Events(ctx)
		if err != nil {
			t.Fatal(err)
		}
		other, err := m.Events(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if e, open := <-ended; open {
			t.Errorf("event %v after the context ended", e)
		}
		go q.event(7)
		if e := <-other; e.Event != "TICK" || e.Data["n"] != 7.0 || e.Timestamp.Seconds != 7 {
			t.Errorf("other subscriber got %+v", e)
		}
	})
}

func TestEventsBeforeConnect(t *testing.T) {
	q, conn := newFake(t)
	m := qmp.New(conn)
	defer m.Disconnect()
	events, err := m.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		q.send(greeting)
		r := q.receive()
		q.event(1) // between the command and its reply
		q.reply(r, `"return": {}`)
	}()
	if err := m.Connect(); err != nil {
		t.Fatal(err)
	}
	if e := <-events; e.Event != "TICK" {
		t.Errorf("got %+v", e)
	}
}

func TestErrors(t *testing.T) {
	tests := []struct {
		name, reply string
		noID        bool
		class, desc string
	}{
		{"with id", `"error": {"class": "CommandNotFound", "desc": "The command x has not been found"}`, false,
			"CommandNotFound", "The command x has not been found"},
		{"without id", `"error": {"class": "GenericError", "desc": "JSON parse error"}`, true, "GenericError", "JSON parse error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q, m := connected(t)
			go func() {
				r := q.receive()
				if tt.noID {
					r.ID = nil
				}
				q.reply(r, tt.reply)
			}()
			err := m.Execute(t.Context(), "x", nil, nil)
			var refused *qmp.Error
			if !errors.As(err, &refused) {
				t.Fatalf("got %v, want a *qmp.Error", err)
			}
			want := qmp.Error{Command: "x", Class: tt.class, Desc: tt.desc}
			if diff := cmp.Diff(want, *refused); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRunKeepsTheCallersID(t *testing.T) {
	q, m := connected(t)
	go q.serve()
	reply, err := m.Run([]byte(`{"execute": "query-status", "id": "mine"}`))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(reply, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"id": "mine", "return": map[string]any{}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBadCommands(t *testing.T) {
	_, m := connected(t) // nothing answers: nothing must be sent
	for _, command := range []string{``, `[]`, `{`, `{"execute": 1}`, `{"arguments": {}}`, `null`} {
		if _, err := m.Run([]byte(command)); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q: got %v", command, err)
		}
	}
}

func TestNoQMPPeer(t *testing.T) {
	for _, text := range []string{"$T05thread:01;#07", "HTTP/1.1 400 Bad Request\r\n\r\n", ""} {
		t.Run(text, func(t *testing.T) {
			q, conn := newFake(t)
			m := qmp.New(conn)
			go func() {
				if text != "" {
					q.conn.Write([]byte(text)) // the monitor may hang up in the middle of it
				}
				q.conn.Close()
			}()
			err := m.Connect()
			if !errors.Is(err, qmp.ErrEnded) || !strings.Contains(err.Error(), "no greeting") {
				t.Errorf("got %v", err)
			}
			if err := m.Disconnect(); err != nil {
				t.Error(err)
			}
		})
	}
}
