// SPDX-License-Identifier: Apache-2.0

package rawclient

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"mcdtest/stub/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is a connected pair of stream sockets that end with the test.
func pair(t testing.TB) (client, server net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
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

// answering makes a Client whose stub answers each packet with what answer returns for its payload, '+' included if
// there is to be one.
func answering(t testing.TB, opt Options, answer func(payload string) string) *Client {
	t.Helper()
	client, server := pair(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer server.Close()
		d := wire.NewDecoder(wire.MaxPayload)
		buf := make([]byte, 4096)
		for {
			n, err := server.Read(buf)
			if err != nil {
				return
			}
			for b := buf[:n]; len(b) > 0; {
				used, ev := d.Next(b)
				b = b[used:]
				if ev != wire.Packet {
					continue
				}
				if _, err := server.Write([]byte(answer(string(d.Payload())))); err != nil {
					return
				}
			}
		}
	}()
	c := New(client, opt)
	t.Cleanup(func() {
		c.Close()
		<-done
	})
	return c
}

// silent makes a Client whose stub does what the test does with the server's end.
func silent(t testing.TB, opt Options) (*Client, net.Conn) {
	t.Helper()
	client, server := pair(t)
	c := New(client, opt)
	t.Cleanup(func() { c.Close() })
	return c, server
}

// bounded is a context for waits that must end by themselves.
func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func send(t testing.TB, server net.Conn, text string) {
	t.Helper()
	if _, err := server.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}
