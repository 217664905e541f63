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
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/nettest"
)

// plainPair is a connection and its peer.
func plainPair(t testing.TB, network string) (plain, peer net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if peer, err = net.Dial(network, l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if plain, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { plain.Close(); peer.Close() })
	return plain, peer
}

// take makes a conn, whatever the number of processors.
func take(t testing.TB, plain net.Conn) *conn {
	t.Helper()
	c, err := newConn(plain.(syscall.Conn), ForQEMU, plain.LocalAddr(), plain.RemoteAddr())
	if err != nil {
		t.Fatal(err)
	}
	plain.Close()
	t.Cleanup(func() { c.Close() })
	return c
}

func pair(t testing.TB, network string) (*conn, net.Conn) {
	t.Helper()
	plain, peer := plainPair(t, network)
	return take(t, plain), peer
}

func each(t *testing.T, f func(t *testing.T, c *conn, peer net.Conn)) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			c, peer := pair(t, network)
			f(t, c, peer)
		})
	}
}

// asleep waits until the call in a direction sleeps. It may be called from any goroutine.
func asleep(t *testing.T, h *half) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !h.sleeps.Load(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Errorf("waited 10 s for a call to sleep, and it does not (it waits for events %#x)", h.fds[0].Events)
			return
		}
	}
}

// It does what a net.Conn has to, on either side.
func TestConn(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		for _, near := range []bool{true, false} {
			t.Run(network, func(t *testing.T) {
				nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
					plain, peer := plainPair(t, network)
					a, b := take(t, plain), take(t, peer)
					a.near, b.near = near, near
					return a, b, func() { a.Close(); b.Close() }, nil
				})
			})
		}
	}
}

// What is sent arrives, whether it is there already, comes at once or much later than it looks, and the end is io.EOF.
func TestRead(t *testing.T) {
	each(t, func(t *testing.T, c *conn, peer net.Conn) {
		var want []byte
		go func() {
			defer peer.Close()
			for i := range 200 {
				if i%50 == 49 {
					<-time.After(20 * ForQEMU)
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
	c, peer := pair(t, "unix")
	p := make([]byte, 1)
	send := func() {
		if _, err := peer.Write([]byte{1}); err != nil {
			t.Error(err)
		}
	}
	read := func() {
		if n, err := c.Read(p); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	readLate := func() { // what comes when the read sleeps
		late := make(chan struct{})
		go func() {
			defer close(late)
			asleep(t, &c.in)
			send()
		}()
		read()
		<-late
	}
	began := time.Now()
	readLate()
	if d := time.Since(began); d < ForQEMU || c.looks == 0 {
		t.Errorf("it looked %d times in %v, not for %v", c.looks, d, ForQEMU)
	}
	if c.near {
		t.Error("it has slept, and looks for the next one all the same")
	}
	readLate()
	if c.looks != 0 {
		t.Errorf("it looked %d times although the peer thinks for long", c.looks)
	}
	c.near = false
	send()
	if read(); !c.near {
		t.Error("what was there at once is not looked for the next time")
	}
}

// Close ends what waits, on this side as net.ErrClosed.
func TestClose(t *testing.T) {
	each(t, func(t *testing.T, c *conn, peer net.Conn) {
		ended := make(chan error, 2)
		go func() {
			_, err := c.Read(make([]byte, 1))
			ended <- err
		}()
		go func() {
			var err error
			for err == nil { // until the socket is full
				_, err = c.Write(make([]byte, 1<<20))
			}
			ended <- err
		}()
		asleep(t, &c.in)
		asleep(t, &c.out)
		c.Close()
		for range 2 {
			if err := <-ended; !errors.Is(err, net.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
		}
	})
}

// Descriptors last as long as a call that uses them, and no longer.
func TestDescriptors(t *testing.T) {
	open := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before := open()
	func() {
		plain, peer := plainPair(t, "unix")
		defer peer.Close()
		c := take(t, plain)
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := raw.Control(func(fd uintptr) {
			c.Close()
			if _, err := syscall.Getsockname(int(fd)); err != nil {
				t.Errorf("the descriptor is used and not there: %v", err)
			}
		}); err != nil {
			t.Error(err)
		}
		if err := raw.Control(func(uintptr) { t.Error("it is closed") }); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the second Close: %v", err)
		}
	}()
	if after := open(); after != before {
		t.Errorf("%d descriptors before, %d afterwards", before, after)
	}
}

// A peer learns of Close although a call still has the descriptor.
func TestPeerLearnsOfClose(t *testing.T) {
	each(t, func(t *testing.T, c *conn, peer net.Conn) {
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := raw.Control(func(uintptr) {
			c.Close()
			if n, err := peer.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
				t.Errorf("the peer reads %d, %v", n, err)
			}
		}); err != nil {
			t.Error(err)
		}
	})
}

// The connection ends with the peer's mistakes as others do.
func TestErrors(t *testing.T) {
	each(t, func(t *testing.T, c *conn, peer net.Conn) {
		peer.Close()
		var err error
		for range 100 {
			if _, err = c.Write(make([]byte, 4096)); err != nil {
				break
			}
		}
		if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a write to nobody: %v", err)
		}
		if op := new(net.OpError); !errors.As(err, &op) || op.Op != "write" {
			t.Errorf("%v is no error of a write", err)
		}
		if call := new(os.SyscallError); !errors.As(err, &call) || call.Syscall != "write" {
			t.Errorf("%v names no system call", err)
		}
	})
}

// rawConn waits like the rest.
func TestRawConn(t *testing.T) {
	c, peer := pair(t, "unix")
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	read := func(fd uintptr) bool {
		_, err := syscall.Read(int(fd), make([]byte, 1))
		return !errors.Is(err, syscall.EAGAIN)
	}
	if err := c.SetDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if err := raw.Read(read); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("nothing comes: %v", err)
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = peer.Write([]byte("x")) }()
	if err := raw.Read(read); err != nil {
		t.Error(err)
	}
	if err := raw.Write(func(fd uintptr) bool {
		_, err := syscall.Write(int(fd), []byte("y"))
		return !errors.Is(err, syscall.EAGAIN)
	}); err != nil {
		t.Error(err)
	}
}

// A connection that keeps bytes of its own is left alone, and one with a descriptor is taken over where it helps.
func TestNew(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if c := New(a, ForQEMU); c != a {
		t.Errorf("of a pipe it makes a %T", c)
	}
	plain, _ := plainPair(t, "tcp")
	c := New(plain, ForQEMU)
	defer c.Close()
	if _, ok := c.(*conn); ok != (runtime.NumCPU() > 1) {
		t.Errorf("with %d processors it makes a %T", runtime.NumCPU(), c)
	}
	closed, _ := plainPair(t, "unix")
	closed.Close()
	if c := New(closed, ForQEMU); c != closed {
		t.Errorf("of a connection that is closed it makes a %T", c)
	}
}

func TestNoAllocation(t *testing.T) {
	c, peer := pair(t, "unix")
	p := make([]byte, 8)
	if n := testing.AllocsPerRun(100, func() {
		if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := peer.Write(p); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(p); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(p); err != nil {
			t.Fatal(err)
		}
		if _, err := peer.Read(p); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
