// SPDX-License-Identifier: Apache-2.0

package summary

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcdtest/cmd/mcdtest/internal/term"
	"mcdtest/harness/result"
)

func spec(index int, name string, o result.Outcome) result.Spec {
	subject, _, _ := strings.Cut(name, ":")
	return result.Spec{ID: "arm packet " + name, Index: index, Subject: subject, Outcome: o, Took: 500 * time.Millisecond}
}

const want = `case            passed  failed  expected  skipped   of work
arm packet           1       2         2        3     4.0 s
riscv64 json         1       0         0        0     0.0 s
x86_64 packet        0       0         0        1     0.0 s  not applicable

PASSED arm packet session: got better
    it was expected to fail: it was bad

FAILED arm packet memory: is wrong (round 2)
    expected
        1
    to equal
        2
    at suites/memory.go:7
    the last packets:
      0.000002 < +$2#|
      0.000003 > $m0;1;64;2#|
      0.000004 < +$3333#|
      0.000005 # VM STOP
      0.000006 > $m0;1;64;50#|
      0.000007 < +$00000000000000000000000000000000000000000000000000000000000000000000000000000000…
    to reproduce: mcdtest play it.txt

Failed as expected
    2 specs, such as arm packet session: known 1: the parser's state survives

Skipped
    arm packet kill: once: no reason given
    2 specs, such as arm packet reset: one: not applicable: there is no reset
    x86_64 packet memory: fine: not applicable: there is no QEMU for it

Expectation without a spec: known.yaml:3: there is no spec "x"
2 passed, 1 failed, 4 skipped, 2 failed as expected, 1 passed unexpectedly, 1 not run in 61.5 s
`

func TestPrint(t *testing.T) {
	failed := spec(1, "memory: is wrong", result.Failed)
	failed.Round, failed.Failure, failed.Location = 2, "expected\n    1\nto equal\n    2", "suites/memory.go:7"
	failed.Evidence = &result.Evidence{Reproduce: "mcdtest play it.txt", Machines: []result.Machine{{Transcript: "0.000000 > $another#|\n"}, {Transcript: `0.000001 > $m0;1;64;1#|
0.000002 < +$2#|
0.000003 > $m0;1;64;2#|
0.000004 < +$3333#|
0.000005 # VM STOP
0.000006 > $m0;1;64;50#|
0.000007 < +$` + strings.Repeat("0", 100) + "#|\n"}}}
	better := spec(2, "session: got better", result.Passed)
	better.Expected = "it was bad"
	known1, known2 := spec(3, "session: known 1", result.Failed), spec(4, "session: known 2", result.Failed)
	known1.Expected, known2.Expected = "the parser's state survives", "the parser's state survives"
	skip1, skip2, skip3 := spec(5, "reset: one", result.Skipped), spec(6, "reset: two", result.Skipped), spec(0, "kill: once", result.Skipped)
	skip1.Reason, skip2.Reason = "not applicable: there is no reset", "not applicable: there is no reset"
	other := result.Spec{ID: "riscv64 json memory: fine", Index: 8, Subject: "memory", Outcome: result.Passed}
	lacking := result.Spec{ID: "x86_64 packet memory: fine", Index: 9, Subject: "memory", Outcome: result.Skipped, Reason: "not applicable: there is no QEMU for it"}
	r := &result.Result{
		Header: result.Header{Planned: 11},
		Specs:  []result.Spec{other, lacking, better, failed, skip2, skip1, known2, known1, skip3, spec(0, "loop: fine", result.Passed)},
		Footer: &result.Footer{Unmatched: []string{`known.yaml:3: there is no spec "x"`}},
	}
	var out bytes.Buffer
	Print(&out, term.Style{Width: 100}, r, 61500*time.Millisecond)
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("- want, + got:\n%s", diff)
	}
}

// A message of hundreds of lines does not hide the next failure.
func TestLongMessage(t *testing.T) {
	s := spec(0, "memory: is wrong", result.Failed)
	s.Failure = strings.Repeat("a line\n", 200)
	var out bytes.Buffer
	Print(&out, term.Style{}, &result.Result{Specs: []result.Spec{s}}, 0)
	if n := strings.Count(out.String(), "a line"); n != messageLines || !strings.Contains(out.String(), "(170 more lines)") {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
}

func TestFailure(t *testing.T) {
	s := spec(0, "memory: is wrong", result.Failed)
	s.Failure = "it is not what it was to be\nat all"
	if got, want := Failure(s, term.Style{}), "FAILED arm packet memory: is wrong: it is not what it was to be"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	s.Outcome, s.Expected = result.Passed, "it was bad"
	if got, want := Failure(s, term.Style{}), "PASSED arm packet memory: is wrong, but was expected to fail: it was bad"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
