// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mcdtest/harness/gate"
	"mcdtest/harness/result"
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
		{[]string{"--base", qemu, "--head", qemu, "--ratio", "1"}, "--ratio=1"},
		{[]string{"--base", qemu, "--head", qemu, "--markdown", "/nonexistent/gate.md"}, "/nonexistent/gate.md"},
		{[]string{"--base", qemu, "--head", qemu, "--save", "/dev/full", "--specs", gateSpecs}, "no space left on device"},
	} {
		got := mcdtest(t, noRaceExit, append([]string{"gate"}, c.args...)...)
		if got.status != statusCannotRun || !strings.Contains(got.errors, c.says) {
			t.Errorf("%q: exit status %d, want 2 with %q\n%s%s", c.args, got.status, c.says, got.out, got.errors)
		}
	}
}

// What was finished until a signal came is saved, and is not taken for a whole result.
func TestGateThatIsInterrupted(t *testing.T) {
	t.Parallel()
	qemu := needQEMU(t, "arm")
	saved := filepath.Join(t.TempDir(), "saved.jsonl")
	r := startSlow(t, "gate", "--base", qemu, "--head", qemu, "--specs", quickSpecs+"|^"+slowSpec+"$", "--fault", slowFault, "--save", saved)
	r.waitForSlow(t)
	began := time.Now()
	r.Process.Signal(os.Interrupt)
	if status := r.status(t); status != statusCannotRun || time.Since(began) > 3*time.Second || !strings.Contains(r.stderr(), "interrupted") {
		t.Errorf("exit status %d after %v\n%s", status, time.Since(began), r.stderr())
	}
	noneLeft(t, r.mark)
	if got := openResult(t, saved); got.Incomplete() != "the run was interrupted" {
		t.Errorf("%q, incomplete because %q", outcomesOf(got), got.Incomplete())
	}
}
