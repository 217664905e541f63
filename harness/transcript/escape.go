// SPDX-License-Identifier: Apache-2.0

package transcript

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxData bounds what one line may unescape to: a run is a few characters that can ask for any amount of memory.
const maxData = 64 << 20

// runWidth is the width from which equal bytes are written as a run: below it they are read more easily as they are.
const runWidth = 32

// Escape is the text that stands for data in a transcript.
func Escape(data []byte) string { return string(AppendEscaped(nil, data)) }

// AppendEscaped appends the text that stands for data to b.
func AppendEscaped(b, data []byte) []byte {
	for i := 0; i < len(data); {
		c := data[i]
		if c >= utf8.RuneSelf {
			if r, size := utf8.DecodeRune(data[i:]); size > 1 && unicode.IsPrint(r) {
				b = append(b, data[i:i+size]...)
				i += size
				continue
			}
		}
		n := 1
		for i+n < len(data) && data[i+n] == c {
			n++
		}
		start := len(b)
		b = appendByte(b, data, i)
		unit := len(b) - start
		if n*unit > runWidth && n > 1 {
			// An escaped '{' may be needed only in front of the last of the run; as a run it is always escaped.
			if c == '{' {
				b = append(b[:start], `\x7b`...)
			}
			b = append(b, '{')
			b = strconv.AppendInt(b, int64(n), 10)
			b = append(b, '}')
			i += n
			continue
		}
		for k := 1; k < n; k++ {
			b = appendByte(b, data, i+k)
		}
		i += n
	}
	return b
}

// appendByte appends data[i], escaped if it could be read as anything else where it stands.
func appendByte(b, data []byte, i int) []byte {
	switch c := data[i]; {
	case c == '\n':
		return append(b, `\n`...)
	case c == '\r':
		return append(b, `\r`...)
	case c == '\t':
		return append(b, `\t`...)
	case c == '\\':
		return append(b, `\\`...)
	case c < ' ' || c >= 0x7f, c == ' ' && i == len(data)-1, c == '{' && opensSomething(data[i:]):
		return fmt.Appendf(b, `\x%02x`, c)
	default:
		return append(b, c)
	}
}

// opensSomething reports whether the '{' that data begins with would begin a run or, in a script, a substitution.
func opensSomething(data []byte) bool {
	if len(data) < 2 {
		return false
	}
	c := data[1]
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '*' || c == '_' || c == '/' || runLength(data) > 0
}

// Unescape is the data that a text stands for. Its errors are of type *Error; the column counts within the text.
func Unescape(text string) ([]byte, error) {
	var data []byte
	for i := 0; i < len(text); {
		if runLength(text[i:]) > 0 {
			return nil, &Error{Column: i + 1, Msg: "a run {N} needs the byte that is repeated in front of it"}
		}
		unit, size, err := UnescapeUnit(text[i:])
		if err != nil {
			err.(*Error).Column += i
			return nil, err
		}
		if len(data)+len(unit) > maxData {
			return nil, &Error{Column: i + 1, Msg: fmt.Sprintf("more than %d bytes in one line", maxData)}
		}
		data = append(data, unit...)
		i += size
	}
	return data, nil
}

// UnescapeUnit reads the first byte or character of text, which must not be empty, with the run behind it if there is
// one, and says how much of text that was.
func UnescapeUnit(text string) (data []byte, size int, err error) {
	switch {
	case text[0] == '\\':
		c, n, err := unescapeByte(text)
		if err != nil {
			return nil, 0, err
		}
		data, size = []byte{c}, n
	default:
		// Invalid UTF-8 has size 1, so such bytes stand for themselves.
		_, size = utf8.DecodeRuneInString(text)
		data = []byte(text[:size])
	}
	run := runLength(text[size:])
	if run == 0 {
		return data, size, nil
	}
	n, err := strconv.Atoi(text[size+1 : size+run-1])
	if err != nil || n < 1 || n > maxData/len(data) {
		return nil, 0, &Error{Column: size + 1, Msg: fmt.Sprintf("a run {N} is of 1 to %d bytes; a '{' that is data is written \\x7b", maxData)}
	}
	return bytes.Repeat(data, n), size + run, nil
}

// runLength is the length of the {N} that text begins with, or 0.
func runLength[T string | []byte](text T) int {
	if len(text) < 3 || text[0] != '{' {
		return 0
	}
	i := 1
	for i < len(text) && '0' <= text[i] && text[i] <= '9' {
		i++
	}
	if i == 1 || i == len(text) || text[i] != '}' {
		return 0
	}
	return i + 1
}

func unescapeByte(text string) (c byte, size int, err error) {
	if len(text) > 1 {
		switch text[1] {
		case 'n':
			return '\n', 2, nil
		case 'r':
			return '\r', 2, nil
		case 't':
			return '\t', 2, nil
		case '\\':
			return '\\', 2, nil
		case 'x':
			if len(text) >= 4 {
				if v, err := strconv.ParseUint(text[2:4], 16, 8); err == nil {
					return byte(v), 4, nil
				}
			}
		}
	}
	return 0, 0, &Error{Column: 1, Msg: `an escape is \xNN with two hex digits, \n, \r, \t or \\`}
}

// printable is text of a comment without what would disturb a terminal or the lines of the file.
func printable(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) && r != '\t' }) < 0 {
		return strings.TrimRight(text, " \t")
	}
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case !unicode.IsPrint(r) && r != '\t':
			if r != '\r' {
				fmt.Fprintf(&b, `\x%02x`, r)
			}
		default:
			b.WriteRune(r)
		}
	}
	return strings.TrimRight(b.String(), " \t")
}
