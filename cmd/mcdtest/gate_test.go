// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcdtest/harness"
	"mcdtest/harness/gate"
	"mcdtest/harness/result"
	"mcdtest/suites"
)

// gateSpecs are few and take little time, also when they fail.
const gateSpecs = "memory: (unmapped memory is refused|a variable is in the byte order|an access across)"

func comparisonOf(t *testing.T, text string) gate.Comparison {
	t.Helper()
	var c gate.Comparison
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return c
}

func findings(c gate.Comparison) string {
	var b strings.Builder
	for _, f := range c.Findings {
		base, head := f.Change()
		fmt.Fprintf(&b, "%s: %s: %s -> %s\n", f.Kind, f.Where(), base, head)
	}
	return b.String()
}

// A build compared with itself does not differ.
func TestGateOfABuildWithItself(t *testing.T) {
	t.Parallel()
	qemu := needQEMU(t, "arm")
	got := mcdtest(t, noRaceExit, "gate", "--base", qemu, "--head", qemu, "--specs", gateSpecs+"|loop: the loop runs", "--json")
	c := comparisonOf(t, got.out)
	if got.status != 0 || len(c.Findings) > 0 {
		t.Errorf("exit status %d\n%s%s", got.status, findings(c), got.errors)
	}
	if c.Compared != 8 || c.Recorded != 8 || c.Latency == 0 || c.Base.Runs < 24 || c.Base.Passed != 8 {
		t.Errorf("%+v", c)
	}
}

func TestGateOfAFault(t *testing.T) {
	t.Parallel()
	qemu := needQEMU(t, "arm")
	dir := t.TempDir()
	md, junit, out := filepath.Join(dir, "gate.md"), filepath.Join(dir, "junit.xml"), filepath.Join(dir, "gate.json")
	got := mcdtest(t, noRaceExit, "gate", "--base", qemu, "--head", qemu, "--specs", gateSpecs, "--rounds", "2", "--confirm", "0", "--head-fault", "memory-reads-zeros", "--markdown", md, "--junit", junit, "--out", out)
	if got.status != statusFailed || !strings.Contains(got.out, "newly failing  arm packet memory: a variable is in the byte order of the machine") || !strings.HasSuffix(got.out, " regressions\n") {
		t.Errorf("exit status %d\n%s%s", got.status, got.out, got.errors)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	c := comparisonOf(t, string(text))
	if c.Regressions() < 4 {
		t.Errorf("%s", findings(c))
	}
	if text, err := os.ReadFile(md); err != nil || !strings.HasPrefix(string(text), "## ❌ MCD gate: ") {
		t.Errorf("%v\n%s", err, text)
	}
	var j result.JUnit
	if text, err := os.ReadFile(junit); err != nil || xml.Unmarshal(text, &j) != nil || j.Failures != 2 {
		t.Errorf("%v, %d failures, want one a dialect\n%s", err, j.Failures, text)
	}
}

// A change is named by what it is about, also where every spec passes in spite of it.
func TestGateNamesWhatChanged(t *testing.T) {
	qemu := needQEMU(t, "arm")
	// One spec that passes with most faults and one that does not; latency needs more of them.
	passes, fails := []string{"--specs", "memory: unmapped memory", "--rounds", "2", "--confirm", "3"}, []string{"--specs", "memory: a variable", "--rounds", "2", "--confirm", "3"}
	several := []string{"--specs", gateSpecs, "--confirm", "1"}
	for _, c := range []struct {
		base, head, dialect string // faults
		args                []string
		kind                gate.Kind
		request, field      string
		status              int
	}{
		{"", "memory-reads-zeros", "packet", fails, gate.NewlyFailing, "", "", statusFailed},
		{"memory-reads-zeros", "", "packet", fails, gate.NewlyPassing, "", "", 0},
		{"", "list-ends-early", "packet", passes, gate.RequestVanished, "qregc", "", statusFailed},
		{"list-ends-early", "", "packet", passes, gate.RequestAppeared, "qregc", "", statusFailed},
		{"", "space-end", "packet", passes, gate.ReplyChanged, "qmemoryf", "max", statusFailed},
		{"", "group-size", "json", passes, gate.ReplyChanged, "mcd-qry-reg-groups", "return.reg-groups[].n-registers", statusFailed},
		{"", "group-size", "json", passes, gate.FramingChanged, "mcd-qry-reg-groups", "end", statusFailed},
		{"", "refusal-says-more", "json", passes, gate.FieldAppeared, "mcd-execute-txlist", "return.error-str", statusFailed},
		{"refusal-says-more", "", "json", passes, gate.FieldVanished, "mcd-execute-txlist", "return.error-str", statusFailed},
		{"", "replies-late", "packet", several, gate.Slower, "qcores", "", statusFailed},
		{"replies-late", "", "json", several, gate.Faster, "mcd-qry-cores", "", 0},
	} {
		t.Run(fmt.Sprintf("%s from %s to %s", c.kind, c.base, c.head), func(t *testing.T) {
			args := []string{"gate", "--base", qemu, "--head", qemu, "--dialect", c.dialect, "--base-fault", c.base, "--head-fault", c.head, "--json"}
			got := mcdtest(t, noRaceExit, append(args, c.args...)...)
			comparison := comparisonOf(t, got.out)
			if got.status != c.status {
				t.Errorf("exit status %d, want %d", got.status, c.status)
			}
			if !slices.ContainsFunc(comparison.Findings, func(f gate.Finding) bool {
				return f.Kind == c.kind && f.Request == c.request && f.Field == c.field
			}) {
				t.Errorf("%s of %s %s is not among\n%s%s", c.kind, c.request, c.field, findings(comparison), got.errors)
			}
		})
	}
}

// A head that lacks a target that base has is found out; one that has more is welcome.
func TestGateOfTargets(t *testing.T) {
	t.Parallel()
	one, two := armOnly(t), armOnly(t)
	if err := os.Symlink(needQEMU(t, "riscv64"), filepath.Join(two, "qemu-system-riscv64")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		base, head string
		kind       gate.Kind
		status     int
	}{{two, one, gate.NewlySkipped, statusFailed}, {one, two, gate.NoLongerSkipped, 0}} {
		got := mcdtest(t, noRaceExit, "gate", "--base", c.base, "--head", c.head, "--arch", "arm,riscv64", "--specs", "packet memory: unmapped", "--rounds", "1", "--confirm", "1", "--json")
		comparison := comparisonOf(t, got.out)
		if got.status != c.status || len(comparison.Findings) != 1 || comparison.Findings[0].Kind != c.kind || !strings.HasPrefix(comparison.Findings[0].Specs[0], "riscv64 packet memory: ") {
			t.Errorf("exit status %d, want %d\n%s%s", got.status, c.status, findings(comparison), got.errors)
		}
	}
}

func TestGateAgainstASavedResult(t *testing.T) {
	t.Parallel()
	qemu := needQEMU(t, "arm")
	saved := filepath.Join(t.TempDir(), "saved.jsonl.gz")
	got := mcdtest(t, noRaceExit, "gate", "--head", qemu, "--save", saved, "--specs", gateSpecs)
	if got.status != 0 || !strings.Contains(got.out, "18 passed") {
		t.Fatalf("exit status %d\n%s%s", got.status, got.out, got.errors)
	}
	got = mcdtest(t, noRaceExit, "gate", "--head", qemu, "--against", saved, "--specs", gateSpecs, "--json")
	if c := comparisonOf(t, got.out); got.status != 0 || len(c.Findings) > 0 || c.Recorded != 6 || !c.Base.Saved {
		t.Errorf("the same: exit status %d\n%s%s", got.status, findings(c), got.errors)
	}
	got = mcdtest(t, noRaceExit, "gate", "--head", qemu, "--base", saved, "--specs", gateSpecs, "--rounds", "1", "--confirm", "0", "--head-fault", "memory-reads-zeros", "--json")
	if c := comparisonOf(t, got.out); got.status != statusFailed || c.Regressions() < 4 {
		t.Errorf("a fault: exit status %d\n%s%s", got.status, findings(c), got.errors)
	}
	got = mcdtest(t, noRaceExit, "gate", "--head", qemu, "--against", saved)
	if got.status != statusCannotRun || !strings.Contains(got.errors, "the sides are about different specs") {
		t.Errorf("other specs: exit status %d\n%s", got.status, got.errors)
	}
	plain := filepath.Join(t.TempDir(), "plain.jsonl")
	if err := openResult(t, saved).Write(plain); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	zipped, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		text []byte
		says string
	}{
		{"cut.jsonl.gz", zipped[:len(zipped)*2/3], "is incomplete, so it cannot be compared with: the file was cut short"},
		{"cut.jsonl", text[:len(text)*2/3], "is incomplete, so it cannot be compared with: the file was cut short"},
		{"damaged.jsonl", slices.Concat(text[:len(text)/2], []byte("\x00\n"), text[len(text)/2:]), "it is damaged: line "},
		{"newer.jsonl", []byte(`{"header":{"format":99}}` + "\n"), "of a newer format (99)"},
		{"empty.jsonl", nil, "it is empty"},
		{"without.jsonl", bytes.Replace(text, []byte(`"MCDTEST_RECORD=1",`), nil, 1), "run mcdtest suite with --record"},
	} {
		path := filepath.Join(t.TempDir(), c.name)
		if err := os.WriteFile(path, c.text, 0o666); err != nil {
			t.Fatal(err)
		}
		got := mcdtest(t, noRaceExit, "gate", "--head", qemu, "--against", path, "--specs", gateSpecs)
		if got.status != statusCannotRun || !strings.Contains(got.errors, c.says) || !strings.Contains(got.errors, path) {
			t.Errorf("%s: exit status %d\n%s", c.name, got.status, got.errors)
		}
	}
}

func TestGateThatCannotRun(t *testing.T) {
	t.Parallel()
	qemu := needQEMU(t, "arm")
	dir := t.TempDir()
	broken := filepath.Join(dir, "qemu-system-arm")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\ncase \"$*\" in *-help) echo QEMU emulator version 9.9.9;; *) echo no such machine >&2; exit 1;; esac\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, "there is nothing to compare with"},
		{[]string{"--base", qemu, "--against", "x.jsonl"}, "--against"},
		{[]string{"--base", broken, "--head", qemu}, "base: start QEMU"},
		{[]string{"--base", qemu, "--head", broken}, "head: start QEMU"},
		{[]string{"--base", filepath.Join(dir, "none"), "--head", qemu}, "base: find a QEMU"},
		{[]string{"--base", qemu, "--head", qemu, "--accept", "everything"}, `no kind of difference "everything"`},
		{[]string{"--base", qemu, "--head", qemu, "--rounds", "0"}, "--rounds=0"},
		{[]string{"--base", qemu, "--head", qemu, "--rounds", "9223372036854775807"}, "--rounds=9223372036854775807"},
		{[]string{"--base", qemu, "--head", qemu, "--confirm", "-1"}, "--confirm=-1"},
		{[]string{"--base", qemu, "--head", qemu, "--ratio", "1"}, "--ratio=1"},
		{[]string{"--base", qemu, "--head", qemu, "--ratio", "NaN"}, "--ratio=NaN"},
		{[]string{"--base", qemu, "--head", qemu, "--ratio", "-2"}, "--ratio=-2"},
		{[]string{"--base", qemu, "--head", qemu, "--ratio", "inf"}, "--ratio=+Inf"},
		{[]string{"--base", qemu, "--head", qemu, "-p", "0"}, "--parallel=0"},
		{[]string{"--base", qemu, "--head", qemu, "--arch", "riscv64"}, "head: find a QEMU for riscv64: "},
		{[]string{"--base", qemu, "--head", qemu, "--artifacts", filepath.Join(qemu, "artifacts")}, "--artifacts: "},
		{[]string{"--base", qemu, "--head", qemu, "--markdown", "/nonexistent/gate.md"}, "/nonexistent/gate.md"},
		{[]string{"--base", qemu, "--head", qemu, "--save", "/dev/full", "--specs", gateSpecs}, "no space left on device"},
	} {
		got := mcdtest(t, noRaceExit, append([]string{"gate"}, c.args...)...)
		if got.status != statusCannotRun || !strings.Contains(got.errors, c.says) {
			t.Errorf("%q: exit status %d, want 2 with %q\n%s%s", c.args, got.status, c.says, got.out, got.errors)
		}
	}
}

// Neither a part of a run nor a stub of another kind is compared with.
func TestGateOfSidesThatDiffer(t *testing.T) {
	part := filepath.Join(t.TempDir(), "part.jsonl")
	saved := result.Result{Header: result.Header{Shard: "1/3", Settings: []string{suites.RecordVariable + "=1"}}, Footer: &result.Footer{Complete: true}}
	if err := saved.Write(part); err != nil {
		t.Fatal(err)
	}
	var c gateCmd
	if _, _, err := c.source(t.Context(), gate.Base, part, ""); err == nil || !strings.Contains(err.Error(), "part 1/3 of a run") {
		t.Errorf("a part of a run: %v", err)
	}
	side := func(endpoint harness.EndpointKind) gate.Source {
		return gate.Source{Header: result.Header{Build: result.Build{Label: "a build", Endpoint: string(endpoint)}}}
	}
	for _, test := range []struct {
		base, head harness.EndpointKind
		refused    bool
	}{{harness.Native, harness.Stub, true}, {harness.Stub, harness.Native, false}, {harness.Native, harness.Native, false}, {harness.Stub, harness.Stub, false}} {
		err := comparableSources(gate.Config{Base: side(test.base), Head: side(test.head)}, [2]suites.Settings{})
		if (err != nil) != test.refused {
			t.Errorf("%s against %s: %v", test.base, test.head, err)
		}
	}
}

// What was finished until a signal came is saved, and is not taken for a whole result.
func TestGateThatIsInterrupted(t *testing.T) {
	t.Parallel()
	qemu := needQEMU(t, "arm")
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		dir := t.TempDir()
		saved, out, junit, page := filepath.Join(dir, "saved.jsonl"), filepath.Join(dir, "gate.json"), filepath.Join(dir, "junit.xml"), filepath.Join(dir, "page.html")
		// A lane of its own finishes the quick specs while the slow one waits.
		r := startSlow(t, "gate", "--base", qemu, "--head", qemu, "-p", "2", "--specs", quickSpecs+"|^"+slowSpec+"$",
			"--fault", slowFault, "--head-fault", "memory-off-by-one", "--save", saved, "--out", out, "--junit", junit)
		r.waitForSlow(t)
		began := time.Now()
		r.Process.Signal(sig)
		if status := r.status(t); status != statusCannotRun || time.Since(began) > 3*time.Second || !strings.Contains(r.stderr(), "interrupted") {
			t.Errorf("%v: exit status %d after %v\n%s", sig, status, time.Since(began), r.stderr())
		}
		noneLeft(t, r.mark)
		if got := openResult(t, saved); got.Incomplete() != "the run was interrupted" {
			t.Errorf("%v: %q, incomplete because %q", sig, outcomesOf(got), got.Incomplete())
		}
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if c := comparisonOf(t, string(text)); c.Incomplete != "the gate was interrupted" || slices.ContainsFunc(c.Findings, func(f gate.Finding) bool { return f.Kind == gate.SpecVanished }) {
			t.Errorf("%v: %+v", sig, c)
		}
		if text, err := os.ReadFile(junit); err != nil || !strings.Contains(string(text), "incomplete: the gate was interrupted") {
			t.Errorf("%v: %v\n%s", sig, err, text)
		}
		for _, file := range []string{saved, out} {
			if got := mcdtest(t, nil, "report", file, "-o", page); got.status != 0 {
				t.Errorf("%v: report %s: exit status %d\n%s", sig, file, got.status, got.errors)
			}
			isPage(t, page, "interrupted")
		}
	}
}

// SIGUSR1 shows where the machine of each side stands.
func TestGateOnSIGUSR1(t *testing.T) {
	t.Parallel()
	qemu := needQEMU(t, "arm")
	r := startSlow(t, "gate", "--base", qemu, "--head", qemu, "--specs", "^"+slowSpec+"$", "--fault", slowFault, "--rounds", "1", "--confirm", "0")
	r.waitForSlow(t)
	if status := r.status(t); status != 0 {
		t.Errorf("exit status %d: the signal was to change nothing\n%s", status, r.stderr())
	}
	for _, want := range []string{"pid ", "stub endpoint", "run state", "running: " + slowSpec} {
		if !strings.Contains(r.stderr(), want) {
			t.Errorf("%q is not in\n%s", want, r.stderr())
		}
	}
}
