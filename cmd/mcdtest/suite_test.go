// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcdtest/harness/result"
	"mcdtest/suites"
)

// Specs for these tests: a few that take little time, and one that takes as long as its patience does, because of a
// fault that lets it wait for a variable that never changes.
const (
	quickSpecs = "arm packet memory: (unmapped memory is refused|a variable is in the byte order|an access across)"
	slowSpec   = "arm packet memory: memory is live while the core runs, and reading it does not stop it"
	slowFault  = "memory-reads-zeros"
)

// noRaceExit takes away the second that the race detector waits at the end of each process.
var noRaceExit = []string{"GORACE=atexit_sleep_ms=0"}

// suiteArgs are for the slow spec and the quick ones.
func slowArgs(more ...string) []string {
	return append([]string{"suite", "--specs", quickSpecs + "|^" + slowSpec + "$", "--fault", slowFault}, more...)
}

func openResult(t *testing.T, path string) *result.Result {
	t.Helper()
	r, err := result.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func outcomesOf(r *result.Result) []string {
	r.Sort()
	var list []string
	for _, s := range r.Specs {
		list = append(list, fmt.Sprintf("%s %s", s.Outcome, s.ID))
	}
	return list
}

func TestSuite(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	dir := t.TempDir()
	out, junit := filepath.Join(dir, "result.jsonl"), filepath.Join(dir, "junit.xml")
	got := mcdtest(t, noRaceExit, "suite", "--specs", quickSpecs, "--out", out, "--junit", junit, "--record", "--repeat", "2", "--seed", "7", "--label", "a build")
	if got.status != 0 || !strings.Contains(got.out, "6 passed, 0 failed, 0 skipped in ") {
		t.Fatalf("exit status %d\n%s%s", got.status, got.out, got.errors)
	}
	r := openResult(t, out)
	want := []string{
		"passed arm packet memory: a variable is in the byte order of the machine",
		"passed arm packet memory: an access across a page end is whole",
		"passed arm packet memory: unmapped memory is refused, and the next access works",
	}
	if diff := cmp.Diff(append(want, want...), outcomesOf(r)); diff != "" {
		t.Errorf("- want, + got:\n%s", diff)
	}
	if h := r.Header; h.Planned != 6 || h.Rounds != 2 || h.Seed != 7 || h.Build.Label != "a build" || h.Build.Endpoint != "stub" || h.Build.Versions["arm"] == "" || r.Incomplete() != "" {
		t.Errorf("%+v, %+v", h, r.Footer)
	}
	for _, s := range r.Specs {
		if s.Took <= 0 || s.Arch != "arm" || s.Dialect != "packet" || s.Cores != 1 || s.Subject != "memory" || s.Evidence == nil || !strings.Contains(s.Evidence.Machines[0].Transcript, "> $I#|") {
			t.Errorf("%+v", s)
		}
	}
	text, err := os.ReadFile(junit)
	if err != nil {
		t.Fatal(err)
	}
	var j result.JUnit
	if err := xml.Unmarshal(text, &j); err != nil || j.Tests != 6 || j.Failures != 0 {
		t.Errorf("%v: %s", err, text)
	}
}

// A failure is told when it happens, and what explains it at the end; a script that reproduces it is left.
func TestSuiteThatFails(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	artifacts := filepath.Join(t.TempDir(), "artifacts")
	got := mcdtest(t, noRaceExit, "suite", "--specs", quickSpecs, "--fault", slowFault, "--artifacts", artifacts, "--json")
	if got.status != statusFailed {
		t.Fatalf("exit status %d\n%s%s", got.status, got.out, got.errors)
	}
	r, err := result.Read(strings.NewReader(got.out))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"failed arm packet memory: a variable is in the byte order of the machine",
		"failed arm packet memory: an access across a page end is whole",
		"passed arm packet memory: unmapped memory is refused, and the next access works",
	}
	if diff := cmp.Diff(want, outcomesOf(r)); diff != "" {
		t.Errorf("- want, + got:\n%s", diff)
	}
	for _, s := range r.Specs[:2] {
		if !strings.Contains(got.errors, "FAILED "+s.ID+": "+s.Headline()) {
			t.Errorf("the failure of %s is not told at once:\n%s", s.ID, got.errors)
		}
		if s.Location == "" || s.Failure == "" || s.Evidence == nil || !strings.Contains(s.Evidence.Reproduce, artifacts) {
			t.Errorf("%+v", s)
		}
	}
	if scripts, _ := filepath.Glob(filepath.Join(artifacts, "*.txt")); len(scripts) != 2 {
		t.Errorf("scripts: %q", scripts)
	}
}

func TestSuiteWithExpectations(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	dir := t.TempDir()
	known := filepath.Join(dir, "known.yaml")
	args := []string{"suite", "--specs", quickSpecs}
	faulty := append(slices.Clone(args), "--fault", slowFault)
	if got := mcdtest(t, noRaceExit, append(faulty, "--write-expectations", known)...); got.status != statusFailed {
		t.Fatalf("exit status %d\n%s%s", got.status, got.out, got.errors)
	}
	got := mcdtest(t, noRaceExit, append(faulty, "--expectations", known)...)
	if got.status != 0 || !strings.Contains(got.out, "2 failed as expected") || !strings.Contains(got.out, "Failed as expected") {
		t.Errorf("failures that are known: exit status %d\n%s%s", got.status, got.out, got.errors)
	}
	junit := filepath.Join(dir, "junit.xml")
	got = mcdtest(t, noRaceExit, append(args, "--expectations", known, "--junit", junit)...)
	if got.status != statusFailed || !strings.Contains(got.out, "2 passed unexpectedly") || !strings.Contains(got.out, "it was expected to fail: ") {
		t.Errorf("passes that nobody expects: exit status %d\n%s%s", got.status, got.out, got.errors)
	}
	text, err := os.ReadFile(known)
	if err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(dir, "stale.yaml")
	if err := os.WriteFile(stale, append(text, "  - {spec: \"arm packet memory: no such spec\", reason: none}\n"...), 0o666); err != nil {
		t.Fatal(err)
	}
	got = mcdtest(t, noRaceExit, append(faulty, "--expectations", stale)...)
	if got.status != 0 || !strings.Contains(got.out, `there is no spec "arm packet memory: no such spec"`) {
		t.Errorf("an entry for no spec: exit status %d\n%s%s", got.status, got.out, got.errors)
	}
}

// Each of these says what is wrong and what to do, and runs nothing.
func TestSuiteThatCannotRun(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("build: b\nnonsense: c\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	armOnly := armOnly(t)
	notQEMU := filepath.Join(dir, "qemu-system-arm")
	if err := os.WriteFile(notQEMU, []byte("#!/bin/sh\necho QEMU emulator version 9.9.9\necho Cannot start >&2\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--specs", "no such spec"}, "there is no such spec"},
		{[]string{"--specs", "("}, "--specs: error parsing regexp"},
		{[]string{"--arch", "vax"}, "--arch=vax: there is no guest program for \"vax\"; there are some for arm, "},
		{[]string{"--cores", "99"}, "--cores=99"},
		{[]string{"--shard", "3/2"}, `--shard: "3/2" is not a shard I/N`},
		{[]string{"--arch", "arm,"}, `--arch=arm,: there is no guest program for ""`},
		{[]string{"--cores", "-1"}, "--cores=-1"},
		{[]string{"--repeat", "0"}, "--repeat=0: it is to be a number from 1 to"},
		{[]string{"--repeat", "-1"}, "--repeat=-1: it is to be a number from 1 to"},
		{[]string{"--repeat", "9223372036854775807"}, "--repeat=9223372036854775807: it is to be a number from 1 to"},
		{[]string{"--repeat", "99999999999999999999"}, "--repeat: expected a valid 64 bit int"},
		{[]string{"-p", "0"}, "--parallel=0: it is to be a number from 1 to"},
		{[]string{"-p", "-3"}, "--parallel=-3: it is to be a number from 1 to"},
		{[]string{"--parallel", "1000000"}, "--parallel=1000000: it is to be a number from 1 to"},
		{[]string{"--endpoint", "native"}, "has no option -mcd: use --endpoint=stub"},
		{[]string{"--arch", "riscv64", "--qemu", armOnly}, "there is no qemu-system-riscv64 in the folder"},
		{[]string{"--specs", "arm json cores: of 2: a core beyond"}, "nothing was tested: 1 of 1 specs were skipped, such as"},
		{[]string{"--qemu", "/nonexistent"}, "/nonexistent"},
		{[]string{"--qemu", notQEMU}, "Cannot start"},
		{[]string{"--fault", "no-such-fault", "--specs", quickSpecs}, `there is no fault "no-such-fault"`},
		{[]string{"--expectations", filepath.Join(dir, "missing.yaml")}, "missing.yaml"},
		{[]string{"--expectations", file}, "file:2: a file has no \"nonsense\""},
		{[]string{"--out", filepath.Join(file, "out.jsonl"), "--specs", quickSpecs}, "write results to"},
		{[]string{"--out", "/dev/full", "--specs", quickSpecs}, "no space left on device"},
		{[]string{"--write-expectations", file}, "file exists; remove it"},
		{[]string{"--junit", filepath.Join(file, "junit.xml")}, "what comes out cannot be written there"},
		{[]string{"--artifacts", filepath.Join(file, "artifacts")}, "--artifacts: "},
	} {
		got := mcdtest(t, noRaceExit, append([]string{"suite"}, c.args...)...)
		if got.status != statusCannotRun || !strings.Contains(got.errors, c.says) {
			t.Errorf("%q: exit status %d, want 2 with %q:\n%s%s", c.args, got.status, c.says, got.out, got.errors)
		}
	}
}

// armOnly makes a folder that has a QEMU for arm and no other.
func armOnly(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(needQEMU(t, "arm"), filepath.Join(dir, "qemu-system-arm")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// An architecture that the build lacks is not applicable, and does not keep the others from being tested.
func TestSuiteOfABuildThatLacksATarget(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	dir := t.TempDir()
	out, junit := filepath.Join(dir, "result.jsonl"), filepath.Join(dir, "junit.xml")
	for _, archs := range []string{"arm,riscv64", "riscv64,arm,arm"} {
		got := mcdtest(t, noRaceExit, "suite", "--arch", archs, "--qemu", armOnly(t), "--specs", "packet memory: an access across", "--out", out, "--junit", junit)
		const reason = "not applicable: find a QEMU for riscv64: there is no qemu-system-riscv64 in the folder "
		if got.status != 0 || !strings.Contains(got.out, reason) || !strings.Contains(got.out, "1 passed, 0 failed, 1 skipped") {
			t.Errorf("exit status %d\n%s%s", got.status, got.out, got.errors)
		}
		r := openResult(t, out)
		if len(r.Specs) != 2 || r.Header.Build.Versions["arm"] == "" || r.Header.Build.Endpoint != "stub" {
			t.Fatalf("%+v", r)
		}
		for _, s := range r.Specs {
			if s.Arch == "riscv64" && (s.Outcome != result.Skipped || !strings.HasPrefix(s.Reason, reason)) || s.Arch == "arm" && s.Outcome != result.Passed {
				t.Errorf("%+v", s)
			}
		}
		if text, err := os.ReadFile(junit); err != nil || !bytes.Contains(text, []byte(reason)) || !bytes.Contains(text, []byte(`tests="2" failures="0" skipped="1"`)) {
			t.Errorf("%v\n%s", err, text)
		}
	}
}

// A fault is put in by the environment, too, as the documentation says.
func TestSuiteWithAFaultOfTheEnvironment(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	got := mcdtest(t, append(noRaceExit[:1:1], suites.FaultVariable+"="+slowFault), "suite", "--specs", quickSpecs)
	if got.status != statusFailed || !strings.Contains(got.out, "1 passed, 2 failed") {
		t.Errorf("exit status %d\n%s%s", got.status, got.out, got.errors)
	}
	got = mcdtest(t, append(noRaceExit[:1:1], suites.FaultVariable+"=no-such-fault"), "suite", "--specs", quickSpecs)
	if got.status != statusCannotRun || !strings.Contains(got.errors, `there is no fault "no-such-fault"`) {
		t.Errorf("exit status %d\n%s%s", got.status, got.out, got.errors)
	}
}

// What cannot be written at the end is an error, but does not keep the rest from being written.
func TestSuiteWhoseReportCannotBeWritten(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	out := filepath.Join(t.TempDir(), "result.jsonl")
	got := mcdtest(t, noRaceExit, "suite", "--specs", quickSpecs, "--junit", "/dev/full", "--out", out)
	if got.status != statusCannotRun || !strings.Contains(got.errors, "write the JUnit report to /dev/full: no space left on device") || !strings.Contains(got.out, "3 passed") {
		t.Errorf("exit status %d\n%s%s", got.status, got.out, got.errors)
	}
	if r := openResult(t, out); len(r.Specs) != 3 || r.Incomplete() != "" {
		t.Errorf("%d specs, %q", len(r.Specs), r.Incomplete())
	}
}

// mcdtest run is where a beginner looks for it.
func TestRunWriteExpectations(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	file := filepath.Join(t.TempDir(), "known.yaml")
	if got := mcdtest(t, noRaceExit, "run", "--write-expectations", file, "--qemu-arg=-S"); got.status != statusCannotRun || !strings.Contains(got.errors, "drop --guest") {
		t.Errorf("exit status %d\n%s%s", got.status, got.out, got.errors)
	}
	r := startSlow(t, "run", "--write-expectations", file, "--dialect", "packet")
	waitFor(t, "a worker", func() (bool, string) {
		list := strings.Join(marked(r.mark), "\n")
		return strings.Contains(list, suites.WorkerCommand), list
	})
	r.Process.Signal(os.Interrupt)
	if status := r.status(t); status != statusCannotRun {
		t.Errorf("interrupted: exit status %d\n%s", status, r.stderr())
	}
	if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), "expect: []") {
		t.Errorf("%v\n%s", err, text)
	}
}

// The parts of a run, joined, are the run.
func TestShards(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	dir := t.TempDir()
	run := func(name string, more ...string) *result.Result {
		out := filepath.Join(dir, name)
		got := mcdtest(t, noRaceExit, append([]string{"suite", "--specs", "memory: (unmapped|a variable|an access across|a read)", "--out", out}, more...)...)
		if got.status != 0 {
			t.Fatalf("exit status %d\n%s%s", got.status, got.out, got.errors)
		}
		return openResult(t, out)
	}
	whole := run("whole.jsonl")
	for i := 1; i <= 3; i++ {
		run(fmt.Sprintf("%d.jsonl", i), "--shard", fmt.Sprintf("%d/3", i))
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	if got := mcdtest(t, nil, "report", file("3.jsonl"), file("1.jsonl"), "--merge", file("part.jsonl"), "-o", file("part.html")); got.status != statusCannotRun || !strings.Contains(got.errors, "shard 2/3 is missing") {
		t.Errorf("without a part: exit status %d\n%s", got.status, got.errors)
	}
	if got := mcdtest(t, nil, "report", file("3.jsonl"), file("1.jsonl"), file("2.jsonl"), "--merge", file("joined.jsonl"), "-o", file("joined.html")); got.status != 0 {
		t.Fatalf("exit status %d\n%s", got.status, got.errors)
	}
	isPage(t, file("joined.html"), "are as they should be")
	joined := openResult(t, file("joined.jsonl"))
	whole.Sort()
	for _, r := range []*result.Result{whole, joined} { // nothing but times may differ
		r.Header.Started, r.Footer.Ended = time.Time{}, time.Time{}
		for i := range r.Specs {
			r.Specs[i].Took = 0
		}
	}
	if diff := cmp.Diff(whole, joined); diff != "" {
		t.Errorf("- unsharded, + joined:\n%s", diff)
	}
}

func TestSuiteList(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	all := mcdtest(t, nil, "suite", "--list")
	lines := strings.Split(strings.TrimSpace(all.out), "\n")
	if all.status != 0 || !slices.Contains(lines, slowSpec) {
		t.Fatalf("exit status %d\n%s%s", all.status, all.out, all.errors)
	}
	var parts []string
	for i := 1; i <= 4; i++ {
		part := mcdtest(t, nil, "suite", "--list", "--shard", fmt.Sprintf("%d/4", i))
		parts = append(parts, strings.Split(strings.TrimSpace(part.out), "\n")...)
	}
	slices.Sort(lines)
	slices.Sort(parts)
	if diff := cmp.Diff(lines, parts); diff != "" {
		t.Errorf("the shards are not the whole (- whole, + shards):\n%s", diff)
	}
}

// running is the command while it runs.
type running struct {
	*exec.Cmd
	mark string

	mu       sync.Mutex
	out, err bytes.Buffer
}

func (r *running) stderr() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err.String()
}

type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// startSlow starts the suite and waits until the slow spec has a QEMU.
func startSlow(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	mark := rand.Text()
	r := &running{Cmd: command(ctx, mark, args...), mark: mark}
	r.Env = append(r.Env, noRaceExit...)
	r.Dir = t.TempDir()
	r.Stdout, r.Stderr = locked{&r.mu, &r.out}, locked{&r.mu, &r.err}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.ProcessState == nil {
			r.Process.Kill()
			r.Wait()
		}
		noneLeft(t, mark)
	})
	return r
}

// waitForSlow waits until the slow spec reads the variable, by asking where it stands.
func (r *running) waitForSlow(t *testing.T) {
	t.Helper()
	// A program that has only just been started is ended by the signal.
	waitFor(t, "a worker", func() (bool, string) {
		list := strings.Join(marked(r.mark), "\n")
		return strings.Contains(list, suites.WorkerCommand), list
	})
	waitFor(t, "the slow spec to say where it stands", func() (bool, string) {
		r.Process.Signal(syscall.SIGUSR1)
		text := r.stderr()
		return strings.Contains(text, slowSpec+" (for ") && strings.Contains(text, "> $m0;"), text
	})
}

// status waits for the end.
func (r *running) status(t *testing.T) int {
	t.Helper()
	err := r.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return r.ProcessState.ExitCode()
}

// SIGUSR1 shows where every machine stands, what it said last included.
func TestSuiteOnSIGUSR1(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	r := startSlow(t, slowArgs()...)
	r.waitForSlow(t)
	if status := r.status(t); status != statusFailed {
		t.Errorf("exit status %d: the signal was to change nothing\n%s", status, r.stderr())
	}
	for _, want := range []string{"pid ", "stub endpoint", "packet dialect", "run state", "done", "running: " + slowSpec} {
		if !strings.Contains(r.stderr(), want) {
			t.Errorf("%q is not in\n%s", want, r.stderr())
		}
	}
}

// A signal ends the run at once; what was finished is in the results, what ran is said to have been interrupted, and no
// QEMU is left.
func TestSuiteThatIsInterrupted(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		dir := t.TempDir()
		out, junit := filepath.Join(dir, "result.jsonl"), filepath.Join(dir, "junit.xml")
		r := startSlow(t, slowArgs("--out", out, "--junit", junit, "-p", "1")...)
		r.waitForSlow(t)
		began := time.Now()
		r.Process.Signal(sig)
		status := r.status(t)
		if took := time.Since(began); status != statusCannotRun || took > 3*time.Second || !strings.Contains(r.stderr(), "interrupted") {
			t.Errorf("%v: exit status %d after %v\n%s", sig, status, took, r.stderr())
		}
		noneLeft(t, r.mark)
		got := openResult(t, out)
		if got.Incomplete() != "the run was interrupted" {
			t.Errorf("%v: incomplete because %q", sig, got.Incomplete())
		}
		if list := outcomesOf(got); !slices.Contains(list, "interrupted "+slowSpec) {
			t.Errorf("%v: %q", sig, list)
		}
		if text, err := os.ReadFile(junit); err != nil || !bytes.Contains(text, []byte("the run was ended while this spec ran")) {
			t.Errorf("%v: %v\n%s", sig, err, text)
		}
	}
}

// However the command ends, its workers and their QEMUs end with it, and what was finished can be read.
func TestSuiteThatIsKilled(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	out := filepath.Join(t.TempDir(), "result.jsonl")
	r := startSlow(t, slowArgs("--out", out)...)
	r.waitForSlow(t)
	waitFor(t, "the quick specs", func() (bool, string) {
		got := openResult(t, out)
		return len(got.Specs) == 3, fmt.Sprint(outcomesOf(got))
	})
	r.Process.Kill()
	r.Wait()
	noneLeft(t, r.mark)
	if got := openResult(t, out); got.Footer != nil || len(got.Specs) != 3 || got.Incomplete() == "" {
		t.Errorf("%q, incomplete because %q", outcomesOf(got), got.Incomplete())
	}
}

// A worker that is killed fails the spec that it ran; its QEMU is gone, and the rest runs.
func TestSuiteWhoseWorkerIsKilled(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	out := filepath.Join(t.TempDir(), "result.jsonl")
	r := startSlow(t, slowArgs("--out", out, "-p", "1")...)
	r.waitForSlow(t)
	killed := false
	for _, line := range marked(r.mark) {
		if strings.Contains(line, suites.WorkerCommand) {
			pid, err := strconv.Atoi(strings.Fields(line)[0])
			if err != nil {
				t.Fatal(err)
			}
			killed = syscall.Kill(pid, syscall.SIGKILL) == nil
		}
	}
	if !killed {
		t.Fatalf("there is no worker among %q", marked(r.mark))
	}
	if status := r.status(t); status != statusFailed {
		t.Errorf("exit status %d\n%s", status, r.stderr())
	}
	got := openResult(t, out)
	if list := outcomesOf(got); len(list) != 4 || !slices.Contains(list, "failed "+slowSpec) || got.Incomplete() != "" {
		t.Errorf("%q, incomplete because %q", list, got.Incomplete())
	}
	for _, s := range got.Specs {
		if s.ID == slowSpec && !strings.Contains(s.Failure, "the process that ran the spec died: it was ended by SIGKILL") {
			t.Errorf("it failed because %q", s.Failure)
		}
	}
}

// On a terminal there is one line that changes, with what is done and what runs.
func TestSuiteOnATerminal(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	screen := onTerminal(t, noRaceExit, nil, "suite", "--specs", quickSpecs, "--repeat", "5", "-p", "1")
	for _, want := range []string{"\r\x1b[K", " of 15 done", "; running: arm packet memory: "} {
		if !strings.Contains(screen, want) {
			t.Errorf("%q is not in\n%q", want, screen)
		}
	}
	last := screen[strings.LastIndex(screen, "\r\x1b[K"):]
	if strings.Contains(last, "running:") {
		t.Errorf("the line is left on the screen: %q", last)
	}
}

// A stub may acknowledge a step before it is made, as the published one does: no spec, script or recording may take that for a defect.
func TestSuiteToleratesLateSteps(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	got := mcdtest(t, []string{suites.FaultVariable + "=steps-late"}, "suite", "--arch", "arm", "--dialect", "packet", "--specs", "run control|loop|scripts|breakpoints|watchpoints")
	if got.status != 0 {
		t.Errorf("exit status %d\n%s%s", got.status, got.out, got.errors)
	}
}

// A QEMU that says that something is wrong with itself fails the spec that ran, although it goes on.
func TestSuiteOfAQEMUThatComplains(t *testing.T) {
	t.Parallel()
	qemu := needQEMU(t, "arm")
	wrapper := filepath.Join(t.TempDir(), "qemu-system-arm")
	script := fmt.Sprintf("#!/bin/sh\necho '../hw/x.c:1:2: runtime error: shift exponent 99 is too large' >&2\nexec %s \"$@\"\n", qemu)
	if err := os.WriteFile(wrapper, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	got := mcdtest(t, noRaceExit, "suite", "--qemu", wrapper, "--specs", quickSpecs)
	if got.status != statusFailed || !strings.Contains(got.out, "0 passed, 3 failed") || !strings.Contains(got.out, "shift exponent 99") {
		t.Errorf("exit status %d\n%s%s", got.status, got.out, got.errors)
	}
}

// A file that cannot be written leaves no empty file of expectations behind.
func TestExpectationsAreNotBegunInVain(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	known := filepath.Join(t.TempDir(), "known.yaml")
	got := mcdtest(t, noRaceExit, "suite", "--specs", quickSpecs, "--write-expectations", known, "--out", "/nonexistent/x")
	if _, err := os.Stat(known); got.status != statusCannotRun || err == nil {
		t.Errorf("exit status %d, %v\n%s%s", got.status, err, got.out, got.errors)
	}
}
