// SPDX-License-Identifier: Apache-2.0

package busypoll

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// pair is a Conn and its peer.
func pair(t testing.TB, network, address string) (*Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer, err := net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); peer.Close() })
	c := New(conn)
	if c.raw == nil && runtime.NumCPU() > 1 {
		t.Fatalf("a %T is not looked at", conn)
	}
	return c, peer
}

func each(t *testing.T, f func(t *testing.T, c *Conn, peer net.Conn)) {
	t.Run("unix", func(t *testing.T) {
		c, peer := pair(t, "unix", filepath.Join(t.TempDir(), "s"))
		f(t, c, peer)
	})
	t.Run("tcp", func(t *testing.T) {
		c, peer := pair(t, "tcp", "127.0.0.1:0")
		f(t, c, peer)
	})
}

// What is sent arrives, whether it is there already, comes at once or much later than Limit, and the end is io.EOF.
func TestRead(t *testing.T) {
	each(t, func(t *testing.T, c *Conn, peer net.Conn) {
		var want []byte
		go func() {
			defer peer.Close()
			for i := range 200 {
				if i%50 == 49 {
					<-time.After(20 * Limit)
				}
				if _, err := peer.Write([]byte{byte(i), byte(i)}); err != nil {
					t.Error(err)
				}
			}
		}()
		for i := range 200 {
			want = append(want, byte(i), byte(i))
		}
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: %d bytes of %d", err, len(got), len(want))
		}
	})
}

// A peer that thinks for longer is not looked for until it has become quick again.
func TestNear(t *testing.T) {
	c, peer := pair(t, "unix", filepath.Join(t.TempDir(), "s"))
	if c.raw == nil {
		t.Skip("with a single processor nothing is looked for")
	}
	c.p = make([]byte, 1)
	look := func() (looked time.Duration) {
		c.began, c.slept = time.Now(), false
		if err := c.raw.Read(func(fd uintptr) bool {
			if c.attempt(fd) || !c.slept {
				t.Errorf("nothing is there, and the attempt ended with %d bytes, %v", c.n, c.err)
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		return time.Since(c.began)
	}
	c.near = true
	if d := look(); d < Limit {
		t.Errorf("it looked for %v, not for %v", d, Limit)
	}
	c.near = false
	quick := time.Hour
	for range 20 { // the processor may be taken away once
		quick = min(quick, look())
	}
	if quick >= Limit {
		t.Errorf("it looked for %v although the peer thinks for long", quick)
	}

	time.AfterFunc(20*Limit, func() { _, _ = peer.Write([]byte{1}) })
	if _, err := c.Read(make([]byte, 1)); err != nil || c.near {
		t.Errorf("what came late: %v, near %v", err, c.near)
	}
	c.near = true
	if _, err := peer.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil || c.slept {
		t.Errorf("what was there: %d, %v, slept %v", n, err, c.slept)
	}
}

func TestDeadlineAndClose(t *testing.T) {
	each(t, func(t *testing.T, c *Conn, peer net.Conn) {
		p := make([]byte, 1)
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(p); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after the deadline: %v", err)
		}
		if err := c.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(10*time.Millisecond, func() { c.Close() })
		if _, err := c.Read(p); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// A connection that keeps bytes of its own is read through itself.
func TestOtherConnections(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	c := New(a)
	defer c.Close()
	go func() { _, _ = b.Write([]byte("x")) }()
	p := make([]byte, 2)
	if n, err := c.Read(p); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := c.SyscallConn(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a descriptor of a pipe: %v", err)
	}
}

func TestNoAllocation(t *testing.T) {
	c, peer := pair(t, "unix", filepath.Join(t.TempDir(), "s"))
	p := make([]byte, 8)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := peer.Write(p); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(p); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a read", n)
	}
}
