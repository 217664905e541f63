// SPDX-License-Identifier: Apache-2.0

// Package busypoll reads from a connection whose peer answers within microseconds: it looks for the answer for a moment
// before it sleeps, as waking up costs more than the answer. It touches the connections that it is given and nothing else.
package busypoll

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"
)

// Limit is how long a read looks before it sleeps: several times what QEMU's gdbstub needs for a register, and about what a
// client needs from one answer to its next request.
const Limit = 100 * time.Microsecond

// Conn is a connection whose Read, which one goroutine at a time may call, looks before it sleeps. It does so as long as
// bytes come within Limit, so a peer that thinks for longer costs nothing; and between two looks it offers the processor to
// whoever else wants it, the peer among them.
type Conn struct {
	net.Conn
	raw  syscall.RawConn // nil: the connection has no descriptor of its own
	look func(fd uintptr) bool

	near  bool // bytes came within Limit the last time
	began time.Time
	slept bool
	p     []byte // of the read that is going on
	n     int
	err   error
}

// New makes a Conn of a connection, which stays what it is in all but Read.
func New(conn net.Conn) *Conn {
	c := &Conn{Conn: conn, near: true}
	if runtime.NumCPU() == 1 {
		return c // whoever looks keeps the peer from answering
	}
	switch plain := conn.(type) { // others may have bytes that the descriptor has not any more
	case *net.UnixConn:
		c.raw, _ = plain.SyscallConn()
	case *net.TCPConn:
		c.raw, _ = plain.SyscallConn()
	}
	c.look = c.attempt
	return c
}

// SyscallConn implements syscall.Conn.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	if c.raw == nil || len(p) == 0 {
		return c.Conn.Read(p)
	}
	c.p, c.n, c.err = p, 0, nil
	c.began, c.slept = time.Now(), false
	err := c.raw.Read(c.look)
	c.p = nil
	c.near = time.Since(c.began) < Limit
	switch {
	case err != nil:
		return 0, err
	case c.err != nil:
		local := c.LocalAddr()
		return 0, &net.OpError{Op: "read", Net: local.Network(), Source: local, Addr: c.RemoteAddr(), Err: os.NewSyscallError("read", c.err)}
	case c.n == 0:
		return 0, io.EOF
	}
	return c.n, nil
}

// attempt reads from the descriptor, which does not block. False asks to be called again when there is something.
func (c *Conn) attempt(fd uintptr) bool {
	for {
		c.n, c.err = syscall.Read(int(fd), c.p)
		switch {
		case c.err == nil:
			return true
		case errors.Is(c.err, syscall.EINTR):
			continue
		case !errors.Is(c.err, syscall.EAGAIN):
			c.n = 0
			return true
		case c.slept || !c.near || time.Since(c.began) >= Limit:
			c.slept = true
			return false
		}
		runtime.Gosched() // other goroutines, which may have other things to do
		yield()           // other processes, the peer among them
	}
}
