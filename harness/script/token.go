// SPDX-License-Identifier: Apache-2.0

package script

import (
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"mcdtest/harness/transcript"
)

// token is a part of a line: bytes, a value that is computed, or a pattern.
type token struct {
	text    string // as written
	literal []byte
	value   *value
	pattern *pattern
}

// value is computed when the line is played.
type value struct {
	expr   expr
	format format
}

// format is how a number is written.
type format struct {
	kind  formatKind
	bytes int         // of raw; 0 for a word of the machine
	order orderOfSome // of raw
}

type formatKind uint8

const (
	plain formatKind = iota // a capture as it was captured, else decimal
	decimal
	hexadecimal
	raw // hex digits of the bytes, two a byte
)

type orderOfSome uint8

const (
	machineOrder orderOfSome = iota
	littleEndian
	bigEndian
)

// pattern stands for something that varies.
type pattern struct {
	name   string // of the capture, or ""
	kind   patternKind
	digits int            // of hexDigits; 0 for any number of them
	format format         // of number
	regexp *regexp.Regexp // of matching
	op     string         // comparison, or ""
	than   expr
}

type patternKind uint8

const (
	anything patternKind = iota // no '#' (in the packet dialect), no line break
	matching                    // likewise, and the expression matches all of it
	hexDigits
	number // decimal, or raw
)

// words are the names that patterns and formats have.
var words = map[string]format{
	"dec": {kind: decimal}, "hex": {kind: hexadecimal}, "num": {kind: decimal}, "word": {kind: raw},
	"u8": {raw, 1, machineOrder}, "u16": {raw, 2, machineOrder}, "u32": {raw, 4, machineOrder}, "u64": {raw, 8, machineOrder},
	"le16": {raw, 2, littleEndian}, "le32": {raw, 4, littleEndian}, "le64": {raw, 8, littleEndian},
	"be16": {raw, 2, bigEndian}, "be32": {raw, 4, bigEndian}, "be64": {raw, 8, bigEndian},
}

func reserved(name string) bool {
	_, ok := words[name]
	return ok
}

// elided is how the recordings abbreviate: `…{953 digits}` in packets, `"…15"` in arrays of JSON.
var elided = regexp.MustCompile(`^(?:…\{(\d+) digits\}|"…\d+")`)

// tokenize cuts the text of a line, which begins at the given column, into tokens.
func tokenize(text string, column int, expected bool) ([]token, error) {
	var tokens []token
	start := 0 // of the literal in progress
	var literal []byte
	flush := func(end int) {
		if len(literal) > 0 {
			tokens = append(tokens, token{text: text[start:end], literal: literal})
			literal = nil
		}
	}
	for i := 0; i < len(text); {
		if m := elided.FindStringSubmatch(text[i:]); m != nil {
			if !expected {
				return nil, fmt.Errorf("column %d: the line is abbreviated (%s), so it cannot be sent", column+i, m[0])
			}
			flush(i)
			p := &pattern{kind: anything}
			if m[1] != "" {
				p.kind = hexDigits
				p.digits, _ = strconv.Atoi(m[1])
			}
			tokens = append(tokens, token{text: m[0], pattern: p})
			i += len(m[0])
			start = i
			continue
		}
		if text[i] == '{' && i+1 < len(text) && opens(text[i+1]) {
			flush(i)
			t, err := parseBraces(text[i:], expected)
			if err != nil {
				return nil, fmt.Errorf("column %d: %w", column+i, err)
			}
			tokens = append(tokens, t)
			i += len(t.text)
			start = i
			continue
		}
		unit, size, err := transcript.UnescapeUnit(text[i:])
		if err != nil {
			e := err.(*transcript.Error)
			return nil, fmt.Errorf("column %d: %s", column+i+e.Column-1, e.Msg)
		}
		literal = append(literal, unit...)
		i += size
	}
	flush(len(text))
	return tokens, nil
}

func opens(c byte) bool {
	return c == '*' || c == '/' || isNameByte(c) && c != '.' && !('0' <= c && c <= '9')
}

// parseBraces reads the {…} that text begins with.
func parseBraces(text string, expected bool) (token, error) {
	var end int
	if i := strings.Index(text, "/"); i == 1 || i > 1 && isName(text[1:i-1]) && text[i-1] == '=' {
		// A regular expression may contain braces: it goes up to the first "/}".
		end = strings.Index(text[i+1:], "/}")
		if end < 0 {
			return token{}, errors.New("a regular expression ends in `/}`")
		}
		end += i + 3
	} else {
		end = strings.IndexByte(text, '}') + 1
		if end == 0 {
			return token{}, fmt.Errorf("no `}` behind %q; a brace that is data is written \\x7b", text)
		}
	}
	t := token{text: text[:end]}
	inside := text[1 : end-1]
	p, err := parsePattern(inside)
	switch {
	case err != nil:
		return t, fmt.Errorf("%s: %w", t.text, err)
	case p != nil && !expected:
		return t, fmt.Errorf("%s is a pattern: what is sent has to be exact", t.text)
	case p != nil:
		t.pattern = p
		return t, nil
	}
	v, err := parseValue(inside)
	if err != nil {
		return t, fmt.Errorf("%s: %w", t.text, err)
	}
	t.value = v
	return t, nil
}

// comparison finds an operator; "=" alone is not one, it names a capture.
var comparison = regexp.MustCompile(`>=|<=|!=|>|<`)

// parsePattern reads [NAME=] KIND [:COUNT] [OP EXPRESSION], or returns nil for what is no pattern.
func parsePattern(inside string) (*pattern, error) {
	p := new(pattern)
	body := inside
	if name, rest, ok := strings.Cut(inside, "="); ok && isName(name) {
		if reserved(name) {
			return nil, fmt.Errorf("%q is a word of the script language, not a name for a capture", name)
		}
		p.name, body = name, rest
	}
	if len(body) >= 2 && body[0] == '/' {
		re, err := regexp.Compile(`^(?:` + body[1:len(body)-1] + `)$`)
		if err != nil {
			return nil, err
		}
		p.kind, p.regexp = matching, re
		return p, nil
	}
	kind := body
	if at := comparison.FindStringIndex(body); at != nil {
		kind, p.op = strings.TrimSpace(body[:at[0]]), body[at[0]:at[1]]
		var err error
		if p.than, err = parseExpr(body[at[1]:]); err != nil {
			return nil, err
		}
	}
	word, count, counted := strings.Cut(kind, ":")
	f, known := words[word]
	switch {
	case word == "*" && !counted:
		p.kind = anything
	case word == "hex":
		p.kind = hexDigits
		if counted {
			n, err := strconv.Atoi(count)
			if err != nil || n < 1 {
				return nil, fmt.Errorf("%q is not a number of digits", count)
			}
			p.digits = n
		}
	case known && !counted && word != "dec":
		p.kind, p.format = number, f
	case p.name != "" || p.op != "":
		return nil, fmt.Errorf("%q is no pattern: there are *, /regexp/, hex, hex:N, num, word, u8, u16, u32, u64, le32, be32 and so on", kind)
	default:
		return nil, nil
	}
	if p.op != "" && p.kind != number {
		return nil, fmt.Errorf("only num, word, u32 and the like can be compared, not %s", kind)
	}
	return p, nil
}

// parseValue reads EXPRESSION, EXPRESSION:FORMAT or FORMAT:EXPRESSION.
func parseValue(inside string) (*value, error) {
	a, b, two := strings.Cut(inside, ":")
	v := new(value)
	var err error
	if !two {
		v.expr, err = parseExpr(inside)
		return v, err
	}
	if f, ok := words[a]; ok {
		v.format, a = f, b
	} else if f, ok := words[b]; ok {
		v.format = f
	} else {
		return nil, fmt.Errorf("neither %q nor %q is a format: there are dec, hex, word, u8, u16, u32, u64, le32, be32 and so on", a, b)
	}
	v.expr, err = parseExpr(a)
	return v, err
}

// size is the number of bytes of a raw format.
func (f format) size(e *Env) int {
	if f.bytes > 0 {
		return f.bytes
	}
	return e.WordBytes
}

func (f format) big(e *Env) bool {
	return f.order == bigEndian || f.order == machineOrder && e.ByteOrder == binary.BigEndian
}

// append writes a number.
func (f format) append(dst []byte, v uint64, e *Env) ([]byte, error) {
	switch f.kind {
	case plain, decimal:
		return strconv.AppendUint(dst, v, 10), nil
	case hexadecimal:
		return strconv.AppendUint(dst, v, 16), nil
	}
	n := f.size(e)
	if n < 8 && v>>(8*n) != 0 {
		return nil, fmt.Errorf("%#x does not fit %d bytes", v, n)
	}
	for i := range n {
		shift := 8 * i
		if f.big(e) {
			shift = 8 * (n - 1 - i)
		}
		dst = fmt.Appendf(dst, "%02x", byte(v>>shift))
	}
	return dst, nil
}

// parse reads a number.
func (f format) parse(digits string, e *Env) (uint64, error) {
	if f.kind == decimal {
		v, err := strconv.ParseUint(digits, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s is above 2^64-1", digits)
		}
		return v, nil
	}
	var v uint64
	n := len(digits) / 2
	for i := range n {
		k := n - 1 - i
		if f.big(e) {
			k = i
		}
		b, err := strconv.ParseUint(digits[2*k:2*k+2], 16, 8)
		if err != nil {
			return 0, err
		}
		v = v<<8 | b
	}
	return v, nil
}
