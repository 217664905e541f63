// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"mcdtest/harness/coverage"
	"mcdtest/harness/result"
	"mcdtest/harness/runner"
)

// Source is one side of a gate: a build that is run, or a saved result.
type Source struct {
	Header  result.Header // of what is run; Build says which
	Command runner.Command
	Items   []runner.Item
	Saved   *result.Result // nil: it is run. The conversations in it are gone when they have been read, as they are long
}

// Config says what to compare and how.
type Config struct {
	Base, Head Source
	Rounds     int     // how often each spec runs on each side
	Confirm    int     // how often what differs runs once more
	Lanes      int     // so many pairs of workers
	Ratio      float64 // the least ratio of latencies that counts as a difference
	Accept     []Kind  // findings that do not fail the gate
	Limits     runner.Limits

	Progress *runner.Progress
	Warn     func(string)
	// Keep gets each result as it comes, the evidence included; it may be nil. An error ends the gate.
	Keep func(Side, result.Spec) error
}

// Comparison is the outcome of a gate.
type Comparison struct {
	Format   int         `json:"format"`
	Base     SideSummary `json:"base"`
	Head     SideSummary `json:"head"`
	Cases    []string    `json:"cases"`           // "arm packet"
	Compared int         `json:"compared"`        // specs that ran on both sides
	Recorded int         `json:"recorded"`        // of those, specs whose conversations were compared
	Latency  int         `json:"latency"`         // kinds of requests whose latency was compared
	Notes    []string    `json:"notes,omitempty"` // what was not compared, and why
	// Incomplete says why the gate did not come to its end; what was found until then is no verdict.
	Incomplete string    `json:"incomplete,omitempty"`
	Findings   []Finding `json:"findings"`
	// Coverage is what of the protocol head exercised, in one run of each spec.
	Coverage coverage.Coverage `json:"coverage,omitempty"`
}

// ComparisonFormat is the version of the format of a Comparison in JSON.
const ComparisonFormat = 1

// SideSummary is what a report says of a side.
type SideSummary struct {
	Build   result.Build `json:"build"`
	Tool    string       `json:"tool"`
	Saved   bool         `json:"saved,omitempty"` // read from a file
	Specs   int          `json:"specs"`
	Runs    int          `json:"runs"` // of specs
	Passed  int          `json:"passed"`
	Failed  int          `json:"failed"` // in at least one run
	Skipped int          `json:"skipped"`
}

// Regressions counts the findings that fail the gate.
func (c *Comparison) Regressions() (n int) {
	for _, f := range c.Findings {
		if f.Regression {
			n++
		}
	}
	return n
}

// confirmLimit bounds how many specs are run once more. More than that do not differ by chance.
const confirmLimit = 40

// Run runs and compares. It returns what was found until then along with an error or the end of ctx.
func Run(ctx context.Context, cfg Config) (*Comparison, error) {
	g := &gate{Config: cfg}
	texts := make(texts)
	for s, source := range []Source{cfg.Base, cfg.Head} {
		g.sides[s] = newSide(texts)
		g.sides[s].covers = Side(s) == Head
		if source.Saved == nil {
			continue
		}
		g.sides[s].saved = true
		for i, spec := range source.Saved.Specs {
			if err := g.sides[s].add(spec); err != nil {
				return nil, fmt.Errorf("%v: %w", Side(s), err)
			}
			source.Saved.Specs[i].Evidence = nil
		}
	}
	var err error
	for range cfg.Rounds {
		if err = g.play(ctx, nil); err != nil || ctx.Err() != nil {
			return g.incomplete(ctx, err), err
		}
	}
	findings := g.compare()
	// What differs is run again, in case it is chance, until nothing is left of it or it has been confirmed. The last
	// times are for specs that fail on one side now and then.
	for i := range cfg.Confirm {
		suspects := suspects(findings, i >= cfg.Confirm/3)
		if len(suspects) == 0 {
			break
		}
		g.warn(fmt.Sprintf("%s so far: running %s again", plural(len(findings), "difference"), plural(len(suspects), "spec")))
		if err = g.play(ctx, suspects); err != nil || ctx.Err() != nil {
			return g.incomplete(ctx, err), err
		}
		findings = g.compare()
	}
	return g.comparison(findings), nil
}

// incomplete is what can be said of what ran on both sides until the gate was ended.
func (g *gate) incomplete(ctx context.Context, err error) *Comparison {
	c := g.comparison(slices.DeleteFunc(g.compare(), func(f Finding) bool {
		return f.Kind == SpecVanished || f.Kind == SpecAppeared
	}))
	c.Incomplete = "the gate was interrupted"
	if ctx.Err() == nil {
		c.Incomplete = err.Error()
	}
	return c
}

type gate struct {
	Config
	sides [2]*side
	round int
}

func (g *gate) warn(text string) {
	if g.Warn != nil {
		g.Warn(text)
	}
}

// play runs a round of all items, or of some.
func (g *gate) play(ctx context.Context, only map[string]bool) error {
	g.round++
	l := &lanes{
		limits: g.Limits, count: g.Lanes, round: g.round, progress: g.Progress, warn: g.warn,
		commands: [2]runner.Command{g.Base.Command, g.Head.Command},
		done: func(s Side, spec result.Spec) error {
			if g.Keep != nil {
				if err := g.Keep(s, spec); err != nil {
					return err
				}
			}
			return g.sides[s].add(spec)
		},
	}
	for s, source := range []Source{g.Base, g.Head} {
		for _, item := range source.Items {
			if only == nil || only[item.ID] {
				l.items[s] = append(l.items[s], item)
			}
		}
		if only != nil {
			g.Progress.More(l.items[s], 1)
		}
	}
	return l.run(ctx)
}

// suspects are the specs that findings rest on, or a choice of them. unsteady restricts them to those that fail now and
// then.
func suspects(findings []Finding, unsteady bool) map[string]bool {
	list := make(map[string]bool)
	for i := 0; ; i++ {
		more := false
		for _, f := range findings {
			switch {
			case i >= len(f.Specs), f.Kind == SpecVanished, f.Kind == SpecAppeared: // these cannot run on both sides
				continue
			case unsteady && f.Kind != Unsteady:
				continue
			}
			if len(list) == confirmLimit {
				return list
			}
			list[f.Specs[i]] = true
			more = true
		}
		if !more {
			return list
		}
	}
}

func (g *gate) compare() []Finding {
	base, head := g.sides[Base], g.sides[Head]
	list := compare(base, head)
	if !base.saved && !head.saved {
		list = append(list, latencies(base, head, g.Ratio)...)
	}
	for i := range list {
		list[i].Regression = list[i].Kind.Regression() && !slices.Contains(g.Accept, list[i].Kind)
	}
	slices.SortFunc(list, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(slices.Index(Kinds, a.Kind), slices.Index(Kinds, b.Kind)), cmp.Compare(a.Case, b.Case),
			cmp.Compare(a.Request, b.Request), cmp.Compare(a.Field, b.Field), strings.Compare(a.Specs[0], b.Specs[0]),
		)
	})
	return list
}

func (g *gate) comparison(findings []Finding) *Comparison {
	c := &Comparison{Format: ComparisonFormat, Findings: findings, Coverage: g.sides[Head].coverage}
	if findings == nil {
		c.Findings = []Finding{}
	}
	c.Base, c.Head = g.summary(Base, g.Base), g.summary(Head, g.Head)
	base, head := g.sides[Base], g.sides[Head]
	requests := make(map[string]bool)
	long := 0
	for _, id := range ids(base, head) {
		if name := cmp.Or(head.cases[id], base.cases[id]); !slices.Contains(c.Cases, name) {
			c.Cases = append(c.Cases, name)
		}
		if len(base.samples[id]) == 0 || len(head.samples[id]) == 0 {
			continue
		}
		c.Compared++
		bd, hd := base.digests(id), head.digests(id)
		if len(bd) == 0 || len(hd) == 0 {
			continue
		}
		partial := false
		for _, d := range slices.Concat(bd, hd) {
			partial = partial || d.partial
			for name := range d.took {
				requests[head.cases[id]+" "+name] = true
			}
		}
		if partial {
			long++
		} else {
			c.Recorded++
		}
	}
	if long > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("%d specs talk too much for all of it to be kept: their conversations were not compared", long))
	}
	switch {
	case base.saved || head.saved:
		c.Notes = append(c.Notes, "latency was not compared: the saved result was not measured at the same time")
	default:
		c.Latency = len(requests)
	}
	if base.saved && g.Base.Saved.Header.Tool != g.Head.Header.Tool {
		c.Notes = append(c.Notes, fmt.Sprintf("base was saved by mcdtest %s, this is %s: what the suite itself sends may differ", g.Base.Saved.Header.Tool, g.Head.Header.Tool))
	}
	return c
}

func (g *gate) summary(which Side, source Source) SideSummary {
	h := source.Header
	if source.Saved != nil {
		h = source.Saved.Header
	}
	side := g.sides[which]
	s := SideSummary{Build: h.Build, Tool: h.Tool, Saved: side.saved, Specs: len(side.samples)}
	for id, list := range side.samples {
		s.Runs += len(list)
		switch {
		case side.count(id, result.Failed) > 0:
			s.Failed++
		case side.count(id, result.Skipped) > 0:
			s.Skipped++
		default:
			s.Passed++
		}
	}
	return s
}
