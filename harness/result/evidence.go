// SPDX-License-Identifier: Apache-2.0

// Package result holds what a run of the suite found out: an outcome for every spec, with the evidence for it. It reads
// and writes result files and knows nothing of how specs run.
package result

// EvidenceName is the name of the report entry that carries a spec's Evidence.
const EvidenceName = "mcdtest evidence"

// Evidence is what is kept of a spec beside its outcome.
type Evidence struct {
	ID       string    `json:"id"`       // "arm packet memory: …"
	Subject  string    `json:"subject"`  // "memory"
	Arch     string    `json:"arch"`     // "arm"
	Cores    int       `json:"cores"`    // of the case
	Dialect  string    `json:"dialect"`  // "packet", "json"
	Endpoint string    `json:"endpoint"` // "native", "stub"
	QEMU     string    `json:"qemu"`     // path of the binary
	Version  string    `json:"version"`  // "7.2.22"
	Machines []Machine `json:"machines,omitempty"`
	// Crash says how QEMU ended if it was not to end, or that the endpoint hangs; empty otherwise.
	Crash string `json:"crash,omitempty"`
	// Reproduce is a command line that shows the failure alone.
	Reproduce string `json:"reproduce,omitempty"`
	// Unsaved says why the script that reproduces it could not be written.
	Unsaved string `json:"unsaved,omitempty"`
}

// Machine is what is kept of one QEMU of a spec.
type Machine struct {
	Command []string `json:"command"`          // as started
	Stderr  string   `json:"stderr,omitempty"` // its last lines
	Exit    string   `json:"exit,omitempty"`   // how it ended, if it did by itself
	// Transcript is every byte in both directions with its time, in the transcript format; run state changes stand in
	// it as comments that begin with "VM ".
	Transcript string `json:"transcript,omitempty"`
}
