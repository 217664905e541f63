// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"mcdtest/guest"
	"mcdtest/harness"
)

// A Spec is one claim about a stub.
type Spec struct {
	Subject string // one of subjects; the file that it is in
	Name    string // what must be true: "a breakpoint stops before the instruction"
	// Dialects that the spec is for. Empty: both, so that the body speaks through Rig.Debugger.
	Dialects []harness.Dialect
	// Fast puts the spec into the subset of --fast.
	Fast bool
	// Labels beside the subject, of the closed list in labels.go.
	Labels []string

	// The machine that it wants. The zero values are the loop program on as many cores as the case has.
	Variant guest.Variant
	Cores   int      // more than 0: exactly so many, whatever the case has; the spec runs in the first case only
	Archs   []string // empty: all
	Args    []string // appended to QEMU's
	Running bool     // the machine runs from the start instead of waiting for the first go
	NoStart bool     // the body starts machines by itself, with Rig.StartMachine

	Body func(ctx context.Context, r *Rig)
}

// subjects are the topics in the order of a report.
var subjects = []string{
	"loop", "framing", "session", "topology", "memory", "registers", "breakpoints", "watchpoints", "run control",
	"cores", "reset", "kill", "objects", "errors", "lists", "transactions", "triggers", "dialects", "hostile", "scripts",
}

// registry holds every spec; the files of the package add to it while it is initialised.
var registry []Spec

// register adds a spec. It panics on a mistake, since nothing can run then.
func register(s Spec) bool {
	switch {
	case !slices.Contains(subjects, s.Subject):
		panic(fmt.Sprintf("spec %q: there is no subject %q", s.Name, s.Subject))
	case s.Name == "" || s.Body == nil:
		panic(fmt.Sprintf("a spec of %s lacks a name or a body", s.Subject))
	case strings.ContainsAny(s.Name, "\n\t"):
		panic(fmt.Sprintf("spec %q: a name is one line", s.Name))
	}
	for _, l := range s.Labels {
		if !slices.Contains(labels, l) {
			panic(fmt.Sprintf("spec %q: label %q is not in labels.go", s.Name, l))
		}
	}
	if s.Variant == "" {
		s.Variant = guest.Loop
	}
	for _, have := range registry {
		if have.Subject == s.Subject && have.Name == s.Name && overlap(have.Dialects, s.Dialects) {
			panic(fmt.Sprintf("two specs of %s are called %q", s.Subject, s.Name))
		}
	}
	registry = append(registry, s)
	return true
}

func overlap(a, b []harness.Dialect) bool {
	if len(a) == 0 || len(b) == 0 {
		return true
	}
	for _, d := range a {
		if slices.Contains(b, d) {
			return true
		}
	}
	return false
}

// packetOnly and jsonOnly are for Spec.Dialects.
var (
	packetOnly = []harness.Dialect{harness.Packet}
	jsonOnly   = []harness.Dialect{harness.JSON}
)

// wants reports whether the spec is for a case.
func (s *Spec) wants(c Case, first bool) bool {
	if len(s.Dialects) > 0 && !slices.Contains(s.Dialects, c.Dialect) {
		return false
	}
	if len(s.Archs) > 0 && !slices.Contains(s.Archs, c.Arch) {
		return false
	}
	return s.Cores == 0 || first
}

// Item is a spec in a case: what a run consists of.
type Item struct {
	Case Case
	Spec *Spec
}

// ID names an item in results, expectations and shards: "arm packet memory: a read fills every byte".
func (i Item) ID() string {
	return fmt.Sprintf("%s %s", i.Case, i.Title())
}

// Title names the spec whatever the case: "memory: a read fills every byte".
func (i Item) Title() string { return i.Spec.Subject + ": " + i.Spec.Name }

// Items lists what the settings ask for, in the order of the subjects.
func Items(s Settings) ([]Item, error) {
	cases, err := s.Cases()
	if err != nil {
		return nil, err
	}
	var list []Item
	seen := make(map[string]bool) // arch and dialect
	for _, c := range cases {
		first := !seen[c.Arch+string(c.Dialect)]
		seen[c.Arch+string(c.Dialect)] = true
		for _, subject := range subjects {
			for i := range registry {
				sp := &registry[i]
				if sp.Subject != subject || !sp.wants(c, first) || (s.Fast && !sp.Fast) {
					continue
				}
				item := Item{c, sp}
				if s.Specs != nil && !s.Specs.MatchString(item.ID()) {
					continue
				}
				list = append(list, item)
			}
		}
	}
	return s.Shard.Pick(list), nil
}

// AllIDs lists the IDs of every item there can be, whatever the settings.
func AllIDs() []string {
	var ids []string
	for n := 1; n <= guest.MaxCores; n++ {
		// By itself, since a spec with a number of cores of its own is an item of the first case.
		items, _ := Items(Settings{Archs: guest.Architectures(), Cores: []int{n}, Dialects: []harness.Dialect{harness.Packet, harness.JSON}})
		for _, item := range items {
			ids = append(ids, item.ID())
		}
	}
	return ids
}
