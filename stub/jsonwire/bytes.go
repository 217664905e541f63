// SPDX-License-Identifier: Apache-2.0

package jsonwire

import (
	"encoding/binary"
	"math/bits"
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

// fourZeros is "0,0,0,0,": the data of a read, which is to be overwritten, mostly consists of it.
const fourZeros = ones*'0' ^ 0x1c001c001c001c00

// denseBytes reads numbers, two at a time, as long as they are well-formed, follow each other without white space, and have a
// comma behind them. Whatever stops it is left for the careful way.
func (d *decoder) denseBytes(dst []byte) []byte {
	b, i := d.b, d.i
	if len(b)-i < 16 {
		return dst
	}
	j := len(dst)
	dst = grow(dst, min((len(b)-i)/2, 4096))
	out := dst[:cap(dst)]
	for i+8 <= len(b) {
		if j+2 > len(out) {
			dst = grow(out[:j], j+4)
			out = dst[:cap(dst)]
		}
		w := binary.LittleEndian.Uint64(b[i:])
		if w == fourZeros {
			if j+4 > len(out) {
				dst = grow(out[:j], j+4)
				out = dst[:cap(dst)]
			}
			binary.LittleEndian.PutUint32(out[j:], 0)
			j += 4
			i += 8
			continue
		}
		comma := w ^ ones*','
		comma = (comma - ones) &^ comma & highs
		p := bits.TrailingZeros64(comma) // the high bit of the first comma
		comma &= comma - 1
		q := bits.TrailingZeros64(comma) // and of the second
		if q >= 64 || p < 8 || p >= 32 || q-p < 16 || q-p >= 40 {
			break
		}
		digits := w ^ ones*'0'
		// The high bit of each byte that was no digit: up to the second comma the commas alone.
		other := (digits + ones*0x76 | digits) & highs
		if other<<(63-q) != 1<<63|1<<(63-q+p) {
			break
		}
		// Shift the digits of each number to the top, ones topmost.
		first := digits << (71 - p)
		second := digits << (71 - q) & (^uint64(0) << (72 - (q - p)))
		v := first>>56 + first>>48&0xFF*10 + first>>40&0xFF*100
		u := second>>56 + second>>48&0xFF*10 + second>>40&0xFF*100
		if v|u > 255 || p > 8+7 && digits&0xFF == 0 || q-p > 16 && digits>>(p+1)&0xFF == 0 {
			break
		}
		out[j], out[j+1] = byte(v), byte(u)
		j += 2
		i += q/8 + 1
	}
	d.i = i
	return out[:j]
}
