// SPDX-License-Identifier: Apache-2.0

// Package sharpness finds out whether the suite notices the faults of the catalogue. A Trial is a fault in a dialect: the
// specs run in their order with the fault in place, those first where it ought to be noticed, until one fails. It starts
// workers of the suite, reads and makes the table of docs/sharpness.md, and touches nothing else.
package sharpness

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"mcdtest/harness"
	"mcdtest/harness/fault"
	"mcdtest/harness/result"
	"mcdtest/harness/runner"
	"mcdtest/suites"
)

// Trial is a fault in one of the dialects that it shows in.
type Trial struct {
	Fault   fault.Fault
	Dialect string
}

func (t Trial) String() string { return t.Fault.Name + " (" + t.Dialect + ")" }

// Plan lists the trials of the faults with these names, or of all.
func Plan(names []string) ([]Trial, error) {
	faults := fault.Catalogue
	if len(names) > 0 {
		faults = nil
		for _, name := range names {
			f, err := fault.Lookup(name)
			if err != nil {
				return nil, err
			}
			faults = append(faults, f)
		}
	}
	var list []Trial
	for _, f := range faults {
		for _, d := range Dialects {
			if f.In(d) {
				list = append(list, Trial{f, d})
			}
		}
	}
	return list, nil
}

// Dialects are the dialects in the order of the document.
var Dialects = []string{fault.Packet, fault.JSON}

// Verdict is how a trial ended.
type Verdict struct {
	Trial
	// By is the spec that noticed the fault first, and Failure how it put it; empty if none did.
	By, Failure string
	// Elsewhere is set if that is a spec of another subject than those where the fault ought to be noticed.
	Elsewhere bool
	// Documented is the spec that is said to notice the fault, and Holds whether it does.
	Documented string
	Holds      bool
	Took       time.Duration
	// Err is why it could not be found out.
	Err error

	ran []string // IDs of the specs that ran
}

// Noticed reports whether a spec failed.
func (v Verdict) Noticed() bool { return v.By != "" }

// Runner runs trials.
type Runner struct {
	// Settings say which QEMU and architecture; the rest is up to the trial.
	Settings suites.Settings
	// Command makes a worker.
	Command func(suites.Settings) (runner.Command, error)
	// Parallel is how many trials run at the same time.
	Parallel int
	// Documented gives the spec that is said to notice the fault of a trial, or nothing. It may be nil.
	Documented func(Trial) string
	// Done is called for each trial in the order of the plan.
	Done func(Verdict)
}

// Run runs trials, the others too if one cannot be carried out. It returns an error if ctx ends before all are done.
func (r *Runner) Run(ctx context.Context, trials []Trial) ([]Verdict, error) {
	var mu sync.Mutex
	verdicts := make([]Verdict, len(trials))
	ended := make([]bool, len(trials))
	begun, told := 0, 0
	var wg sync.WaitGroup
	for range max(1, min(r.Parallel, len(trials))) {
		wg.Go(func() {
			for {
				mu.Lock()
				i := begun
				begun++
				mu.Unlock()
				if i >= len(trials) || ctx.Err() != nil {
					return
				}
				v := r.try(ctx, trials[i])
				mu.Lock()
				if ctx.Err() == nil {
					verdicts[i], ended[i] = v, true
				}
				for told < len(trials) && ended[told] {
					r.Done(verdicts[told])
					told++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return verdicts[:told], ctx.Err()
}

// settingsOf are the settings of a trial's workers.
func (r *Runner) settingsOf(t Trial) suites.Settings {
	s := r.Settings
	s.Fault, s.Dialects, s.Cores = t.Fault.Name, []harness.Dialect{harness.Dialect(t.Dialect)}, []int{max(1, t.Fault.Cores)}
	s.Endpoint = harness.Stub // faults inside the Target need it
	return s
}

// try runs one trial.
func (r *Runner) try(ctx context.Context, t Trial) Verdict {
	v := Verdict{Trial: t}
	if r.Documented != nil {
		v.Documented = r.Documented(t)
	}
	began := time.Now()
	v.Err = r.findOut(ctx, &v)
	v.Took = time.Since(began)
	return v
}

func (r *Runner) findOut(ctx context.Context, v *Verdict) error {
	settings := r.settingsOf(v.Trial)
	items, err := suites.Items(settings)
	if err != nil {
		return err
	}
	var expected, others []suites.Item
	for _, i := range items {
		if slices.Contains(v.Fault.Subjects, i.Spec.Subject) {
			expected = append(expected, i)
		} else {
			others = append(others, i)
		}
	}
	if err := r.walk(ctx, settings, v, expected); err != nil {
		return err
	}
	if !v.Noticed() {
		v.Elsewhere = true
		if err := r.walk(ctx, settings, v, others); err != nil {
			return err
		}
	}
	if v.Documented == "" || v.Holds {
		return nil
	}
	// Nothing is wrong with a document that names another spec than the first, as long as that one notices the fault.
	for _, i := range items {
		if i.Title() != v.Documented || slices.Contains(v.ran, i.ID()) {
			continue
		}
		alone := Verdict{Trial: v.Trial, Documented: v.Documented}
		if err := r.walk(ctx, settings, &alone, []suites.Item{i}); err != nil {
			return err
		}
		v.Holds = alone.Holds
		v.ran = append(v.ran, alone.ran...)
	}
	return nil
}

// walk runs specs, one after the other, until one fails.
func (r *Runner) walk(ctx context.Context, s suites.Settings, v *Verdict, items []suites.Item) error {
	if len(items) == 0 {
		return nil
	}
	command, err := r.Command(s)
	if err != nil {
		return err
	}
	titles := make(map[string]string, len(items))
	for _, i := range items {
		titles[i.ID()] = i.Title()
	}
	ctx, found := context.WithCancel(ctx)
	defer found()
	var broken error
	seat := &runner.Seat{
		Command: command, Limits: runner.DefaultLimits,
		Deal: func(_ context.Context, id string) bool {
			_, mine := titles[id]
			return mine && v.By == "" && broken == nil
		},
		Done: func(spec result.Spec) {
			v.ran = append(v.ran, spec.ID)
			switch {
			case spec.Outcome == result.Failed && spec.Location == "":
				// Not what a spec says: its process ended.
				broken = fmt.Errorf("%s: %s\n%s", spec.ID, spec.Failure, spec.Process)
				found()
			case spec.Outcome == result.Failed:
				v.By, v.Failure = titles[spec.ID], spec.Headline()
				v.Holds = v.By == v.Documented
				found()
			}
		},
	}
	if err := seat.Run(ctx); err != nil {
		return err
	}
	return broken
}

// Honest runs every spec that a trial has run without a fault, and returns those that fail.
func (r *Runner) Honest(ctx context.Context, verdicts []Verdict) (passed int, failures []result.Spec, err error) {
	wanted := make(map[int]map[string]bool) // by cores
	for _, v := range verdicts {
		n := max(1, v.Fault.Cores)
		if wanted[n] == nil {
			wanted[n] = make(map[string]bool)
		}
		for _, id := range v.ran {
			wanted[n][id] = true
		}
	}
	for n, ids := range wanted {
		s := r.Settings
		s.Endpoint, s.Cores, s.Dialects, s.Fault = harness.Stub, []int{n}, []harness.Dialect{harness.Packet, harness.JSON}, ""
		all, err := suites.Items(s)
		if err != nil {
			return passed, failures, err
		}
		var items []runner.Item
		for i, item := range all {
			if ids[item.ID()] {
				items = append(items, runner.Item{Cost: item.Cost(), Spec: result.Spec{ID: item.ID(), Index: i, Subject: item.Spec.Subject}})
			}
		}
		command, err := r.Command(s)
		if err != nil {
			return passed, failures, err
		}
		pool := &runner.Pool{
			Command: command, Limits: runner.DefaultLimits, Workers: r.Parallel, Items: items,
			Done: func(spec result.Spec) error {
				switch spec.Outcome {
				case result.Passed:
					passed++
				case result.Failed:
					failures = append(failures, spec)
				}
				return nil
			},
		}
		if err := pool.Run(ctx); err != nil {
			return passed, failures, err
		}
	}
	return passed, failures, ctx.Err()
}
