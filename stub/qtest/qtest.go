// SPDX-License-Identifier: Apache-2.0

// Package qtest is a client of QEMU's qtest protocol, used beside an accelerator that executes code: it reads and
// writes physical memory (the first CPU's view of it) while the machine runs, without stopping it. It touches the
// connection that it is given and nothing else.
//
// Reads of addresses where nothing is mapped give zeros and writes to them are lost, without an error (seen on 7.2,
// 10.0 and 11.1): who needs to know asks the monitor.
package qtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Timeout bounds a request whose context has no deadline.
const Timeout = 5 * time.Second

// Sizes: small transfers are hex, larger ones base64, and none is longer than chunk.
const (
	smallTransfer = 64
	chunk         = 64 << 10
)

// Client speaks to one QEMU. It is safe for concurrent use.
type Client struct {
	mu   sync.Mutex
	conn net.Conn
	r    *bufio.Reader
	out  []byte
	// late is closed when the answer to a request that was given up has come. Until then nobody else reads or writes.
	late chan struct{}
	open atomic.Bool // late is not closed
	err  error       // the connection is broken
}

// New makes a client on conn.
func New(conn net.Conn) *Client {
	return &Client{conn: conn, r: bufio.NewReaderSize(conn, 2*chunk)}
}

// Close closes the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Check asks something that every QEMU answers, to know that there is one.
func (c *Client) Check(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out[:0], "endianness"...)
	if _, err := c.exchange(ctx); err != nil {
		return fmt.Errorf("qtest endianness: %w", err)
	}
	return nil
}

// Err is why the connection cannot be used any more, or nil.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.late != nil {
		select {
		case <-c.late:
		default:
			return nil // the answer may still come
		}
	}
	return c.err
}

// Settle waits until a request that was given up, if there is one, is answered: until then QEMU may still carry it out.
func (c *Client) Settle(ctx context.Context) error {
	if !c.open.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.settled(ctx); c.late != nil {
		return err
	}
	return nil // though the connection may be broken
}

// Read fills p with physical memory from addr on.
func (c *Client) Read(ctx context.Context, addr uint64, p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(p) > 0 {
		n := min(len(p), chunk)
		if err := c.read(ctx, addr, p[:n]); err != nil {
			return fmt.Errorf("qtest read of %d bytes at %#x: %w", n, addr, err)
		}
		addr, p = addr+uint64(n), p[n:]
	}
	return nil
}

func (c *Client) read(ctx context.Context, addr uint64, p []byte) error {
	small := len(p) <= smallTransfer
	if small {
		c.command("read ", addr, len(p))
	} else {
		c.command("b64read ", addr, len(p))
	}
	reply, err := c.exchange(ctx)
	if err != nil {
		return err
	}
	if small {
		digits, ok := bytes.CutPrefix(reply, []byte("0x"))
		if !ok || len(digits) != 2*len(p) {
			return fmt.Errorf("it answers %.80q", reply)
		}
		_, err = hex.Decode(p, digits)
		return err
	}
	if len(reply) != base64.StdEncoding.EncodedLen(len(p)) {
		return fmt.Errorf("it answers %d base64 digits", len(reply))
	}
	// The last four digits may decode to more bytes than there are.
	whole := (len(p) - 1) / 3
	if _, err := base64.StdEncoding.Decode(p[:3*whole], reply[:4*whole]); err != nil {
		return err
	}
	var last [3]byte
	n, err := base64.StdEncoding.Decode(last[:], reply[4*whole:])
	if err == nil && n != len(p)-3*whole {
		err = fmt.Errorf("it answers %d bytes", 3*whole+n)
	}
	copy(p[3*whole:], last[:n])
	return err
}

// Write writes p to physical memory from addr on. Translated code that it covers is translated again.
func (c *Client) Write(ctx context.Context, addr uint64, p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(p) > 0 {
		n := min(len(p), chunk)
		if n <= smallTransfer {
			c.command("write ", addr, n)
			c.out = append(c.out, " 0x"...)
			c.out = hex.AppendEncode(c.out, p[:n])
		} else {
			c.command("b64write ", addr, n)
			c.out = append(c.out, ' ')
			c.out = base64.StdEncoding.AppendEncode(c.out, p[:n])
		}
		if _, err := c.exchange(ctx); err != nil {
			return fmt.Errorf("qtest write of %d bytes at %#x: %w", n, addr, err)
		}
		addr, p = addr+uint64(n), p[n:]
	}
	return nil
}

func (c *Client) command(name string, addr uint64, n int) {
	c.out = append(c.out[:0], name...)
	c.out = append(c.out, "0x"...)
	c.out = strconv.AppendUint(c.out, addr, 16)
	c.out = append(c.out, " 0x"...)
	c.out = strconv.AppendUint(c.out, uint64(n), 16)
}

// exchange sends c.out and returns what follows "OK" in the answer.
func (c *Client) exchange(ctx context.Context) ([]byte, error) {
	if err := c.settled(ctx); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	deadline := time.Now().Add(Timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	c.out = append(c.out, '\n')
	if err := c.conn.SetDeadline(deadline); err != nil {
		return nil, c.broken(err)
	}
	line, rest, err := c.ask(ctx)
	if err != nil {
		if err = c.failed(err, rest, line); ctx.Err() != nil {
			err = fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		}
		return nil, err
	}
	reply, ok := bytes.CutPrefix(line, []byte("OK"))
	if !ok {
		return nil, fmt.Errorf("it answers %.80q", line)
	}
	return bytes.TrimSpace(reply), nil
}

// ask sends c.out and reads the answer, until the deadline or the end of ctx. With an error, rest is what was not sent, and line the begin of
// what is read.
func (c *Client) ask(ctx context.Context) (line, rest []byte, err error) {
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(over)
		_ = c.conn.SetDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !stop() {
			<-over // whoever uses the connection next sets a deadline of its own
		}
	}()
	if n, err := c.conn.Write(c.out); err != nil {
		return nil, c.out[n:], err
	}
	for {
		line, err := c.line()
		if err != nil || !bytes.HasPrefix(line, []byte("IRQ ")) {
			return line, nil, err
		}
	}
}

func (c *Client) line() ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		return nil, fmt.Errorf("a line longer than %d bytes", 2*chunk)
	}
	return bytes.TrimRight(line, "\r\n"), err
}

// failed gives a request up. If QEMU only takes long, what it still sends is read as it comes: the next request must not take it
// for its own, and a QEMU that cannot get rid of it stands. rest is not written yet, begun is the begin of a line.
func (c *Client) failed(err error, rest, begun []byte) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return c.broken(err)
	}
	if len(rest) == len(c.out) { // nothing of it was sent, and nothing will be
		return fmt.Errorf("not sent, as QEMU reads nothing or there was no time: %w", err)
	}
	c.late = make(chan struct{})
	c.open.Store(true)
	go c.takeLate(bytes.Clone(rest), bytes.Clone(begun), c.late)
	return fmt.Errorf("QEMU has not answered; it is stopped or busy: %w", err)
}

// takeLate finishes a request that was given up.
func (c *Client) takeLate(rest, begun []byte, done chan<- struct{}) {
	defer close(done)
	defer c.open.Store(false)
	err := c.conn.SetDeadline(time.Time{})
	if err == nil && len(rest) > 0 {
		_, err = c.conn.Write(rest)
	}
	for err == nil {
		var line []byte
		line, err = c.line()
		if !bytes.HasPrefix(append(begun, line...), []byte("IRQ ")) {
			break
		}
		begun = nil
	}
	if err != nil {
		c.broken(err)
	}
}

// settled waits until no earlier request is open.
func (c *Client) settled(ctx context.Context) error {
	if c.late != nil {
		limit := time.NewTimer(Timeout)
		defer limit.Stop()
		select {
		case <-c.late:
			c.late = nil
		case <-ctx.Done():
			return fmt.Errorf("QEMU has not answered an earlier request; it is stopped or busy: %w", context.Cause(ctx))
		case <-limit.C:
			return errors.New("QEMU has not answered an earlier request; it is stopped or busy")
		}
	}
	return c.err
}

// broken ends the use of a connection.
func (c *Client) broken(err error) error {
	c.err = fmt.Errorf("the qtest connection is broken: %w", err)
	return c.err
}
