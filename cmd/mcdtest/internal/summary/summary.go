// SPDX-License-Identifier: Apache-2.0

// Package summary says in text what a run of the suite found out. It writes to what it is given and touches nothing
// else.
package summary

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"mcdtest/cmd/mcdtest/internal/term"
	"mcdtest/harness/result"
)

// How much is shown of a failure: lines of its message and of its conversation.
const (
	messageLines      = 30
	conversationLines = 6
)

// Failure is a failure in one line, for when it happens.
func Failure(s result.Spec, style term.Style) string {
	if s.Outcome == result.Passed {
		return style.Bad("PASSED") + " " + s.ID + ", but was expected to fail: " + s.Expected
	}
	return style.Bad("FAILED") + " " + s.ID + ": " + s.Headline()
}

// Print writes a table of the cases, and below it all that is not as it should be.
func Print(w io.Writer, style term.Style, r *result.Result, took time.Duration) {
	specs := slices.Clone(r.Specs)
	(&result.Result{Specs: specs}).Sort()
	table(w, style, specs)
	for _, s := range specs {
		if s.Unexpected() {
			failure(w, style, s)
		}
	}
	list(w, style, "Failed as expected", specs, func(s result.Spec) string {
		if s.Outcome != result.Failed {
			return ""
		}
		return s.Expected
	})
	list(w, style, "Skipped", specs, func(s result.Spec) string {
		if s.Outcome != result.Skipped {
			return ""
		}
		return cmp.Or(s.Headline(), "no reason given")
	})
	if r.Footer != nil {
		for _, u := range r.Footer.Unmatched {
			fmt.Fprintf(w, "%s %s\n", style.Warn("Expectation without a spec:"), u)
		}
	}
	fmt.Fprintln(w, Line(r.Summary(), took))
}

// Line is the outcome in one line.
func Line(s result.Summary, took time.Duration) string {
	parts := []string{fmt.Sprintf("%d passed", s.Passed), fmt.Sprintf("%d failed", s.Failed), fmt.Sprintf("%d skipped", s.Skipped)}
	more := func(n int, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	more(s.ExpectedFailures, "failed as expected")
	more(s.UnexpectedPasses, "passed unexpectedly")
	more(s.Interrupted, "interrupted")
	more(s.NotRun, "not run")
	return strings.Join(parts, ", ") + fmt.Sprintf(" in %.1f s", took.Seconds())
}

// row is the sum of a case.
type row struct {
	name  string
	specs int
	sum   result.Summary
	took  time.Duration
}

func table(w io.Writer, style term.Style, specs []result.Spec) {
	var rows []*row
	byName := make(map[string]*row)
	for _, s := range specs {
		name, _, _ := strings.Cut(s.ID, " "+s.Subject+": ")
		if byName[name] == nil {
			byName[name] = &row{name: name}
			rows = append(rows, byName[name])
		}
		byName[name].specs++
		byName[name].sum.Add(s)
		byName[name].took += s.Took
	}
	width := len("case")
	for _, r := range rows {
		width = max(width, len([]rune(r.name)))
	}
	fmt.Fprintf(w, "%s  %7s %7s %9s %8s %9s\n", style.Bold(term.Pad("case", width)), "passed", "failed", "expected", "skipped", "of work")
	for _, r := range rows {
		failed := fmt.Sprintf("%7d", r.sum.Failed+r.sum.UnexpectedPasses)
		if r.sum.Failed+r.sum.UnexpectedPasses > 0 {
			failed = style.Bad(failed)
		}
		note := ""
		if r.specs == r.sum.Skipped { // why is told below
			note = "  " + style.Warn("not applicable")
		}
		fmt.Fprintf(w, "%s  %7d %s %9d %8d %7.1f s%s\n", term.Pad(r.name, width), r.sum.Passed, failed, r.sum.ExpectedFailures, r.sum.Skipped, r.took.Seconds(), note)
	}
	fmt.Fprintln(w)
}

func failure(w io.Writer, style term.Style, s result.Spec) {
	if s.Outcome == result.Passed {
		fmt.Fprintf(w, "%s %s\n    it was expected to fail: %s\n\n", style.Bad("PASSED"), style.Bold(s.ID), s.Expected)
		return
	}
	round := ""
	if s.Round > 1 {
		round = fmt.Sprintf(" (round %d)", s.Round)
	}
	fmt.Fprintf(w, "%s %s%s\n", style.Bad("FAILED"), style.Bold(s.ID), round)
	lines := strings.Split(strings.TrimSpace(s.Failure), "\n")
	for i, l := range lines {
		if i == messageLines {
			fmt.Fprintf(w, "    %s\n", style.Dim(fmt.Sprintf("(%d more lines)", len(lines)-i)))
			break
		}
		fmt.Fprintf(w, "    %s\n", l)
	}
	if s.Location != "" {
		fmt.Fprintf(w, "    %s\n", style.Dim("at "+s.Location))
	}
	if s.Evidence != nil && len(s.Evidence.Machines) > 0 {
		conversation(w, style, s.Evidence.Machines[len(s.Evidence.Machines)-1].Transcript)
	}
	if s.Evidence != nil && s.Evidence.Reproduce != "" {
		fmt.Fprintf(w, "    to reproduce: %s\n", s.Evidence.Reproduce)
	}
	fmt.Fprintln(w)
}

// conversation shows the end of what was said to a machine.
func conversation(w io.Writer, style term.Style, transcript string) {
	lines := strings.Split(strings.TrimSpace(transcript), "\n")
	if len(lines) == 1 && lines[0] == "" {
		return
	}
	fmt.Fprintln(w, "    the last packets:")
	for _, l := range lines[max(0, len(lines)-conversationLines):] {
		fmt.Fprintf(w, "      %s\n", style.Dim(term.Cut(l, style.Width-6)))
	}
}

// list shows reasons, each with the specs that have it, or with how many they are.
func list(w io.Writer, style term.Style, title string, specs []result.Spec, reason func(result.Spec) string) {
	var reasons []string
	by := make(map[string][]string)
	for _, s := range specs {
		why := reason(s)
		if why == "" {
			continue
		}
		if by[why] == nil {
			reasons = append(reasons, why)
		}
		by[why] = append(by[why], s.ID)
	}
	if len(reasons) == 0 {
		return
	}
	fmt.Fprintln(w, style.Bold(title))
	for _, why := range reasons {
		ids := by[why]
		if len(ids) == 1 {
			fmt.Fprintf(w, "    %s: %s\n", ids[0], why)
		} else {
			fmt.Fprintf(w, "    %d specs, such as %s: %s\n", len(ids), ids[0], why)
		}
	}
	fmt.Fprintln(w)
}
