// SPDX-License-Identifier: Apache-2.0

package jsonwire

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Classes of errors, as in QMP.
const (
	GenericError    = "GenericError"
	CommandNotFound = "CommandNotFound"
)

// Error is why something is not a well-formed request or reply; a server answers it as {"error": …}.
type Error struct {
	Class string `json:"class"`
	Desc  string `json:"desc"`
}

func (e *Error) Error() string { return e.Class + ": " + e.Desc }

func generic(format string, args ...any) *Error {
	return &Error{Class: GenericError, Desc: fmt.Sprintf(format, args...)}
}

// Request is what a request consists of.
type Request struct {
	Command   *Command
	Arguments []byte // the object as it was sent, nil if there was none
	ID        []byte // the value of "id" as it was sent, nil if there was none; a reply repeats it
}

// ParseRequest takes one object of the stream apart. Name and arguments are not looked at any further than that the
// command exists; the error is an *Error. r.ID is valid also with an error.
func ParseRequest(obj []byte, r *Request) error {
	*r = Request{}
	err := r.parse(obj)
	if err != nil && r.Arguments != nil {
		// The arguments were skipped by their brackets. An object that is not JSON at all is reported as that.
		d := decoder{b: r.Arguments}
		if bad := d.skip(1); bad != nil {
			return bad
		}
	}
	return err
}

func (r *Request) parse(obj []byte) error {
	d := decoder{b: obj}
	if d.peek() != '{' {
		if d.i < len(d.b) {
			return generic("QMP input must be a JSON object")
		}
		return d.syntax("expecting a value")
	}
	var name []byte
	named := false
	for done := d.open("{}"); !done; {
		key, err := d.key()
		if err != nil {
			return err
		}
		again := false
		switch string(key) {
		case "execute":
			if again = named; again {
				break
			}
			if d.peek() != '"' {
				return generic("QMP input member 'execute' must be a string")
			}
			if name, err = d.text(); err != nil {
				return err
			}
			named = true
		case "arguments":
			if again = r.Arguments != nil; again {
				break
			}
			if d.peek() != '{' {
				return generic("QMP input member 'arguments' must be an object")
			}
			if r.Arguments, err = d.passed((*decoder).skipStructure); err != nil {
				return err
			}
		case "id":
			if again = r.ID != nil; again {
				break
			}
			if r.ID, err = d.passed((*decoder).skipOne); err != nil {
				return err
			}
		default:
			return generic("QMP input member '%s' is unexpected", Cut(string(key), 64))
		}
		if again {
			return generic("JSON parse error, duplicate key '%s'", key)
		}
		if done, err = d.next('}'); err != nil {
			return err
		}
	}
	if err := d.end(); err != nil {
		return err
	}
	if !named {
		return generic("QMP input lacks member 'execute'")
	}
	if r.Command = byName[string(name)]; r.Command == nil {
		return &Error{CommandNotFound, fmt.Sprintf("The command %s has not been found", Cut(string(name), 64))}
	}
	return nil
}

// DecodeArgs fills args, a pointer as NewArgs makes it, from the request's arguments. Slices in args are used again.
// The error is an *Error.
func (r *Request) DecodeArgs(args any) error {
	text := r.Arguments
	if text == nil {
		text = []byte("{}")
	}
	return Decode(text, args)
}

// Decode fills v, a pointer to a struct of this package, from a JSON object. Every key must be there, unless it is
// optional, and no other. The error is an *Error.
func Decode(text []byte, v any) error { return decode(text, v, false) }

func decode(text []byte, v any, loose bool) error {
	d := decoder{b: text, loose: loose}
	rv := reflect.ValueOf(v).Elem()
	if err := d.object(planOf(rv.Type()), rv); err != nil {
		return d.named(err)
	}
	return d.end()
}

// Reply is what a reply consists of.
type Reply struct {
	Return []byte // the object as it was sent, nil if this is an error
	Error  *Error // nil if this is no error
	ID     []byte
	Other  string // name of a key that is neither, for example "event" or "QMP"
}

// ParseReply takes one object of a server's stream apart.
func ParseReply(obj []byte, r *Reply) error {
	*r = Reply{}
	d := decoder{b: obj}
	if d.peek() != '{' {
		return d.syntax("expecting an object")
	}
	for done := d.open("{}"); !done; {
		key, err := d.key()
		if err != nil {
			return err
		}
		switch string(key) {
		case "return":
			if d.peek() != '{' {
				return generic("'return' is not an object")
			}
			r.Return, err = d.passed((*decoder).skipStructure)
		case "error":
			var text []byte
			if text, err = d.passed((*decoder).skipOne); err == nil {
				r.Error = new(Error)
				err = decode(text, r.Error, true)
			}
		case "id":
			r.ID, err = d.passed((*decoder).skipOne)
		default:
			r.Other = string(key)
			err = d.skip(0)
		}
		if err != nil {
			return err
		}
		if done, err = d.next('}'); err != nil {
			return err
		}
	}
	return d.end()
}

// DecodeReturn fills result, a pointer as NewResult makes it, from the value of "return", and gives its return-status.
// With RetActHandleError and RetActAgain the result is absent and left alone, unless the command is mcd-qry-error-info. Keys that are
// not in the table are passed over.
func (c *Command) DecodeReturn(text []byte, result any) (ReturnStatus, error) {
	info, always := result.(*ErrorInfo)
	d := decoder{b: text, loose: true, reply: !c.NoStatus, always: always}
	rv := reflect.ValueOf(result).Elem()
	err := d.object(planOf(rv.Type()), rv)
	if err != nil {
		return 0, d.named(err)
	}
	if always {
		info.Status = d.status
	}
	return d.status, d.end()
}

type decoder struct {
	b     []byte
	i     int
	loose bool // pass unknown keys over

	// A reply has a return-status beside the keys of the result, which are there always or only if it is no failure.
	reply, always bool
	status        ReturnStatus

	way   [maxWay]step // to the parameter that is being read
	depth int
}

// maxWay is more than the objects of the dialect are nested.
const maxWay = 8

func (d *decoder) syntax(what string) error {
	if d.i >= len(d.b) {
		return generic("JSON parse error, %s at the end of the input", what)
	}
	return generic("JSON parse error, %s at byte %d", what, d.i)
}

// typeError is for a value of another type than wanted, on which the decoder stands; named completes it.
func (d *decoder) typeError(k Kind) error { return &typeError{k} }

type typeError struct{ want Kind }

func (e *typeError) Error() string { return "expected: " + e.want.String() }

type rangeError struct{ want Kind }

func (e *rangeError) Error() string { return "expects " + e.want.String() }

func (d *decoder) space() {
	for d.i < len(d.b) {
		switch d.b[d.i] {
		case ' ', '\t', '\r', '\n':
			d.i++
		default:
			return
		}
	}
}

// peek gives the next byte that is not white space, 0 at the end.
func (d *decoder) peek() byte {
	if d.i < len(d.b) && d.b[d.i] > ' ' {
		return d.b[d.i]
	}
	d.space()
	if d.i < len(d.b) {
		return d.b[d.i]
	}
	return 0
}

func (d *decoder) take(c byte) bool {
	if d.peek() != c || d.i >= len(d.b) {
		return false
	}
	d.i++
	return true
}

func (d *decoder) end() error {
	d.space()
	if d.i < len(d.b) {
		return d.syntax("unexpected text")
	}
	return nil
}

// open reads the opening one of a pair of brackets, and the closing one if nothing is between them.
func (d *decoder) open(pair string) (done bool) {
	if !d.take(pair[0]) {
		return false
	}
	return d.take(pair[1])
}

// passed gives the text that skip passes over.
func (d *decoder) passed(skip func(*decoder) error) ([]byte, error) {
	d.space()
	start := d.i
	if err := skip(d); err != nil {
		return nil, err
	}
	return d.b[start:d.i], nil
}

// key reads a key and the colon behind it.
func (d *decoder) key() ([]byte, error) {
	if d.peek() != '"' {
		return nil, d.syntax("expecting a key in quotes")
	}
	key, err := d.text()
	if err == nil && !d.take(':') {
		err = d.syntax("expecting ':'")
	}
	return key, err
}

// text reads a string; mostly it lies in the input as it is.
func (d *decoder) text() ([]byte, error) {
	raw, plain, err := d.raw()
	if err != nil || plain {
		return raw, err
	}
	return unquote(raw)
}

// next reads what follows an element: a comma, or the bracket that ends them.
func (d *decoder) next(end byte) (done bool, err error) {
	switch {
	case d.take(','):
		return false, nil
	case d.take(end):
		return true, nil
	}
	return false, d.syntax(fmt.Sprintf("expecting ',' or '%c'", end))
}

// step is one part of the way to the parameter that is being read: a key, or an index into a list.
type step struct {
	field *fieldPlan
	index int
}

func (d *decoder) push(s step) {
	d.way[d.depth] = s
	d.depth++
}

// at names a parameter in error messages: "txlist.tx[0].data". key is one more part, or empty.
func (d *decoder) at(key string) string {
	var s strings.Builder
	for _, st := range d.way[:d.depth] {
		if st.field == nil {
			fmt.Fprintf(&s, "[%d]", st.index)
			continue
		}
		if s.Len() > 0 {
			s.WriteByte('.')
		}
		s.WriteString(st.field.name)
	}
	if key != "" && s.Len() > 0 {
		s.WriteByte('.')
	}
	s.WriteString(key)
	return s.String()
}

func (d *decoder) object(p *plan, v reflect.Value) error {
	if d.peek() != '{' {
		return d.typeError(Object)
	}
	reply := d.reply && d.depth == 0
	hasStatus := false
	var seen uint64
	next := 0 // keys mostly come in the order of the fields
	for done := d.open("{}"); !done; {
		key, err := d.key()
		if err != nil {
			return err
		}
		n := p.find(key, next)
		switch {
		case n >= 0:
			fp := &p.fields[n]
			if seen&(1<<n) != 0 {
				return generic("JSON parse error, duplicate key '%s'", d.at(fp.name))
			}
			seen |= 1 << n
			next = n + 1
			d.push(step{field: fp})
			if err := d.value(fp, v.Field(fp.index)); err != nil {
				return err
			}
			d.depth--
		case reply && string(key) == returnStatus.name:
			d.push(step{field: &returnStatus})
			status, err := d.uint(U32)
			if err != nil {
				return err
			}
			d.depth--
			d.status, hasStatus = ReturnStatus(status), true
		case d.loose:
			if err := d.skip(0); err != nil {
				return err
			}
		default:
			return generic("Parameter '%s' is unexpected", d.at(Cut(string(key), 64)))
		}
		if done, err = d.next('}'); err != nil {
			return err
		}
	}
	if reply {
		if !hasStatus {
			return generic("Parameter '%s' is missing", returnStatus.name)
		}
		if (d.status == RetActHandleError || d.status == RetActAgain) && !d.always {
			return nil
		}
	}
	for n := range p.fields {
		fp := &p.fields[n]
		if seen&(1<<n) != 0 {
			continue
		}
		if !fp.optional {
			return generic("Parameter '%s' is missing", d.at(fp.name))
		}
		v.Field(fp.index).SetZero()
	}
	if p.union && (seen == 0 || seen&(seen-1) != 0) {
		var names []string
		for _, fp := range p.fields {
			names = append(names, "'"+fp.name+"'")
		}
		return generic("Parameter '%s' takes exactly one of %s", d.at(""), strings.Join(names, ", "))
	}
	return nil
}

// returnStatus is the key that every reply has, whatever the result.
var returnStatus = fieldPlan{name: "return-status", kind: U32}

func (p *plan) find(key []byte, next int) int {
	if next < len(p.fields) && p.fields[next].name == string(key) {
		return next
	}
	for n := range p.fields {
		if p.fields[n].name == string(key) {
			return n
		}
	}
	return -1
}

// named gives a type or range error the name of its parameter. A value that is no JSON is reported as that.
func (d *decoder) named(err error) error {
	switch e := err.(type) {
	case *typeError:
		if bad := d.skip(0); bad != nil {
			return bad
		}
		return generic("Invalid parameter type for '%s', expected: %s", d.at(""), e.want)
	case *rangeError:
		return generic("Parameter '%s' expects %s", d.at(""), e.want)
	}
	return err
}

func (d *decoder) value(fp *fieldPlan, v reflect.Value) error {
	if fp.pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch fp.kind {
	case U8, U16, U32, U64:
		n, err := d.uint(fp.kind)
		if err == nil {
			v.SetUint(n)
		}
		return err
	case String:
		if d.peek() != '"' {
			return d.typeError(String)
		}
		s, err := d.string()
		if err == nil {
			v.SetString(s)
		}
		return err
	case Bool:
		d.peek()
		switch rest := d.b[d.i:]; {
		case bytes.HasPrefix(rest, []byte("true")):
			d.i += 4
			v.SetBool(true)
		case bytes.HasPrefix(rest, []byte("false")):
			d.i += 5
			v.SetBool(false)
		default:
			return d.typeError(Bool)
		}
		return nil
	case Object, Union:
		return d.object(fp.sub, v)
	case ByteArray:
		data, err := d.bytes(v.Bytes()[:0])
		v.SetBytes(data)
		return err
	}
	return d.list(fp.elem, v)
}

func (d *decoder) list(elem *fieldPlan, v reflect.Value) error {
	if !d.take('[') {
		return d.typeError(List)
	}
	v.SetLen(0)
	if d.take(']') {
		if v.IsNil() {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
		return nil
	}
	for n := 0; ; n++ {
		// What is beyond the length comes from an earlier request: its own slices are used again, too.
		v.Grow(1)
		v.SetLen(n + 1)
		d.push(step{index: n})
		if err := d.value(elem, v.Index(n)); err != nil {
			return err
		}
		d.depth--
		if done, err := d.next(']'); done || err != nil {
			return err
		}
	}
}

// uint reads an unsigned number: digits, no sign, no fraction, no exponent.
func (d *decoder) uint(k Kind) (uint64, error) {
	c := d.peek()
	if c < '0' || c > '9' {
		if c == '-' {
			start := d.i
			err := d.number()
			if err != nil {
				return 0, err
			}
			if !bytes.ContainsAny(d.b[start:d.i], ".eE") {
				return 0, &rangeError{k}
			}
			d.i = start
		}
		return 0, d.typeError(k)
	}
	start := d.i
	var n uint64
	over := false
	for d.i < len(d.b) && d.b[d.i]-'0' <= 9 {
		digit := uint64(d.b[d.i] - '0')
		if n > (math.MaxUint64-digit)/10 {
			over = true
		}
		n = n*10 + digit
		d.i++
	}
	if d.i < len(d.b) && (d.b[d.i] == '.' || d.b[d.i]|0x20 == 'e') {
		d.i = start
		return 0, d.typeError(k)
	}
	if c == '0' && d.i-start > 1 {
		d.i = start + 1
		return 0, d.syntax("unexpected digit behind 0")
	}
	if over || n > k.Max() {
		return 0, &rangeError{k}
	}
	return n, nil
}

// raw reads a string and gives what is between the quotes; plain says that it holds no escapes.
func (d *decoder) raw() (raw []byte, plain bool, err error) {
	d.i++
	start := d.i
	plain = true
	ascii := true
	for d.i < len(d.b) {
		switch c := d.b[d.i]; {
		case c == '"':
			raw = d.b[start:d.i]
			d.i++
			if !ascii && !utf8.Valid(raw) {
				return nil, false, generic("JSON parse error, invalid UTF-8 sequence in string at byte %d", start)
			}
			return raw, plain, nil
		case c == '\\':
			plain = false
			d.i++
		case c < ' ':
			return nil, false, d.syntax("control character in a string")
		case c >= utf8.RuneSelf:
			ascii = false
		}
		d.i++
	}
	d.i = len(d.b)
	return nil, false, d.syntax("string without end")
}

func (d *decoder) string() (string, error) {
	text, err := d.text()
	return string(text), err
}

// unquote replaces escapes.
func unquote(raw []byte) ([]byte, error) {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			continue
		}
		i++
		if i >= len(raw) {
			return nil, generic("JSON parse error, escape without end")
		}
		switch c := raw[i]; c {
		case '"', '\\', '/':
			out = append(out, c)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, ok := hex4(raw[i+1:])
			i += 4
			if ok && utf16.IsSurrogate(r) {
				var low rune
				if ok = i+2 < len(raw) && raw[i+1] == '\\' && raw[i+2] == 'u'; ok {
					low, ok = hex4(raw[i+3:])
					r = utf16.DecodeRune(r, low)
					ok = ok && r != utf8.RuneError
					i += 6
				}
			}
			if !ok {
				return nil, generic("JSON parse error, not a character: \\u escape in string")
			}
			out = utf8.AppendRune(out, r)
		default:
			return nil, generic("JSON parse error, unknown escape in string")
		}
	}
	return out, nil
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f') {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(string(b[:4]), 16, 16)
	return rune(n), err == nil
}

// number reads a number of any form.
func (d *decoder) number() error {
	digits := func() bool {
		start := d.i
		for d.i < len(d.b) && d.b[d.i]-'0' <= 9 {
			d.i++
		}
		return d.i > start
	}
	at := func() byte {
		if d.i < len(d.b) {
			return d.b[d.i]
		}
		return 0
	}
	if at() == '-' {
		d.i++
	}
	if at() == '0' {
		d.i++
	} else if !digits() {
		return d.syntax("invalid token")
	}
	if at() == '.' {
		d.i++
		if !digits() {
			return d.syntax("invalid number")
		}
	}
	if at()|0x20 == 'e' {
		d.i++
		if c := at(); c == '+' || c == '-' {
			d.i++
		}
		if !digits() {
			return d.syntax("invalid number")
		}
	}
	return nil
}

// skip reads a value of any type and checks it.
func (d *decoder) skip(depth int) error {
	if depth > MaxDepth {
		return generic("JSON nesting depth exceeds %d", MaxDepth)
	}
	switch c := d.peek(); c {
	case '{', '[':
		d.i++
		end := c + 2
		if d.take(end) {
			return nil
		}
		var keys map[string]bool
		for {
			if c == '{' {
				key, err := d.key()
				if err != nil {
					return err
				}
				if keys[string(key)] {
					return generic("JSON parse error, duplicate key '%s'", Cut(string(key), 64))
				}
				if keys == nil {
					keys = make(map[string]bool)
				}
				keys[string(key)] = true
			}
			if err := d.skip(depth + 1); err != nil {
				return err
			}
			if done, err := d.next(end); done || err != nil {
				return err
			}
		}
	case '"':
		_, err := d.string()
		return err
	case 't', 'f', 'n':
		for _, word := range []string{"true", "false", "null"} {
			if bytes.HasPrefix(d.b[d.i:], []byte(word)) {
				d.i += len(word)
				return nil
			}
		}
		return d.syntax("invalid token")
	case 0:
		if d.i >= len(d.b) {
			return d.syntax("expecting a value")
		}
	}
	return d.number()
}

func (d *decoder) skipOne() error { return d.skip(0) }

// skipStructure passes an object or array over by its brackets, without looking at what is in it.
func (d *decoder) skipStructure() error {
	s := scanner{}
	n, found := s.run(d.b[d.i:])
	d.i += n
	switch found {
	case Complete:
		return nil
	case NeedMore:
		return d.syntax("expecting '}'")
	}
	return found.Err()
}
