// SPDX-License-Identifier: Apache-2.0

package jsonclient

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mcdtest/harness/rawclient"
	"mcdtest/harness/transcript"
	"mcdtest/stub/jsonwire"
)

// Reasons why a wait failed, the same as those of the other dialect's client. Every error of this package that has to do
// with the connection is an *Error and wraps one of them, or the context's error.
var (
	ErrTimeout    = rawclient.ErrTimeout
	ErrClosed     = rawclient.ErrClosed
	ErrGone       = rawclient.ErrGone
	ErrUnexpected = rawclient.ErrUnexpected
	ErrOutOfStep  = rawclient.ErrOutOfStep

	errClosedHere = errors.New("the connection was closed on this side")
)

// ErrRefused is wrapped by the errors of commands that the endpoint answered in the negative: the connection is fine.
var ErrRefused = rawclient.ErrRefused

// ErrBadReply is wrapped by the errors of commands that were answered in another form than the dialect has.
var ErrBadReply = rawclient.ErrBadReply

// Error is a wait or a send that failed.
type Error struct {
	Op      string        // what was attempted: "waiting for the reply to mcd-run"
	Err     error         // the reason
	Got     string        // for ErrUnexpected: what came instead
	Last    []byte        // the last bytes that were received, at most 64
	Unread  int           // how many of all received bytes had been used for nothing yet
	Elapsed time.Duration // since the wait began
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %v", e.Op, e.Err)
	if e.Got != "" {
		fmt.Fprintf(&b, ": %s", e.Got)
	}
	if e.Timeout() {
		fmt.Fprintf(&b, " after %v", e.Elapsed.Round(time.Millisecond))
	}
	switch {
	case e.Unread > 0:
		fmt.Fprintf(&b, "; %d bytes of it have come, the last: %s", e.Unread, quote(e.Last))
	case len(e.Last) > 0:
		fmt.Fprintf(&b, "; the last bytes received: %s", quote(e.Last))
	default:
		b.WriteString("; nothing had been received")
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether waiting longer might have helped.
func (e *Error) Timeout() bool {
	return errors.Is(e.Err, ErrTimeout) || errors.Is(e.Err, context.DeadlineExceeded)
}

func (c *Client) fail(reason error, got, format string, args ...any) error {
	return &Error{
		Op:      fmt.Sprintf(format, args...),
		Err:     reason,
		Got:     got,
		Last:    append([]byte(nil), c.buf[max(0, c.w-tail):c.w]...),
		Unread:  c.w - c.r,
		Elapsed: time.Since(c.began),
	}
}

// Refusal is a command that the endpoint answered in the negative.
type Refusal struct {
	Command string
	Status  jsonwire.ReturnStatus // if it was answered with a status
	Reply   *jsonwire.Error       // if it was answered with {"error": …}
	Info    *jsonwire.ErrorInfo   // what mcd-qry-error-info said; nil if it was not asked
}

func (r *Refusal) Error() string {
	switch {
	case r.Reply != nil:
		return fmt.Sprintf("%s: %v: %v", r.Command, ErrRefused, r.Reply)
	case r.Info != nil:
		return fmt.Sprintf("%s: %v: %v (%#x): %s", r.Command, ErrRefused, r.Info.Code, uint32(r.Info.Code), r.Info.Str)
	}
	return fmt.Sprintf("%s: %v: %v", r.Command, ErrRefused, r.Status)
}

func (r *Refusal) Unwrap() error { return ErrRefused }

// quote writes bytes as a transcript does, long ones with their middle left out.
func quote(p []byte) string {
	const head, end = 96, 32
	if len(p) > head+end+8 {
		return fmt.Sprintf("%s … %s (%d bytes)", transcript.Escape(p[:head]), transcript.Escape(p[len(p)-end:]), len(p))
	}
	return transcript.Escape(p)
}
