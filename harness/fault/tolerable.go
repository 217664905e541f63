// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"bytes"
	"encoding/json"
	"net"
	"sync"
	"time"
)

// Tolerable lists what a suite cannot notice, since a stub may do so. A comparison of two stubs can.
var Tolerable = []Fault{
	{Name: "replies-late", Meaning: "each reply comes some milliseconds late", Conns: repliesLate},
	{Name: "other-json-writer", Meaning: "replies have blanks between their parts, and their keys in another order", Dialects: []string{JSON}, Conns: otherWriter},
}

// otherWriter writes replies as QEMU's own JSON writer may.
var otherWriter = objects(func() jsonHooks {
	return jsonHooks{reply: func(_ *jsonLink, _ *call, line []byte) []byte {
		sorted := editReply(line, func(object) bool { return true }) // Marshal has keys in alphabetical order
		var spaced bytes.Buffer
		if json.Indent(&spaced, bytes.TrimSpace(sorted), "", "") != nil {
			return line
		}
		return append(bytes.ReplaceAll(spaced.Bytes(), []byte("\n"), []byte(" ")), "\r\n"...) // no string has a line end in it
	}}
})

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
