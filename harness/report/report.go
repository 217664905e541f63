// SPDX-License-Identifier: Apache-2.0

// Package report turns results into a page that people read: one HTML file that needs nothing else, no network and no
// script. It starts nothing and reads nothing but what it is given.
package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"mcdtest/harness/fault"
	"mcdtest/harness/gate"
	"mcdtest/harness/result"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"millis": millis,
	"join":   strings.Join,
}).Parse(pageText))

// view is what the page shows.
type view struct {
	Title   string
	Verdict string
	Good    bool
	Facts   []fact
	Cards   []card
	Notes   []string

	Findings []finding // of a gate
	Failures []failure // of a run, the unexpected ones first
	Groups   []group
	Skips    []skip
	Coverage []dialectCoverage
	Covering string // whose coverage it is, if there are two sides
	Faults   []fault.Fault
	Slowest  []timed
}

// fact is a line of the head: what was tested, with what.
type fact struct{ Name, Value string }

// card is a number that counts.
type card struct {
	Count int
	Name  string
	Class string // good, bad, warn or none
}

// failure is a spec that failed, or passed against an expectation.
type failure struct {
	result.Spec
	Kind    string // "failed", "passed unexpectedly", "failed as expected", "interrupted"
	Drawing []drawing
}

// drawing is the conversation of one machine of a spec.
type drawing struct {
	result.Machine
	Exchanges []exchangeRow
	Left      int // how many came before those that are shown
}

// finding is a difference that a gate found.
type finding struct {
	gate.Finding
	From, To, Where, Extent string
	Drawing                 []drawing
}

// group counts the specs of a subject in a case.
type group struct {
	Case    string
	Subject string
	result.Summary
	Took time.Duration
}

// skip is a reason with the specs that it kept from running.
type skip struct {
	Reason string
	Specs  []string
}

type timed struct {
	ID   string
	Took time.Duration
}

// Run writes the page of a run.
func Run(w io.Writer, r *result.Result) error {
	specs := slices.Clone(r.Specs)
	(&result.Result{Specs: specs}).Sort()
	sum := r.Summary()
	v := view{Title: "Multi-Core Debug: " + r.Header.Build.Label, Good: sum.OK() && r.Incomplete() == ""}
	counted, ran := "specs", "specs that ran"
	if r.Header.Rounds > 1 {
		counted, ran = "runs of specs", "runs of specs"
		v.Facts = append(v.Facts, fact{"rounds", fmt.Sprintf("%d: each spec counts as often as it ran", r.Header.Rounds)})
	}
	switch {
	case sum.Failed+sum.UnexpectedPasses > 0:
		v.Verdict = fmt.Sprintf("%d of %d %s are not as they should be", sum.Failed+sum.UnexpectedPasses, len(specs), counted)
	case !v.Good:
		v.Verdict = "nothing failed, but the run is incomplete"
	case sum.Passed == 0:
		v.Verdict, v.Good = "nothing was tested", false
	default:
		v.Verdict = fmt.Sprintf("all %d %s are as they should be", sum.Passed+sum.ExpectedFailures, ran)
	}
	if why := r.Incomplete(); why != "" {
		v.Notes = append(v.Notes, "This run is incomplete: "+why)
	}
	v.Cards = []card{
		{sum.Passed, "passed", "good"}, {sum.Failed, "failed", "bad"}, {sum.UnexpectedPasses, "passed unexpectedly", "bad"},
		{sum.ExpectedFailures, "failed as expected", "warn"}, {sum.Skipped, "not applicable", ""}, {sum.Interrupted, "interrupted", "warn"},
		{sum.NotRun, "not run", "warn"},
	}
	v.Facts = append(v.Facts, fact{"QEMU", r.Header.Build.String()}, fact{"started", r.Header.Started.Format(time.RFC1123)})
	if r.Footer != nil {
		v.Facts = append(v.Facts, fact{"took", r.Footer.Ended.Sub(r.Header.Started).Round(100 * time.Millisecond).String()})
		for _, u := range r.Footer.Unmatched {
			v.Notes = append(v.Notes, "An expectation names no spec: "+u)
		}
	}
	v.Facts = append(v.Facts, fact{"on", r.Header.Host}, fact{"by", "mcdtest " + r.Header.Tool}, fact{"settings", strings.Join(r.Header.Settings, " ")})
	v.addSpecs(specs)
	v.Coverage = cover(specs)
	v.Faults = fault.Catalogue
	return v.write(w)
}

// Gate writes the page of a comparison.
func Gate(w io.Writer, c *gate.Comparison) error {
	v := view{Title: "MCD gate", Verdict: c.Verdict(), Good: c.Regressions() == 0 && c.Incomplete == "", Notes: slices.Clone(c.Notes)}
	v.Facts = []fact{
		{"base", c.Base.Build.String()}, {"head", c.Head.Build.String()}, {"cases", strings.Join(c.Cases, ", ")}, {"compared", c.Compares()},
	}
	v.Cards = []card{
		{c.Regressions(), "regressions", "bad"}, {len(c.Findings) - c.Regressions(), "other differences", "warn"},
		{c.Head.Passed, "passed on head", "good"}, {c.Head.Failed, "failed on head", "bad"},
		{c.Base.Passed, "passed on base", ""}, {c.Base.Failed, "failed on base", ""},
	}
	for _, f := range c.Findings {
		row := finding{Finding: f, Where: f.Where(), Extent: f.Extent()}
		row.From, row.To = f.Change()
		if f.Evidence != nil {
			row.Drawing = draw(f.Evidence)
		}
		v.Findings = append(v.Findings, row)
	}
	slices.SortStableFunc(v.Findings, func(a, b finding) int {
		switch {
		case a.Regression == b.Regression:
			return 0
		case a.Regression:
			return -1
		}
		return 1
	})
	v.Coverage, v.Covering = tables(c.Coverage), " by head"
	v.Faults = fault.Catalogue
	return v.write(w)
}

func (v *view) addSpecs(specs []result.Spec) {
	index := make(map[string]int)
	for _, s := range specs {
		name, _, _ := strings.Cut(s.ID, " "+s.Subject+":")
		key := name + "\x00" + s.Subject
		i, ok := index[key]
		if !ok {
			i = len(v.Groups)
			index[key] = i
			v.Groups = append(v.Groups, group{Case: name, Subject: s.Subject})
		}
		v.Groups[i].Add(s)
		v.Groups[i].Took += s.Took
		v.Slowest = append(v.Slowest, timed{s.ID, s.Took})

		f := failure{Spec: s}
		switch {
		case s.Outcome == result.Failed && s.Expected == "":
			f.Kind = "failed"
		case s.Outcome == result.Failed:
			f.Kind = "failed as expected"
		case s.Outcome == result.Passed && s.Expected != "":
			f.Kind = "passed unexpectedly"
		case s.Outcome == result.Interrupted:
			f.Kind = "interrupted"
		case s.Outcome == result.Skipped:
			v.addSkip(s)
			continue
		default:
			continue
		}
		if s.Evidence != nil {
			f.Drawing = draw(s.Evidence)
		}
		v.Failures = append(v.Failures, f)
	}
	slices.SortStableFunc(v.Failures, func(a, b failure) int {
		expected := func(f failure) int {
			if f.Kind == "failed as expected" {
				return 1
			}
			return 0
		}
		return expected(a) - expected(b)
	})
	slices.SortStableFunc(v.Slowest, func(a, b timed) int { return int(b.Took - a.Took) })
	v.Slowest = v.Slowest[:min(len(v.Slowest), 10)]
}

func (v *view) addSkip(s result.Spec) {
	for i := range v.Skips {
		if v.Skips[i].Reason == s.Reason {
			v.Skips[i].Specs = append(v.Skips[i].Specs, s.ID)
			return
		}
	}
	v.Skips = append(v.Skips, skip{s.Reason, []string{s.ID}})
}

func (v *view) write(w io.Writer) error {
	if err := page.Execute(w, v); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// millis is a duration as people read it.
func millis(d time.Duration) string {
	switch {
	case d == 0:
		return ""
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
