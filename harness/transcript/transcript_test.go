// SPDX-License-Identifier: Apache-2.0

package transcript

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	const text = `# a comment
#   indented
#

> $I#|\x00{3}
< +\n\r\t\\
> EOF
< EOF
# (no answer)
> \x45OF
< é{2}…
> {"execute": {"a{b"}}
> a{3 digits}b{3
1.002003 > late
0.000001 # later
`
	want := []Entry{
		{Kind: Comment, Text: "a comment"},
		{Kind: Comment, Text: "  indented"},
		{Kind: Comment},
		{Kind: Blank},
		{Kind: Sent, Data: []byte("$I#|\x00\x00\x00")},
		{Kind: Received, Data: []byte("+\n\r\t\\")},
		{Kind: SentEOF},
		{Kind: ReceivedEOF},
		{Kind: Silence},
		{Kind: Sent, Data: []byte("EOF")},
		{Kind: Received, Data: []byte("éé…")},
		{Kind: Sent, Data: []byte(`{"execute": {"a{b"}}`)},
		{Kind: Sent, Data: []byte("a{3 digits}b{3")},
		{Kind: Sent, Data: []byte("late"), At: time.Second + 2003*time.Microsecond},
		{Kind: Comment, Text: "later", At: time.Microsecond},
	}
	got, err := Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("- want / + got\n%s", d)
	}
	// Lines may end as on other systems, and the last one need not end.
	got, err = Parse(strings.NewReader(strings.TrimSuffix(strings.ReplaceAll(text, "\n", "\r\n"), "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("with CR LF: - want / + got\n%s", d)
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"# ok\n$I#|", `line 2: "$I#|" begins with neither`},
		{">", `line 1: ">" without any bytes`},
		{"\n< ", `line 2: "<" without any bytes`},
		{">x", `line 1, column 2: a space is missing`},
		{"> ab\\x0g", `line 1, column 5: an escape is`},
		{"> ab\\", `line 1, column 5: an escape is`},
		{"> ab\\q", `line 1, column 5: an escape is`},
		{"0.000001 > \\q", `line 1, column 12: an escape is`},
		{"> {3}", `line 1, column 3: a run {N} needs`},
		{"> a{2}{3}", `line 1, column 7: a run {N} needs`},
		{"> a{0}", `line 1, column 4: a run {N} is of`},
		{"> a{99999999999999999999}", `line 1, column 4: a run {N} is of`},
		{"> a{67108865}", `line 1, column 4: a run {N} is of`},
		{"> a{67108864}b", `line 1, column 14: more than`},
		{"0.000001 ", `line 1: a time, but nothing`},
		{"0.00001 > x", `line 1: "0.00001 > x" begins with neither`},
	} {
		_, err := Parse(strings.NewReader(c.text))
		var e *Error
		if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("Parse(%q): want error %q, got %v", c.text, c.want, err)
		}
	}
}

// The recordings that the format comes from are in it to the last byte.
func TestRecordingsFormatToThemselves(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings in testdata: %v", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := Parse(bytes.NewReader(text))
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		if d := cmp.Diff(string(text), string(Format(entries))); d != "" {
			t.Errorf("%s: - file / + formatted\n%s", f, d)
		}
	}
}

// chunk draws bytes that look like what is sent, and like the format's own notation.
var chunk = rapid.OneOf(
	rapid.SliceOfN(rapid.Byte(), 1, 40),
	rapid.SliceOfN(rapid.SampledFrom([]byte(`{}0129az*\xXEOF# <>$+-|~;_`+"\x00\n\r\t é…")), 1, 20),
	rapid.Custom(func(t *rapid.T) []byte {
		run := bytes.Repeat([]byte{rapid.SampledFrom([]byte("{0a \x00\\\xff")).Draw(t, "byte")}, rapid.IntRange(1, 100).Draw(t, "count"))
		return append(run, rapid.SliceOfN(rapid.SampledFrom([]byte("{}0a* ")), 0, 3).Draw(t, "tail")...)
	}),
	rapid.Custom(func(t *rapid.T) []byte {
		parts := rapid.SliceOfN(rapid.SampledFrom([]string{"{1}", "{20}", "{", "}", "3", "a", "{a}", "{*}", "\\", "\x00", "é", "{/", "x00"}), 1, 8).Draw(t, "parts")
		return []byte(strings.Join(parts, ""))
	}),
	rapid.Just([]byte("EOF")),
)

func TestEscape(t *testing.T) {
	for data, want := range map[string]string{
		"$m0;1#|":                    "$m0;1#|",
		"end ":                       `end\x20`, // editors take spaces at the end of a line away
		"a{3}":                       `a\x7b3}`,
		"{counter} {x":               `\x7bcounter} \x7bx`,
		`{"a":{"b":1}}`:              `{"a":{"b":1}}`,
		"\x00\xff\n…\u00a0":          `\x00\xff\n…\xc2\xa0`,
		strings.Repeat("\x00", 1014): `\x00{1014}`,
		strings.Repeat("0", 24):      strings.Repeat("0", 24),
	} {
		if got := Escape([]byte(data)); got != want {
			t.Errorf("%q: want %s, got %s", data, want, got)
		}
	}
}

func TestEscapeIsLossless(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := chunk.Draw(t, "data")
		text := Escape(data)
		got, err := Unescape(text)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%q is written %q, which reads %q, %v", data, text, got, err)
		}
		for i := 0; i+1 < len(text); i++ {
			if text[i] == '{' && (text[i+1] == '*' || 'a' <= text[i+1] && text[i+1] <= 'z') {
				t.Fatalf("%q is written %q, which a script would take for a substitution", data, text)
			}
		}
	})
}

func TestFormatIsLossless(t *testing.T) {
	entry := rapid.Custom(func(t *rapid.T) Entry {
		e := Entry{
			Kind: rapid.SampledFrom([]Kind{Blank, Comment, Sent, Received, SentEOF, ReceivedEOF, Silence}).Draw(t, "kind"),
			At:   time.Duration(rapid.Uint32().Draw(t, "µs")) * time.Microsecond,
		}
		switch e.Kind {
		case Blank:
			e.At = 0
		case Sent, Received:
			e.Data = chunk.Draw(t, "data")
		case Comment:
			e.Text = rapid.StringMatching(`( {0,3}[a-z\\{}#<>]{1,10})?`).Draw(t, "text")
		}
		return e
	})
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(entry).Draw(t, "entries")
		text := FormatTimed(want)
		got, err := Parse(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if d := cmp.Diff(want, got); len(want)+len(got) > 0 && d != "" {
			t.Fatalf("%s: - want / + got\n%s", text, d)
		}
		if again := FormatTimed(got); !bytes.Equal(again, text) {
			t.Fatalf("%q formats to %q", text, again)
		}
		for i := range want {
			want[i].At = 0
		}
		got, err = Parse(bytes.NewReader(Format(want)))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); len(want)+len(got) > 0 && d != "" {
			t.Fatalf("without times: - want / + got\n%s", d)
		}
	})
}

func TestCommentsKeepToTheirLines(t *testing.T) {
	got := string(Format([]Entry{{Kind: Comment, Text: "stderr:\r\n  a\x1b[31mb\xff  \n\nend\t"}}))
	if want := "# stderr:\n#   a\\x1b[31mb\\xff\n#\n# end\n"; got != want {
		t.Errorf("want %q, got %q", want, got)
	}
}

var longRun = regexp.MustCompile(`\{\d{4,}\}`)

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text[:min(len(text), 2000)])
	}
	f.Add([]byte("0.000001 > a{3}\\x00\n< EOF\r\n#\n\n# (no answer)"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if longRun.Match(text) {
			t.Skip() // long runs only cost time and memory
		}
		entries, err := Parse(bytes.NewReader(text))
		if err != nil {
			return
		}
		once := FormatTimed(entries)
		again, err := Parse(bytes.NewReader(once))
		if err != nil {
			t.Fatalf("%q formats to %q, which is not a transcript: %v", text, once, err)
		}
		if twice := FormatTimed(again); !bytes.Equal(once, twice) {
			t.Fatalf("%q formats to %q and that to %q", text, once, twice)
		}
	})
}
