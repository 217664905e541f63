// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"bytes"
	"encoding/hex"
	"math"

	"mcdtest/stub/wire"
)

// args are the arguments of a request, by their place in its table: numbers, and the digits of the one that is data.
type args struct {
	n        [8]uint64
	data     []byte
	optional []byte // what stands where the optional arguments begin
}

// parseArgs splits what follows a request's name. It returns false if an argument is missing or malformed: a number is one or more
// decimal digits, at most 2^64-1, and nothing else. The digits of data are not looked at. Optional arguments and what follows
// them are left to the request.
func parseArgs(table []wire.Arg, rest []byte) (a args, ok bool) {
	more := true
	for i := range table {
		if table[i].Optional {
			a.optional = rest
			break
		}
		if !more {
			return a, false
		}
		field := rest
		if end := bytes.IndexByte(rest, wire.Separator); end >= 0 {
			field, rest = rest[:end], rest[end+1:]
		} else {
			more = false
		}
		if table[i].Kind == wire.Data {
			a.data = field
			continue
		}
		if a.n[i], ok = parseNumber(field); !ok {
			return a, false
		}
	}
	return a, true
}

// parseNumber reads a decimal number of any length whose value fits 64 bits.
func parseNumber(p []byte) (n uint64, ok bool) {
	if len(p) == 0 {
		return 0, false
	}
	for _, c := range p {
		d := uint64(c - '0')
		if c < '0' || c > '9' || n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// parseData appends the bytes that the digits stand for; there must be exactly count.
func parseData(dst, digits []byte, count uint64) ([]byte, bool) {
	if uint64(len(digits)) != 2*count || count > math.MaxInt64/2 {
		return dst, false
	}
	data, err := hex.AppendDecode(dst, digits)
	if err != nil {
		return dst, false
	}
	return data, true
}
