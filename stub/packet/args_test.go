// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/hex"
	"math/big"
	"strings"
	"testing"

	"mcdtest/stub/wire"
)

func TestParseNumber(t *testing.T) {
	for _, test := range []struct {
		text string
		want uint64
		ok   bool
	}{
		{"0", 0, true}, {"7", 7, true}, {"007", 7, true}, {"4294967296", 1 << 32, true},
		{"18446744073709551615", 1<<64 - 1, true}, {strings.Repeat("0", 900) + "18446744073709551615", 1<<64 - 1, true},
		{"18446744073709551616", 0, false}, {"18446744073709551620", 0, false}, {"184467440737095516150", 0, false},
		{strings.Repeat("9", 900), 0, false},
		{"", 0, false}, {" 0", 0, false}, {"0 ", 0, false}, {"\t0", 0, false}, {"+0", 0, false}, {"-1", 0, false}, {"-0", 0, false},
		{"0x0", 0, false}, {"0abc", 0, false}, {"x", 0, false}, {"1.0", 0, false}, {"1e3", 0, false}, {"1_000", 0, false}, {"٣", 0, false},
		{"/", 0, false}, {":", 0, false},
	} {
		if got, ok := parseNumber([]byte(test.text)); ok != test.ok || ok && got != test.want {
			t.Errorf("%.30q: %d, %v, want %d, %v", test.text, got, ok, test.want, test.ok)
		}
	}
}

func TestParseArgs(t *testing.T) {
	core, data := wire.Arg{Name: "core", Kind: wire.Core}, wire.Arg{Name: "data", Kind: wire.Data}
	optional := wire.Arg{Name: "core", Kind: wire.Core, Optional: true}
	for _, test := range []struct {
		table []wire.Arg
		text  string
		ok    bool
		n     []uint64
		data  string
	}{
		{nil, "", true, nil, ""},
		{nil, "anything;x", true, nil, ""},
		{[]wire.Arg{core}, "", false, nil, ""},
		{[]wire.Arg{core}, "1", true, []uint64{1}, ""},
		{[]wire.Arg{core}, "1;", true, []uint64{1}, ""},
		{[]wire.Arg{core}, "1;x;y", true, []uint64{1}, ""},
		{[]wire.Arg{core}, ";1", false, nil, ""},
		{[]wire.Arg{core, core}, "1", false, nil, ""},
		{[]wire.Arg{core, core}, "1;", false, nil, ""},
		{[]wire.Arg{core, core}, "1;2", true, []uint64{1, 2}, ""},
		{[]wire.Arg{core, core}, "1,2", false, nil, ""},
		{[]wire.Arg{optional, optional}, "", true, nil, ""},
		{[]wire.Arg{optional, optional}, "x;-1", true, nil, ""},
		{[]wire.Arg{core, optional}, "1;x", true, []uint64{1}, ""},
		{[]wire.Arg{core, data}, "1", false, nil, ""},
		{[]wire.Arg{core, data}, "1;", true, []uint64{1}, ""},
		{[]wire.Arg{core, data}, "1;zz", true, []uint64{1}, "zz"},
		{[]wire.Arg{core, data}, "1;00ff;3", true, []uint64{1}, "00ff"},
	} {
		a, ok := parseArgs(test.table, []byte(test.text))
		if ok != test.ok || ok && string(a.data) != test.data {
			t.Errorf("%q: data %q, %v, want %q, %v", test.text, a.data, ok, test.data, test.ok)
			continue
		}
		for i, want := range test.n {
			if ok && a.n[i] != want {
				t.Errorf("%q: argument %d is %d, want %d", test.text, i, a.n[i], want)
			}
		}
	}
	for _, r := range wire.Requests {
		if len(r.Args) > len(args{}.n) {
			t.Errorf("%s has %d arguments, there is room for %d", r.Name, len(r.Args), len(args{}.n))
		}
	}
}

func TestParseData(t *testing.T) {
	for _, test := range []struct {
		digits string
		count  uint64
		want   string
		ok     bool
	}{
		{"", 0, "", true}, {"00", 1, "\x00", true}, {"00fF0a", 3, "\x00\xff\x0a", true},
		{"", 1, "", false}, {"0", 0, "", false}, {"0", 1, "", false}, {"000", 1, "", false}, {"0000", 1, "", false},
		{"00", 2, "", false}, {"0g", 1, "", false}, {"g0", 1, "", false}, {"0x", 1, "", false}, {" 0", 1, "", false}, {"+1", 1, "", false},
		{"", 1 << 63, "", false}, {"00", 1<<63 + 1, "", false},
	} {
		if got, ok := parseData(nil, []byte(test.digits), test.count); ok != test.ok || ok && string(got) != test.want {
			t.Errorf("%q, count %d: % x, %v, want % x, %v", test.digits, test.count, got, ok, test.want, test.ok)
		}
	}
}

// FuzzParseNumber compares with a reader of numbers that has no limits.
func FuzzParseNumber(f *testing.F) {
	for _, s := range []string{"", "0", "18446744073709551615", "18446744073709551616", "-1", "+1", " 1", "0x10", "1;"} {
		f.Add(s)
	}
	limit := new(big.Int).Lsh(big.NewInt(1), 64)
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseNumber([]byte(s))
		want, valid := new(big.Int).SetString(s, 10)
		if strings.Trim(s, "0123456789") != "" || s == "" {
			valid = false // what big.Int takes beside digits
		}
		valid = valid && want.Cmp(limit) < 0
		if ok != valid || ok && new(big.Int).SetUint64(got).Cmp(want) != 0 {
			t.Errorf("%q: %d, %v, want %v, %v", s, got, ok, want, valid)
		}
	})
}

func FuzzParseData(f *testing.F) {
	for _, s := range []string{"", "0", "00", "fF", "0g", "efbeadde"} {
		f.Add(s, uint64(len(s)/2))
	}
	f.Add("", uint64(1<<63))
	f.Fuzz(func(t *testing.T, s string, count uint64) {
		got, ok := parseData(nil, []byte(s), count)
		if valid := strings.Trim(s, "0123456789abcdefABCDEF") == "" && len(s)%2 == 0 && uint64(len(s)/2) == count; ok != valid {
			t.Fatalf("%q, count %d: %v, want %v", s, count, ok, valid)
		}
		if ok && string(hex.AppendEncode(nil, got)) != strings.ToLower(s) {
			t.Errorf("%q became % x", s, got)
		}
	})
}

// FuzzParseArgs splits the arguments of every request and compares with splitting by the standard library.
func FuzzParseArgs(f *testing.F) {
	for i := range wire.Requests {
		for _, s := range []string{"", "0", "0;1;1075838976;4", "0;1;0;2;00ff;x", ";;;;", "0;15;4;00002040"} {
			f.Add(uint8(i), s)
		}
	}
	f.Fuzz(func(t *testing.T, index uint8, s string) {
		r := &wire.Requests[int(index)%len(wire.Requests)]
		a, ok := parseArgs(r.Args, []byte(s))
		fields := strings.Split(s, string(wire.Separator))
		valid := true
		for i, arg := range r.Args {
			if arg.Optional {
				break
			}
			if i >= len(fields) {
				valid = false
				break
			}
			if arg.Kind == wire.Data {
				if ok && string(a.data) != fields[i] {
					t.Errorf("%s%q: data %q, want %q", r.Name, s, a.data, fields[i])
				}
				continue
			}
			n, isNumber := parseNumber([]byte(fields[i]))
			if !isNumber {
				valid = false
				break
			}
			if ok && a.n[i] != n {
				t.Errorf("%s%q: %s is %d, want %d", r.Name, s, arg.Name, a.n[i], n)
			}
		}
		if ok != valid {
			t.Errorf("%s%q: %v, want %v", r.Name, s, ok, valid)
		}
	})
}
