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

// denseBytes reads numbers as long as they are well-formed, follow each other without white space, and have a comma
// behind them. Whatever stops it, the last number included, is left for the careful way.
func (d *decoder) denseBytes(dst []byte) []byte {
	b, i := d.b, d.i
	for i+4 <= len(b) {
		t := binary.LittleEndian.Uint32(b[i:]) ^ 0x30303030
		// A byte of t is below 10 where there was a digit; n is the number of digits in front.
		n := bits.TrailingZeros32((t+0x76767676|t)&0x80808080) / 8
		if n == 0 || n > 3 || b[i+n] != ',' {
			break
		}
		first := byte(t)
		// Right-align the digits in three bytes, hundreds lowest.
		t <<= 8 * (3 - n)
		v := t&0xFF*100 + t>>8&0xFF*10 + t>>16&0xFF
		if v > 255 || n > 1 && first == 0 {
			break
		}
		dst = append(dst, byte(v))
		i += n + 1
	}
	d.i = i
	return dst
}
