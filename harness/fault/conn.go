// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"bytes"
	"net"
	"sync"
)

// A stream is what a fault makes of one connection. Its methods are not called at the same time.
type stream interface {
	// up gives what is sent to the stub for what the client writes in one go.
	up(p []byte) []byte
	// down gives what the client is to read for what has come from the stub.
	down(p []byte) []byte
	// rest is what down has kept back when the stub's stream ends.
	rest() []byte
	// farewell is sent before the client's end is closed.
	farewell() []byte
}

// conn is the client's end of a connection with a fault in it.
type conn struct {
	net.Conn
	stream stream
	// local takes answers to the client that do not come from the stub.
	local *mailbox

	mu     sync.Mutex
	ready  []byte // for the client to read
	once   sync.Once
	unsent *unsent // of the last Write, if it came to its deadline
}

// unsent is a write that the client will do again, as nothing of it was taken.
type unsent struct{ p, out []byte }

// mailbox is where a stream puts bytes for its client while up or down runs.
type mailbox struct{ bytes []byte }

func (m *mailbox) put(p []byte) { m.bytes = append(m.bytes, p...) }

// Write hands the client's bytes to the stream. They are taken whole or, at a deadline, not at all: a client whose
// deadline was that of an earlier request writes the same bytes again, and what has become of them goes on where it was.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	var out []byte
	if u := c.unsent; u != nil {
		out, c.unsent = u.out, nil
		if !bytes.Equal(p, u.p) {
			out = append(out, c.stream.up(p)...)
		}
	} else {
		out = c.stream.up(p)
	}
	c.collect()
	c.mu.Unlock()
	if len(out) == 0 {
		return len(p), nil
	}
	n, err := c.Conn.Write(out)
	switch {
	case err == nil:
		return len(p), nil
	case timedOut(err):
		c.mu.Lock()
		c.unsent = &unsent{bytes.Clone(p), bytes.Clone(out[n:])}
		c.mu.Unlock()
		return 0, err
	}
	return len(p), err
}

func (c *conn) collect() {
	c.ready = append(c.ready, c.local.bytes...)
	c.local.bytes = nil
}

// take reads what is ready.
func (c *conn) take(p []byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := copy(p, c.ready)
	c.ready = c.ready[n:]
	return n
}

func (c *conn) Read(p []byte) (int, error) {
	buf := make([]byte, 64<<10)
	for {
		if n := c.take(p); n > 0 || len(p) == 0 {
			return n, nil
		}
		n, err := c.Conn.Read(buf)
		c.mu.Lock()
		if n > 0 {
			c.ready = append(c.ready, c.stream.down(buf[:n])...)
		}
		if err != nil && !timedOut(err) {
			c.ready = append(c.ready, c.stream.rest()...)
		}
		c.collect()
		c.mu.Unlock()
		if err != nil {
			if n := c.take(p); n > 0 {
				return n, nil
			}
			return 0, err
		}
	}
}

func timedOut(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

func (c *conn) Close() error {
	c.once.Do(func() {
		c.mu.Lock()
		out := c.stream.farewell()
		c.mu.Unlock()
		if len(out) > 0 {
			_, _ = c.Conn.Write(out) // the connection ends one way or the other
		}
	})
	return c.Conn.Close()
}
