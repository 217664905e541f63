// SPDX-License-Identifier: Apache-2.0

package rawclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"mcdtest/stub/wire"
)

// Send sends the bytes as they are, in one write.
func (c *Client) Send(ctx context.Context, p []byte) error {
	err := c.arm(ctx, c.timeout)
	if err == nil {
		err = c.write(ctx, p)
	}
	if err != nil {
		return c.fail(err, "", "sending %s", quote(p))
	}
	return nil
}

// SendPacket sends the packet with this payload, whatever is in it.
func (c *Client) SendPacket(ctx context.Context, payload string) error {
	return c.Send(ctx, wire.AppendPacket(nil, []byte(payload)))
}

// SendBytewise sends the bytes one by one, each in a write of its own.
func (c *Client) SendBytewise(ctx context.Context, p []byte) error {
	for i := range p {
		if err := c.Send(ctx, p[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// Receive waits for bytes and returns all that have come and are unread. They are valid until the next wait.
func (c *Client) Receive(ctx context.Context) ([]byte, error) {
	if c.r == c.w {
		err := c.arm(ctx, c.timeout)
		if err == nil {
			err = c.more(ctx)
		}
		if err != nil {
			return nil, c.fail(err, "", "waiting for bytes")
		}
	}
	p := c.buf[c.r:c.w]
	c.r = c.w
	return p, nil
}

// Pending is what has been received and not been read. It is valid until the next wait.
func (c *Client) Pending() []byte { return c.buf[c.r:c.w] }

// Fill waits for bytes that are added to Pending.
func (c *Client) Fill(ctx context.Context) error {
	err := c.arm(ctx, c.timeout)
	if err == nil {
		err = c.more(ctx)
	}
	if err != nil {
		return c.fail(err, "", "waiting for bytes")
	}
	return nil
}

// Skip takes the first n bytes of Pending as read.
func (c *Client) Skip(n int) { c.r += min(n, c.w-c.r) }

// Expect waits for exactly these bytes. It fails as soon as something else comes; what came then stays unread.
func (c *Client) Expect(ctx context.Context, want []byte) error {
	if len(want) == 0 {
		return nil
	}
	err := c.arm(ctx, c.timeout)
	for err == nil {
		got := c.buf[c.r:c.w]
		if len(got) > 0 && !bytes.HasPrefix(want, got[:min(len(got), len(want))]) {
			return c.fail(ErrUnexpected, quote(got), "waiting for %s", quote(want))
		}
		if len(got) >= len(want) {
			c.r += len(want)
			return nil
		}
		err = c.more(ctx)
	}
	return c.fail(err, "", "waiting for %s", quote(want))
}

// ExpectAck waits for '+' as the very next byte.
func (c *Client) ExpectAck(ctx context.Context) error { return c.Expect(ctx, []byte{wire.Ack}) }

// ExpectNack waits for '-' as the very next byte.
func (c *Client) ExpectNack(ctx context.Context) error { return c.Expect(ctx, []byte{wire.Nack}) }

// ExpectPacket waits for the packet with this payload as the very next bytes, either end mark.
func (c *Client) ExpectPacket(ctx context.Context, payload string) error {
	got, err := c.ReadPacket(ctx)
	if err != nil {
		return fmt.Errorf("expecting the packet %q: %w", payload, err)
	}
	if string(got) != payload {
		return c.fail(ErrUnexpected, fmt.Sprintf("the packet %s", quote(got)), "waiting for the packet %q", payload)
	}
	return nil
}

// ReadPacket waits for a packet as the very next bytes. Its payload is valid until the next wait.
func (c *Client) ReadPacket(ctx context.Context) ([]byte, error) {
	err := c.arm(ctx, c.timeout)
	if err != nil {
		return nil, c.fail(err, "", "waiting for a packet")
	}
	payload, got, err := c.packet(ctx)
	if err != nil {
		return nil, c.fail(err, got, "waiting for a packet")
	}
	return payload, nil
}

// AwaitPacket skips everything up to the next packet, acknowledgements too. Its payload is valid until the next wait.
func (c *Client) AwaitPacket(ctx context.Context) ([]byte, error) {
	err := c.arm(ctx, c.timeout)
	for err == nil {
		if i := bytes.IndexByte(c.buf[c.r:c.w], wire.Start); i >= 0 {
			c.r += i
			payload, got, err := c.packet(ctx)
			if err != nil {
				return nil, c.fail(err, got, "waiting for the end of a packet")
			}
			return payload, nil
		}
		c.r = c.w
		err = c.more(ctx)
	}
	return nil, c.fail(err, "", "waiting for a packet")
}

// AwaitAck skips everything up to and with the next '+' between packets.
func (c *Client) AwaitAck(ctx context.Context) error {
	d := wire.NewDecoder(0)
	err := c.arm(ctx, c.timeout)
	for err == nil {
		for c.r < c.w {
			n, ev := d.Next(c.buf[c.r:c.w])
			c.r += n
			if ev == wire.AckByte {
				return nil
			}
		}
		err = c.more(ctx)
	}
	return c.fail(err, "", "waiting for an acknowledgement")
}

// ExpectSilence waits for d and fails if anything comes, also if it came before and was not read.
func (c *Client) ExpectSilence(ctx context.Context, d time.Duration) error {
	if c.r < c.w {
		return c.fail(ErrUnexpected, quote(c.buf[c.r:c.w]), "expecting silence")
	}
	err := c.arm(ctx, d)
	if err == nil {
		err = c.more(ctx)
	}
	switch {
	case err == nil:
		return c.fail(ErrUnexpected, quote(c.buf[c.r:c.w]), "expecting %v of silence", d)
	case errors.Is(err, ErrTimeout):
		c.rec.Silence()
		return nil
	}
	return c.fail(err, "", "expecting %v of silence", d)
}

// ExpectEOF waits for the endpoint to close the connection, and fails if any byte comes before.
func (c *Client) ExpectEOF(ctx context.Context) error {
	if c.r < c.w {
		return c.fail(ErrUnexpected, quote(c.buf[c.r:c.w]), "expecting the end of the stream")
	}
	if c.ended != nil {
		return nil
	}
	err := c.arm(ctx, c.timeout)
	if err == nil {
		c.wanted = true
		err = c.more(ctx)
		c.wanted = false
	}
	switch {
	case c.ended != nil:
		return nil
	case err == nil:
		return c.fail(ErrUnexpected, quote(c.buf[c.r:c.w]), "expecting the end of the stream")
	}
	return c.fail(err, "", "expecting the end of the stream")
}

// packet reads the packet that must begin at the next byte, within the wait in progress. got describes what else came.
func (c *Client) packet(ctx context.Context) (payload []byte, got string, err error) {
	for c.r == c.w {
		if err := c.more(ctx); err != nil {
			return nil, "", err
		}
	}
	if c.buf[c.r] != wire.Start {
		return nil, quote(c.buf[c.r:c.w]), ErrUnexpected
	}
	searched := 1
	for {
		if i := bytes.IndexByte(c.buf[c.r+searched:c.w], wire.End); i >= 0 {
			searched += i
			break
		}
		if searched = c.w - c.r; searched > MaxReply {
			return nil, fmt.Sprintf("a packet of more than %d bytes", MaxReply), ErrUnexpected
		}
		if err := c.more(ctx); err != nil {
			return nil, "", err
		}
	}
	for c.r+searched+1 == c.w {
		if err := c.more(ctx); err != nil {
			return nil, "", err
		}
	}
	if end := c.buf[c.r+searched+1]; end != wire.LastPacket && end != wire.MorePackets {
		return nil, fmt.Sprintf("%q as end mark in %s", end, quote(c.buf[c.r:c.r+searched+2])), ErrUnexpected
	}
	payload = c.buf[c.r+1 : c.r+searched]
	c.r += searched + 2
	return payload, "", nil
}
