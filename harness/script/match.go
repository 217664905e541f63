// SPDX-License-Identifier: Apache-2.0

package script

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
)

// capture is what a pattern with a name stood for.
type capture struct {
	text    string
	number  uint64
	numeric bool
}

// verdict of a match.
type verdict uint8

const (
	no      verdict = iota
	more            // it may match when more bytes come
	matched         //
)

// matcher compares received bytes with tokens.
type matcher struct {
	p        *player
	tokens   []token
	data     []byte
	whole    bool // the tokens have to match all of the data
	captures map[string]capture

	// Where and why the attempt that came furthest failed.
	pos, token int
	reason     string
	err        error // a mistake in the script: nothing more is tried

	steps int
}

// maxSteps bounds the attempts of one comparison: each {*} multiplies them by the length of the answer.
const maxSteps = 1 << 20

// match compares data with tokens. end is how much of data they took.
func (p *player) match(tokens []token, data []byte, whole bool) (m *matcher, end int, v verdict) {
	m = &matcher{p: p, tokens: tokens, data: data, whole: whole, captures: maps.Clone(p.captures)}
	end, v = m.from(0, 0)
	return m, end, v
}

func (m *matcher) fail(pos, token int, format string, args ...any) (int, verdict) {
	if pos >= m.pos {
		m.pos, m.token, m.reason = pos, token, fmt.Sprintf(format, args...)
	}
	return pos, no
}

func (m *matcher) wait(pos, token int) (int, verdict) {
	if m.whole {
		return m.fail(len(m.data), token, "it ends too early")
	}
	if pos >= m.pos {
		m.pos, m.token, m.reason = pos, token, ""
	}
	return pos, more
}

// from matches the tokens from index t on with the data from pos on.
func (m *matcher) from(t, pos int) (int, verdict) {
	if m.steps++; m.steps > maxSteps {
		m.err = errors.New("the patterns of this answer fit in too many ways: write fewer {*}, or more of what stands between them")
	}
	if m.err != nil {
		return pos, no
	}
	if t == len(m.tokens) {
		if m.whole && pos < len(m.data) {
			return m.fail(pos, t, "%s is too much", show(m.data[pos:]))
		}
		return pos, matched
	}
	tok := &m.tokens[t]
	switch {
	case tok.pattern != nil:
		return m.pattern(t, pos, tok.pattern)
	case tok.value != nil:
		want, err := m.p.value(tok.value, m.captures)
		if err != nil {
			m.err = fmt.Errorf("%s: %w", tok.text, err)
			return pos, no
		}
		return m.literal(t, pos, want)
	}
	return m.literal(t, pos, tok.literal)
}

func (m *matcher) literal(t, pos int, want []byte) (int, verdict) {
	rest := m.data[pos:]
	n := 0
	for n < len(want) && n < len(rest) && rest[n] == want[n] {
		n++
	}
	switch {
	case n == len(want):
		return m.from(t+1, pos+n)
	case n == len(rest):
		return m.wait(pos+n, t)
	}
	if m.tokens[t].value != nil {
		return m.fail(pos+n, t, "%s is %s", m.tokens[t].text, want)
	}
	return m.fail(pos+n, t, "")
}

func (m *matcher) pattern(t, pos int, p *pattern) (int, verdict) {
	is := isHex
	if p.kind == number && p.format.kind == decimal {
		is = isDecimal
	}
	switch p.kind {
	case anything, matching:
		return m.shortest(t, pos, p)
	case hexDigits:
		if p.digits == 0 {
			return m.run(t, pos, p, is)
		}
		return m.digits(t, pos, p, p.digits)
	}
	if p.format.kind == decimal {
		return m.run(t, pos, p, is)
	}
	return m.digits(t, pos, p, 2*p.format.size(&m.p.env))
}

// shortest tries longer and longer texts.
func (m *matcher) shortest(t, pos int, p *pattern) (int, verdict) {
	waiting := false
	for end := pos; m.err == nil; end++ {
		if p.regexp == nil || p.regexp.Match(m.data[pos:end]) {
			if e, v := m.take(t, pos, end, p); v == matched {
				return e, v
			} else if v == more {
				waiting = true
			}
		} else if end == len(m.data) || m.closes(m.data[end]) {
			m.fail(pos, t, "%s does not match %s", show(m.data[pos:end]), m.tokens[t].text)
		}
		if end == len(m.data) {
			return m.wait(pos, t)
		}
		if m.closes(m.data[end]) {
			if waiting {
				return pos, more
			}
			return pos, no
		}
	}
	return pos, no
}

// closes reports whether c ends what a pattern for anything may stand for.
func (m *matcher) closes(c byte) bool { return c == '\n' || c == '#' && !m.p.script.json }

// run takes all the digits that there are.
func (m *matcher) run(t, pos int, p *pattern, is func(byte) bool) (int, verdict) {
	end := pos
	for end < len(m.data) && is(m.data[end]) {
		end++
	}
	switch {
	case end == len(m.data) && (end == pos || t+1 < len(m.tokens)):
		return m.wait(pos, t)
	case end == pos:
		return m.fail(pos, t, "%s wants digits", m.tokens[t].text)
	}
	return m.take(t, pos, end, p)
}

// digits takes exactly n hex digits.
func (m *matcher) digits(t, pos int, p *pattern, n int) (int, verdict) {
	for end := pos; end < pos+n; end++ {
		if end == len(m.data) {
			return m.wait(pos, t)
		}
		if !isHex(m.data[end]) {
			return m.fail(end, t, "%s wants %d hex digits", m.tokens[t].text, n)
		}
	}
	return m.take(t, pos, pos+n, p)
}

// take accepts data[pos:end] for a pattern if its comparison holds, and goes on.
func (m *matcher) take(t, pos, end int, p *pattern) (int, verdict) {
	c := capture{text: string(m.data[pos:end])}
	if p.kind == number {
		var err error
		if c.number, err = p.format.parse(c.text, &m.p.env); err != nil {
			return m.fail(pos, t, "%v", err)
		}
		c.numeric = true
	}
	if p.op != "" {
		than, err := m.p.eval(p.than, m.captures)
		if err != nil {
			m.err = fmt.Errorf("%s: %w", m.tokens[t].text, err)
			return pos, no
		}
		if !compare(c.number, p.op, than) {
			return m.fail(pos, t, "%s wants %d %s %d", m.tokens[t].text, c.number, p.op, than)
		}
	}
	if p.name == "" {
		return m.from(t+1, end)
	}
	old, had := m.captures[p.name]
	m.captures[p.name] = c
	e, v := m.from(t+1, end)
	if v != matched {
		delete(m.captures, p.name)
		if had {
			m.captures[p.name] = old
		}
	}
	return e, v
}

func compare(a uint64, op string, b uint64) bool {
	switch op {
	case ">":
		return a > b
	case ">=":
		return a >= b
	case "<":
		return a < b
	case "<=":
		return a <= b
	default:
		return a != b
	}
}

func isHex(c byte) bool     { return isDecimal(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' }
func isDecimal(c byte) bool { return '0' <= c && c <= '9' }

// value computes the bytes of a value. A captured text stands for itself.
func (p *player) value(v *value, captures map[string]capture) ([]byte, error) {
	if v.format.kind == plain && len(v.expr.terms) == 1 {
		if t := v.expr.terms[0]; len(t.factors) == 1 && t.factors[0].name != "" {
			if c, ok := captures[t.factors[0].name]; ok {
				return []byte(c.text), nil
			}
		}
	}
	n, err := p.eval(v.expr, captures)
	if err != nil {
		return nil, err
	}
	return v.format.append(nil, n, &p.env)
}

// bytes computes what a line sends.
func (p *player) bytes(tokens []token) ([]byte, error) {
	var b bytes.Buffer
	for _, t := range tokens {
		if t.value == nil {
			b.Write(t.literal)
			continue
		}
		v, err := p.value(t.value, p.captures)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.text, err)
		}
		b.Write(v)
	}
	return b.Bytes(), nil
}
