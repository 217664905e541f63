// SPDX-License-Identifier: Apache-2.0

package busypoll

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// New takes a connection over and makes one of it whose reads look before they sleep. They do so as long as bytes come
// within limit, so a peer that thinks for longer costs nothing; and between two looks they offer the processor to whoever
// else wants it, the peer among them.
//
// A connection that has no descriptor is returned as it is, and so is every one on a machine with a single processor, where
// whoever looks keeps the peer from answering.
func New(plain net.Conn, limit time.Duration) net.Conn {
	if runtime.NumCPU() == 1 {
		return plain
	}
	var sc syscall.Conn
	switch c := plain.(type) { // others may have bytes that the descriptor has not any more
	case *net.UnixConn:
		sc = c
	case *net.TCPConn:
		sc = c
	default:
		return plain
	}
	c, err := newConn(sc, limit, plain.LocalAddr(), plain.RemoteAddr())
	if err != nil {
		return plain // of no use any more, or there are no descriptors left; it says so itself
	}
	plain.Close()
	return c
}

// conn is a connection whose descriptor is not among those that the runtime waits for: there, each arrival of bytes would
// have the peer wake a thread that finds nothing to do. A read that sleeps keeps a thread instead.
type conn struct {
	fd            int
	limit         time.Duration // how long a read looks
	local, remote net.Addr
	in, out       half
	near          bool // bytes came within limit the last time; in.mu guards it
	looks         int  // how often the last read looked again before it slept; likewise

	closed atomic.Bool
	users  atomic.Int32 // calls that use the descriptors, and one more until Close
}

// half is one direction of a conn.
type half struct {
	mu       sync.Mutex // held by the call that reads, or writes
	deadline atomic.Int64
	sleeps   atomic.Bool
	wake     int // an eventfd, for a deadline that is set while a call sleeps
	fds      [2]unix.PollFd
}

func newConn(sc syscall.Conn, limit time.Duration, local, remote net.Addr) (*conn, error) {
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &conn{fd: -1, limit: limit, local: local, remote: remote, near: true}
	c.in.wake, c.out.wake = -1, -1
	c.users.Store(1)
	controlErr := raw.Control(func(fd uintptr) { c.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	err = errors.Join(controlErr, err)
	for _, h := range []*half{&c.in, &c.out} {
		if err == nil {
			h.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		}
		h.fds[1] = unix.PollFd{Fd: int32(h.wake), Events: unix.POLLIN}
	}
	c.in.fds[0] = unix.PollFd{Fd: int32(c.fd), Events: unix.POLLIN}
	c.out.fds[0] = unix.PollFd{Fd: int32(c.fd), Events: unix.POLLOUT}
	if err != nil {
		c.leave()
		return nil, err
	}
	return c, nil
}

// enter is called before the descriptors are used, and leave afterwards. It is false when there are none any more.
func (c *conn) enter() bool {
	for {
		n := c.users.Load()
		if n == 0 || c.closed.Load() {
			return false
		}
		if c.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (c *conn) leave() {
	if c.users.Add(-1) > 0 {
		return
	}
	for _, fd := range []int{c.fd, c.in.wake, c.out.wake} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	if c.closed.Swap(true) {
		return c.failed("close", net.ErrClosed)
	}
	// Calls that sleep wake up, and the peer learns of it although they still have the descriptor.
	_ = unix.Shutdown(c.fd, unix.SHUT_RDWR)
	c.in.disturb()
	c.out.disturb()
	c.leave()
	return nil
}

// failed is an error as other connections have it.
func (c *conn) failed(op string, err error) error {
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		err = os.NewSyscallError(op, errno)
	}
	return &net.OpError{Op: op, Net: c.local.Network(), Source: c.local, Addr: c.remote, Err: err}
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if !c.enter() {
		return 0, c.failed("read", net.ErrClosed)
	}
	defer c.leave()
	if len(p) == 0 {
		return 0, nil
	}
	began := time.Now()
	c.looks = 0
	for now := began; ; now = time.Now() {
		if c.in.over(now) {
			return 0, c.failed("read", os.ErrDeadlineExceeded)
		}
		n, err := syscall.Read(c.fd, p)
		switch {
		case c.closed.Load():
			return 0, c.failed("read", net.ErrClosed)
		case err == nil:
			c.near = now.Sub(began) < c.limit
			if n == 0 {
				return 0, io.EOF
			}
			return n, nil
		case errors.Is(err, syscall.EAGAIN):
			if c.near && now.Sub(began) < c.limit {
				c.looks++
				yield()
			} else if err := c.in.sleep(); err != nil {
				return 0, c.failed("read", err)
			}
		case !errors.Is(err, syscall.EINTR):
			return 0, c.failed("read", err)
		}
	}
}

// yield lets another thread have the processor, if one waits for it.
func yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// Write implements net.Conn.
func (c *conn) Write(p []byte) (written int, err error) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if !c.enter() {
		return 0, c.failed("write", net.ErrClosed)
	}
	defer c.leave()
	for written < len(p) {
		if c.out.over(time.Now()) {
			return written, c.failed("write", os.ErrDeadlineExceeded)
		}
		n, err := syscall.Write(c.fd, p[written:])
		switch {
		case c.closed.Load():
			return written, c.failed("write", net.ErrClosed)
		case err == nil:
			written += n
		case errors.Is(err, syscall.EAGAIN):
			if err := c.out.sleep(); err != nil {
				return written, c.failed("write", err)
			}
		case !errors.Is(err, syscall.EINTR):
			return written, c.failed("write", err)
		}
	}
	return written, nil
}

// over reports whether the deadline has passed.
func (h *half) over(now time.Time) bool {
	deadline := h.deadline.Load()
	return deadline != 0 && now.UnixNano() >= deadline
}

// sleep returns when the descriptor is ready, the deadline has passed or was changed, or Close was called.
func (h *half) sleep() error {
	h.sleeps.Store(true)
	defer h.sleeps.Store(false)
	var limit *unix.Timespec
	if deadline := h.deadline.Load(); deadline != 0 {
		t := unix.NsecToTimespec(max(0, deadline-time.Now().UnixNano()))
		limit = &t
	}
	if _, err := unix.Ppoll(h.fds[:], limit, nil); err != nil && !errors.Is(err, unix.EINTR) {
		return err
	}
	if h.fds[1].Revents != 0 {
		var count [8]byte
		_, _ = unix.Read(h.wake, count[:])
	}
	return nil
}

// disturb wakes a call that sleeps. The caller has entered.
func (h *half) disturb() {
	if h.sleeps.Load() {
		_, _ = unix.Write(h.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error { return c.setDeadlines(t, &c.in, &c.out) }

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.in) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.out) }

func (c *conn) setDeadlines(t time.Time, halves ...*half) error {
	if !c.enter() {
		return c.failed("set", net.ErrClosed)
	}
	defer c.leave()
	var deadline int64
	if !t.IsZero() {
		deadline = max(1, t.UnixNano())
	}
	for _, h := range halves {
		h.deadline.Store(deadline)
		h.disturb()
	}
	return nil
}

// SyscallConn implements syscall.Conn.
func (c *conn) SyscallConn() (syscall.RawConn, error) { return rawConn{c}, nil }

// rawConn implements syscall.RawConn.
type rawConn struct{ c *conn }

func (r rawConn) Control(f func(fd uintptr)) error {
	if !r.c.enter() {
		return r.c.failed("raw-control", net.ErrClosed)
	}
	defer r.c.leave()
	f(uintptr(r.c.fd))
	return nil
}

func (r rawConn) Read(f func(fd uintptr) (done bool)) error { return r.loop("raw-read", &r.c.in, f) }

func (r rawConn) Write(f func(fd uintptr) (done bool)) error { return r.loop("raw-write", &r.c.out, f) }

func (r rawConn) loop(op string, h *half, f func(fd uintptr) (done bool)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		if !r.c.enter() {
			return r.c.failed(op, net.ErrClosed)
		}
		var err error
		done := h.over(time.Now())
		if done {
			err = os.ErrDeadlineExceeded
		} else if done = f(uintptr(r.c.fd)); !done {
			err = h.sleep()
		}
		r.c.leave()
		if err != nil {
			return r.c.failed(op, err)
		}
		if done {
			return nil
		}
	}
}
