// SPDX-License-Identifier: Apache-2.0

package jsonclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"mcdtest/stub/jsonwire"
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

// SendBytewise sends the bytes one by one, each in a write of its own.
func (c *Client) SendBytewise(ctx context.Context, p []byte) error {
	for i := range p {
		if err := c.Send(ctx, p[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// CloseWrite ends the client's half of the stream, if the connection can do that.
func (c *Client) CloseWrite() error {
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("end the client's half of the stream: %w: a %T has no halves", errors.ErrUnsupported, c.conn)
	}
	return half.CloseWrite()
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
	p := c.unread()
	c.r = c.w
	return p, nil
}

// Pending is what has been received and not been read.
func (c *Client) Pending() []byte { return c.unread() }

// Expect waits for exactly these bytes. It fails as soon as something else comes; what came then stays unread.
func (c *Client) Expect(ctx context.Context, want []byte) error {
	err := c.arm(ctx, c.timeout)
	for err == nil {
		got := c.unread()
		if !bytes.HasPrefix(want, got[:min(len(got), len(want))]) {
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

// ReadObject waits for the next JSON object, whatever is in it. It is valid until the next wait.
func (c *Client) ReadObject(ctx context.Context) ([]byte, error) {
	err := c.arm(ctx, c.timeout)
	if err != nil {
		return nil, c.fail(err, "", "waiting for an object")
	}
	obj, got, err := c.object(ctx)
	if err != nil {
		return nil, c.fail(err, got, "waiting for an object")
	}
	return obj, nil
}

// ReadReply waits for the next object and takes it apart. What it returns is valid until the next wait.
func (c *Client) ReadReply(ctx context.Context) (jsonwire.Reply, error) {
	var r jsonwire.Reply
	obj, err := c.ReadObject(ctx)
	if err != nil {
		return r, err
	}
	if err := jsonwire.ParseReply(obj, &r); err != nil {
		return r, fmt.Errorf("waiting for a reply: %w: %w: %s", ErrBadReply, err, quote(obj))
	}
	return r, nil
}

// ReadReturn waits for the next object with "return", passing over all others, as the real client does. What it returns is
// valid until the next wait.
func (c *Client) ReadReturn(ctx context.Context) ([]byte, error) {
	end := time.Now().Add(c.timeout)
	for {
		r, err := c.ReadReply(ctx)
		if err != nil {
			return nil, err
		}
		if r.Return != nil {
			return r.Return, nil
		}
		if time.Now().After(end) {
			return nil, c.fail(ErrTimeout, "", "waiting for an object with \"return\"")
		}
	}
}

// ExpectSilence waits for d and fails if anything comes, also if it came before and was not read. Line ends do not count.
func (c *Client) ExpectSilence(ctx context.Context, d time.Duration) error {
	err := c.arm(ctx, d)
	for err == nil {
		if rest := trimSpace(c.unread()); len(rest) > 0 {
			return c.fail(ErrUnexpected, quote(rest), "expecting %v of silence", d)
		}
		err = c.more(ctx)
	}
	if errors.Is(err, ErrTimeout) {
		c.rec.Silence()
		return nil
	}
	return c.fail(err, "", "expecting %v of silence", d)
}

// ExpectEOF waits for the endpoint to close the connection, and fails if anything comes before. Line ends do not count.
func (c *Client) ExpectEOF(ctx context.Context) error {
	err := c.arm(ctx, c.timeout)
	for err == nil {
		if rest := trimSpace(c.unread()); len(rest) > 0 {
			return c.fail(ErrUnexpected, quote(rest), "expecting the end of the stream")
		}
		err = c.more(ctx)
	}
	if c.ended != nil {
		return nil
	}
	return c.fail(err, "", "expecting the end of the stream")
}

// object reads the next object within the wait in progress. got describes what else came.
func (c *Client) object(ctx context.Context) (obj []byte, got string, err error) {
	// The buffer may move while more comes, so the splitter only says where the object begins and ends.
	s := jsonwire.NewSplitter(0)
	for looked := c.r; ; {
		for looked < c.w {
			n, ev := s.Next(c.buf[looked:c.w])
			looked += n
			switch ev {
			case jsonwire.NeedMore:
			case jsonwire.Complete:
				obj = trimSpace(c.buf[c.r:looked])
				c.r = looked
				return obj, "", nil
			default:
				return nil, fmt.Sprintf("%v in %s", ev.Err().Desc, quote(c.unread())), ErrUnexpected
			}
		}
		if c.w-c.r > MaxReply {
			return nil, fmt.Sprintf("a reply of more than %d bytes", MaxReply), ErrUnexpected
		}
		before := c.r
		if err := c.more(ctx); err != nil {
			return nil, "", err
		}
		looked += c.r - before
	}
}

func trimSpace(p []byte) []byte { return bytes.Trim(p, " \t\r\n") }
