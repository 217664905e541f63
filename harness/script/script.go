// SPDX-License-Identifier: Apache-2.0

// Package script plays raw-packet scripts against an endpoint, and re-records them. A script is a transcript: what the
// client sends is sent byte for byte, what the stub sent is what is expected. docs/scripts.md describes what scripts
// have beyond transcripts: patterns, captures, symbols of the guest, directives. The package talks over the connections
// that Env.Dial makes and touches nothing else.
package script

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"mcdtest/harness/transcript"
)

// Script is a parsed script. It may be played any number of times, also at once.
type Script struct {
	Name string // of the file, for messages

	text      []string // the lines of the file
	exchanges []*exchange
	json      bool // the JSON dialect: one answer a line
}

// exchange is what is sent without waiting, and what is expected then.
type exchange struct {
	settings  []setting // directives in front of it
	comments  []string  // and remarks
	until     time.Duration
	untilLine int
	sends     []line
	expects   []line
}

// line is a line of the script that does something.
type line struct {
	number int // from 1
	kind   transcript.Kind
	text   string // as written
	tokens []token
}

// setting is a directive that holds from where it stands.
type setting struct {
	number int
	apply  func(*player) error
}

// Error is what went wrong at a line of a script. It wraps a *Mistake, a *Mismatch or an error of the connection.
type Error struct {
	File string
	Line int
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// Mistake is an error of the script itself, not of the endpoint that it is played against.
type Mistake struct{ Err error }

func (e *Mistake) Error() string { return e.Err.Error() }
func (e *Mistake) Unwrap() error { return e.Err }

// mistake makes the error of a mistake in a line.
func mistake(file string, line int, err error) error { return &Error{file, line, &Mistake{err}} }

// ParseFile reads the script in a file.
func ParseFile(path string) (*Script, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read script: %w", err)
	}
	return Parse(path, bytes.NewReader(text))
}

// Parse reads a script. Mistakes in it are of type *Mistake within an *Error.
func Parse(name string, r io.Reader) (*Script, error) { return parse(name, r, nil) }

func parse(name string, r io.Reader, subst *substitutions) (*Script, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read script %s: %w", name, err)
	}
	raw, err := transcript.ParseLines(bytes.NewReader(text))
	if err != nil {
		if e, ok := err.(*transcript.Error); ok {
			return nil, mistake(name, e.Line, errors.New(e.Msg))
		}
		return nil, fmt.Errorf("read script %s: %w", name, err)
	}
	s := &Script{Name: name}
	for _, l := range strings.SplitAfter(string(text), "\n") {
		if l != "" {
			s.text = append(s.text, strings.TrimRight(l, "\r\n"))
		}
	}
	x := new(exchange)
	gap := false // a remark or an empty line since the last bytes
	next := func() {
		s.exchanges = append(s.exchanges, x)
		x = new(exchange)
	}
	for _, l := range raw {
		kind, body := l.Kind, l.Text
		if kind == transcript.Comment {
			if body == closedComment {
				kind = transcript.ReceivedEOF
			} else if d, ok := strings.CutPrefix(body, "!"); ok && s.text[l.Number-1][l.Column-2] == '#' {
				if l.Number == 1 && strings.HasPrefix(d, "/") {
					continue // #!/usr/bin/env …
				}
				if len(x.sends)+len(x.expects) > 0 {
					next()
				}
				if err := x.directive(l.Number, d); err != nil {
					return nil, mistake(name, l.Number, err)
				}
				continue
			}
		}
		switch kind {
		case transcript.Blank:
			gap = true
		case transcript.Comment:
			if len(x.expects) > 0 {
				next()
			}
			x.comments = append(x.comments, body)
			gap = true
		case transcript.Sent, transcript.SentEOF:
			if len(x.expects) > 0 || len(x.sends) > 0 && gap {
				next()
			}
			gap = false
			in := line{number: l.Number, kind: kind, text: body}
			if kind == transcript.Sent {
				if in.tokens, err = tokenize(body, l.Column, false); err != nil {
					return nil, mistake(name, l.Number, err)
				}
				if s.exchanges == nil && len(x.sends) == 0 {
					s.json = strings.HasPrefix(body, `{"`)
				}
			}
			x.sends = append(x.sends, in)
			if kind == transcript.SentEOF {
				next()
			}
		default:
			in := line{number: l.Number, kind: kind, text: body}
			if kind == transcript.Received {
				if in.tokens, err = tokenize(body, l.Column, true); err != nil {
					return nil, mistake(name, l.Number, err)
				}
			}
			x.expects = append(x.expects, in)
			gap = false
		}
	}
	next()
	idle := true
	for _, x := range s.exchanges {
		idle = idle && len(x.sends)+len(x.expects) == 0
		if x.until > 0 && len(x.expects) == 0 {
			return nil, mistake(name, x.untilLine, fmt.Errorf("`until` without an answer to wait for"))
		}
	}
	if idle {
		return nil, mistake(name, 1, errors.New("nothing is sent and nothing expected: lines that begin with \"> \" and \"< \" do that"))
	}
	if subst != nil {
		if err := subst.apply(s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// closedComment is how the first recordings say that the stub closed the connection.
const closedComment = "(connection closed by the stub)"

// directive reads a line that begins with "#!".
func (x *exchange) directive(number int, text string) error {
	name, arg, _ := strings.Cut(strings.TrimSpace(text), " ")
	arg = strings.TrimSpace(arg)
	duration := func() (time.Duration, error) {
		d, err := time.ParseDuration(arg)
		if err != nil || d <= 0 {
			return 0, fmt.Errorf("`%s` wants a time such as 5s or 20ms, not %q", name, arg)
		}
		return d, nil
	}
	set := func(apply func(*player) error) { x.settings = append(x.settings, setting{number, apply}) }
	switch name {
	case "until":
		d, err := duration()
		if err != nil {
			return err
		}
		x.until, x.untilLine = d, number
	case "timeout":
		d, err := duration()
		if err != nil {
			return err
		}
		set(func(p *player) error {
			p.env.Timeout = d
			for _, c := range p.clients {
				c.SetTimeout(d)
			}
			return nil
		})
	case "silence":
		d, err := duration()
		if err != nil {
			return err
		}
		set(func(p *player) error { p.env.Silence = d; return nil })
	case "chunks":
		if arg != "exact" && arg != "any" {
			return fmt.Errorf("`chunks` is `exact` or `any`, not %q", arg)
		}
		set(func(p *player) error { p.exact = arg == "exact"; return nil })
	case "client":
		if arg == "" || strings.ContainsAny(arg, " \t") {
			return fmt.Errorf("`client` wants one name, not %q", arg)
		}
		set(func(p *player) error { p.current = arg; return nil })
	case "let":
		v, text, ok := strings.Cut(arg, "=")
		v = strings.TrimSpace(v)
		if !ok || !isName(v) || reserved(v) {
			return fmt.Errorf("`let` wants NAME = EXPRESSION, not %q", arg)
		}
		e, err := parseExpr(strings.TrimSpace(text))
		if err != nil {
			return fmt.Errorf("`let %s`: %w", v, err)
		}
		set(func(p *player) error {
			n, err := p.eval(e, p.captures)
			if err != nil {
				return fmt.Errorf("let %s: %w", v, err)
			}
			p.captures[v] = capture{text: strconv.FormatUint(n, 10), number: n, numeric: true}
			return nil
		})
	default:
		return fmt.Errorf("no directive %q: there are until, timeout, silence, chunks, client, let", name)
	}
	return nil
}
