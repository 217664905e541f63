// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"time"

	"mcdtest/harness/rawclient"
	"mcdtest/stub/wire"
)

// answer is what came back.
type answer struct {
	data    []byte
	ended   error // why there is no more: the endpoint closed the connection, or QEMU ended
	missing bool  // something did not come that the protocol says comes
}

// ask sends bytes as they are and collects what comes back: until every packet in them is answered in full, if the
// protocol says what that is, within timeout, and otherwise until nothing has come for the time quiet. The answer to k is the
// end of the connection; an endpoint that does not end leaves it open, so its absence is no mistake.
func ask(ctx context.Context, c *rawclient.Client, sent []byte, timeout, quiet time.Duration) (a answer, err error) {
	if err := c.Send(ctx, sent); err != nil {
		return a, err
	}
	want, certain := expected(sent)
	if kills(sent) {
		quiet = timeout
	}
	decoder := wire.NewDecoder(0)
	for !certain || want > 0 {
		wait := quiet
		if want > 0 {
			wait = timeout
		}
		part, err := receive(ctx, c, wait)
		switch {
		case errors.Is(err, rawclient.ErrClosed) && decoder.Inside():
			a.ended = rawclient.ErrTruncated
			return a, nil
		case errors.Is(err, rawclient.ErrClosed):
			a.ended = rawclient.ErrClosed
			return a, nil
		case errors.Is(err, rawclient.ErrGone):
			a.ended = err
			if e := (*rawclient.Error)(nil); errors.As(err, &e) {
				a.ended = e.Err // what was received is shown anyway
			}
			return a, nil
		case err != nil:
			return a, err
		case part == nil:
			a.missing = want > 0
			return a, nil
		}
		a.data = append(a.data, part...)
		for len(part) > 0 {
			n, ev := decoder.Next(part)
			part = part[n:]
			switch ev {
			case wire.AckByte, wire.NackByte, wire.Packet:
				want--
			}
		}
	}
	return a, nil
}

// receive waits for bytes for the given time at most; nil means that none came.
func receive(ctx context.Context, c *rawclient.Client, limit time.Duration) ([]byte, error) {
	wait, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	part, err := c.Receive(wait)
	if err != nil && ctx.Err() == nil && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, rawclient.ErrTimeout)) {
		return nil, nil
	}
	return part, err
}

// expected counts the acknowledgements and packets that answer these bytes at least. More may come of anything but
// well-formed packets with a reply: a malformed request has a reply, too, where the request has none.
func expected(sent []byte) (n int, certain bool) {
	certain = true
	d := wire.NewDecoder(wire.MaxPayload)
	for len(sent) > 0 {
		used, ev := d.Next(sent)
		sent = sent[used:]
		switch ev {
		case wire.Packet:
			n++
			if r, _ := wire.Match(d.Payload()); r == nil || r.Reply != wire.NoReply {
				n++
			} else {
				certain = false
			}
		case wire.BadEnd:
			n++
		case wire.NackByte, wire.TooLong, wire.NULInside:
			certain = false
		}
	}
	return n, certain && n > 0 && !d.Inside()
}

// kills reports whether these bytes ask the stub to end QEMU.
func kills(sent []byte) bool {
	d := wire.NewDecoder(wire.MaxPayload)
	for len(sent) > 0 {
		n, ev := d.Next(sent)
		sent = sent[n:]
		if ev == wire.Packet {
			if r, _ := wire.Match(d.Payload()); r != nil && r.Name == wire.Kill {
				return true
			}
		}
	}
	return false
}
