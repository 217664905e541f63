// SPDX-License-Identifier: Apache-2.0

package jsonclient

import (
	"context"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mcdtest/harness/transcript"
	"mcdtest/stub/mcdjson"
	"mcdtest/stub/memtarget"
	"mcdtest/stub/target"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sockets makes the two ends of a unix stream socket.
func sockets(t testing.TB) (client, server net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	conns := make([]net.Conn, 2)
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socketpair")
		if conns[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
		t.Cleanup(func() { conns[i].Close() })
	}
	return conns[0], conns[1]
}

// served is a client of a dialect over a machine in memory, which is Manual.
func served(t testing.TB, cores int, opt Options) (*memtarget.Machine, *Client) {
	t.Helper()
	cfg := memtarget.ARMLoop()
	cfg.Cores, cfg.Manual, cfg.Secure = cores, true, true
	m := memtarget.New(cfg)
	client, server := sockets(t)
	c := New(client, opt)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		mcdjson.NewDialect(m, &target.Reports{}, mcdjson.Options{}).Serve(context.Background(), server)
	}()
	t.Cleanup(func() {
		c.Close()
		<-finished
		m.Close()
	})
	return m, c
}

// scripted is a client of an endpoint that a test plays.
func scripted(t testing.TB, opt Options) (*Client, net.Conn) {
	t.Helper()
	client, server := sockets(t)
	server.SetDeadline(time.Now().Add(10 * time.Second))
	c := New(client, opt)
	t.Cleanup(func() { c.Close() })
	return c, server
}

// answer reads a request and writes what is given.
func answer(t testing.TB, server net.Conn, reply string) {
	t.Helper()
	buf := make([]byte, 64<<10)
	if _, err := server.Read(buf); err != nil {
		t.Fatal(err)
	}
	write(t, server, reply)
}

func write(t testing.TB, server net.Conn, text string) {
	t.Helper()
	if _, err := server.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func contains(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one with %q", parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not contain %q", err, part)
		}
	}
}

func recorded(t testing.TB, rec *transcript.Recorder) string {
	t.Helper()
	var b strings.Builder
	if _, err := rec.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
