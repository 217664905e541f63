// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"mcdtest/harness/result"
	"mcdtest/harness/runner"
)

// The test program is also the worker of both sides. FAKE says how its side behaves.
const fakeWorker = "fake-worker"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == fakeWorker {
		os.Exit(fakeMain(os.Args[2], os.Args[3:]))
	}
	goleak.VerifyTestMain(m)
}

// fakeMain runs specs whose conversation is the session of these tests, unless its side has a word for them.
func fakeMain(fd string, ids []string) int {
	n, err := strconv.Atoi(fd)
	if err != nil {
		panic(err)
	}
	w, err := runner.Join(n, func() string { return "somewhere\n" }, func() { os.Exit(3) })
	if err != nil {
		panic(err)
	}
	behaviour := os.Getenv("FAKE")
	for _, id := range ids {
		mine, err := w.Claim(id)
		if err != nil {
			return 3
		}
		if !mine {
			continue
		}
		s := passed(id, 0, written(session(), nil))
		if behaviour == "alone" && !alone(os.Getenv("FAKE_LOCK")) {
			s.Outcome, s.Failure = result.Failed, "another spec ran at the same time"
		}
		if strings.HasSuffix(id, "two") {
			switch behaviour {
			case "dies":
				panic("it dies")
			case "fails":
				s.Outcome, s.Failure = result.Failed, "it fails, as it was told to"
			case "skips":
				s.Outcome, s.Reason = result.Skipped, "not applicable"
			case "no field":
				s = passed(id, 0, written(with("$qmemoryc1", "+$0!name=Physical.id=2.type=18.#|"), nil))
			case "fails once":
				// Whichever process of the side is first to make the file.
				if f, err := os.OpenFile(os.Getenv("FAKE_ONCE"), os.O_CREATE|os.O_EXCL, 0o666); err == nil {
					f.Close()
					s.Outcome, s.Failure = result.Failed, "it fails once"
				}
			case "hangs":
				select {}
			}
		}
		w.Report(s)
	}
	w.End()
	return 0
}

// alone reports whether nobody else is in it for two milliseconds.
func alone(lock string) bool {
	f, err := os.OpenFile(lock, os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return false
	}
	defer os.Remove(lock)
	f.Close()
	for began := time.Now(); time.Since(began) < 2*time.Millisecond; {
	}
	return true
}

func fakeSource(behaviour string, ids ...string) Source {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	s := Source{
		Command: runner.Command{Path: self, Args: append([]string{fakeWorker, "{fd}"}, ids...), Env: append(os.Environ(), "GORACE=atexit_sleep_ms=0", "FAKE="+behaviour)},
		Header:  result.Header{Tool: "test", Build: result.Build{Label: "build " + behaviour, Versions: map[string]string{"arm": "7.2.22"}, Endpoint: "stub"}},
	}
	for i, id := range ids {
		s.Items = append(s.Items, runner.Item{Spec: result.Spec{ID: id, Index: i, Subject: "loop", Arch: "arm", Cores: 1, Dialect: "packet"}})
	}
	return s
}

var three = []string{"arm packet loop: one", "arm packet loop: two", "arm packet loop: three"}

// log keeps what ran in which order.
type log struct {
	mu    sync.Mutex
	lines []string
	side  []Side
	ids   []string
}

func (l *log) keep(s Side, spec result.Spec) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.side, l.ids = append(l.side, s), append(l.ids, spec.ID)
	l.lines = append(l.lines, fmt.Sprintf("%d %v %s", spec.Round, s, strings.TrimPrefix(spec.ID, "arm packet loop: ")))
	return nil
}

func runGate(t *testing.T, base, head Source, change func(*Config)) (*Comparison, *log, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	l := &log{}
	cfg := Config{Base: base, Head: head, Rounds: 3, Confirm: 12, Lanes: 2, Ratio: 1.5, Keep: l.keep, Progress: runner.NewProgress(nil, 1, 2)}
	if change != nil {
		change(&cfg)
	}
	c, err := Run(ctx, cfg)
	if ctx.Err() != nil {
		t.Fatal("the gate does not end")
	}
	return c, l, err
}

func TestGateOfTheSame(t *testing.T) {
	for _, lanes := range []int{1, 3} {
		c, l, err := runGate(t, fakeSource("", three...), fakeSource("", three...), func(cfg *Config) { cfg.Lanes = lanes })
		if err != nil || len(c.Findings) > 0 || c.Regressions() != 0 || c.Compared != 3 || c.Recorded != 3 {
			t.Errorf("%d lanes: %v, %+v", lanes, err, c)
		}
		if len(c.Coverage) != 1 || c.Coverage[0].Specs != 3 || c.Coverage[0].Recorded != 3 || c.Coverage[0].Requests["qmemoryc"].Count != 3 {
			t.Errorf("%d lanes: the coverage is not that of one run of each spec: %+v", lanes, c.Coverage)
		}
		if len(l.lines) != 3*2*3 {
			t.Errorf("%d lanes: %d runs, want each of three specs on two sides in three rounds: %q", lanes, len(l.lines), l.lines)
		}
	}
}

// The sides take turns: each spec runs on both before the next one, and none of them is always first.
func TestSidesTakeTurns(t *testing.T) {
	_, l, err := runGate(t, fakeSource("", three...), fakeSource("", three...), func(cfg *Config) { cfg.Lanes = 1 })
	if err != nil {
		t.Fatal(err)
	}
	first := make(map[string][2]int)
	for i := 0; i < len(l.ids); i += 2 {
		if l.ids[i] != l.ids[i+1] || l.side[i] == l.side[i+1] {
			t.Fatalf("not in turns: %q", l.lines)
		}
		n := first[l.ids[i]]
		n[l.side[i]]++
		first[l.ids[i]] = n
	}
	for id, n := range first {
		if n[Base] == 0 || n[Head] == 0 {
			t.Errorf("%s: base was first %d times, head %d times: %q", id, n[Base], n[Head], l.lines)
		}
	}
}

// In a lane, one side runs at a time, so that they do not disturb each other.
func TestSidesDoNotRunAtTheSameTime(t *testing.T) {
	lock := "FAKE_LOCK=" + filepath.Join(t.TempDir(), "lock")
	var ids []string
	for i := range 20 {
		ids = append(ids, fmt.Sprintf("arm packet loop: %d", i))
	}
	source := fakeSource("alone", ids...)
	source.Command.Env = append(source.Command.Env, lock)
	for i := range source.Items { // as in a round of some items: the same side is always first
		source.Items[i].Index *= 2
	}
	c, _, err := runGate(t, source, source, func(cfg *Config) { cfg.Lanes, cfg.Confirm = 1, 0 })
	if err != nil || c.Base.Failed+c.Head.Failed > 0 {
		t.Errorf("%v, %d of base and %d of head ran beside others", err, c.Base.Failed, c.Head.Failed)
	}
}

// What differs each time runs a few times more, and not as often as what fails now and then.
func TestConfirmation(t *testing.T) {
	_, l, err := runGate(t, fakeSource("", three...), fakeSource("no field", three...), nil)
	if err != nil {
		t.Fatal(err)
	}
	if more := len(l.lines) - 3*2*3; more != 4*2 {
		t.Errorf("%d runs more, want 4 on both sides: %q", more, l.lines)
	}
}

func TestGateFinds(t *testing.T) {
	for _, c := range []struct {
		base, head string
		want       []string
		regression int
	}{
		{"", "fails", []string{"newly failing; passed -> failed: it fails, as it was told to"}, 1},
		{"", "dies", []string{"newly failing; passed -> failed: the process that ran the spec died: it ended with exit status 2: panic: it dies"}, 1},
		{"fails", "", []string{"newly passing; failed: it fails, as it was told to -> passed"}, 0},
		{"fails", "fails", nil, 0},
		{"", "skips", []string{"newly skipped; passed -> skipped: not applicable"}, 1},
		{"", "no field", []string{"field vanished; qmemoryc; bpm; bpm=8 -> "}, 1},
	} {
		got, _, err := runGate(t, fakeSource(c.base, three...), fakeSource(c.head, three...), nil)
		if err != nil {
			t.Errorf("%q, %q: %v", c.base, c.head, err)
			continue
		}
		if diff := cmp.Diff(c.want, short(got.Findings)); diff != "" || got.Regressions() != c.regression {
			t.Errorf("%q, %q: %d regressions, want %d (- want, + got):\n%s", c.base, c.head, got.Regressions(), c.regression, diff)
		}
	}
}

// A spec that fails once, on either side, is run again until it is clear that this is too seldom to tell anything.
func TestGateOfWhatFailsOnce(t *testing.T) {
	for _, side := range []Side{Base, Head} {
		source := fakeSource("fails once", three...)
		source.Command.Env = append(source.Command.Env, "FAKE_ONCE="+filepath.Join(t.TempDir(), "once"))
		sources := [2]Source{fakeSource("", three...), fakeSource("", three...)}
		sources[side] = source
		c, l, err := runGate(t, sources[Base], sources[Head], nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Findings) != 1 || c.Findings[0].Kind != Unsteady || c.Regressions() > 0 {
			t.Errorf("%v fails once: %q, %d regressions", side, short(c.Findings), c.Regressions())
		}
		again := 0
		for _, line := range l.lines {
			if n, _ := strconv.Atoi(strings.Fields(line)[0]); n > 3 {
				again++
				if !strings.HasSuffix(line, "two") {
					t.Errorf("%v fails once: %s ran again for no reason", side, line)
				}
			}
		}
		if again != 2*12 {
			t.Errorf("%v fails once: %d runs more, want 12 on both sides", side, again)
		}
	}
}

func TestAccept(t *testing.T) {
	c, _, err := runGate(t, fakeSource("", three...), fakeSource("no field", three...), func(cfg *Config) { cfg.Accept = []Kind{FieldVanished} })
	if err != nil || len(c.Findings) != 1 || c.Regressions() != 0 {
		t.Errorf("%v, %q, %d regressions", err, short(c.Findings), c.Regressions())
	}
}

func TestSpecsOfOneSide(t *testing.T) {
	c, _, err := runGate(t, fakeSource("", three[0], three[1]), fakeSource("", three[1], three[2]), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"spec appeared;  -> ", "spec vanished;  -> "}
	if diff := cmp.Diff(want, short(c.Findings)); diff != "" || c.Regressions() != 1 || c.Compared != 1 {
		t.Errorf("%d regressions, %d compared (- want, + got):\n%s", c.Regressions(), c.Compared, diff)
	}
}

// saved runs one side alone and keeps it, as --save does.
func saved(t *testing.T, source Source) *result.Result {
	t.Helper()
	r := &result.Result{Header: source.Header, Footer: &result.Footer{Complete: true}}
	_, _, err := runGate(t, Source{}, source, func(cfg *Config) {
		cfg.Confirm = 0
		cfg.Keep = func(_ Side, s result.Spec) error {
			r.Specs = append(r.Specs, s)
			return nil
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Specs) != 3*3 {
		t.Fatalf("%d lines were saved", len(r.Specs))
	}
	return r
}

func TestGateAgainstASavedResult(t *testing.T) {
	was := saved(t, fakeSource("", three...))
	base := func() Source {
		r := *was
		r.Specs = slices.Clone(was.Specs)
		return Source{Saved: &r}
	}
	c, _, err := runGate(t, base(), fakeSource("", three...), nil)
	if err != nil || len(c.Findings) > 0 || !c.Base.Saved || c.Latency != 0 || len(c.Notes) != 1 {
		t.Errorf("the same: %v, %+v", err, c)
	}
	for _, behaviour := range []string{"fails", "no field", "skips"} {
		c, l, err := runGate(t, base(), fakeSource(behaviour, three...), nil)
		if err != nil || c.Regressions() != 1 {
			t.Errorf("%s: %v, %q", behaviour, err, short(c.Findings))
		}
		if slices.Contains(l.side, Base) {
			t.Errorf("%s: the saved side ran: %q", behaviour, l.lines)
		}
	}
	other := Source{Saved: saved(t, fakeSource("no field", three...))}
	if c, _, err := runGate(t, fakeSource("", three...), other, nil); err != nil || c.Regressions() != 1 {
		t.Errorf("a saved head: %v, %q", err, short(c.Findings))
	}
}

func TestGateThatCannotRun(t *testing.T) {
	broken := fakeSource("", three...)
	broken.Command.Path = "/nonexistent/worker"
	if _, _, err := runGate(t, broken, fakeSource("", three...), nil); err == nil || !strings.Contains(err.Error(), "base: start a worker") {
		t.Errorf("%v", err)
	}
	unknown := fakeSource("", three...)
	unknown.Command.Args = unknown.Command.Args[:len(unknown.Command.Args)-1]
	if _, _, err := runGate(t, fakeSource("", three...), unknown, nil); err == nil || !strings.Contains(err.Error(), `head: the workers do not know the spec "arm packet loop: three"`) {
		t.Errorf("%v", err)
	}
	full := errors.New("the disk is full")
	_, _, err := runGate(t, fakeSource("", three...), fakeSource("", three...), func(cfg *Config) {
		cfg.Keep = func(Side, result.Spec) error { return full }
	})
	if !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

func TestGateThatIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var kept []string
	_, err := Run(ctx, Config{
		Base: fakeSource("", three...), Head: fakeSource("hangs", three...), Rounds: 3, Lanes: 1, Ratio: 1.5, Progress: runner.NewProgress(nil, 1, 1),
		Keep: func(s Side, spec result.Spec) error {
			if kept = append(kept, fmt.Sprint(s, spec.Outcome)); len(kept) == 2 { // then one of them hangs
				cancel()
			}
			return nil
		},
	})
	if err != nil {
		t.Errorf("an interruption is no error: %v", err)
	}
	if len(kept) < 2 {
		t.Errorf("%q", kept)
	}
}

var update = flag.Bool("update", false, "write the golden files anew")

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

// TestReports keeps the reports of a comparison that has each kind of finding.
func TestReports(t *testing.T) {
	build := func(label string) result.Build {
		return result.Build{Label: label, Versions: map[string]string{"arm": "11.1.3"}, Paths: map[string]string{"arm": "/q/" + label}, Endpoint: "native"}
	}
	c := &Comparison{
		Format: ComparisonFormat, Cases: []string{"arm packet"}, Compared: 9, Recorded: 8, Latency: 4, Notes: []string{"1 specs talk too much for all of it to be kept: their conversations were not compared"},
		Base: SideSummary{Build: build("main|x"), Specs: 10, Runs: 30, Passed: 9, Failed: 1}, Head: SideSummary{Build: build("head"), Specs: 10, Runs: 30, Passed: 7, Failed: 2, Skipped: 1},
	}
	for _, k := range Kinds {
		f := Finding{Kind: k, Regression: k.Regression(), Case: "arm packet", Specs: []string{"arm packet loop: a|b *c*"}, Base: "was `this`|", Head: "is <that>"}
		switch k {
		case FramingChanged, RequestVanished, RequestAppeared, FieldVanished, FieldAppeared, ReplyChanged:
			f.Request, f.Field, f.Example, f.Count = "qmemoryf", "type", "$qmemoryf0#|", 3
		case Slower, Faster:
			f.Request, f.Base, f.Head, f.Ratio, f.Noise, f.Count = "qstate", "50µs", "150µs", 3, 1.5, 30
		}
		if k == NewlyFailing {
			f.Evidence = &result.Evidence{Reproduce: "mcdtest play failure.txt"}
		}
		c.Findings = append(c.Findings, f)
	}
	golden(t, "gate.md", []byte(c.Markdown()))
	path := filepath.Join(t.TempDir(), "junit.xml")
	if err := c.JUnit().Write(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "junit.xml", text)
	var back result.JUnit
	if err := xml.Unmarshal(text, &back); err != nil || back.Failures != 10 || back.Tests != 11 {
		t.Errorf("%v, %d tests, %d failures; want one for each kind of regression, and one for the rest", err, back.Tests, back.Failures)
	}
	text, err = json.MarshalIndent(c, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "gate.json", append(text, '\n'))
	clean := &Comparison{Cases: []string{"arm packet"}}
	if !strings.Contains(clean.Markdown(), "✅ MCD gate: no difference") || strings.Contains(clean.Markdown(), "###") {
		t.Error(clean.Markdown())
	}
	if !bytes.Contains([]byte(clean.Verdict()), []byte("no difference")) {
		t.Error(clean.Verdict())
	}
}
