// SPDX-License-Identifier: Apache-2.0

package jsonwire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// split runs a Splitter over a stream that comes in pieces of the given length, 0 for one piece, and lists what it found.
func split(stream string, limit, piece int) (found []string) {
	s := NewSplitter(limit)
	if piece == 0 {
		piece = max(1, len(stream))
	}
	for len(stream) > 0 {
		n := min(piece, len(stream))
		chunk := []byte(stream[:n])
		stream = stream[n:]
		for len(chunk) > 0 {
			used, ev := s.Next(chunk)
			chunk = chunk[used:]
			switch ev {
			case NeedMore:
			case Complete:
				found = append(found, string(s.Object()))
			default:
				found = append(found, "!"+[]string{Garbage: "garbage", Control: "control", Mismatch: "mismatch", TooDeep: "deep", TooLong: "long"}[ev])
			}
		}
	}
	return found
}

func TestSplitter(t *testing.T) {
	long := `{"a":"` + strings.Repeat("x", 200) + `"}`
	numbers := `{"a":[` + strings.Repeat("0,12,255 , ", 50) + `0]}`
	deep := strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)
	tooDeep := strings.Repeat(`{"a":`, MaxDepth+1) + "1" + strings.Repeat("}", MaxDepth+1)
	for _, c := range []struct {
		name, stream string
		want         []string
	}{
		{"one", `{"a":1}`, []string{`{"a":1}`}},
		{"glued", `{"a":1}{"b":2}{}`, []string{`{"a":1}`, `{"b":2}`, `{}`}},
		{"white space between", " \t\r\n{}\n\n\r\n  {} ", []string{`{}`, `{}`}},
		{"over several lines", "{\n\t\"a\" :\r\n1\n}\n", []string{"{\n\t\"a\" :\r\n1\n}"}},
		{"brackets in strings", `{"}]{[":"}\"}","b":"\\"}{}`, []string{`{"}]{[":"}\"}","b":"\\"}`, `{}`}},
		{"arrays are objects, too", `[{}][1]`, []string{`[{}]`, `[1]`}},
		{"numbers", numbers + numbers, []string{numbers, numbers}},
		{"UTF-8", `{"a":"ä€😀"}{}`, []string{`{"a":"ä€😀"}`, `{}`}},
		{"what is no UTF-8 is for others to see", "{\"\x80\":\xc3}{}", []string{"{\"\x80\":\xc3}", `{}`}},
		{"incomplete", `{"a":[`, nil},
		{"as deep as it goes", deep + "{}", []string{deep, "{}"}},

		{"garbage, then an object", `abc{"a":1}`, []string{"!garbage", `{"a":1}`}},
		{"garbage is one mistake up to the line end", "a b \x01 ] \"c\nd\n{}", []string{"!garbage", "!garbage", "{}"}},
		{"a closing bracket too many", `{}}{}`, []string{`{}`, "!garbage", `{}`}},
		{"a string between", `"a{b" {}`, []string{"!garbage"}}, // the string's { begins an object
		{"a number between", `12{}`, []string{"!garbage", "{}"}},
		{"NUL padding", "{}\x00\x00\x00{}", []string{"{}", "!control", "{}"}},
		{"0xFF between", "\xff{}\xff\xff\n\xff", []string{"!control", "{}", "!control", "!control"}},

		{"0xFF within leaves the object", "{\"a\":[\xff{}", []string{"!control", "{}"}},
		{"0xFF within a string", "{\"a\":\"\xff{}", []string{"!control", "{}"}},
		{"a control character within", "{\"a\":\x01{}", []string{"!control", "{}"}},
		{"a line end within a string", "{\"a\":\"b\n{}", []string{"!control", "{}"}},
		{"an escaped line end within a string", "{\"a\":\"b\\\n{}", []string{"!control", "{}"}},
		{"the wrong bracket", `{"a":[1}{}`, []string{"!mismatch", "{}"}},
		{"the wrong bracket, the other way", `[{"a":1] ignored {}`, []string{"!mismatch", "{}"}},
		{"the wrong bracket at the end of an array", `[1}{}`, []string{"!mismatch", "{}"}},

		{"too long", long + "{}" + long + " {}", []string{"!long", "{}", "!long", "{}"}},
		{"too long and never ends, but left", `{"a":"` + strings.Repeat("x", 200) + "\xff{}", []string{"!long", "{}"}},
		{"too long, with the wrong bracket beyond", long[:190] + `"]` + "{}}{}", []string{"!long", "{}", "!garbage", "{}"}},
		{"too long, with a line end in a string beyond", long[:190] + "\n{}", []string{"!long", "{}"}},
		{"too deep", tooDeep + "{}", []string{"!deep", "{}"}},
		{"too deep with the wrong brackets", strings.Repeat("{", MaxDepth+1) + strings.Repeat("]", MaxDepth+1) + "{}", []string{"!deep", "{}"}},
		{"too deep, but left", strings.Repeat("[", 3*MaxDepth) + "\xff{}", []string{"!deep", "{}"}},
	} {
		limit := 0
		if strings.Contains(c.name, "too long") {
			limit = 100
		}
		for _, piece := range []int{0, 1, 2, 3, 7, 64} {
			got := split(c.stream, limit, piece)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s, in pieces of %d (- want, + got):\n%s", c.name, piece, diff)
			}
		}
	}
}

// Each character in each place of a long row of numbers: brackets, quotes and what JSON cannot have are seen everywhere.
func TestSplitterCharacters(t *testing.T) {
	good := `{"a":[` + strings.Repeat("0,12,255,", 10) + `0]}`
	for i := strings.Index(good, "["); i < len(good); i++ {
		for c := range 256 {
			text := []byte(good)
			text[i] = byte(c)
			stream := string(text) + "{}"
			if diff := cmp.Diff(split(stream, 0, 1), split(stream, 0, 0)); diff != "" {
				t.Fatalf("%q (- byte by byte, + at once):\n%s", stream, diff)
			}
		}
	}
}

// The length limit counts the object alone, to the byte.
func TestSplitterLimit(t *testing.T) {
	object := `{"a":"bcdef"}`
	for _, piece := range []int{0, 1, 5} {
		if got := split("  "+object+object, len(object), piece); len(got) != 2 || got[0] != object {
			t.Errorf("limit of exactly the length, pieces of %d: %v", piece, got)
		}
		if got := split(object+"{}", len(object)-1, piece); len(got) != 2 || got[0] != "!long" || got[1] != "{}" {
			t.Errorf("limit of one byte less, pieces of %d: %v", piece, got)
		}
	}
}

// Streams of valid objects come out as they went in, wherever they are cut.
func TestSplitterAgainstEncodingJSON(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	var value func(depth int) any
	value = func(depth int) any {
		switch k := rnd.IntN(7); {
		case k < 2 && depth > 0:
			m := map[string]any{}
			for range rnd.IntN(4) {
				m[fmt.Sprintf("k\"}]%d", rnd.IntN(1000))] = value(depth - 1)
			}
			return m
		case k < 4 && depth > 0:
			list := []any{}
			for range rnd.IntN(12) {
				list = append(list, value(depth-1))
			}
			return list
		case k == 4:
			return strings.Repeat("\\\"{[\u20ac", rnd.IntN(4))
		default:
			return rnd.IntN(1000)
		}
	}
	for range 300 {
		var stream bytes.Buffer
		var want []string
		for range 1 + rnd.IntN(4) {
			text, err := json.Marshal(map[string]any{"x": value(5)})
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, string(text))
			stream.Write(text)
			stream.WriteString([]string{"", "", "\n", " \r\n"}[rnd.IntN(4)])
		}
		if diff := cmp.Diff(want, split(stream.String(), 0, rnd.IntN(20))); diff != "" {
			t.Fatalf("(- want, + got):\n%s", diff)
		}
	}
}

func TestSplitterInside(t *testing.T) {
	s := NewSplitter(0)
	s.Next([]byte(` {"a":`))
	if !s.Inside() {
		t.Error("not inside an object that has begun")
	}
	s.Next([]byte(`1}`))
	if s.Inside() {
		t.Error("inside an object that has ended")
	}
}

// Every event but two is a mistake with a text.
func TestEventErrors(t *testing.T) {
	for ev := range TooLong + 1 {
		if err := ev.Err(); (err == nil) != (ev <= Complete) || err != nil && (err.Desc == "" || err.Class != GenericError) {
			t.Errorf("event %d: %v", ev, err)
		}
	}
}
