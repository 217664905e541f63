// SPDX-License-Identifier: Apache-2.0

package script

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"mcdtest/harness/rawclient"
	"mcdtest/harness/transcript"
)

// Update plays a script and returns its text with the expected lines as they should have been. Where an answer was the
// expected one its lines stay as they are. Where it differs, those of its parts that still fit stay, with their patterns
// and captures, and the rest becomes what was received. Where nothing was expected, what came is added.
//
// An answer that is not the expected one ends when it is as long as the protocol has it, or when nothing has come for
// Env.Settle. Mistakes in the script, and
// endpoints that cannot be reached, are errors, as in Play.
func Update(ctx context.Context, s *Script, env Env) ([]byte, error) {
	env.Substitutions = nil // they would be written into the file
	p := newPlayer(s, env)
	p.updating = true
	defer p.close()
	u := &rewriter{p: p, after: make(map[int][]string), deleted: make(map[int]bool), last: make(map[string]int)}
	for _, x := range s.exchanges {
		if err := p.settings(x); err != nil {
			return nil, err
		}
		if len(x.sends) > 0 {
			u.more(ctx)
		}
		err := p.send(ctx, x)
		if c := p.clients[p.current]; errors.Is(err, rawclient.ErrClosed) && u.last[p.current] > 0 {
			// The stub had closed the connection before: note that, and send on a new one.
			u.insert(ctx, c, p.current, u.last[p.current])
			err = p.send(ctx, x)
		}
		if err != nil {
			return nil, err
		}
		if len(x.expects) == 0 {
			u.add(ctx, x)
			continue
		}
		expect := p.expect
		if x.until > 0 {
			expect = p.repeat
		}
		a, err := expect(ctx, x)
		var mismatch *Mismatch
		switch {
		case errors.As(err, &mismatch):
			u.replace(x, a)
		case err != nil:
			return nil, err
		default:
			u.last[p.current] = x.expects[len(x.expects)-1].number
		}
	}
	u.rest(ctx)
	return u.text(), nil
}

// rewriter collects the changes of the lines of a file.
type rewriter struct {
	p       *player
	after   map[int][]string // lines to insert behind the line with this number
	deleted map[int]bool
	last    map[string]int // by client, the line behind which anything more that comes is to be inserted
}

func (u *rewriter) text() []byte {
	var b bytes.Buffer
	for i, l := range u.p.script.text {
		if !u.deleted[i+1] {
			b.WriteString(l)
			b.WriteByte('\n')
		}
		for _, l := range u.after[i+1] {
			b.WriteString(l)
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// add adds the answer to an exchange that expects none.
func (u *rewriter) add(ctx context.Context, x *exchange) {
	c := u.p.clients[u.p.current]
	if c == nil || len(x.sends) == 0 {
		return
	}
	u.insert(ctx, c, u.p.current, x.sends[len(x.sends)-1].number)
}

// more adds what came behind the expected answer and no later line expects.
func (u *rewriter) more(ctx context.Context) {
	if c := u.p.clients[u.p.current]; c != nil && len(c.Pending()) > 0 {
		u.insert(ctx, c, u.p.current, u.last[u.p.current])
	}
}

// rest adds what comes behind the end of the script.
func (u *rewriter) rest(ctx context.Context) {
	for name, c := range u.p.clients {
		if number := u.last[name]; number > 0 {
			u.insert(ctx, c, name, number)
		}
	}
}

// insert receives until nothing more comes, and adds that behind a line.
func (u *rewriter) insert(ctx context.Context, c *rawclient.Client, name string, number int) {
	closed := u.p.takeIn(ctx, c, new(exchange))
	u.p.due = tally{}
	var lines []string
	for _, l := range u.p.lines(c.Pending()) {
		lines = append(lines, "< "+l)
	}
	c.Skip(len(c.Pending()))
	if closed != nil {
		c.Close()
		delete(u.p.clients, name)
		lines = append(lines, "< EOF")
	}
	u.after[number] = append(u.after[number], lines...)
	u.last[name] = number
}

// replace replaces the expected lines of an exchange from the one on that differed.
func (u *rewriter) replace(x *exchange, a *answer) {
	old := x.expects[a.first:]
	for _, l := range old {
		u.deleted[l.number] = true
	}
	var lines []string
	for _, text := range u.p.rewrite(old, a.data) {
		lines = append(lines, "< "+text)
	}
	if a.closed {
		lines = append(lines, "< EOF")
	}
	if len(lines) == 0 {
		lines = []string{"# " + transcript.NoAnswer}
	}
	u.after[old[0].number] = lines
	u.last[u.p.current] = old[0].number
}

// rewrite is data as lines that keep what they can of the old ones.
func (p *player) rewrite(old []line, data []byte) []string {
	if p.script.json {
		var lines []string
		for i, part := range p.script.cut(data) {
			var tokens []token
			if i < len(old) {
				tokens = old[i].tokens
			}
			lines = append(lines, p.keep(tokens, part, nil)...)
		}
		return lines
	}
	var tokens []token
	for _, l := range old {
		tokens = append(tokens, l.tokens...)
	}
	var ends []int
	end := 0
	for _, part := range p.script.cut(data) {
		end += len(part)
		ends = append(ends, end)
	}
	return p.keep(tokens, data, ends)
}

// piece is a part of a line, and of the bytes that it stands for.
type piece struct {
	text string
	size int
}

// keep writes data with those of the tokens that fit it, as lines that end at the given ends.
func (p *player) keep(tokens []token, data []byte, ends []int) []string {
	lines := join(p.align(split(tokens), splitBytes(data)), ends)
	// The captures are what they will be when the new text is played.
	var again []token
	for _, l := range lines {
		t, _ := tokenize(l, 1, true) // made of tokens and of escaped data
		again = append(again, t...)
	}
	if m, _, v := p.match(again, data, true); v == matched {
		p.captures = m.captures
	}
	return lines
}

func join(pieces []piece, ends []int) []string {
	var lines []string
	var b strings.Builder
	pos := 0
	for _, part := range pieces {
		b.WriteString(part.text)
		pos += part.size
		if slices.Contains(ends, pos) {
			lines = append(lines, b.String())
			b.Reset()
		}
	}
	if b.Len() > 0 {
		lines = append(lines, b.String())
	}
	return lines
}

// Costs of what can become of a segment when an answer is aligned with the old text.
const (
	costReplace = 2 // an old segment by a new one, or half of that if they begin with the same key
	costInsert  = 3 // a new segment that replaces none
	costDrop    = 3 // an old segment that is replaced by none
	maxAlign    = 1 << 20
)

// way is the cheapest way to a place of the alignment: so many old segments used, so many new ones.
type way struct {
	cost     int
	reached  bool
	captures map[string]capture
	from     [2]int
	kept     bool
}

// align finds the cheapest way to make the data of the old text. A segment that is kept may stand for several of the data.
func (p *player) align(old [][]token, data [][]byte) []piece {
	if len(old)*len(data) > maxAlign {
		old = nil
	}
	saved := p.captures
	defer func() { p.captures = saved }()
	ways := make([][]way, len(old)+1)
	for i := range ways {
		ways[i] = make([]way, len(data)+1)
	}
	ways[0][0] = way{reached: true, captures: saved}
	for i := range ways {
		for k := range ways[i] {
			here := &ways[i][k]
			if !here.reached {
				continue
			}
			step := func(i2, k2, cost int, kept bool, captures map[string]capture) {
				there := &ways[i2][k2]
				if cost += here.cost; !there.reached || cost < there.cost {
					*there = way{cost, true, captures, [2]int{i, k}, kept}
				}
			}
			if i < len(old) {
				var run []byte
				for n, part := range data[k:] {
					run = append(run, part...)
					p.captures = here.captures
					if m, _, v := p.match(old[i], run, true); v == matched {
						step(i+1, k+n+1, 0, true, m.captures)
					}
					if !wide(old[i]) {
						break
					}
				}
				step(i+1, k, costDrop, false, here.captures)
			}
			if k < len(data) {
				step(i, k+1, costInsert, false, here.captures)
				if i < len(old) {
					cost := costReplace
					if sameKey(old[i], data[k]) {
						cost /= 2
					}
					step(i+1, k+1, cost, false, here.captures)
				}
			}
		}
	}
	var pieces []piece
	for i, k := len(old), len(data); i > 0 || k > 0; {
		w := ways[i][k]
		part := bytes.Join(data[w.from[1]:k], nil)
		text := transcript.Escape(part)
		if w.kept {
			text = ""
			for _, t := range old[i-1] {
				text += t.text
			}
		}
		pieces = append(pieces, piece{text, len(part)})
		i, k = w.from[0], w.from[1]
	}
	slices.Reverse(pieces)
	return pieces
}

// sameKey reports whether both are values of the same field.
func sameKey(tokens []token, data []byte) bool {
	key, _, ok := bytes.Cut(data, []byte("="))
	return ok && bytes.HasPrefix(tokens[0].literal, append(key[:len(key):len(key)], '='))
}

// wide reports whether a segment may stand for several of the data.
func wide(tokens []token) bool {
	return slices.ContainsFunc(tokens, func(t token) bool {
		return t.pattern != nil && (t.pattern.kind == anything || t.pattern.kind == matching)
	})
}

// delimiters end a segment.
const delimiters = "+$#|~.;!,:\n"

// split cuts tokens into segments that end with a delimiter.
func split(tokens []token) [][]token {
	var segments [][]token
	var current []token
	for _, t := range tokens {
		if t.literal == nil {
			current = append(current, t)
			continue
		}
		for _, part := range splitBytes(t.literal) {
			current = append(current, token{text: transcript.Escape(part), literal: part})
			if strings.IndexByte(delimiters, part[len(part)-1]) >= 0 {
				segments = append(segments, current)
				current = nil
			}
		}
	}
	if current != nil {
		segments = append(segments, current)
	}
	return segments
}

func splitBytes(data []byte) [][]byte {
	var parts [][]byte
	for len(data) > 0 {
		i := bytes.IndexAny(data, delimiters)
		if i < 0 {
			return append(parts, data)
		}
		parts = append(parts, data[:i+1])
		data = data[i+1:]
	}
	return parts
}
