// SPDX-License-Identifier: Apache-2.0

package stub

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mcdtest/stub/memtarget"
	"mcdtest/stub/target"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

const (
	systemRequest = "$qsystem#|"
	systemReply   = "+$qemu-system#|"
)

// running is a Server that serves a port of the loopback until the test ends.
type running struct {
	t        *testing.T
	server   *Server
	machine  *memtarget.Machine
	listener net.Listener
	stop     context.CancelFunc
	end      chan error // what Serve returned
}

func serve(t *testing.T, o Options) *running {
	t.Helper()
	cfg := memtarget.ARMLoop()
	cfg.Manual = true
	r := &running{t: t, machine: memtarget.New(cfg), end: make(chan error, 1)}
	r.server = NewServer(r.machine, o)
	l, err := Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.listener = l
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	served := make(chan struct{})
	go func() {
		defer close(served)
		r.end <- r.server.Serve(ctx, l)
	}()
	t.Cleanup(func() {
		cancel()
		r.server.Close()
		<-served
		r.machine.Close()
	})
	return r
}

func (r *running) ended() error {
	r.t.Helper()
	select {
	case err := <-r.end:
		return err
	case <-time.After(patience):
		r.t.Fatalf("Serve has not returned within %v", patience)
		return nil
	}
}

type client struct {
	t testing.TB
	net.Conn
}

func (r *running) dial() client {
	r.t.Helper()
	conn, err := net.DialTimeout("tcp", r.listener.Addr().String(), patience)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return client{r.t, conn}
}

func (c client) send(s string) {
	c.t.Helper()
	c.SetWriteDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatalf("send %q: %v", s, err)
	}
}

func (c client) expect(want string) {
	c.t.Helper()
	got := make([]byte, len(want))
	c.SetReadDeadline(time.Now().Add(patience))
	n, err := io.ReadFull(c, got)
	if string(got[:n]) != want {
		c.t.Fatalf("- want %q\n- got  %q (%v)", want, got[:n], err)
	}
}

func (c client) exchange(send, want string) {
	c.t.Helper()
	c.send(send)
	c.expect(want)
}

// closed waits for the stub to close the connection.
func (c client) closed() {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	if n, err := c.Read(make([]byte, 16)); n != 0 || err == nil || isTimeout(err) {
		c.t.Errorf("read %d bytes, %v: the stub ought to have closed the connection", n, err)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func TestDialectsAreToldApart(t *testing.T) {
	for _, test := range []struct {
		first string
		want  Dialect
	}{
		{"$I#|", Packet}, {"-", Packet}, {"\x00$I#|", Packet}, {"x{", Packet}, {"\x00{", Packet},
		{"{", JSON}, {"{}", JSON}, {"{$", JSON},
	} {
		if got := dialectOf([]byte(test.first)); got != test.want {
			t.Errorf("%q is %v, want %v", test.first, got, test.want)
		}
	}
}

func TestTheFirstBytesReachTheDialect(t *testing.T) {
	r := serve(t, Options{})
	c := r.dial()
	for _, b := range "\r\n $qsys" {
		c.send(string(b))
	}
	c.exchange("tem#|", systemReply)
	c.exchange(systemRequest, systemReply)
	// White space means nothing, however much of it comes.
	c.Close()
	c = r.dial()
	c.send(strings.Repeat(" ", 10_000))
	c.exchange(`{"execute":"mcd-exit"}`, `{"return":{}}`)
}

func TestADialectCanBeFixed(t *testing.T) {
	r := serve(t, Options{Dialect: Packet})
	c := r.dial()
	c.exchange("{}"+systemRequest, systemReply)
}

func TestOneClientAtATime(t *testing.T) {
	r := serve(t, Options{})
	first := r.dial()
	first.exchange(systemRequest, systemReply)
	second := r.dial()
	second.send(systemRequest)
	// While the first client is there, the second one is not answered: what comes first on the server's side decides.
	for range 100 {
		first.exchange(systemRequest, systemReply)
	}
	second.SetReadDeadline(time.Now())
	if n, err := second.Read(make([]byte, 1)); n != 0 || !isTimeout(err) {
		t.Fatalf("the second client read %d bytes, %v, while the first was there", n, err)
	}
	first.Close()
	second.expect(systemReply)
}

func TestBothDialectsOnOnePort(t *testing.T) {
	r := serve(t, Options{})
	for range 2 {
		c := r.dial()
		c.exchange("$I#|", "+$shaking your hand#|")
		c.Close()
		c = r.dial()
		c.exchange(" \n{\"execute\":\"mcd-exit\"}", `{"return":`)
		c.Close()
	}
}

func TestADisconnectLeavesTheMachineAsItIs(t *testing.T) {
	r := serve(t, Options{})
	first := r.dial()
	first.exchange("$t0;1;16#|$C0;0#|"+systemRequest, "+$success#|+"+systemReply)
	first.Close()
	second := r.dial()
	second.exchange(systemRequest, systemReply)
	if got := r.machine.Triggers(0); len(got) != 1 || !r.machine.State(0).Running {
		t.Errorf("after a disconnect: triggers %v, state %+v", got, r.machine.State(0))
	}
	second.exchange("$b#|$D#|"+systemRequest, "++"+systemReply)
	if got := r.machine.Triggers(0); len(got) != 0 || !r.machine.State(0).Running {
		t.Errorf("after D: triggers %v, state %+v", got, r.machine.State(0))
	}
}

func TestStopsAreReportedOnceForAllClients(t *testing.T) {
	r := serve(t, Options{})
	const stopped = "+$state=debug.event=0.thread=0.type=0.address=0.stop_str=stopped because of single step.info_str=cpu 0 in debug state.#|"
	const again = "+$state=debug.event=0.thread=0.type=0.address=0.stop_str=.info_str=.#|"
	first := r.dial()
	first.exchange("$c0;0#|$qstate0#|", "+"+stopped)
	first.Close()
	second := r.dial()
	second.exchange("$qstate0#|", again)
	second.exchange("$c0;0#|$qstate0#|", "+"+stopped)
}

func TestAClientThatDoesNotReadIsDropped(t *testing.T) {
	r := serve(t, Options{WriteTimeout: 50 * time.Millisecond})
	stalled := r.dial()
	stalled.exchange("$C0;0#|$i0#|"+systemRequest, "++"+systemReply)
	// 64 replies of 2 MB: more than any socket's buffers.
	stalled.send(strings.Repeat("$m0;1;1073741824;1000000#|", 64))
	next := r.dial()
	next.exchange(systemRequest, systemReply)
	if !r.machine.State(0).Running {
		t.Error("the machine no longer runs")
	}
}

func TestASilentClientIsDropped(t *testing.T) {
	r := serve(t, Options{IdleTimeout: 50 * time.Millisecond})
	r.dial().closed() // before its first byte
	c := r.dial()
	c.exchange(systemRequest, systemReply)
	c.closed()
}

func TestTheEndOfTheMachineEndsTheServer(t *testing.T) {
	r := serve(t, Options{})
	c := r.dial()
	c.exchange(systemRequest, systemReply)
	r.machine.Die(errors.New("signal: killed"))
	c.closed()
	if err := r.ended(); !errors.Is(err, target.ErrGone) || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("Serve returned %v", err)
	}
	if _, err := r.listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the server still listens: %v", err)
	}
}

func TestKillEndsTheMachineIfAllowed(t *testing.T) {
	r := serve(t, Options{})
	c := r.dial()
	c.exchange("$k#|"+systemRequest, "+"+systemReply)
	select {
	case <-r.machine.Done():
		t.Error("k ended the machine although that is switched off")
	default:
	}
	r = serve(t, Options{AllowKill: true})
	c = r.dial()
	c.exchange("$k#|", "+")
	c.closed()
	if err := r.ended(); !errors.Is(err, target.ErrGone) {
		t.Errorf("Serve returned %v", err)
	}
}

func TestClose(t *testing.T) {
	r := serve(t, Options{})
	c := r.dial()
	c.exchange(systemRequest, systemReply)
	if err := r.server.Close(); err != nil {
		t.Error(err)
	}
	c.closed()
	if err := r.ended(); !errors.Is(err, ErrClosed) {
		t.Errorf("Serve returned %v", err)
	}
	l, err := Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.server.Serve(context.Background(), l); !errors.Is(err, ErrClosed) {
		t.Errorf("Serve after Close returned %v", err)
	}
	a, b := net.Pipe()
	defer a.Close()
	if err := r.server.ServeConn(context.Background(), b); !errors.Is(err, ErrClosed) {
		t.Errorf("ServeConn after Close returned %v", err)
	}
	if r.machine.Err() != nil {
		t.Error("Close ended the machine")
	}
}

func TestTheContextEndsServe(t *testing.T) {
	r := serve(t, Options{})
	c := r.dial()
	c.exchange(systemRequest, systemReply)
	r.stop()
	c.closed()
	if err := r.ended(); !errors.Is(err, context.Canceled) {
		t.Errorf("Serve returned %v", err)
	}
}

func TestServeConnTakesTurnsWithServe(t *testing.T) {
	r := serve(t, Options{})
	first := r.dial()
	first.exchange(systemRequest, systemReply)
	a, b := net.Pipe()
	end := make(chan error, 1)
	go func() { end <- r.server.ServeConn(context.Background(), b) }()
	first.Close()
	c := client{t, a}
	c.exchange(systemRequest, systemReply)
	a.Close()
	if err := <-end; err != nil {
		t.Errorf("ServeConn returned %v", err)
	}
}

func TestConnectionRate(t *testing.T) {
	start := time.Now()
	r := serve(t, Options{ConnRate: 2})
	for range 3 { // two at once, and one that waits for half a second
		c := r.dial()
		c.exchange(systemRequest, systemReply)
		c.Close()
	}
	if took := time.Since(start); took < 450*time.Millisecond {
		t.Errorf("three clients are admitted within %v", took)
	}
	// The rate does not keep the server from its end.
	if err := r.server.Close(); err != nil {
		t.Error(err)
	}
}

// Neither goroutines nor descriptors, of which busy polling has some a client.
func TestManyClientsLeaveNothingBehind(t *testing.T) {
	count := func() (goroutines, descriptors int) {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return runtime.NumGoroutine(), len(list)
	}
	for _, busy := range []bool{false, true} {
		r := serve(t, Options{BusyPoll: busy})
		client := func() {
			c := r.dial()
			c.exchange("$i0#|$t0;1;0#|$T0;1;0#|"+systemRequest, "++$success#|+$success#|"+systemReply)
			c.Close()
		}
		client()
		goroutines, descriptors := count()
		for range 200 {
			client()
		}
		end := time.Now().Add(patience)
		for { // the last one is let go of in its own time
			g, d := count()
			if g <= goroutines+2 && d <= descriptors+2 {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("busy polling %v: %d goroutines and %d descriptors before, %d and %d after 200 clients", busy, goroutines, descriptors, g, d)
			}
			runtime.Gosched()
		}
	}
}
