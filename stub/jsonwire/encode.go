// SPDX-License-Identifier: Apache-2.0

package jsonwire

import (
	"reflect"
	"strconv"
	"unicode/utf8"
)

// Append appends v, a struct of this package or a pointer to one, as a JSON object without white space.
func Append(dst []byte, v any) []byte {
	rv := reflect.ValueOf(v)
	if rv.Kind() == reflect.Pointer {
		rv = rv.Elem()
	}
	return appendObject(dst, planOf(rv.Type()), rv)
}

// AppendRequest appends the request of a command. args is the command's arguments.
func AppendRequest(dst []byte, name string, args any) []byte {
	dst = append(dst, `{"execute":`...)
	dst = appendString(dst, name)
	dst = append(dst, `,"arguments":`...)
	dst = Append(dst, args)
	return append(dst, '}')
}

// AppendReturn appends the reply to a command, with its line end. A result goes with every status but
// RetActHandleError, unless the command is mcd-qry-error-info; result is nil where none goes. id is the request's, as
// JSON, or nil.
func AppendReturn(dst []byte, c *Command, status ReturnStatus, result any, id []byte) []byte {
	dst = append(dst, `{"return":{`...)
	if !c.NoStatus {
		dst = append(dst, `"return-status":`...)
		dst = appendUint(dst, uint64(status))
		if result != nil {
			rv := reflect.ValueOf(result).Elem()
			dst = appendFields(dst, planOf(rv.Type()), rv, true)
		}
	}
	dst = append(dst, '}')
	return appendEnd(dst, id)
}

// AppendError appends the reply to what is no well-formed request, with its line end.
func AppendError(dst []byte, e *Error, id []byte) []byte {
	dst = append(dst, `{"error":{"class":`...)
	dst = appendString(dst, e.Class)
	dst = append(dst, `,"desc":`...)
	dst = appendString(dst, e.Desc)
	dst = append(dst, '}')
	return appendEnd(dst, id)
}

func appendEnd(dst, id []byte) []byte {
	if id != nil {
		dst = append(dst, `,"id":`...)
		for _, c := range id {
			if c != '\r' && c != '\n' { // between its parts, as strings hold none; a reply is one line
				dst = append(dst, c)
			}
		}
	}
	return append(dst, "}\r\n"...)
}

func appendObject(dst []byte, p *plan, v reflect.Value) []byte {
	dst = append(dst, '{')
	dst = appendFields(dst, p, v, false)
	return append(dst, '}')
}

// appendFields appends the keys of an object; more says that some are there already.
func appendFields(dst []byte, p *plan, v reflect.Value, more bool) []byte {
	for i := range p.fields {
		fp := &p.fields[i]
		f := v.Field(fp.index)
		if fp.optional && f.IsZero() {
			continue
		}
		if more {
			dst = append(dst, ',')
		}
		more = true
		dst = append(dst, fp.key...)
		dst = appendValue(dst, fp, f)
	}
	return dst
}

func appendValue(dst []byte, fp *fieldPlan, f reflect.Value) []byte {
	if fp.pointer {
		f = f.Elem()
	}
	switch fp.kind {
	case U8, U16, U32, U64:
		return appendUint(dst, f.Uint())
	case String:
		return appendString(dst, f.String())
	case Bool:
		return strconv.AppendBool(dst, f.Bool())
	case Object, Union:
		return appendObject(dst, fp.sub, f)
	case ByteArray:
		return appendBytes(dst, f.Bytes())
	}
	dst = append(dst, '[')
	for i := range f.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendValue(dst, fp.elem, f.Index(i))
	}
	return append(dst, ']')
}

func appendUint(dst []byte, v uint64) []byte {
	if v < 10 {
		return append(dst, '0'+byte(v))
	}
	return strconv.AppendUint(dst, v, 10)
}

// appendString appends s in quotes. What is not UTF-8 becomes U+FFFD, as a reply must be valid JSON.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(dst, s[start:i]...)
				dst = append(dst, "\uFFFD"...)
				start = i + 1
			}
			i += n
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			dst = append(dst, s[start:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			default:
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			start = i + 1
		}
		i++
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}
