// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"net"
	"sync"
	"time"
)

// Tolerable lists what a suite cannot notice, since a stub may do so. A comparison of two stubs can.
var Tolerable = []Fault{
	{Name: "replies-late", Meaning: "each reply comes some milliseconds late", Conns: repliesLate},
}

// lateness is well above what a reply takes, also on a machine that has much to do.
const lateness = 5 * time.Millisecond

func repliesLate() ConnWrapper {
	return func(c net.Conn) net.Conn { return &lateConn{Conn: c, closed: make(chan struct{})} }
}

// lateConn keeps what it has read for a while.
type lateConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *lateConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		t := time.NewTimer(lateness)
		defer t.Stop()
		select {
		case <-t.C:
		case <-c.closed:
		}
	}
	return n, err
}

func (c *lateConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
