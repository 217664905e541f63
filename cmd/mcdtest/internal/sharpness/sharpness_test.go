// SPDX-License-Identifier: Apache-2.0

package sharpness

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"mcdtest/harness/result"
	"mcdtest/harness/runner"
	"mcdtest/suites"
)

// The test program is also the worker: one that has the suite's specs by name and runs none. What fails is in its
// environment: lines of a fault, empty for an honest run, and the title of a spec, or "die" instead of a fault to end there.
const (
	fakeWorker = "fake-worker"
	fakeFails  = "FAKE_FAILS"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == fakeWorker {
		os.Exit(fakeMain(os.Args[2]))
	}
	goleak.VerifyTestMain(m)
}

func fakeMain(fd string) int {
	n, err := strconv.Atoi(fd)
	if err != nil {
		return 2
	}
	w, err := runner.Join(n, func() string { return "" }, func() { os.Exit(3) })
	if err != nil {
		return 2
	}
	settings, err := suites.FromEnvironment()
	if err != nil {
		w.Problem(err.Error())
		return 2
	}
	items, err := suites.Items(settings)
	if err != nil {
		w.Problem(err.Error())
		return 2
	}
	fails := strings.Split(os.Getenv(fakeFails), "\n")
	for _, item := range items {
		mine, err := w.Claim(item.ID())
		if err != nil {
			return 3
		}
		if !mine {
			continue
		}
		if slices.Contains(fails, "die "+item.Title()) {
			return 4
		}
		spec := result.Spec{ID: item.ID(), Outcome: result.Passed}
		if slices.Contains(fails, settings.Fault+" "+item.Title()) {
			spec.Outcome, spec.Failure, spec.Location = result.Failed, "it noticed it", "somewhere.go:1"
		}
		if w.Report(spec) != nil {
			return 3
		}
	}
	if w.End() != nil {
		return 3
	}
	return 0
}

func runnerThat(t *testing.T, fails ...string) *Runner {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &Runner{
		Settings: suites.Settings{Archs: []string{"arm"}}, Parallel: 2,
		Command: func(s suites.Settings) (runner.Command, error) {
			env := append(os.Environ(), s.Environment()...)
			env = append(env, "GORACE=atexit_sleep_ms=0", fakeFails+"="+strings.Join(fails, "\n"))
			return runner.Command{Path: self, Args: []string{fakeWorker, "{fd}"}, Env: env}, nil
		},
		Done: func(Verdict) {},
	}
}

// Specs of the suite that the tests are about.
const (
	expected = "run control: one step executes one instruction"
	earlier  = "run control: go runs, stop stops, over and over"
	later    = "run control: the first step from reset executes an instruction"
	other    = "memory: a variable is in the byte order of the machine"
)

func plan(t *testing.T, names ...string) []Trial {
	t.Helper()
	trials, err := Plan(names)
	if err != nil {
		t.Fatal(err)
	}
	return trials
}

func TestNoticed(t *testing.T) {
	for _, c := range []struct {
		name       string
		fails      []string
		documented string
		want       Verdict
	}{
		{"where it ought to be", []string{"step-of-two " + expected, "step-of-two " + other}, "", Verdict{By: expected}},
		{"elsewhere", []string{"step-of-two " + other}, "", Verdict{By: other, Elsewhere: true}},
		{"not at all", []string{"step-of-zero " + expected, " " + other}, "", Verdict{Elsewhere: true}},
		{"as documented", []string{"step-of-two " + expected}, expected, Verdict{By: expected, Holds: true}},
		{"by an earlier spec, too", []string{"step-of-two " + earlier, "step-of-two " + later}, later, Verdict{By: earlier, Holds: true}},
		{"by an earlier spec instead", []string{"step-of-two " + earlier}, later, Verdict{By: earlier}},
		{"by a later spec instead", []string{"step-of-two " + later}, earlier, Verdict{By: later}},
		{"by no spec that is documented", []string{"step-of-two " + expected}, "memory: no such spec", Verdict{By: expected}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := runnerThat(t, c.fails...)
			r.Documented = func(Trial) string { return c.documented }
			var told []string
			r.Done = func(v Verdict) { told = append(told, v.Trial.String()) }
			trials := plan(t, "step-of-two")
			verdicts, err := r.Run(t.Context(), trials)
			if err != nil {
				t.Fatal(err)
			}
			if len(verdicts) != 2 || len(told) != 2 || told[0] != trials[0].String() || told[1] != trials[1].String() {
				t.Fatalf("%d verdicts, told of %v", len(verdicts), told)
			}
			for _, v := range verdicts {
				if v.By != c.want.By || v.Elsewhere != c.want.Elsewhere || v.Holds != c.want.Holds {
					t.Errorf("%v: by %q, elsewhere %v, holds %v; want by %q, elsewhere %v, holds %v",
						v.Trial, v.By, v.Elsewhere, v.Holds, c.want.By, c.want.Elsewhere, c.want.Holds)
				}
				if v.Noticed() && v.Failure != "it noticed it" {
					t.Errorf("%v: %q", v.Trial, v.Failure)
				}
			}
		})
	}
}

// TestDeadWorker: a process that dies has noticed nothing.
func TestDeadWorker(t *testing.T) {
	r := runnerThat(t, "die "+expected, "step-of-two "+earlier)
	verdicts, err := r.Run(t.Context(), plan(t, "step-of-zero", "step-of-two"))
	if err != nil || len(verdicts) != 4 {
		t.Fatalf("%d verdicts, %v", len(verdicts), err)
	}
	for i, v := range verdicts {
		if died := v.Err != nil && strings.Contains(v.Err.Error(), expected) && strings.Contains(v.Err.Error(), "died"); died != (i < 2) {
			t.Errorf("%v: %v", v.Trial, v.Err)
		}
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := runnerThat(t, "step-of-two "+expected)
	r.Parallel = 1
	r.Done = func(Verdict) { cancel() }
	verdicts, err := r.Run(ctx, plan(t, "step-of-two", "step-of-zero"))
	if !errors.Is(err, context.Canceled) || len(verdicts) == 0 || len(verdicts) == 4 {
		t.Errorf("%d verdicts, %v", len(verdicts), err)
	}
}

func TestHonest(t *testing.T) {
	r := runnerThat(t, "step-of-two "+expected, "steps-other-core cores: of 2: stepping one moves it alone", " "+earlier, " "+other)
	verdicts, err := r.Run(t.Context(), plan(t, "step-of-two", "steps-other-core"))
	if err != nil {
		t.Fatal(err)
	}
	passed, failures, err := r.Honest(t.Context(), verdicts)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, f := range failures {
		ids = append(ids, f.ID)
	}
	slices.Sort(ids)
	// What no trial has run is not run here, either.
	if want := []string{"arm json " + earlier, "arm packet " + earlier}; !slices.Equal(ids, want) {
		t.Errorf("failed without a fault: %v; want %v", ids, want)
	}
	ran := 0
	for _, v := range verdicts {
		ran += len(v.ran)
	}
	if passed != ran-len(failures) {
		t.Errorf("%d passed; the trials ran %d specs", passed, ran)
	}
}
