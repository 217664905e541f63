// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"mcdtest/harness/rawclient"
	"mcdtest/harness/transcript"
)

// Env is what a script is played against.
type Env struct {
	// Dial connects to the endpoint; it is called when a script first sends something, and again after an end of the
	// stream.
	Dial func(ctx context.Context) (net.Conn, error)
	// Symbols gives names in scripts their values; nil if there are none.
	Symbols func(name string) (uint64, error)
	// ByteOrder is the machine's, for u32 and its like; default little-endian.
	ByteOrder binary.ByteOrder
	// WordBytes is the size of the machine's general registers, for word; default 4.
	WordBytes int

	Recorder *transcript.Recorder // gets every byte and the script's remarks; nil for none

	Timeout time.Duration // of each wait for an answer; default rawclient.DefaultTimeout
	Silence time.Duration // that `# (no answer)` waits; default DefaultSilence
	Settle  time.Duration // of silence that ends an answer which is not the expected one; default DefaultSettle

	// Gone and GoneErr end waits when the machine has ended, as in rawclient.Options.
	Gone    <-chan struct{}
	GoneErr func() error

	// Substitutions change what is expected, for recordings of another endpoint.
	Substitutions []Substitution
}

// Defaults of an Env.
const (
	// DefaultSilence can be short: bytes that come later are met by the next expectation, since a stub answers in order.
	DefaultSilence = 50 * time.Millisecond
	DefaultSettle  = 100 * time.Millisecond
)

// Mismatch is an answer that differs from the expected one. It is wrapped in an *Error that names the line.
type Mismatch struct {
	Sent   []string // lines in front of the answer, as in the script
	Want   []string // the expected lines, as in the script
	Got    []string // what came instead, as a transcript has it
	Reason string   // "" if it is plain to see
}

func (e *Mismatch) Error() string {
	var b strings.Builder
	b.WriteString("the answer differs")
	if e.Reason != "" {
		fmt.Fprintf(&b, ": %s", e.Reason)
	}
	for _, part := range []struct {
		title, mark string
		lines       []string
	}{{"sent", "", e.Sent}, {"expected", "- ", e.Want}, {"got", "+ ", e.Got}} {
		for i, l := range part.lines {
			title := ""
			if i == 0 {
				title = part.title
			}
			if len(l) > 1000 {
				l = l[:1000] + "…"
			}
			fmt.Fprintf(&b, "\n  %-9s %s%s", title, part.mark, l)
		}
	}
	return b.String()
}

// player plays one script once.
type player struct {
	script   *Script
	env      Env
	clients  map[string]*rawclient.Client
	current  string
	exact    bool
	captures map[string]capture
	updating bool
	due      tally // what answers the bytes that were sent last
}

// Play plays a script and returns the first thing that went wrong: an *Error that wraps a *Mismatch, an error of
// rawclient, or a *Mistake that shows only now.
func Play(ctx context.Context, s *Script, env Env) error {
	s, err := env.substitute(s)
	if err != nil {
		return err
	}
	p := newPlayer(s, env)
	defer p.close()
	for _, x := range s.exchanges {
		if err := p.play(ctx, x); err != nil {
			return err
		}
	}
	return p.finish(ctx)
}

func newPlayer(s *Script, env Env) *player {
	if env.ByteOrder == nil {
		env.ByteOrder = binary.LittleEndian
	}
	if env.WordBytes == 0 {
		env.WordBytes = 4
	}
	if env.Timeout <= 0 {
		env.Timeout = rawclient.DefaultTimeout
	}
	if env.Silence <= 0 {
		env.Silence = DefaultSilence
	}
	if env.Settle <= 0 {
		env.Settle = DefaultSettle
	}
	return &player{script: s, env: env, clients: make(map[string]*rawclient.Client), captures: make(map[string]capture)}
}

func (p *player) close() {
	for _, c := range p.clients {
		c.Close()
	}
}

func (p *player) at(number int, err error) error {
	if err == nil {
		return nil
	}
	return &Error{p.script.Name, number, err}
}

// client is the connection of the current client, made if there is none.
func (p *player) client(ctx context.Context) (*rawclient.Client, error) {
	if c := p.clients[p.current]; c != nil {
		return c, nil
	}
	if p.env.Dial == nil {
		return nil, errors.New("no endpoint to connect to")
	}
	ctx, cancel := context.WithTimeout(ctx, p.env.Timeout)
	defer cancel()
	conn, err := p.env.Dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to the endpoint: %w", err)
	}
	c := rawclient.New(conn, rawclient.Options{
		Recorder: p.env.Recorder, Timeout: p.env.Timeout, Gone: p.env.Gone, GoneErr: p.env.GoneErr,
	})
	p.clients[p.current] = c
	return c, nil
}

// play plays one exchange, again and again if it has an until.
func (p *player) play(ctx context.Context, x *exchange) error {
	if err := p.settings(x); err != nil {
		return err
	}
	if err := p.send(ctx, x); err != nil {
		return err
	}
	if x.until == 0 {
		_, err := p.expect(ctx, x)
		return err
	}
	_, err := p.repeat(ctx, x)
	return err
}

func (p *player) settings(x *exchange) error {
	for _, s := range x.settings {
		if err := s.apply(p); err != nil {
			return mistake(p.script.Name, s.number, err)
		}
	}
	for _, text := range x.comments {
		p.env.Recorder.Comment("%s", text)
	}
	return nil
}

// send sends what an exchange sends, each line in a write of its own.
func (p *player) send(ctx context.Context, x *exchange) error {
	var sent []byte
	defer func() { p.due = due(sent, p.script.json) }()
	for _, l := range x.sends {
		if l.kind == transcript.SentEOF {
			c := p.clients[p.current]
			if c == nil {
				return mistake(p.script.Name, l.number, errors.New("there is no connection to close"))
			}
			if pending := c.Pending(); len(pending) > 0 {
				return p.at(l.number, p.leftover(pending))
			}
			c.Close()
			delete(p.clients, p.current)
			continue
		}
		data, err := p.bytes(l.tokens)
		if err != nil {
			return mistake(p.script.Name, l.number, err)
		}
		c, err := p.client(ctx)
		if err != nil {
			return p.at(l.number, err)
		}
		if pending := c.Pending(); len(pending) > 0 {
			return p.at(l.number, p.leftover(pending))
		}
		sent = append(sent, data...)
		if err := c.Send(ctx, data); err != nil {
			return p.at(l.number, err)
		}
	}
	return nil
}

func (p *player) leftover(pending []byte) error {
	return fmt.Errorf("more came than was expected: %s", strings.Join(p.lines(pending), " "))
}

// repeat plays an exchange that has been sent once until its answer is the expected one.
func (p *player) repeat(ctx context.Context, x *exchange) (*answer, error) {
	start := time.Now()
	deadline := start.Add(x.until)
	interval := 100 * time.Microsecond
	timer := time.NewTimer(0)
	defer timer.Stop()
	for asked := 1; ; asked++ {
		before := maps.Clone(p.captures)
		a, err := p.expect(ctx, x)
		var mismatch *Mismatch
		if err == nil || !errors.As(err, &mismatch) {
			return a, err
		}
		p.captures = before
		if time.Now().Add(interval).After(deadline) {
			e := err.(*Error)
			return a, p.at(e.Line, fmt.Errorf("not within %v, sent %d times; the last time %w", x.until, asked, mismatch))
		}
		timer.Reset(interval)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return a, p.at(x.expects[0].number, fmt.Errorf("%w after %v, sent %d times; the last time %w", ctx.Err(), time.Since(start).Round(time.Millisecond), asked, mismatch))
		}
		interval = min(2*interval, 5*time.Millisecond)
		if err := p.send(ctx, x); err != nil {
			return a, err
		}
	}
}

// answer is what came in an exchange, for Update.
type answer struct {
	data   []byte // of the part that differs; what is in front of it matched
	first  int    // index into exchange.expects of that part
	closed bool   // the stub closed the connection
}

// expect waits for what an exchange expects. If something else comes, all of it is taken in, so that the connection is
// in step afterwards, and the error is a *Mismatch.
func (p *player) expect(ctx context.Context, x *exchange) (*answer, error) {
	for i := 0; i < len(x.expects); {
		l := x.expects[i]
		c := p.clients[p.current]
		if c == nil {
			return &answer{first: i, closed: true}, mistake(p.script.Name, l.number, errors.New("there is no connection; something has to be sent first"))
		}
		var err error
		n := 1
		switch l.kind {
		case transcript.Silence:
			err = c.ExpectSilence(ctx, p.env.Silence)
			if errors.Is(err, rawclient.ErrUnexpected) || errors.Is(err, rawclient.ErrClosed) {
				return p.differs(ctx, c, x, i, i, nil, errorIfClosed(err))
			}
		case transcript.ReceivedEOF:
			err = c.ExpectEOF(ctx)
			if errors.Is(err, rawclient.ErrUnexpected) || errors.Is(err, rawclient.ErrTimeout) {
				reason := ""
				if errors.Is(err, rawclient.ErrTimeout) {
					reason = fmt.Sprintf("the connection stayed open for %v", p.env.Timeout)
				}
				return p.differs(ctx, c, x, i, i, &matcher{reason: reason}, nil)
			}
			if err == nil {
				c.Close()
				delete(p.clients, p.current)
			}
		default:
			for i+n < len(x.expects) && x.expects[i+n].kind == transcript.Received {
				n++
			}
			if p.script.json || p.exact {
				n = 1
			}
			var a *answer
			if a, err = p.received(ctx, c, x, i, n); err != nil {
				return a, err
			}
		}
		if err != nil {
			return &answer{first: i}, p.at(l.number, err)
		}
		i += n
	}
	return &answer{first: len(x.expects)}, nil
}

func errorIfClosed(err error) error {
	if errors.Is(err, rawclient.ErrClosed) {
		return err
	}
	return nil
}

// received waits for the n expected lines from index i on.
func (p *player) received(ctx context.Context, c *rawclient.Client, x *exchange, i, n int) (*answer, error) {
	var tokens []token
	var owner []int // line of each token
	for k, l := range x.expects[i : i+n] {
		tokens = append(tokens, l.tokens...)
		owner = append(owner, slices.Repeat([]int{i + k}, len(l.tokens))...)
	}
	deadline, cancel := context.WithTimeoutCause(ctx, p.env.Timeout, rawclient.ErrTimeout)
	defer cancel()
	for {
		data, size := c.Pending(), 0
		complete := !p.exact || len(data) > 0
		if p.script.json {
			data, size, complete = jsonLine(data)
		}
		m, end, v := p.match(tokens, data, p.script.json || p.exact)
		if !complete && v != matched {
			v = more
		}
		line := owner[min(m.token, len(owner)-1)]
		switch {
		case m.err != nil:
			return nil, mistake(p.script.Name, x.expects[line].number, m.err)
		case v == matched && complete:
			if p.script.json {
				end = size
			}
			p.due = p.due.less(count(c.Pending()[:end], p.script.json))
			c.Skip(end)
			p.captures = m.captures
			return nil, nil
		case v == no:
			return p.differs(ctx, c, x, i, line, m, nil)
		}
		if err := c.Fill(deadline); err != nil {
			switch {
			case errors.Is(err, rawclient.ErrClosed):
				return p.differs(ctx, c, x, i, line, m, err)
			case errors.Is(err, rawclient.ErrTimeout), errors.Is(err, context.DeadlineExceeded) && !expired(ctx):
				m.reason = fmt.Sprintf("nothing more came within %v", p.env.Timeout)
				return p.differs(ctx, c, x, i, line, m, nil)
			}
			return nil, p.at(x.expects[line].number, fmt.Errorf("waiting for %s: %w", describe(x.expects[line]), err))
		}
	}
}

// expired reports whether ctx is done, also if its timer is a little late.
func expired(ctx context.Context) bool {
	d, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(d)
}

func describe(l line) string { return fmt.Sprintf("`< %s`", l.text) }

// differs takes in the rest of an answer that is not the expected one. first is the index of the first expected line
// that the pending bytes were compared with, line that of the one that differs; closed is how the connection ended.
func (p *player) differs(ctx context.Context, c *rawclient.Client, x *exchange, first, line int, m *matcher, closed error) (*answer, error) {
	if closed == nil {
		closed = p.takeIn(ctx, c, x)
	}
	data := append([]byte(nil), c.Pending()...)
	c.Skip(len(data))
	p.due = tally{}
	e := new(Mismatch)
	for _, l := range x.sends {
		e.Sent = append(e.Sent, "> "+l.text)
	}
	for _, l := range x.expects[first:] {
		e.Want = append(e.Want, expected(l))
	}
	for _, l := range p.lines(data) {
		e.Got = append(e.Got, "< "+l)
	}
	if m != nil {
		e.Reason = m.reason
	}
	if closed != nil {
		e.Got = append(e.Got, "< EOF")
		if errors.Is(closed, rawclient.ErrGone) {
			e.Reason = closed.Error()
		}
		c.Close()
		delete(p.clients, p.current)
	}
	if len(e.Got) == 0 {
		e.Got = []string{"# " + transcript.NoAnswer}
	}
	var err error = e
	if closed != nil {
		err = &endedMismatch{e, closed}
	}
	return &answer{data: data, first: first, closed: closed != nil}, p.at(x.expects[line].number, err)
}

// endedMismatch is a Mismatch because the connection ended; errors.Is finds out how.
type endedMismatch struct {
	*Mismatch
	end error
}

func (e *endedMismatch) Unwrap() []error { return []error{e.Mismatch, e.end} }

func expected(l line) string {
	switch l.kind {
	case transcript.Silence:
		return "# " + transcript.NoAnswer
	case transcript.ReceivedEOF:
		return "< EOF"
	}
	return "< " + l.text
}

// takeIn receives until the answer to an exchange is complete, as far as that can be known, and returns how the
// connection ended if it did.
func (p *player) takeIn(ctx context.Context, c *rawclient.Client, x *exchange) error {
	// A stub that does not stop talking has answered something else.
	for end := time.Now().Add(p.env.Timeout); time.Now().Before(end) && len(c.Pending()) <= rawclient.MaxReply; {
		quiet := p.env.Settle
		switch {
		case p.updating && p.due != (tally{}):
			if !count(c.Pending(), p.script.json).fewer(p.due) {
				return nil
			}
			quiet = min(p.env.Timeout, patience*p.env.Settle)
		case x.until > 0 && !count(c.Pending(), p.script.json).fewer(expectedTally(x, p.script.json)):
			return nil
		}
		settle, cancel := context.WithTimeoutCause(ctx, quiet, rawclient.ErrTimeout)
		err := c.Fill(settle)
		cancel()
		switch {
		case err == nil:
		case errors.Is(err, rawclient.ErrClosed), errors.Is(err, rawclient.ErrGone):
			return err
		default:
			return nil
		}
	}
	return nil
}

// patience is how many times longer Update waits for what a request must be answered with.
const patience = 20

// finish checks that nothing came behind the last expected byte.
func (p *player) finish(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(p.clients)) {
		c := p.clients[name]
		if err := c.ExpectSilence(ctx, p.env.Silence); err != nil && !errors.Is(err, rawclient.ErrClosed) {
			if errors.Is(err, rawclient.ErrUnexpected) {
				err = p.leftover(c.Pending())
			}
			return p.at(len(p.script.text), fmt.Errorf("at the end of the script: %w", err))
		}
	}
	return nil
}
