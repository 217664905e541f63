// SPDX-License-Identifier: Apache-2.0

package jsonwire

import (
	"bytes"
	"encoding/binary"
)

// Event is what the Splitter found.
type Event uint8

// Events. All but NeedMore and Complete are mistakes, each of which a server answers once.
const (
	NeedMore Event = iota // all bytes are consumed and nothing is complete
	Complete              // Object holds an object (or array) with its brackets matched
	Garbage               // something between the objects that begins none
	Control               // a byte that JSON cannot have here: a control character, 0xFE or 0xFF
	Mismatch              // a bracket closes one of the other kind
	TooDeep               // nested more than MaxDepth
	TooLong               // longer than the limit
)

var eventDescs = [...]string{
	Garbage: "JSON parse error, invalid token between objects", Control: "JSON parse error, control character or byte that is not UTF-8",
	Mismatch: "JSON parse error, bracket without its counterpart", TooDeep: "JSON nesting depth limit exceeded", TooLong: "JSON size limit exceeded",
}

// Err is the error that a server answers to a mistake, nil for the other events.
func (e Event) Err() *Error {
	if e <= Complete || int(e) >= len(eventDescs) {
		return nil
	}
	return &Error{GenericError, eventDescs[e]}
}

// Splitter cuts a byte stream into objects by their brackets; nothing else delimits them. It keeps its state between
// calls, so chunks of the stream may be cut anywhere. White space between objects is skipped.
//
// After a mistake:
//   - An object that is too long or too deep is passed over up to its end.
//   - After garbage, a mismatch or a control character, everything up to the next '{' or the end of the line belongs to
//     the same mistake. So a client that has lost its place sends a byte 0xFF or ends the line within a string, as with
//     QEMU's own parser, and starts over with '{'.
//
// What the brackets enclose is not looked at here.
type Splitter struct {
	limit   int
	state   uint8
	discard bool // the present object has been reported as a mistake
	scan    scanner
	buf     []byte // the present object, as far as it came with earlier chunks
	obj     []byte
}

const (
	between uint8 = iota
	inside
	astray // behind a mistake
)

// keep is how much memory stays reserved for the next object, unless the last one needed more.
const keep = 256 << 10

// NewSplitter makes a Splitter for objects of at most limit bytes; limit 0 means none.
func NewSplitter(limit int) *Splitter { return &Splitter{limit: limit} }

// Next consumes bytes of b up to and with the one that completes an event, and returns how many.
func (s *Splitter) Next(b []byte) (n int, ev Event) {
	i := 0
	for i < len(b) {
		switch s.state {
		case between:
			switch c := b[i]; c {
			case ' ', '\t', '\r', '\n':
				i++
			case '{', '[':
				s.begin()
			default:
				s.state = astray
				if c < ' ' || c >= 0xFE {
					return i + 1, Control
				}
				return i + 1, Garbage
			}
		case astray:
			n := bytes.IndexAny(b[i:], "{\n")
			if n < 0 {
				return len(b), NeedMore
			}
			i += n
			if b[i] == '{' {
				s.begin()
			} else {
				s.state = between
				i++
			}
		case inside:
			rest := b[i:]
			if s.limit > 0 && !s.discard {
				// No further than the first byte too many, so that what follows is taken in the same way however it came.
				rest = rest[:min(len(rest), s.limit+1-len(s.buf))]
			}
			n, found := s.scan.run(rest)
			part := rest[:n]
			i += n
			switch {
			case s.discard:
				if found == Complete {
					s.state = between
				} else if found == Control {
					s.lost(part)
				}
			case s.limit > 0 && len(s.buf)+n > s.limit:
				if found == Complete {
					s.state = between
				} else if found == Control || found == Mismatch {
					s.lost(part)
				}
				s.drop()
				return i, TooLong
			case found == Complete:
				s.state = between
				if len(s.buf) == 0 {
					s.obj = part
				} else {
					s.buf = append(s.buf, part...)
					s.obj = s.buf
				}
				return i, Complete
			case found == NeedMore:
				s.buf = append(grow(s.buf, n), part...)
			case found == TooDeep:
				s.drop()
				return i, TooDeep
			default:
				s.lost(part)
				return i, found
			}
		}
	}
	return len(b), NeedMore
}

func (s *Splitter) begin() {
	s.state = inside
	s.discard = false
	s.scan = scanner{}
	if cap(s.buf) > keep && len(s.buf) <= keep { // large objects mostly come in a row
		s.buf = nil
	}
	s.buf = s.buf[:0]
	s.obj = nil
}

func (s *Splitter) drop() {
	s.discard = true
	s.buf = s.buf[:0]
	s.scan.loose = true
}

// lost leaves an object whose last byte is a mistake.
func (s *Splitter) lost(part []byte) {
	s.state = astray
	if part[len(part)-1] == '\n' {
		s.state = between
	}
}

// Object is that of the last Complete event. It is valid until the next call of Next, or, as it may lie in the chunk that
// was handed to it, until that is overwritten.
func (s *Splitter) Object() []byte { return s.obj }

// Inside reports whether the stream stands within an object.
func (s *Splitter) Inside() bool { return s.state == inside }

// scanner follows brackets and strings.
type scanner struct {
	depth    int
	kinds    [MaxDepth / 64]uint64 // a bit for each open bracket: 1 for '['
	inString bool
	escape   bool
	loose    bool // match brackets by number only
}

// special is 0 if the eight characters are all from '(' to '?': digits, commas, and nothing that opens or closes anything. In
// that range bit 5 is set, 6 and 7 are not, and 3 or 4 is.
func special(b []byte) uint64 {
	w := binary.LittleEndian.Uint64(b)
	return (w|w<<1&(ones*0x10))&(ones*0xF0) ^ ones*0x30
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// run reads up to and with the byte that closes the outermost bracket (Complete) or is a mistake.
func (s *scanner) run(b []byte) (int, Event) {
	i := 0
	for i < len(b) {
		if s.inString {
			c := b[i]
			i++
			switch {
			case c < ' ' || c >= 0xFE:
				return i, Control
			case s.escape:
				s.escape = false
			case c == '\\':
				s.escape = true
			case c == '"':
				s.inString = false
			}
			continue
		}
		// Most bytes of a long object are digits and commas. 32 at a time.
		for i+32 <= len(b) && special(b[i:])|special(b[i+8:])|special(b[i+16:])|special(b[i+24:]) == 0 {
			i += 32
		}
		if i == len(b) {
			break
		}
		c := b[i]
		i++
		switch {
		case c == '"':
			s.inString = true
		case c == '{' || c == '[':
			if s.depth == MaxDepth && !s.loose {
				s.depth++
				return i, TooDeep
			}
			if s.depth < MaxDepth {
				bit := uint64(1) << (s.depth % 64)
				s.kinds[s.depth/64] &^= bit
				if c == '[' {
					s.kinds[s.depth/64] |= bit
				}
			}
			s.depth++
		case c == '}' || c == ']':
			s.depth--
			if !s.loose {
				array := s.kinds[s.depth/64]>>(s.depth%64)&1 == 1
				if array != (c == ']') {
					return i, Mismatch
				}
			}
			if s.depth == 0 {
				return i, Complete
			}
		case c < ' ':
			if c != '\t' && c != '\n' && c != '\r' {
				return i, Control
			}
		case c >= 0xFE:
			return i, Control
		}
	}
	return i, NeedMore
}
