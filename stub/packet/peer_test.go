// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mcdtest/stub/memtarget"
	"mcdtest/stub/target"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for bytes that must come.
const patience = 10 * time.Second

// peer is the client's end of a session; bytes are written and expected by hand.
type peer struct {
	t    testing.TB
	conn net.Conn
	end  chan error // what Serve returned
}

// socketpair is a connected pair of unix stream sockets.
func socketpair(t testing.TB) (client, stub net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socketpair")
		if conns[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return conns[0], conns[1]
}

// connect serves a new client of the dialect until the test ends.
func connect(t testing.TB, d *Dialect) *peer {
	t.Helper()
	client, stub := socketpair(t)
	p := &peer{t: t, conn: client, end: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		p.end <- d.Serve(ctx, stub)
	}()
	t.Cleanup(func() {
		cancel()
		client.Close()
		<-served
	})
	return p
}

// session is a client of a new Dialect over t.
func open(t testing.TB, m target.Target, opts Options) *peer {
	t.Helper()
	return connect(t, NewDialect(m, new(target.Reports), opts))
}

// loop is the machine with the loop, which executes only when it is told to.
func loop(t testing.TB, change func(*memtarget.Config)) *memtarget.Machine {
	t.Helper()
	cfg := memtarget.ARMLoop()
	cfg.Manual = true
	if change != nil {
		change(&cfg)
	}
	m := memtarget.New(cfg)
	t.Cleanup(func() { m.Close() })
	return m
}

func (p *peer) send(s string) {
	p.t.Helper()
	p.conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(p.conn, s); err != nil {
		p.t.Fatalf("send %q: %v", cut(s), err)
	}
}

// expect reads exactly the bytes of want.
func (p *peer) expect(want string) {
	p.t.Helper()
	got := make([]byte, len(want))
	p.conn.SetReadDeadline(time.Now().Add(patience))
	n, err := io.ReadFull(p.conn, got)
	if string(got[:n]) != want {
		p.t.Fatalf("- want %q\n- got  %q (%v)", cut(want), cut(string(got[:n])), err)
	}
}

// settled proves that nothing else has been sent and that the stub still answers.
func (p *peer) settled() {
	p.t.Helper()
	p.send("$qsystem#|")
	p.expect("+$qemu-system#|")
}

// ask sends a request and returns the payload of its reply.
func (p *peer) ask(payload string) string {
	p.t.Helper()
	p.send("$" + payload + "#|")
	p.expect("+$")
	var reply strings.Builder
	var b [1]byte
	for {
		if _, err := io.ReadFull(p.conn, b[:]); err != nil {
			p.t.Fatalf("the reply of %q ends after %q: %v", payload, cut(reply.String()), err)
		}
		if b[0] == '#' {
			break
		}
		reply.WriteByte(b[0])
	}
	p.expect("|")
	return reply.String()
}

// asks checks the reply of a request.
func (p *peer) asks(payload, want string) {
	p.t.Helper()
	if got := p.ask(payload); got != want {
		p.t.Errorf("%s\n- want %q\n- got  %q", payload, cut(want), cut(got))
	}
}

// does sends requests that have no reply.
func (p *peer) does(payloads ...string) {
	p.t.Helper()
	for _, payload := range payloads {
		p.send("$" + payload + "#|")
		p.expect("+")
		p.settled()
	}
}

// ended waits for the end of the session.
func (p *peer) ended() error {
	p.t.Helper()
	select {
	case err := <-p.end:
		p.end <- err
		return err
	case <-time.After(patience):
		p.t.Fatalf("the session still runs after %v", patience)
		return nil
	}
}

// closed checks that the stub has closed the connection.
func (p *peer) closed() {
	p.t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(patience))
	if n, err := p.conn.Read(make([]byte, 64)); n != 0 || err != io.EOF {
		p.t.Errorf("read %d bytes and %v from a connection that ought to be closed", n, err)
	}
}

func cut(s string) string {
	if len(s) > 200 {
		return fmt.Sprintf("%s… (%d bytes)", s[:200], len(s))
	}
	return s
}

// discard is a client that reads everything at once.
type discard struct{ net.Conn }

func (discard) Write(p []byte) (int, error) { return len(p), nil }
