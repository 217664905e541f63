// SPDX-License-Identifier: Apache-2.0

package jsonwire

import (
	"encoding/binary"
	"math/bits"
	"strings"
)

// Bytes is data as the dialect writes it: an array of numbers. A list of transactions consists of little else, so both
// directions work on four characters at a time: "255," is the longest that an element can be.
type Bytes []byte

// MarshalJSON makes encoding/json write the array of numbers.
func (b Bytes) MarshalJSON() ([]byte, error) { return appendBytes(nil, b), nil }

// UnmarshalJSON makes encoding/json read the array of numbers.
func (b *Bytes) UnmarshalJSON(text []byte) error {
	d := decoder{b: text}
	v, err := d.bytes((*b)[:0])
	*b = v
	if err == nil {
		err = d.end()
	}
	return err
}

// element holds the text of each number with a comma behind it, padded to four characters.
var element [256]struct {
	text uint32
	n    uint8
}

func init() {
	for v := range element {
		var t [4]byte
		n := copy(t[:], appendUint(nil, uint64(v)))
		t[n] = ','
		element[v].text = binary.LittleEndian.Uint32(t[:])
		element[v].n = uint8(n + 1)
	}
}

func appendBytes(dst, data []byte) []byte {
	dst = append(dst, '[')
	if len(data) == 0 {
		return append(dst, ']')
	}
	dst = grow(dst, 4*len(data))
	i := len(dst)
	out := dst[:cap(dst)]
	for _, v := range data {
		e := &element[v]
		binary.LittleEndian.PutUint32(out[i:], e.text)
		i += int(e.n)
	}
	out[i-1] = ']'
	return out[:i]
}

func grow(dst []byte, n int) []byte {
	if cap(dst)-len(dst) >= n {
		return dst
	}
	bigger := make([]byte, len(dst), max(len(dst)+n, 2*cap(dst)))
	copy(bigger, dst)
	return bigger
}

// bytes reads an array of numbers from 0 to 255 and appends them to dst.
func (d *decoder) bytes(dst []byte) ([]byte, error) {
	if !d.take('[') {
		return dst, d.typeError(ByteArray)
	}
	if d.take(']') {
		return dst, nil
	}
	for {
		dst = d.denseBytes(dst)
		n, err := d.uint(U8)
		if err != nil {
			return dst, err
		}
		dst = append(dst, byte(n))
		switch {
		case d.take(','):
		case d.take(']'):
			return dst, nil
		default:
			return dst, d.syntax("expecting ',' or ']'")
		}
	}
}

// block is how much denseBytes reads at once: a bit for each character is a word.
const block = 64

// denseBytes reads numbers as long as they are well-formed, follow each other without white space, and have a comma behind
// them, a block at a time. Whatever stops it is left for the careful way. It finds the commas of a block first: to know
// where a number begins it need not have read the one in front.
func (d *decoder) denseBytes(dst []byte) []byte {
	b := d.b
	for at := d.i; at >= lookBehind && at+block <= len(b); at += block {
		if cap(dst)-len(dst) < block/2 {
			dst = grow(dst, max(block/2, min((len(b)-at)/2, 4096+len(dst))))
		}
		chars := (*[lookBehind + block]byte)(b[at-lookBehind:])
		out := (*[block / 2]byte)(dst[len(dst) : len(dst)+block/2])
		this := (*[block]byte)(chars[lookBehind:])
		if d.i == at && *this == zeros {
			clear(out[:])
			dst = dst[:len(dst)+block/2]
			d.i += block
			continue
		}
		commas, ok := findCommas(this)
		if !ok {
			break
		}
		n, next, ok := readNumbers(out, chars, commas, d.i-at)
		dst = dst[:len(dst)+n]
		d.i = at + next
		if !ok {
			break
		}
	}
	return dst
}

// zeros is what the data of a read consists of, as it is to be overwritten.
var zeros = [block]byte([]byte(strings.Repeat("0,", block/2)))

// lookBehind is how many characters in front of a comma are looked at.
const lookBehind = 4

// findCommas has a bit for each comma. ok says that everything else is digits.
func findCommas(b *[block]byte) (commas uint64, ok bool) {
	var others uint64
	for i := 0; i < block; i += 8 {
		w := binary.LittleEndian.Uint64(b[i : i+8])
		// The high bit of each byte that is a comma, and of each that is no digit.
		x := w ^ ones*','
		comma := ^(x&^highs + ones*0x7F | x) & highs
		x = w ^ ones*'0'
		others |= comma ^ (x&^highs+ones*0x76|x)&highs
		commas |= comma >> 7 * 0x0102040810204080 >> 56 << i
	}
	return commas, others == 0
}

// numbers says for numbers of one, two and three digits where the digits are in the four characters in front of the comma,
// and what they are at least.
var numbers = [4]struct{ mask, least uint32 }{1: {0xFF000000, 0}, 2: {0xFFFF0000, 10}, 3: {0xFFFFFF00, 100}}

// readNumbers reads the numbers in front of the commas, up to the first that is none or not between 0 and 255, and returns
// how many, where the next one begins, and whether it came to the end. chars begins lookBehind in front of the block; start
// is relative to the block.
func readNumbers(out *[block / 2]byte, chars *[lookBehind + block]byte, commas uint64, start int) (n, next int, ok bool) {
	for ; commas != 0 && n < len(out); commas &= commas - 1 {
		end := bits.TrailingZeros64(commas) % block
		digits := uint(end - start)
		if digits-1 > 2 {
			break
		}
		form := numbers[digits%4]
		t := (binary.LittleEndian.Uint32(chars[end:end+4]) ^ 0x30303030) & form.mask
		v := t>>24 + t>>16&0xFF*10 + t>>8&0xFF*100
		if v < form.least || v > 255 {
			break
		}
		out[n] = byte(v)
		n++
		start = end + 1
	}
	return n, start, commas == 0
}
