// SPDX-License-Identifier: Apache-2.0

// Package rawclient is a client of the packet dialect in two layers. The raw layer sends bytes exactly as they are
// given, malformed or cut anywhere, and expects bytes, acknowledgements, packets, silence or the end of the stream. The
// typed layer on top has a method for every request of wire.Requests. It does I/O on the one net.Conn it is given and
// starts nothing.
//
// Every wait ends by the Timeout of the Options, by the context, by the end of the stream, or when the machine behind
// the endpoint has gone, whichever comes first; the error says what was waited for and what had been seen.
package rawclient

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"mcdtest/harness/transcript"
	"mcdtest/stub/wire"
)

// DefaultTimeout bounds a wait if the Options have none.
const DefaultTimeout = 5 * time.Second

const (
	// MaxReply bounds a reply packet, so that an endpoint that never ends one does not fill the memory.
	MaxReply = 64 << 20

	keptTail = 64 // bytes already used that stay in the buffer for error messages

	// goneGrace is how long a wait goes on after the machine has gone: what it sent last is in the socket by then.
	goneGrace = 50 * time.Millisecond
	// closeGrace is how long an unexpected end of the stream waits for the news that the machine has gone, which the
	// kernel delivers later.
	closeGrace = 250 * time.Millisecond
)

// Options of a Client.
type Options struct {
	Recorder *transcript.Recorder // gets every byte; nil for none
	Timeout  time.Duration        // of each wait; 0 for DefaultTimeout
	Pad      bool                 // typed requests are padded with NULs to wire.Padding bytes, as the published client does

	// Gone, if not nil, is closed when the machine behind the endpoint has ended, and GoneErr, if not nil, then says how.
	Gone    <-chan struct{}
	GoneErr func() error
}

// Client speaks the packet dialect over one connection. Only Close may be called while another method runs.
type Client struct {
	conn    net.Conn
	rec     *transcript.Recorder
	timeout time.Duration
	pad     bool
	gone    <-chan struct{}
	goneErr func() error

	isGone atomic.Bool
	closed chan struct{}
	once   sync.Once

	watched   <-chan struct{} // Done of the context that unwatch belongs to
	unwatch   func() bool
	began     time.Time // of the wait in progress
	deadline  time.Time
	byContext bool // the deadline is the context's

	buf    []byte // buf[r:w] is received and unread, what is in front of r was read
	r, w   int
	ended  error  // the end of the stream, once seen
	wanted bool   // the wait in progress is for that end
	out    []byte // the typed request in progress
	silent bool   // the last typed request has no reply
	broken error  // a typed request that failed with its answer outstanding
}

// New makes a Client that owns conn.
func New(conn net.Conn, opt Options) *Client {
	c := &Client{
		conn: conn, rec: opt.Recorder, timeout: opt.Timeout, pad: opt.Pad, gone: opt.Gone, goneErr: opt.GoneErr,
		closed: make(chan struct{}), buf: make([]byte, 2*wire.ClientBuffer),
	}
	if c.timeout <= 0 {
		c.timeout = DefaultTimeout
	}
	if c.gone != nil {
		go c.watchGone()
	}
	return c
}

func (c *Client) watchGone() {
	select {
	case <-c.gone:
		// A wait that arms itself later sees the flag, one that did so earlier gets this deadline.
		c.isGone.Store(true)
		c.conn.SetDeadline(time.Now().Add(goneGrace))
	case <-c.closed:
	}
}

// Close closes the connection without a word to the stub.
func (c *Client) Close() error {
	var err error
	c.once.Do(func() {
		close(c.closed)
		c.rec.Closed(transcript.Client)
		err = c.conn.Close()
	})
	return err
}

// SetTimeout changes the Timeout of the waits to come.
func (c *Client) SetTimeout(d time.Duration) { c.timeout = d }

// Comment puts a remark into the transcript.
func (c *Client) Comment(format string, args ...any) { c.rec.Comment(format, args...) }

// arm starts a wait of at most limit: the deadline of the connection is set, and the context is watched.
func (c *Client) arm(ctx context.Context, limit time.Duration) error {
	c.began = time.Now()
	c.deadline, c.byContext = c.began.Add(limit), false
	if d, ok := ctx.Deadline(); ok && d.Before(c.deadline) {
		c.deadline, c.byContext = d, true
	}
	if done := ctx.Done(); done != c.watched {
		// The watch outlives the wait: most waits in a row have the same context.
		if c.unwatch != nil {
			c.unwatch()
			c.unwatch = nil
		}
		if c.watched = done; done != nil {
			c.unwatch = context.AfterFunc(ctx, c.interrupt)
		}
	}
	return c.rearm(ctx)
}

// interrupt ends a read or write in progress. If it comes late, for a context that is not that of the wait in
// progress, the wait notices that it has time left.
func (c *Client) interrupt() { c.conn.SetDeadline(time.Unix(1, 0)) }

func (c *Client) rearm(ctx context.Context) error {
	d := c.deadline
	if c.isGone.Load() {
		if grace := time.Now().Add(goneGrace); grace.Before(d) {
			d = grace
		}
	}
	c.conn.SetDeadline(d) // if it fails, the read or write will, and may find bytes in our buffer before that
	// Whatever ends the context or the machine from here on sets a deadline later than ours.
	if c.isGone.Load() && d.Equal(c.deadline) {
		c.conn.SetDeadline(time.Now().Add(goneGrace))
	}
	return ctx.Err()
}

// retry decides what an error of the connection means: nil says that the operation is to be tried again.
func (c *Client) retry(ctx context.Context, err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return c.closedReason(ctx, err)
	}
	if c.isGone.Load() {
		return c.goneReason()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !time.Now().Before(c.deadline) {
		if c.byContext {
			return context.DeadlineExceeded
		}
		return ErrTimeout
	}
	return c.rearm(ctx)
}

// closedReason tells apart why the stream ended.
func (c *Client) closedReason(ctx context.Context, err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
		select {
		case <-c.closed:
			return errClosedHere
		default:
		}
	}
	if c.ended == nil {
		c.ended = ErrClosed
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
			c.ended = &closedBy{err}
		}
		c.rec.Closed(transcript.Stub)
	}
	if c.gone != nil && !c.wanted && !c.isGone.Load() {
		t := time.NewTimer(closeGrace)
		defer t.Stop()
		select {
		case <-c.gone:
		case <-ctx.Done():
			return c.endOfStream()
		case <-c.closed:
			return c.endOfStream()
		case <-t.C:
			return c.endOfStream()
		}
		return c.goneReason()
	}
	if c.isGone.Load() {
		return c.goneReason()
	}
	return c.endOfStream()
}

func (c *Client) endOfStream() error {
	if c.inPacket() != nil {
		return &truncated{c.ended}
	}
	return c.ended
}

func (c *Client) goneReason() error {
	if c.goneErr != nil {
		if err := c.goneErr(); err != nil {
			return &goneBecause{err}
		}
	}
	return ErrGone
}

// inPacket is the packet that has begun and not ended, or nil.
func (c *Client) inPacket() []byte {
	if i := bytes.IndexByte(c.buf[c.r:c.w], wire.Start); i >= 0 {
		return c.buf[c.r+i : c.w]
	}
	return nil
}

// more waits for at least one byte more.
func (c *Client) more(ctx context.Context) error {
	if c.ended != nil {
		return c.closedReason(ctx, c.ended)
	}
	if len(c.buf)-c.w < wire.ClientBuffer/2 {
		c.makeRoom()
	}
	for {
		n, err := c.conn.Read(c.buf[c.w:])
		if n > 0 {
			c.rec.Received(c.buf[c.w : c.w+n])
			c.w += n
			return nil
		}
		if err != nil {
			if err := c.retry(ctx, err); err != nil {
				return err
			}
		}
	}
}

func (c *Client) makeRoom() {
	from := max(0, c.r-keptTail)
	if from < len(c.buf)/2 {
		c.buf = append(c.buf, make([]byte, len(c.buf))...)
	}
	if from > 0 {
		copy(c.buf, c.buf[from:c.w])
		c.r -= from
		c.w -= from
	}
}

// write sends all of b within the wait in progress.
func (c *Client) write(ctx context.Context, b []byte) error {
	c.rec.Sent(b)
	for len(b) > 0 {
		n, err := c.conn.Write(b)
		b = b[n:]
		if err != nil {
			if err := c.retry(ctx, err); err != nil {
				return err
			}
		}
	}
	return nil
}
