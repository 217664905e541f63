// SPDX-License-Identifier: Apache-2.0

package jsonwire

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// FuzzSplitter cuts a stream in two ways and must find the same in both; it must find objects that are valid JSON if they
// follow each other alone; and behind whatever there was, 0xFF and a good object must be found.
func FuzzSplitter(f *testing.F) {
	for _, seed := range []string{coreRequest, coreRequest + coreRequest, " {\"a\":\"}\\\"\"}\n[1,2]", "garbage\n{}", "{\"a\":\xff{}", `{"a":[1}{}`, "{\"a\":\"b\n{}",
		strings.Repeat("[", 2000), `{"a":[` + strings.Repeat("0,255,", 40) + `0]}`, "\x00{}\x00", `{"a":"` + strings.Repeat("x", 300) + `"}{}`} {
		f.Add([]byte(seed), uint8(3))
	}
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8) {
		const limit = 200
		whole := split(string(stream), limit, 0)
		if diff := cmp.Diff(whole, split(string(stream), limit, 1+int(piece))); diff != "" {
			t.Fatalf("(- in one piece, + in pieces of %d):\n%s", 1+int(piece), diff)
		}
		got := split(string(stream)+"\xff{\"good\":1}", limit, 0)
		if len(got) == 0 || got[len(got)-1] != `{"good":1}` {
			t.Fatalf("behind %q and 0xFF the good object is not found: %q", stream, got)
		}
		if len(stream) > 0 && stream[0] == '{' && json.Valid(stream) && utf8.Valid(stream) && len(stream) <= limit {
			if len(whole) != 1 || whole[0] != string(bytes.TrimRight(stream, " \t\r\n")) {
				t.Fatalf("%q is split into %q", stream, whole)
			}
		}
	})
}

// FuzzRequest decodes anything as a request. What is accepted must be JSON, and must come out the same through encoding/json.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(coreRequest))
	for _, c := range Commands {
		args := AppendArgs(nil, c.Args, func(string, *Arg) (string, Use) { return "", Default })
		f.Add([]byte(`{"execute":"` + c.Name + `","arguments":` + string(args) + `}`))
	}
	f.Add(benchTx(70))
	f.Add([]byte(`{"execute":"mcd-open-server","arguments":{"system-key":"\u00e4\ud83d\ude00\n","config-string":"\"\\\/"},"id":[1e5,{"a":null}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var r Request
		if ParseRequest(text, &r) != nil {
			return
		}
		args := r.Command.NewArgs()
		if err := r.DecodeArgs(args); err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("accepted, and not JSON: %q", text)
		}
		theirs := r.Command.NewArgs()
		if r.Arguments != nil {
			dec := json.NewDecoder(bytes.NewReader(r.Arguments))
			dec.DisallowUnknownFields()
			if err := dec.Decode(theirs); err != nil {
				t.Fatalf("accepted, and encoding/json says %v: %q", err, text)
			}
		}
		if diff := cmp.Diff(theirs, args); diff != "" {
			t.Fatalf("%q (- encoding/json, + ours):\n%s", text, diff)
		}
		again := r.Command.NewArgs()
		if err := Decode(Append(nil, args), again); err != nil {
			t.Fatalf("not accepted again: %v", err)
		}
		if diff := cmp.Diff(args, again); diff != "" {
			t.Fatalf("(- first, + again):\n%s", diff)
		}
	})
}

// FuzzReply decodes anything as a reply: no panic, and nothing that is no JSON.
func FuzzReply(f *testing.F) {
	for _, c := range Commands {
		f.Add(AppendReturn(nil, &c, RetActNone, c.NewResult(), nil))
	}
	f.Add([]byte(`{"error":{"class":"GenericError","desc":"x"},"id":7}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var r Reply
		if ParseReply(text, &r) != nil {
			return
		}
		for i := range Commands {
			if r.Return == nil {
				continue
			}
			if _, err := Commands[i].DecodeReturn(r.Return, Commands[i].NewResult()); err == nil && !json.Valid(text) {
				t.Fatalf("accepted as the reply to %s, and not JSON: %q", Commands[i].Name, text)
			}
		}
	})
}
