// SPDX-License-Identifier: Apache-2.0

// Package jsonclient is a client of the JSON dialect in two layers. The raw layer sends bytes exactly as they are given,
// malformed or cut anywhere, and expects bytes, objects, silence or the end of the stream. The typed layer on top has a
// method for every command of jsonwire.Commands. It does I/O on the one net.Conn it is given and starts nothing.
//
// Every wait ends by the Timeout of the Options, by the context, by the end of the stream, or when the machine behind
// the endpoint has gone, whichever comes first; the error says what was waited for and what had been seen.
package jsonclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"mcdtest/harness/transcript"
	"mcdtest/stub/jsonwire"
)

// DefaultTimeout bounds a wait if the Options have none. The real client waits as long.
const DefaultTimeout = 5 * time.Second

// MaxReply bounds a reply, so that an endpoint that never ends one does not fill the memory.
const MaxReply = 64 << 20

// Options of a Client.
type Options struct {
	Recorder *transcript.Recorder // gets every byte; nil for none
	Timeout  time.Duration        // of each wait; 0 for DefaultTimeout

	// Gone, if not nil, is closed when the machine behind the endpoint has ended, and GoneErr, if not nil, then says how.
	Gone    <-chan struct{}
	GoneErr func() error
}

// Client speaks the JSON dialect over one connection. Only Close may be called while another method runs.
type Client struct {
	stream
	out    []byte // the typed request in progress
	broken error  // a typed request that failed with its answer outstanding
}

// New makes a Client that owns conn.
func New(conn net.Conn, opt Options) *Client {
	c := &Client{stream: stream{
		conn: conn, rec: opt.Recorder, timeout: opt.Timeout, gone: opt.Gone, goneErr: opt.GoneErr,
		closed: make(chan struct{}), buf: make([]byte, firstBuffer),
	}}
	if c.timeout <= 0 {
		c.timeout = DefaultTimeout
	}
	if c.gone != nil {
		go c.watchGone()
	}
	return c
}

// Close closes the connection without a word to the endpoint.
func (c *Client) Close() error {
	var err error
	c.once.Do(func() {
		close(c.closed)
		c.rec.Closed(transcript.Client)
		err = c.conn.Close()
	})
	return err
}

// Comment puts a remark into the transcript.
func (c *Client) Comment(format string, args ...any) { c.rec.Comment(format, args...) }

// Call carries a command out. args is the struct of its arguments; result is a pointer to that of its result, or nil if there
// is none or nobody cares. If the endpoint answers in the negative the error is a *Refusal.
func (c *Client) Call(ctx context.Context, name string, args, result any) error {
	cmd := jsonwire.Lookup(name)
	if cmd == nil {
		return fmt.Errorf("%s: no such command in the dialect", name)
	}
	c.out = jsonwire.AppendRequest(c.out[:0], name, args)
	obj, err := c.exchange(ctx, name)
	if err != nil {
		return err
	}
	var r jsonwire.Reply
	if err := jsonwire.ParseReply(obj, &r); err != nil {
		return fmt.Errorf("%s: %w: %w: %s", name, ErrBadReply, err, quote(obj))
	}
	switch {
	case r.Error != nil:
		return &Refusal{Command: name, Reply: r.Error}
	case r.Return == nil:
		return fmt.Errorf("%s: %w: neither \"return\" nor \"error\": %s", name, ErrBadReply, quote(obj))
	}
	if result == nil {
		result = cmd.NewResult()
	}
	status, err := cmd.DecodeReturn(r.Return, result)
	if err != nil {
		return fmt.Errorf("%s: %w: %w: %s", name, ErrBadReply, err, quote(obj))
	}
	if name != jsonwire.QryErrorInfo && (status == jsonwire.RetActHandleError || status == jsonwire.RetActAgain) {
		return &Refusal{Command: name, Status: status}
	}
	return nil
}

// exchange sends the request in c.out and waits for the object that answers it, which is valid until the next wait.
func (c *Client) exchange(ctx context.Context, name string) ([]byte, error) {
	if c.broken != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, ErrOutOfStep, c.broken)
	}
	if rest := trimSpace(c.unread()); len(rest) > 0 {
		return nil, c.fail(ErrUnexpected, quote(rest), "sending %s: bytes came that nobody asked for", name)
	}
	c.r = c.w
	err := c.arm(ctx, c.timeout)
	if err == nil {
		err = c.write(ctx, c.out)
	}
	if err != nil {
		c.broken = c.fail(err, "", "sending %s", name)
		return nil, c.broken
	}
	obj, got, err := c.object(ctx)
	if err != nil {
		c.broken = c.fail(err, got, "waiting for the reply to %s", name)
		return nil, c.broken
	}
	return obj, nil
}

// Explain asks with mcd-qry-error-info why a command was refused, if err says that one was and was answered with a status.
// slot is the core-uid that the command went to, 0 for the server. The result is err with the answer in it.
func (c *Client) Explain(ctx context.Context, err error, slot uint32) error {
	var r *Refusal
	if !errors.As(err, &r) || r.Reply != nil {
		return err
	}
	info, asked := c.QryErrorInfo(ctx, slot)
	if asked != nil {
		return fmt.Errorf("%w; why is not known: %w", err, asked)
	}
	r.Info = &info
	return err
}
