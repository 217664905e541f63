// SPDX-License-Identifier: Apache-2.0

package result

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Format is the version of the file format that this package writes. It reads this one and older ones.
const Format = 1

// Header is the first line of a result file.
type Header struct {
	Format  int       `json:"format"`
	Tool    string    `json:"tool"` // version of mcdtest
	Started time.Time `json:"started"`
	// What ran: the settings of the run as environment variables, so that it can be repeated. The shard is not among
	// them, so the parts of a run have the same settings.
	Settings []string `json:"settings"`
	Build    Build    `json:"build"`
	Planned  int      `json:"planned"`          // how many lines the run was to have
	Rounds   int      `json:"rounds,omitempty"` // how often each spec was to run, if more than once
	Seed     int64    `json:"seed,omitempty"`   // of the order of the specs; 0: not shuffled
	Shard    string   `json:"shard,omitempty"`  // "2/5"
	Host     string   `json:"host"`             // what the machine is: operating system, processors
}

// Build is the QEMU that was tested, or each of them if there are several architectures.
type Build struct {
	Label    string            `json:"label"`              // as the user named it
	Paths    map[string]string `json:"paths"`              // by architecture
	Versions map[string]string `json:"versions"`           // by architecture
	Endpoint string            `json:"endpoint,omitempty"` // "native", "stub"; empty if the architectures differ
}

// Outcome is how a spec ended.
type Outcome string

// Outcomes.
const (
	Passed      Outcome = "passed"
	Failed      Outcome = "failed"
	Skipped     Outcome = "skipped"     // not applicable; Spec.Reason says why
	Interrupted Outcome = "interrupted" // the run was ended while it ran
)

// Spec is one line of a result file: a spec in a case.
type Spec struct {
	ID       string   `json:"id"`      // "arm packet memory: a read gives what is there"
	Index    int      `json:"index"`   // place in the plan of the whole run, of all its shards; from 0
	Subject  string   `json:"subject"` // "memory"
	Arch     string   `json:"arch"`    // of the case
	Cores    int      `json:"cores"`
	Dialect  string   `json:"dialect"`
	Labels   []string `json:"labels,omitempty"`
	Round    int      `json:"round,omitempty"` // of a run that repeats its specs: 2 in the second round; 0 in the first
	Outcome  Outcome  `json:"outcome"`
	Reason   string   `json:"reason,omitempty"`   // of a skip
	Failure  string   `json:"failure,omitempty"`  // message
	Location string   `json:"location,omitempty"` // file:line of the assertion
	// Process is what the process that ran the spec printed last, if it ended before the spec did.
	Process string        `json:"process,omitempty"`
	Took    time.Duration `json:"took"` // nanoseconds
	// Expected is the reason of the expectation that a failure was covered by, or that a pass has gone against.
	Expected string    `json:"expected,omitempty"`
	Evidence *Evidence `json:"evidence,omitempty"`
}

// Unexpected reports whether the outcome is news: a failure that was not expected, or a pass that was.
func (s Spec) Unexpected() bool {
	return (s.Outcome == Failed && s.Expected == "") || (s.Outcome == Passed && s.Expected != "")
}

// headlineLength is how much of a message fits into a line.
const headlineLength = 160

// Headline is a failure, or the reason of a skip, in one line.
func (s Spec) Headline() string { return Headline(s.Failure + s.Reason) }

// What Gomega shows of an error beside what it says: its type with its address in memory, and its insides.
var (
	goType    = regexp.MustCompile(`(?m)^\s*<[^<>]+ \| 0x[0-9a-f]+>:\s*$\n?`)
	goInsides = regexp.MustCompile(`(?ms)^\s*\{$.*^\s*\}$\n?`)
)

// Headline makes one line of a message: its first one, or more of it if that says little by itself or only what was
// looked at. It is the same each time that the same happens.
func Headline(message string) string {
	message = goInsides.ReplaceAllString(goType.ReplaceAllString(message, ""), "")
	line, rest, _ := strings.Cut(strings.TrimSpace(message), "\n")
	if rest != "" && (len(line) < 25 || strings.HasSuffix(line, ":") || strings.HasPrefix(rest, "Expected\n")) {
		line = strings.Join(strings.Fields(line+" "+rest), " ")
	}
	if r := []rune(line); len(r) > headlineLength {
		line = string(r[:headlineLength-1]) + "…"
	}
	return line
}

// Footer is the last line of the file of a run that came to its end, whether by itself or by a signal.
type Footer struct {
	Ended    time.Time `json:"ended"`
	Specs    int       `json:"specs"`             // lines between header and footer
	Complete bool      `json:"complete"`          // all planned specs are there
	Problem  string    `json:"problem,omitempty"` // why not
	// Unmatched are the entries of the expectations that name no spec there is.
	Unmatched []string `json:"unmatched,omitempty"`
}

// Result is a whole file in memory.
type Result struct {
	Header Header
	Specs  []Spec // in the order of the file; see Sort
	// Footer is nil if the file was cut short: its writer was killed.
	Footer *Footer
}

// Sort puts the specs into the order of the plan, which does not depend on which of them ended first.
func (r *Result) Sort() {
	slices.SortStableFunc(r.Specs, func(a, b Spec) int {
		return cmp.Or(cmp.Compare(a.Round, b.Round), cmp.Compare(a.Index, b.Index), cmp.Compare(a.ID, b.ID))
	})
}

// Incomplete says why not all planned specs are there; it is empty if they are.
func (r *Result) Incomplete() string {
	switch {
	case r.Footer == nil:
		return "the file was cut short: whatever wrote it was killed, or its disk was full"
	case !r.Footer.Complete && r.Footer.Problem == "":
		return "not all planned specs ran"
	case !r.Footer.Complete:
		return r.Footer.Problem
	}
	return ""
}

// Summary counts outcomes.
type Summary struct {
	Planned     int `json:"planned"`
	Passed      int `json:"passed"` // as they should; without UnexpectedPasses
	Failed      int `json:"failed"` // without ExpectedFailures
	Skipped     int `json:"skipped"`
	Interrupted int `json:"interrupted"`
	NotRun      int `json:"not_run"`

	ExpectedFailures int `json:"expected_failures"`
	UnexpectedPasses int `json:"unexpected_passes"`
}

// Summary counts the outcomes of a result.
func (r *Result) Summary() Summary {
	s := Summary{Planned: r.Header.Planned}
	for _, spec := range r.Specs {
		s.Add(spec)
	}
	s.NotRun = max(r.Header.Planned-len(r.Specs), 0)
	return s
}

// Add counts one more outcome.
func (s *Summary) Add(spec Spec) {
	switch {
	case spec.Outcome == Passed && spec.Expected != "":
		s.UnexpectedPasses++
	case spec.Outcome == Passed:
		s.Passed++
	case spec.Outcome == Failed && spec.Expected != "":
		s.ExpectedFailures++
	case spec.Outcome == Failed:
		s.Failed++
	case spec.Outcome == Skipped:
		s.Skipped++
	default:
		s.Interrupted++
	}
}

// NothingApplies says why nothing was tested, if every spec was skipped; it is empty otherwise.
func (r *Result) NothingApplies() string {
	s := r.Summary()
	if s.Skipped == 0 || s.Skipped < len(r.Specs) || s.NotRun > 0 {
		return ""
	}
	return fmt.Sprintf("nothing was tested: %d of %d specs were skipped, such as %q: %s", s.Skipped, s.Planned, r.Specs[0].ID, r.Specs[0].Headline())
}

// OK reports whether all that ran is as it should be.
func (s Summary) OK() bool {
	return s.Failed == 0 && s.UnexpectedPasses == 0 && s.Interrupted == 0
}
