// SPDX-License-Identifier: Apache-2.0

package script

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// expr is a sum of products of names and numbers, modulo 2^64.
type expr struct {
	text  string
	terms []term
}

type term struct {
	negative bool
	factors  []factor
}

type factor struct {
	name   string // or
	number uint64
}

func parseExpr(text string) (expr, error) {
	e := expr{text: text}
	rest := strings.TrimSpace(text)
	if rest == "" {
		return e, errors.New("an expression is missing")
	}
	negative := false
	for {
		t := term{negative: negative}
		for {
			f, after, err := parseFactor(rest)
			if err != nil {
				return e, fmt.Errorf("%q is not an expression of names, numbers, +, - and *: %w", text, err)
			}
			t.factors = append(t.factors, f)
			rest = after
			if !strings.HasPrefix(rest, "*") {
				break
			}
			rest = strings.TrimSpace(rest[1:])
		}
		e.terms = append(e.terms, t)
		switch {
		case rest == "":
			return e, nil
		case rest[0] == '+', rest[0] == '-':
			negative = rest[0] == '-'
			rest = strings.TrimSpace(rest[1:])
		default:
			return e, fmt.Errorf("%q is not an expression of names, numbers, +, - and *: %q is too much", text, rest)
		}
	}
}

func parseFactor(text string) (f factor, rest string, err error) {
	end := 0
	for end < len(text) && isNameByte(text[end]) {
		end++
	}
	word := text[:end]
	rest = strings.TrimSpace(text[end:])
	switch {
	case word == "":
		return f, "", errors.New("a name or a number is missing")
	case isName(word):
		if reserved(word) {
			return f, "", fmt.Errorf("%q is a word of the script language", word)
		}
		f.name = word
		return f, rest, nil
	}
	f.number, err = strconv.ParseUint(word, 0, 64)
	if err != nil {
		return f, "", fmt.Errorf("%q is not a number", word)
	}
	return f, rest, nil
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '.'
}

func isName(s string) bool {
	if s == "" || '0' <= s[0] && s[0] <= '9' {
		return false
	}
	for i := range len(s) {
		if !isNameByte(s[i]) {
			return false
		}
	}
	return true
}

// eval computes an expression: names are captures, then symbols.
func (p *player) eval(e expr, captures map[string]capture) (uint64, error) {
	var sum uint64
	for _, t := range e.terms {
		product := uint64(1)
		for _, f := range t.factors {
			v := f.number
			if f.name != "" {
				var err error
				if v, err = p.lookup(f.name, captures); err != nil {
					return 0, err
				}
			}
			product *= v
		}
		if t.negative {
			product = -product
		}
		sum += product
	}
	return sum, nil
}

func (p *player) lookup(name string, captures map[string]capture) (uint64, error) {
	if c, ok := captures[name]; ok {
		if !c.numeric {
			return 0, fmt.Errorf("%s was captured as the text %q; capture it with num, u32 or the like to compute with it", name, c.text)
		}
		return c.number, nil
	}
	if p.env.Symbols == nil {
		return 0, fmt.Errorf("no capture %q, and no symbols are known", name)
	}
	v, err := p.env.Symbols(name)
	if err != nil {
		return 0, fmt.Errorf("no capture %q, nor a symbol: %w", name, err)
	}
	return v, nil
}
