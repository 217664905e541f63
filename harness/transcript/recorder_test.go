// SPDX-License-Identifier: Apache-2.0

package transcript

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestRecorder(t *testing.T) {
	r := NewRecorder(0)
	r.Comment("open %s", "server\nnow")
	r.Sent([]byte("$I#|"))
	r.Received(nil)
	r.Received([]byte("+"))
	r.Silence()
	r.Closed(Client)
	r.Closed(Stub)
	var plain, timed bytes.Buffer
	if _, err := r.WriteTo(&plain); err != nil {
		t.Fatal(err)
	}
	const want = "# open server\n# now\n> $I#|\n< +\n# (no answer)\n> EOF\n< EOF\n"
	if plain.String() != want {
		t.Errorf("want %q, got %q", want, plain.String())
	}
	if _, err := r.WriteTimed(&timed); err != nil {
		t.Fatal(err)
	}
	got, err := Parse(&timed)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(got); i++ {
		if got[i].At < got[i-1].At {
			t.Errorf("entry %d is at %v, the one in front of it at %v", i, got[i].At, got[i-1].At)
		}
	}
	for i := range got {
		got[i].At = 0
	}
	if text := string(Format(got)); text != want {
		t.Errorf("timed: want %q, got %q", want, text)
	}
}

func TestNilRecorder(t *testing.T) {
	var r *Recorder
	r.Sent([]byte("x"))
	r.Comment("x")
	r.Closed(Client)
	if got := r.Entries(); got != nil {
		t.Errorf("a nil Recorder has entries: %v", got)
	}
	if !r.Start().IsZero() {
		t.Error("a nil Recorder has a start")
	}
}

// A bounded Recorder keeps the end of the conversation, says what is missing and stays within twice its limit.
func TestRecorderLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 2000).Draw(t, "limit")
		r, all := NewRecorder(limit), NewRecorder(0)
		for range rapid.IntRange(1, 200).Draw(t, "entries") {
			p := bytes.Repeat([]byte("x"), rapid.IntRange(1, 300).Draw(t, "length"))
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				r.Sent(p)
				all.Sent(p)
			case 1:
				r.Received(p)
				all.Received(p)
			case 2:
				r.Comment("%d", len(p))
				all.Comment("%d", len(p))
			case 3:
				r.Silence()
				all.Silence()
			}
		}
		got, want := r.Entries(), all.Entries()
		if got[0].Kind == Comment && strings.Contains(got[0].Text, "left out") {
			var n int
			if _, err := fmt.Sscanf(got[0].Text, "(the first %d entries", &n); err != nil {
				t.Fatal(err)
			}
			got, want = got[1:], want[n:]
		}
		if text, wantText := string(Format(got)), string(Format(want)); text != wantText {
			t.Fatalf("- want / + got\n%s", cmp.Diff(wantText, text))
		}
		size := 0
		for _, e := range got {
			size += len(e.Data) + len(e.Text) + recordCost
		}
		if len(got) > 1 && size > limit {
			t.Fatalf("keeps %d bytes, limit is %d", size, limit)
		}
		if len(r.bytes) > 2*limit+600 || len(r.records) > 2*limit/recordCost+4 {
			t.Fatalf("holds %d bytes and %d records for a limit of %d", len(r.bytes), len(r.records), limit)
		}
	})
}

func TestRecorderConcurrent(t *testing.T) {
	r := NewRecorder(5000)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				r.Sent([]byte("$I#|"))
				r.Comment("c")
				r.Received([]byte("+"))
			}
		})
		wg.Go(func() {
			for range 20 {
				if _, err := Parse(bytes.NewReader(Format(r.Entries()))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkRecorder(b *testing.B) {
	r := NewRecorder(1 << 20)
	p := bytes.Repeat([]byte("x"), 20)
	b.ReportAllocs()
	for b.Loop() {
		r.Sent(p)
		r.Received(p)
	}
}
