// SPDX-License-Identifier: Apache-2.0

package rawclient

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"mcdtest/stub/wire"
)

// Do sends a request given as its payload and returns the payload of the reply, which is nil if the request has none
// (as wire.Requests says; an unknown or malformed one is answered with the empty packet, which is not nil: that of one that has
// no reply otherwise is seen here if it comes with the '+', and else by the next request). It judges nothing but the framing: '+' must
// come first, then the reply packet. The reply is valid until the next wait.
func (c *Client) Do(ctx context.Context, payload string) ([]byte, error) {
	c.out = append(c.out[:0], wire.Start)
	c.out = append(c.out, payload...)
	r, _ := wire.Match([]byte(payload))
	return c.exchange(ctx, r == nil || r.Reply != wire.NoReply)
}

// request begins a typed request; the arguments are appended to c.out by arg.
func (c *Client) request(name string) {
	c.out = append(append(c.out[:0], wire.Start), name...)
}

// arg appends a number, and a separator unless it is the first.
func (c *Client) arg(first bool, v uint64) {
	if !first {
		c.out = append(c.out, wire.Separator)
	}
	c.out = strconv.AppendUint(c.out, v, 10)
}

// args appends numbers. Negative ones are sent as they are: the stub is to refuse them.
func (c *Client) args(values ...int) {
	for i, v := range values {
		if i > 0 {
			c.out = append(c.out, wire.Separator)
		}
		c.out = strconv.AppendInt(c.out, int64(v), 10)
	}
}

// exchange finishes and sends the request in c.out and reads what answers it.
func (c *Client) exchange(ctx context.Context, reply bool) ([]byte, error) {
	payload := c.out[1:]
	if c.broken != nil {
		return nil, fmt.Errorf("%s: %w: %w", what(payload), ErrOutOfStep, c.broken)
	}
	length := len(payload)
	c.out = append(c.out, wire.End, wire.LastPacket)
	if c.pad {
		for len(c.out) < wire.Padding {
			c.out = append(c.out, 0)
		}
	}
	payload = c.out[1 : 1+length]
	if c.silent && c.refusal() != nil {
		return nil, fmt.Errorf("%s was not sent: %w: the stub answered the request before it, which has no reply, with the empty packet", what(payload), ErrRefused)
	}
	if c.r < c.w {
		return nil, c.fail(ErrUnexpected, quote(c.buf[c.r:c.w]), "sending %s: bytes came that nobody asked for", what(payload))
	}
	if err := c.arm(ctx, c.timeout); err != nil {
		return nil, c.fail(err, "", "sending %s", what(payload))
	}
	if err := c.write(ctx, c.out); err != nil {
		c.broken = c.fail(err, "", "sending %s", what(payload))
		return nil, c.broken
	}
	for c.r == c.w {
		if err := c.more(ctx); err != nil {
			c.broken = c.fail(err, "", "waiting for the acknowledgement of %s", what(payload))
			return nil, c.broken
		}
	}
	if c.buf[c.r] != wire.Ack {
		c.broken = c.fail(ErrUnexpected, quote(c.buf[c.r:c.w]), "waiting for the acknowledgement of %s", what(payload))
		return nil, c.broken
	}
	c.r++
	c.silent = !reply
	if !reply {
		return c.refusal(), nil
	}
	answer, got, err := c.packet(ctx)
	if err != nil {
		c.broken = c.fail(err, got, "waiting for the reply to %s", what(payload))
		return nil, c.broken
	}
	return answer, nil
}

// refusal takes the empty packet by which a stub refuses a malformed request, also one that has no reply, if it has come; nil if not.
func (c *Client) refusal() []byte {
	if !bytes.Equal(c.buf[c.r:c.w], emptyPacket) {
		return nil
	}
	c.r, c.silent = c.w, false
	return []byte{}
}

var emptyPacket = []byte{wire.Start, wire.End, wire.LastPacket}

// what names a request in messages.
func what(payload []byte) string {
	if len(payload) > 80 {
		return fmt.Sprintf("%q…", payload[:80])
	}
	return fmt.Sprintf("%q", payload)
}

// sent is the payload of the last request.
func (c *Client) sent() []byte {
	end := len(c.out)
	for end > 0 && c.out[end-1] == 0 {
		end--
	}
	return c.out[1:max(1, end-2)]
}

// Resync forgets a typed request that failed and everything that was received and not read, so that typed requests
// work again. Whoever calls it knows that no answer is on its way any more.
func (c *Client) Resync() {
	c.broken = nil
	c.r = c.w
}

// refused makes the error of a negative answer.
func (c *Client) refused(answer []byte) error {
	if len(answer) == 0 {
		return fmt.Errorf("%s: %w: the stub answered with the empty packet (unknown or malformed request, or no such thing)", what(c.sent()), ErrRefused)
	}
	return fmt.Errorf("%s: %w: the stub answered %s", what(c.sent()), ErrRefused, quote(answer))
}

func (c *Client) badReply(answer []byte, format string, args ...any) error {
	return fmt.Errorf("%s: %w: %s: %s", what(c.sent()), ErrBadReply, fmt.Sprintf(format, args...), quote(answer))
}

// command carries out a request without a reply. A refusal is seen if it came with the acknowledgement.
func (c *Client) command(ctx context.Context) error {
	answer, err := c.exchange(ctx, false)
	if err == nil && answer != nil {
		return c.refused(answer)
	}
	return err
}

// status carries out a request that is answered with success or error.
func (c *Client) status(ctx context.Context) error {
	answer, err := c.exchange(ctx, true)
	switch {
	case err != nil:
		return err
	case string(answer) == wire.Success:
		return nil
	case string(answer) == wire.Failure, len(answer) == 0:
		return c.refused(answer)
	}
	return c.badReply(answer, "neither %q nor %q", wire.Success, wire.Failure)
}

// data carries out a request that is answered with hex digits.
func (c *Client) data(ctx context.Context) ([]byte, error) {
	answer, err := c.exchange(ctx, true)
	if err != nil {
		return nil, err
	}
	if string(answer) == wire.Failure {
		return nil, c.refused(answer)
	}
	return answer, nil
}

// text carries out a request that is answered with text.
func (c *Client) text(ctx context.Context) (string, error) {
	answer, err := c.exchange(ctx, true)
	if err != nil {
		return "", err
	}
	if len(answer) == 0 || string(answer) == wire.Failure {
		return "", c.refused(answer)
	}
	return string(answer), nil
}

// fields carries out a request that is answered with key=value. pairs, and hands them to read.
func (c *Client) fields(ctx context.Context, read func(*fieldReader)) error {
	text, err := c.text(ctx)
	if err != nil {
		return err
	}
	_, err = c.structured(text, text, read)
	return err
}

// element carries out a request that is answered with an element of a list.
func (c *Client) element(ctx context.Context, read func(*fieldReader)) (Element, error) {
	text, err := c.text(ctx)
	if err != nil {
		return Element{}, err
	}
	handle, rest, ok := strings.Cut(text, "!")
	n, err := strconv.ParseUint(handle, 10, 64)
	if !ok || err != nil {
		return Element{}, c.badReply([]byte(text), "not a handle, '!' and an element")
	}
	f, err := c.structured(text, rest, read)
	return Element{Handle: n, Fields: f}, err
}

// structured parses pairs, which are in the reply text, and hands them to read.
func (c *Client) structured(text, pairs string, read func(*fieldReader)) (Fields, error) {
	f, err := ParseFields(pairs)
	if err == nil && read != nil {
		r := &fieldReader{f: f}
		read(r)
		err = r.err
	}
	if err != nil {
		return f, c.badReply([]byte(text), "%v", err)
	}
	return f, nil
}

func (c *Client) hexInto(p, answer []byte) error {
	if len(answer) == 0 && len(p) > 0 {
		return c.refused(answer)
	}
	if len(answer) != 2*len(p) {
		return c.badReply(answer, "want %d bytes, got %d digits", len(p), len(answer))
	}
	if _, err := hex.Decode(p, answer); err != nil {
		return c.badReply(answer, "%v", err)
	}
	return nil
}
