// SPDX-License-Identifier: Apache-2.0

package result

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

var started = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// sample has each kind of outcome.
func sample() *Result {
	id := func(s string) (string, string) { return "arm packet " + s, strings.SplitN(s, ":", 2)[0] }
	spec := func(index int, name string, o Outcome) Spec {
		full, subject := id(name)
		return Spec{ID: full, Index: index, Subject: subject, Arch: "arm", Cores: 1, Dialect: "packet", Outcome: o, Took: time.Duration(index+1) * 10 * time.Millisecond}
	}
	r := &Result{
		Header: Header{
			Format: Format, Tool: "v1.2.3 go1.26", Started: started, Settings: []string{"MCDTEST_ARCH=arm", "MCDTEST_CORES=1"},
			Build:   Build{Label: "a build", Paths: map[string]string{"arm": "/usr/bin/qemu-system-arm"}, Versions: map[string]string{"arm": "7.2.22"}, Endpoint: "stub"},
			Planned: 7, Seed: 42, Host: "linux/amd64, 2 processors",
		},
		Footer: &Footer{Ended: started.Add(time.Minute), Specs: 6, Problem: "the run was interrupted", Unmatched: []string{"known.yaml:3: there is no spec"}},
	}
	passed := spec(0, "memory: a read gives what is there", Passed)
	passed.Labels = []string{"observer"}
	failed := spec(1, "memory: <angles> & \"quotes\"", Failed)
	failed.Failure, failed.Location = "QEMU ended: it was ended by SIGABRT\n\nexpected 1\nto equal 2", "suites/memory.go:7"
	failed.Evidence = &Evidence{
		ID: failed.ID, Subject: "memory", Arch: "arm", Cores: 1, Dialect: "packet", Endpoint: "stub", QEMU: "/usr/bin/qemu-system-arm", Version: "7.2.22",
		Machines:  []Machine{{Command: []string{"qemu-system-arm", "-S"}, Stderr: "Assertion failed", Exit: "SIGABRT", Transcript: "0.000001 > $qsystem#|\n0.000020 < +$qemu-system#|\n"}},
		Crash:     "QEMU ended: it was ended by SIGABRT",
		Reproduce: "mcdtest play failure.txt",
	}
	known := spec(2, "session: a second client waits", Failed)
	known.Failure, known.Expected = "it does not", "this build serves one"
	better := spec(3, "session: the end is clean", Passed)
	better.Expected = "it never was"
	skipped := spec(4, "registers: of the secure world", Skipped)
	skipped.Reason = "not applicable: no EL3"
	ended := spec(5, "run control: a step", Interrupted)
	ended.Failure, ended.Round = "the run was ended while this spec ran", 2
	r.Specs = []Spec{passed, failed, known, better, skipped, ended}
	return r
}

func encode(t *testing.T, r *Result) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, "memory", r.Header)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Specs {
		if err := w.Spec(s); err != nil {
			t.Fatal(err)
		}
	}
	if r.Footer != nil {
		if err := w.Close(*r.Footer); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (- want, + got):\n%s", path, diff)
	}
}

// The golden file keeps the format from changing by accident: files of this version must be readable for good.
func TestFormat(t *testing.T) {
	golden(t, "format1.jsonl", encode(t, sample()))
	got, err := Open(filepath.Join("testdata", "format1.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got); diff != "" {
		t.Errorf("- want, + got:\n%s", diff)
	}
}

func TestSummary(t *testing.T) {
	want := Summary{Planned: 7, Passed: 1, Failed: 1, Skipped: 1, Interrupted: 1, NotRun: 1, ExpectedFailures: 1, UnexpectedPasses: 1}
	if diff := cmp.Diff(want, sample().Summary()); diff != "" {
		t.Errorf("- want, + got:\n%s", diff)
	}
	for _, c := range []struct {
		s  Summary
		ok bool
	}{
		{Summary{Passed: 3, Skipped: 2, ExpectedFailures: 1}, true},
		{Summary{Passed: 3, Failed: 1}, false},
		{Summary{UnexpectedPasses: 1}, false},
		{Summary{Interrupted: 1}, false},
	} {
		if c.s.OK() != c.ok {
			t.Errorf("%+v: OK is %v", c.s, c.s.OK())
		}
	}
}

// Whatever ends the writer, wherever it stands, the file can be read up to there and says that it is not whole.
func TestCutShort(t *testing.T) {
	text := encode(t, sample())
	header := bytes.IndexByte(text, '\n') + 1
	for n := header; n < len(text); n++ {
		r, err := Read(bytes.NewReader(text[:n]))
		if err != nil {
			t.Fatalf("after %d of %d bytes: %v", n, len(text), err)
		}
		if r.Footer != nil || r.Incomplete() == "" {
			t.Fatalf("after %d of %d bytes: passes for whole", n, len(text))
		}
		if lines := bytes.Count(text[:n], []byte("\n")) - 1; len(r.Specs) != lines {
			t.Fatalf("after %d of %d bytes: %d specs, want %d", n, len(text), len(r.Specs), lines)
		}
	}
}

// A compressed file is read like another one, and wherever it was cut short or damaged that is seen.
func TestCompressed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "result.jsonl.gz")
	if err := sample().Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got); diff != "" {
		t.Errorf("- want, + got:\n%s", diff)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > len(encode(t, sample())) {
		t.Errorf("%d bytes are no compression", len(text))
	}
	specs := 0
	for n := 1; n < len(text); n++ {
		r, err := Read(bytes.NewReader(text[:n]))
		switch {
		case err != nil && specs > 0:
			t.Fatalf("after %d of %d bytes: %v", n, len(text), err)
		case err == nil && len(r.Specs) < specs:
			t.Fatalf("after %d of %d bytes: %d specs, before there were %d", n, len(text), len(r.Specs), specs)
		case err == nil:
			specs = len(r.Specs)
		}
	}
	if specs != len(sample().Specs) {
		t.Errorf("%d specs can be read of a file without its end", specs)
	}
	for n := 20; n < len(text); n += 7 {
		bad := bytes.Clone(text)
		bad[n] ^= 0x55
		if r, err := Read(bytes.NewReader(bad)); err == nil && cmp.Equal(sample(), r) {
			t.Errorf("byte %d of %d is wrong, and nobody sees it", n, len(text))
		}
	}
}

func TestBadFiles(t *testing.T) {
	text := string(encode(t, sample()))
	lines := slices.Collect(strings.Lines(text))
	join := func(l ...string) string { return strings.Join(l, "") }
	for _, c := range []struct {
		name, text string
		is         error
		says       string
	}{
		{"empty", "", ErrNotResult, "empty"},
		{"text", "hello\n", ErrNotResult, `begins with "hello`},
		{"other JSON", "{\"a\":1}\n", ErrNotResult, `begins with`},
		{"half a header", lines[0][:50], ErrNotResult, "begins with"},
		{"a result without header", join(lines[1:]...), ErrNotResult, "begins with"},
		{"newer", `{"header":{"format":2,"started":17}}` + "\n", ErrNewer, "(2): this mcdtest reads formats up to 1"},
		{"line that is no JSON", join(lines[0], lines[1], "\x00\x00\x00\n", lines[2]), ErrDamaged, "line 3"},
		{"line of another kind", join(lines[0], "{}\n", lines[2]), ErrDamaged, "line 2"},
		{"spec without ID", join(lines[0], `{"spec":{}}`+"\n"), ErrDamaged, "line 2"},
		{"spec of a wrong type", join(lines[0], `{"spec":{"id":7}}`+"\n"), ErrDamaged, "line 2"},
		{"lost line", join(append(slices.Clone(lines[:2]), lines[3:]...)...), ErrDamaged, "line 7 counts 6 specs, but 5"},
		{"second header", join(lines[0], lines[1], lines[0]), ErrDamaged, "line 3 is a second header"},
		{"spec twice", join(lines[0], lines[1], lines[1]), ErrDamaged, "lines 2 and 3"},
		{"more behind the footer", text + "\n" + lines[1], ErrDamaged, "line 9"},
	} {
		_, err := Read(strings.NewReader(c.text))
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q with %q", c.name, err, c.is, c.says)
		}
	}
}

func TestOpenSaysWhichFile(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing.jsonl")
	if _, err := Open(missing); err == nil || strings.Count(err.Error(), missing) != 1 {
		t.Errorf("a file that is missing: %v", err)
	}
	if _, err := Open(dir); err == nil || strings.Count(err.Error(), dir) != 1 {
		t.Errorf("a folder: %v", err)
	}
}

func TestCreateWhereNothingCanBeWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no", "such", "folder.jsonl")
	if _, err := Create(path, Header{}); err == nil || strings.Count(err.Error(), path) != 1 || !strings.Contains(err.Error(), "choose") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	if _, err := Create("/dev/full", Header{}); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("a full disk: %v", err)
	}
}

// smallDisk takes so many bytes.
type smallDisk struct {
	bytes.Buffer
	room int
}

var errFull = errors.New("no space left on device")

func (d *smallDisk) Write(p []byte) (int, error) {
	if n := d.room - d.Len(); n < len(p) {
		d.Buffer.Write(p[:n])
		return n, errFull
	}
	return d.Buffer.Write(p)
}

// A disk that fills up in the middle of a line leaves a file that can be read, and nothing is put behind the half line.
func TestDiskThatFillsUp(t *testing.T) {
	r := sample()
	whole := encode(t, r)
	header := bytes.IndexByte(whole, '\n') + 1
	for room := header; room < len(whole); room += 7 {
		d := &smallDisk{room: room}
		w, err := NewWriter(d, "disk", r.Header)
		if err != nil {
			t.Fatal(err)
		}
		written := 0
		for _, s := range r.Specs {
			if err = w.Spec(s); err != nil {
				break
			}
			written++
		}
		d.room += 1 << 20 // somebody makes room
		closing := w.Close(*r.Footer)
		if err == nil {
			err = closing
		}
		if written < len(r.Specs) && (!errors.Is(err, errFull) || !errors.Is(closing, errFull)) {
			t.Fatalf("%d bytes of room: %v, then %v", room, err, closing)
		}
		got, err := Read(&d.Buffer)
		if err != nil {
			t.Fatalf("%d bytes of room: %v", room, err)
		}
		if len(got.Specs) != written {
			t.Fatalf("%d bytes of room: %d specs can be read, %d were written", room, len(got.Specs), written)
		}
	}
}

// shards splits a result as shards would, each of them in an order of its own.
func shards(r *Result, n int) []*Result {
	parts := make([]*Result, n)
	for i := range parts {
		h := r.Header
		h.Shard = string(rune('1'+i)) + "/" + string(rune('0'+n))
		h.Planned = 0
		h.Started = h.Started.Add(time.Duration(i) * time.Second)
		h.Build.Paths = map[string]string{"arm": "/elsewhere"}
		if i == 0 {
			h.Build.Paths = r.Header.Build.Paths
		}
		parts[i] = &Result{Header: h, Footer: &Footer{Complete: true, Ended: r.Footer.Ended.Add(time.Duration(i-n+1) * time.Second)}}
	}
	for i, s := range r.Specs {
		p := parts[i%n]
		p.Specs = append(p.Specs, s)
		p.Header.Planned++
		p.Footer.Specs++
	}
	for _, p := range parts {
		rand.Shuffle(len(p.Specs), func(i, j int) { p.Specs[i], p.Specs[j] = p.Specs[j], p.Specs[i] })
	}
	rand.Shuffle(n, func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return parts
}

func complete() *Result {
	r := sample()
	r.Header.Planned = len(r.Specs)
	r.Footer.Complete, r.Footer.Problem, r.Footer.Unmatched = true, "", nil
	return r
}

// What comes out of a merge is the same whatever the order of the parts and of the lines in them.
func TestMergeIsTheWhole(t *testing.T) {
	for n := 1; n <= 6; n++ {
		for range 10 {
			got, err := Merge(shards(complete(), n))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(complete(), got); diff != "" {
				t.Fatalf("%d shards (- want, + got):\n%s", n, diff)
			}
		}
	}
}

// A build that nobody has named is called after where it lies, which may be elsewhere on another machine.
func TestMergeOfBuildsThatLieElsewhere(t *testing.T) {
	parts := shards(complete(), 2)
	for i, p := range parts {
		folder := fmt.Sprintf("/home/%d/build", i)
		p.Header.Build.Label, p.Header.Build.Paths = folder, map[string]string{"arm": folder + "/qemu-system-arm"}
	}
	if _, err := Merge(parts); err != nil {
		t.Error(err)
	}
	parts[0].Header.Build.Label = "a name"
	if _, err := Merge(parts); err == nil || !strings.Contains(err.Error(), "the builds are") {
		t.Errorf("a build with another name: %v", err)
	}
}

func TestMergeOfTooLittle(t *testing.T) {
	byShard := func(parts []*Result) map[string]*Result {
		m := make(map[string]*Result)
		for _, p := range parts {
			m[p.Header.Shard] = p
		}
		return m
	}
	p := byShard(shards(complete(), 3))
	got, err := Merge([]*Result{p["3/3"], p["1/3"]})
	if err != nil || got.Incomplete() != "shard 2/3 is missing" || got.Summary().NotRun != 0 {
		t.Errorf("a shard is missing: %v, %q", err, got.Incomplete())
	}
	p["2/3"].Footer = nil
	got, err = Merge([]*Result{p["3/3"], p["2/3"], p["1/3"]})
	if err != nil || !strings.HasPrefix(got.Incomplete(), "shard 2/3: the file was cut short") {
		t.Errorf("a shard was cut short: %v, %q", err, got.Incomplete())
	}
}

func TestMergeOfDifferentRuns(t *testing.T) {
	for _, c := range []struct {
		says   string
		change func(parts []*Result)
	}{
		{"is of no shard", func(p []*Result) { p[0].Header.Shard = "" }},
		{"is there twice", func(p []*Result) { p[1].Header.Shard = p[0].Header.Shard }},
		{"different runs", func(p []*Result) { p[1].Header.Shard = "2/9" }},
		{"the settings are", func(p []*Result) { p[1].Header.Settings = []string{"MCDTEST_ARCH=riscv64"} }},
		{"the builds are", func(p []*Result) { p[1].Header.Build.Versions = map[string]string{"arm": "10.0.2"} }},
		{"versions of mcdtest", func(p []*Result) { p[1].Header.Tool = "v9" }},
		{"seed and rounds", func(p []*Result) { p[1].Header.Seed = 9 }},
		{"both have the spec", func(p []*Result) { p[1].Specs = append(p[1].Specs, p[0].Specs[0]) }},
	} {
		parts := shards(complete(), 3)
		slices.SortFunc(parts, func(a, b *Result) int { return strings.Compare(a.Header.Shard, b.Header.Shard) })
		c.change(parts)
		if _, err := Merge(parts); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %q", err, c.says)
		}
	}
	if _, err := Merge(nil); err == nil {
		t.Error("nothing can be merged")
	}
}

func TestJUnit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "junit.xml")
	if err := sample().JUnit().Write(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "junit.xml", text)
	var back JUnit
	if err := xml.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if back.Tests != 6 || back.Failures != 2 || back.Skipped != 3 {
		t.Errorf("%d tests, %d failures, %d skipped; want 6, 2 (a failure, an unexpected pass), 3 (a skip, an expected failure, an interruption)", back.Tests, back.Failures, back.Skipped)
	}
}

// XML has no way to write most control characters.
func TestJUnitOfBytes(t *testing.T) {
	r := sample()
	var all []byte
	for i := range 256 {
		all = append(all, byte(i))
	}
	r.Specs[1].Failure = string(all)
	path := filepath.Join(t.TempDir(), "junit.xml")
	if err := r.JUnit().Write(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(text, new(JUnit)); err != nil {
		t.Error(err)
	}
	if err := r.JUnit().Write(filepath.Join(t.TempDir(), "no", "junit.xml")); err == nil || !strings.Contains(err.Error(), "JUnit report") {
		t.Errorf("a place that is none: %v", err)
	}
}

func TestHeadline(t *testing.T) {
	for message, want := range map[string]string{
		"the core stands at another place than it says\nExpected\n    1": "the core stands at another place than it says Expected 1",
		"the core stands at another place than it says\nbut only once":   "the core stands at another place than it says",
		"pc of core 0:\nExpected\n    <int>: 1\nto equal\n    <int>: 2":  "pc of core 0: Expected <int>: 1 to equal <int>: 2",
		"Unexpected error:\n    <*debugger.Error | 0x2990ad13f6a0>: \n    wait until core 0 is stopped: timed out after 5s\n    {\n        Op: \"wait\",\n        Err: <*fmt.wrapError | 0x1>{\n            msg: \"x\",\n        },\n    }\noccurred": "Unexpected error: wait until core 0 is stopped: timed out after 5s occurred",
		strings.Repeat("x", 300): strings.Repeat("x", headlineLength-1) + "…",
	} {
		if got := Headline(message); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
