// SPDX-License-Identifier: Apache-2.0

package stub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// Dialect is how a client says what it wants.
type Dialect uint8

// Dialects.
const (
	Auto   Dialect = iota // whichever the client begins with
	Packet                // the packets of 2023
	JSON                  // the objects of 2025
)

func (d Dialect) String() string {
	switch d {
	case Packet:
		return "packet"
	case JSON:
		return "json"
	}
	return "auto"
}

// talk finds out the dialect of a client and hands it over.
func (s *Server) talk(ctx context.Context, conn net.Conn) error {
	speak := s.opts.Dialect
	if speak == Auto {
		first, err := s.firstBytes(ctx, conn)
		if err != nil || len(first) == 0 {
			return err
		}
		speak = dialectOf(first)
		conn = &begunConn{Conn: conn, first: first}
	}
	s.opts.Log.Debug("the client speaks", "dialect", speak)
	if speak == JSON {
		return s.json.Serve(ctx, conn)
	}
	return s.packet.Serve(ctx, conn)
}

// dialectOf tells the dialect from the first bytes of a client, behind white space. Packets begin with '$', objects with '{'.
func dialectOf(first []byte) Dialect {
	if first[0] == '{' {
		return JSON
	}
	return Packet
}

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// firstBytes reads until something else than white space has come, which means nothing in either dialect, and returns the bytes from there
// on; nothing if the client leaves before.
func (s *Server) firstBytes(ctx context.Context, conn net.Conn) ([]byte, error) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if s.opts.IdleTimeout > 0 {
		if err := conn.SetReadDeadline(time.Now().Add(s.opts.IdleTimeout)); err != nil {
			return nil, fmt.Errorf("set a deadline for the client: %w", err)
		}
	}
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		for i, c := range buf[:n] {
			if !space(c) {
				return buf[i:n], conn.SetReadDeadline(time.Time{})
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, io.EOF):
			return nil, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, fmt.Errorf("client dropped: it said nothing for %v", s.opts.IdleTimeout)
		case err != nil:
			return nil, fmt.Errorf("read from the client: %w", err)
		}
	}
}

// begunConn is a connection whose first bytes have been read already.
type begunConn struct {
	net.Conn
	first []byte
}

func (c *begunConn) Read(p []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// SyscallConn lets a dialect ask the descriptor whether the client is still there.
func (c *begunConn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
