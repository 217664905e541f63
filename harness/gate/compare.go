// SPDX-License-Identifier: Apache-2.0

// Package gate compares two builds by what the suite found out about each: spec by spec, and packet by packet. It runs
// both sides in turns on the same machine, so that what disturbs one disturbs the other, and repeats what differs before
// it says so: a difference is one between all runs of one side and all runs of the other. It starts workers through
// package runner and otherwise touches nothing.
package gate

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"mcdtest/harness/coverage"
	"mcdtest/harness/result"
)

// Kind says what a finding is about.
type Kind string

// Kinds of findings.
const (
	NewlyFailing    Kind = "newly failing"
	NewlyPassing    Kind = "newly passing"
	NewlySkipped    Kind = "newly skipped"
	NoLongerSkipped Kind = "no longer skipped"
	Unsteady        Kind = "unsteady" // fails sometimes, too seldom to tell the sides apart
	SpecVanished    Kind = "spec vanished"
	SpecAppeared    Kind = "spec appeared"
	RequestVanished Kind = "request vanished"
	RequestAppeared Kind = "request appeared"
	FieldVanished   Kind = "field vanished"
	FieldAppeared   Kind = "field appeared"
	ReplyChanged    Kind = "reply changed"
	FramingChanged  Kind = "framing changed" // acknowledgements, the number of packets, the end of the connection
	Slower          Kind = "slower"
	Faster          Kind = "faster"
)

// Kinds lists all kinds in the order of a report.
var Kinds = []Kind{
	NewlyFailing, SpecVanished, NewlySkipped, FramingChanged, RequestVanished, RequestAppeared, FieldVanished, FieldAppeared, ReplyChanged,
	Slower, Unsteady, NewlyPassing, NoLongerSkipped, SpecAppeared, Faster,
}

// Regression reports whether a finding of the kind fails a gate that accepts nothing.
func (k Kind) Regression() bool {
	switch k {
	case NewlyPassing, NoLongerSkipped, SpecAppeared, Faster, Unsteady:
		return false
	}
	return true
}

// Finding is one difference between base and head.
type Finding struct {
	Kind       Kind     `json:"kind"`
	Regression bool     `json:"regression"`        // it fails the gate
	Case       string   `json:"case"`              // "arm packet"
	Specs      []string `json:"specs"`             // IDs of those that show it, at least one
	Request    string   `json:"request,omitempty"` // name: "qstate"
	Field      string   `json:"field,omitempty"`
	Base       string   `json:"base,omitempty"` // what it was, in an example
	Head       string   `json:"head,omitempty"` // what it is
	Example    string   `json:"example,omitempty"`
	Count      int      `json:"count,omitempty"`   // how many requests show it
	Ratio      float64  `json:"ratio,omitempty"`   // of latencies, head to base
	Noise      float64  `json:"noise,omitempty"`   // a ratio that is nothing but noise
	Failure    string   `json:"failure,omitempty"` // whole message of a run that failed
	// Evidence is of a run that failed.
	Evidence *result.Evidence `json:"evidence,omitempty"`
}

// sample is one run of one spec on one side.
type sample struct {
	outcome  result.Outcome
	failure  string
	reason   string
	evidence *result.Evidence // of a failure
	round    int
	digest   *digest
}

// side is all that is known of a build.
type side struct {
	samples map[string][]*sample // by ID
	cases   map[string]string    // by ID
	saved   bool
	texts   texts

	covers   bool // coverage is wanted
	coverage coverage.Coverage
}

func newSide(texts texts) *side {
	return &side{samples: make(map[string][]*sample), cases: make(map[string]string), texts: texts}
}

// add takes the result of a spec.
func (s *side) add(r result.Spec) error {
	if r.Outcome == result.Interrupted {
		return nil
	}
	one := &sample{outcome: r.Outcome, failure: r.Failure, reason: r.Reason, round: r.Round}
	switch {
	case r.Outcome == result.Passed && r.Evidence != nil:
		var err error
		if one.digest, err = newDigest(r.Evidence, s.texts); err != nil {
			return fmt.Errorf("the conversation of %q: %w", r.ID, err)
		}
	case r.Outcome == result.Failed:
		one.evidence = r.Evidence
	}
	name, _, _ := strings.Cut(r.ID, " "+r.Subject+": ")
	s.cases[r.ID] = name
	if s.covers && len(s.samples[r.ID]) == 0 {
		s.coverage.Add(r)
	}
	s.samples[r.ID] = append(s.samples[r.ID], one)
	return nil
}

// count is how many samples of a spec have an outcome.
func (s *side) count(id string, o result.Outcome) (n int) {
	for _, one := range s.samples[id] {
		if one.outcome == o {
			n++
		}
	}
	return n
}

// digests are those of the samples that passed and were recorded.
func (s *side) digests(id string) (list []*digest) {
	for _, one := range s.samples[id] {
		if one.digest != nil {
			list = append(list, one.digest)
		}
	}
	return list
}

// compare lists what differs between two sides, but for latency.
func compare(base, head *side) []Finding {
	var list []Finding
	wire := make(map[wireKey]*Finding)
	for _, id := range ids(base, head) {
		b, h := len(base.samples[id]), len(head.samples[id])
		f := Finding{Specs: []string{id}, Case: cmp.Or(head.cases[id], base.cases[id])}
		switch {
		case h == 0:
			f.Kind = SpecVanished
		case b == 0:
			f.Kind = SpecAppeared
		default:
			outcomes(&f, id, base, head)
		}
		if f.Kind != "" {
			list = append(list, f)
		}
		bd, hd := base.digests(id), head.digests(id)
		if 2*len(bd) > b && 2*len(hd) > h { // they passed, or failed once in a while
			for _, c := range conversations(bd, hd) {
				c.addTo(wire, f.Case, id)
			}
		}
	}
	for _, f := range wire {
		slices.Sort(f.Specs)
		list = append(list, *f)
	}
	return list
}

func ids(base, head *side) []string {
	all := make(map[string]bool)
	for id := range base.samples {
		all[id] = true
	}
	for id := range head.samples {
		all[id] = true
	}
	list := make([]string, 0, len(all))
	for id := range all {
		list = append(list, id)
	}
	slices.Sort(list)
	return list
}

// chance is the probability below which a difference in how often a spec fails counts as one.
const chance = 0.01

// outcomes compares how a spec ended on both sides.
func outcomes(f *Finding, id string, base, head *side) {
	b, h := len(base.samples[id]), len(head.samples[id])
	bf, hf := base.count(id, result.Failed), head.count(id, result.Failed)
	bs, hs := base.count(id, result.Skipped), head.count(id, result.Skipped)
	last := func(s *side, o result.Outcome) *sample {
		var found *sample
		for _, one := range s.samples[id] {
			if one.outcome == o {
				found = one
			}
		}
		return found
	}
	worse := func(n, of int) {
		one := last(head, result.Failed)
		f.Head = fmt.Sprintf("%s: %s", times(n, of), result.Headline(one.failure))
		f.Failure, f.Evidence = one.failure, one.evidence
	}
	switch {
	case bf == 0 && hf == h:
		f.Kind, f.Base = NewlyFailing, "passed"
		if bs > 0 {
			f.Base = "skipped: " + last(base, result.Skipped).reason
		}
		worse(hf, h)
	case hf == 0 && bf == b:
		f.Kind, f.Head = NewlyPassing, "passed"
		if hs > 0 {
			f.Kind, f.Head = NewlySkipped, "skipped: "+last(head, result.Skipped).reason
		}
		f.Base = fmt.Sprintf("%s: %s", times(bf, b), result.Headline(last(base, result.Failed).failure))
	case bf < b && hf > 0 && float64(hf)/float64(h) > float64(bf)/float64(b) && fisher(bf, b, hf, h) < chance:
		f.Kind, f.Base = NewlyFailing, times(bf, b)
		worse(hf, h)
	case hf < h && bf > 0 && float64(hf)/float64(h) < float64(bf)/float64(b) && fisher(bf, b, hf, h) < chance:
		f.Kind, f.Base, f.Head = NewlyPassing, times(bf, b), times(hf, h)
	case bf > 0 && bf < b || hf > 0 && hf < h:
		f.Kind, f.Base, f.Head = Unsteady, times(bf, b), times(hf, h)
		for _, s := range []*side{head, base} {
			if one := last(s, result.Failed); one != nil {
				f.Example, f.Failure, f.Evidence = result.Headline(one.failure), one.failure, one.evidence
				break
			}
		}
	case bs == 0 && hs == h:
		f.Kind, f.Base, f.Head = NewlySkipped, "passed", "skipped: "+last(head, result.Skipped).reason
	case hs == 0 && bs == b:
		f.Kind, f.Base, f.Head = NoLongerSkipped, "skipped: "+last(base, result.Skipped).reason, "passed"
	}
}

// times says how often a spec failed.
func times(n, of int) string {
	switch {
	case n == of:
		return "failed"
	case n == 0:
		return "passed"
	}
	return fmt.Sprintf("failed %d of %d times", n, of)
}

// fisher is the probability that sides which fail equally often differ at least so much: Fisher's exact test, one-sided.
func fisher(a, n, b, m int) float64 {
	if float64(a)/float64(n) > float64(b)/float64(m) {
		a, n, b, m = b, m, a, n
	}
	p := 0.0
	for k := b; k <= min(m, a+b); k++ {
		if a+b-k <= n {
			p += math.Exp(logChoose(n, a+b-k) + logChoose(m, k) - logChoose(n+m, a+b))
		}
	}
	return min(p, 1)
}

func logChoose(n, k int) float64 {
	gamma := func(x int) float64 { v, _ := math.Lgamma(float64(x) + 1); return v }
	return gamma(n) - gamma(k) - gamma(n-k)
}
