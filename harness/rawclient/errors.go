// SPDX-License-Identifier: Apache-2.0

package rawclient

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mcdtest/harness/transcript"
)

// Reasons why a wait failed. Every error of this package that has to do with the connection is an *Error and wraps one
// of them, or the context's error.
var (
	ErrTimeout    = errors.New("timed out")
	ErrClosed     = errors.New("the endpoint closed the connection")
	ErrTruncated  = errors.New("the endpoint closed the connection in the middle of a packet") // is ErrClosed, too
	ErrGone       = errors.New("the machine has ended")                                        // wraps what GoneErr returned
	ErrUnexpected = errors.New("unexpected bytes")
	ErrOutOfStep  = errors.New("the answer to an earlier request is outstanding")

	errClosedHere = errors.New("the connection was closed on this side")
)

// ErrRefused is wrapped by the errors of typed requests that the stub answered in the negative: the connection is fine.
var ErrRefused = errors.New("refused")

// ErrBadReply is wrapped by the errors of typed requests that were answered in another form than the protocol has.
var ErrBadReply = errors.New("not a reply of this form")

// closedBy is ErrClosed with the error of the connection: "connection reset by peer".
type closedBy struct{ err error }

func (e *closedBy) Error() string   { return ErrClosed.Error() + ": " + e.err.Error() }
func (e *closedBy) Unwrap() []error { return []error{ErrClosed, e.err} }

// truncated is ErrTruncated and how the connection ended.
type truncated struct{ err error }

func (e *truncated) Error() string   { return ErrTruncated.Error() }
func (e *truncated) Unwrap() []error { return []error{ErrTruncated, e.err} }

// goneBecause is ErrGone with what is known of the end.
type goneBecause struct{ err error }

func (e *goneBecause) Error() string   { return ErrGone.Error() + ": " + e.err.Error() }
func (e *goneBecause) Unwrap() []error { return []error{ErrGone, e.err} }

// Error is a wait or a send that failed.
type Error struct {
	Op      string        // what was attempted: `waiting for the reply to "qsystem"`
	Err     error         // the reason
	Got     string        // for ErrUnexpected: what came instead
	Last    []byte        // the last bytes that were received, at most 64
	Inside  []byte        // the packet that had begun and not ended
	Elapsed time.Duration // since the wait began
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %v", e.Op, e.Err)
	if e.Got != "" {
		fmt.Fprintf(&b, ": %s", e.Got)
	}
	if errors.Is(e.Err, ErrTimeout) || errors.Is(e.Err, context.DeadlineExceeded) {
		fmt.Fprintf(&b, " after %v", e.Elapsed.Round(time.Millisecond))
	}
	switch {
	case len(e.Inside) > 0:
		fmt.Fprintf(&b, "; the packet so far: %s", quote(e.Inside))
	case len(e.Last) > 0:
		fmt.Fprintf(&b, "; the last bytes received: %s", quote(e.Last))
	default:
		b.WriteString("; nothing had been received")
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// Timeout makes an Error a net.Error's look-alike for errors that waiting longer might have avoided.
func (e *Error) Timeout() bool {
	return errors.Is(e.Err, ErrTimeout) || errors.Is(e.Err, context.DeadlineExceeded)
}

// fail makes an Error of what is in the buffer.
func (c *Client) fail(reason error, got, format string, args ...any) error {
	return &Error{
		Op:      fmt.Sprintf(format, args...),
		Err:     reason,
		Got:     got,
		Last:    append([]byte(nil), c.buf[max(0, c.w-keptTail):c.w]...),
		Inside:  append([]byte(nil), c.inPacket()...),
		Elapsed: time.Since(c.began),
	}
}

// quote writes bytes as a transcript does, long ones with their middle left out.
func quote(p []byte) string {
	const head, tail = 48, 16
	if len(p) > head+tail+8 {
		return fmt.Sprintf("%s … %s (%d bytes)", transcript.Escape(p[:head]), transcript.Escape(p[len(p)-tail:]), len(p))
	}
	return transcript.Escape(p)
}
