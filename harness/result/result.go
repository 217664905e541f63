// SPDX-License-Identifier: Apache-2.0

package result

import "time"

// Format is the version of the file format that this package writes. It reads this one and older ones.
const Format = 1

// Header is the first line of a result file.
type Header struct {
	Format  int       `json:"format"`
	Tool    string    `json:"tool"` // version of mcdtest
	Started time.Time `json:"started"`
	// What ran: the settings of the run as environment variables, so that it can be repeated.
	Settings []string `json:"settings"`
	Build    Build    `json:"build"`
	Planned  int      `json:"planned"`         // how many specs the run was to have
	Shard    string   `json:"shard,omitempty"` // "2/5"
	Host     string   `json:"host"`            // what the machine is: operating system, processors
}

// Build is the QEMU that was tested, or each of them if there are several architectures.
type Build struct {
	Label    string            `json:"label"`              // as the user named it
	Paths    map[string]string `json:"paths"`              // by architecture
	Versions map[string]string `json:"versions"`           // by architecture
	Endpoint string            `json:"endpoint,omitempty"` // "native", "stub"
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
	ID       string        `json:"id"`
	Subject  string        `json:"subject"`
	Labels   []string      `json:"labels,omitempty"`
	Outcome  Outcome       `json:"outcome"`
	Reason   string        `json:"reason,omitempty"`   // of a skip
	Failure  string        `json:"failure,omitempty"`  // message
	Location string        `json:"location,omitempty"` // file:line of the assertion
	Took     time.Duration `json:"took"`               // nanoseconds
	// Expected is the reason of the expectation that a failure was covered by, or that a pass has gone against.
	Expected string    `json:"expected,omitempty"`
	Evidence *Evidence `json:"evidence,omitempty"`
}

// Unexpected reports whether the outcome is news: a failure that was not expected, or a pass that was.
func (s Spec) Unexpected() bool {
	return (s.Outcome == Failed && s.Expected == "") || (s.Outcome == Passed && s.Expected != "")
}

// Footer is the last line of the file of a run that came to its end, whether by itself or by a signal.
type Footer struct {
	Ended    time.Time `json:"ended"`
	Specs    int       `json:"specs"`             // lines between header and footer
	Complete bool      `json:"complete"`          // all planned specs are there
	Problem  string    `json:"problem,omitempty"` // why not
}

// Result is a whole file in memory.
type Result struct {
	Header Header
	Specs  []Spec
	// Footer is nil if the file was cut short: its writer was killed.
	Footer *Footer
}
