// SPDX-License-Identifier: Apache-2.0

package script

import (
	"fmt"
	"strings"
	"time"

	"mcdtest/harness/transcript"
)

// Substitution is a declared difference between a recording and the endpoint that it is played against. One that
// nothing in the recording is changed by is an error: differences are not to be declared for good measure.
type Substitution struct {
	// Sent restricts it to answers to this line, as the recording has it, NUL padding left out; "" for every answer.
	Sent string
	// Nth restricts it further, to the Nth time that the line is sent, from 1; 0 for every time.
	Nth int
	// Old is replaced by New in the text of expected lines; New may hold patterns. With an empty Old the whole answer
	// is replaced: by New, by silence if New is NoAnswer, or, if New is empty too, by itself.
	Old, New string
	// Until repeats the exchange until the answer comes, as the directive does.
	Until time.Duration
	// Why is the reason, for messages.
	Why string
}

// NoAnswer as New of a Substitution is silence.
const NoAnswer = transcript.NoAnswer

type substitutions struct {
	list []Substitution
	used []bool
}

// substitute returns the script with the substitutions of the Env.
func (e *Env) substitute(s *Script) (*Script, error) {
	if len(e.Substitutions) == 0 {
		return s, nil
	}
	subst := &substitutions{list: e.Substitutions, used: make([]bool, len(e.Substitutions))}
	return parse(s.Name, strings.NewReader(strings.Join(s.text, "\n")), subst)
}

func (r *substitutions) apply(s *Script) error {
	seen := make(map[string]int)
	for _, x := range s.exchanges {
		if len(x.sends) == 0 {
			continue
		}
		sent := x.sends[len(x.sends)-1].text
		if i := strings.Index(sent, `\x00{`); i >= 0 {
			sent = sent[:i]
		}
		seen[sent]++
		for k, sub := range r.list {
			if sub.Sent != "" && sub.Sent != sent || sub.Nth != 0 && sub.Nth != seen[sent] {
				continue
			}
			if err := r.change(s, x, k); err != nil {
				return err
			}
		}
	}
	for k, used := range r.used {
		if !used {
			return fmt.Errorf("%s: the substitution of %q by %q for %q (%s) changes nothing", s.Name, r.list[k].Old, r.list[k].New, r.list[k].Sent, r.list[k].Why)
		}
	}
	return nil
}

func (r *substitutions) change(s *Script, x *exchange, k int) error {
	sub := r.list[k]
	if sub.Until > 0 && len(x.expects) > 0 {
		x.until = sub.Until
		r.used[k] = true
	}
	if sub.Old == "" {
		if sub.New == "" {
			return nil
		}
		number := x.sends[len(x.sends)-1].number
		if len(x.expects) > 0 {
			number = x.expects[0].number
		}
		l := line{number: number, kind: transcript.Received, text: sub.New}
		if sub.New == NoAnswer {
			l.kind, l.text = transcript.Silence, ""
		}
		x.expects = []line{l}
		r.used[k] = true
		return r.tokenize(s, &x.expects[0])
	}
	for i := range x.expects {
		l := &x.expects[i]
		if l.kind != transcript.Received || !strings.Contains(l.text, sub.Old) {
			continue
		}
		l.text = strings.ReplaceAll(l.text, sub.Old, sub.New)
		r.used[k] = true
		if err := r.tokenize(s, l); err != nil {
			return err
		}
	}
	return nil
}

func (r *substitutions) tokenize(s *Script, l *line) (err error) {
	if l.kind != transcript.Received {
		return nil
	}
	if l.tokens, err = tokenize(l.text, 3, true); err != nil {
		return mistake(s.Name, l.number, fmt.Errorf("after substitutions: %w", err))
	}
	return nil
}
