// SPDX-License-Identifier: Apache-2.0

// Package story shows a run of the loop scenario to people and to programs: each step with its packets, what was seen and
// how long it took. It writes to the writer that it is given.
package story

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"mcdtest/cmd/mcdtest/internal/term"
	"mcdtest/harness/exchange"
	"mcdtest/harness/transcript"
)

// Machine is what the scenario is played on.
type Machine struct {
	Arch     string `json:"arch"`
	QEMU     string `json:"qemu,omitempty"`
	Version  string `json:"version,omitempty"`
	Board    string `json:"machine,omitempty"`
	CPU      string `json:"cpu,omitempty"`
	Cores    int    `json:"cores,omitempty"`
	Endpoint string `json:"endpoint,omitempty"`
	Dialect  string `json:"dialect,omitempty"`
}

// Observation is something that was seen, and by whom.
type Observation struct {
	By   string `json:"by"`
	Text string `json:"text"`
}

// Step is one step of the scenario as it went.
type Step struct {
	Name         string
	Took         time.Duration
	Err          error
	Observations []Observation
	Packets      []transcript.Entry
}

// Run is one run of the scenario.
type Run struct {
	Machine Machine
	Started time.Duration // from fork to the first answer
	Took    time.Duration // everything
	Steps   []Step        // those that were played
	Planned int           // how many there are
	Stderr  []string      // of QEMU, if something went wrong
	Err     error         // why it could not be played, or why QEMU ended badly
	// NotApplicable says that the build lacks the architecture; Err says how.
	NotApplicable bool
}

// OK reports whether every step was played and held.
func (r *Run) OK() bool {
	if r.Err != nil || len(r.Steps) < r.Planned {
		return false
	}
	for _, s := range r.Steps {
		if s.Err != nil {
			return false
		}
	}
	return true
}

// Packets says how much of the packets is shown.
type Packets string

// Values of Packets.
const (
	NoPackets Packets = "none"
	Folded    Packets = "folded" // the middle of long runs of the same request is left out
	All       Packets = "all"
)

// Printer writes runs as they go.
type Printer struct {
	W       io.Writer
	Style   term.Style
	Packets Packets
	Width   int // of lines of packets; 0: as wide as they are
	step    int
}

// indent stands in front of what belongs to a step.
const indent = "     "

// Begin writes the heading of a run.
func (p *Printer) Begin(m Machine) {
	cores := "1 core"
	if m.Cores != 1 {
		cores = fmt.Sprintf("%d cores", m.Cores)
	}
	endpoint := "MCD by QEMU itself"
	if m.Endpoint == "stub" {
		endpoint = "MCD by mcdtest's stub"
	}
	p.step = 0
	fmt.Fprintf(p.W, "%s  %s\n\n", p.Style.Bold(m.Arch), p.Style.Dim(fmt.Sprintf("QEMU %s (%s), %s %s, %s; %s, %s dialect",
		m.Version, m.QEMU, m.Board, m.CPU, cores, endpoint, m.Dialect)))
}

// Step writes a step that has been played.
func (p *Printer) Step(s Step) {
	p.step++
	mark := p.Style.Good("ok")
	if s.Err != nil {
		mark = p.Style.Bad("FAILED")
	}
	fmt.Fprintf(p.W, "%3d  %s  %s  %s\n", p.step, p.Style.Bold(term.Pad(s.Name, 58)), p.Style.Dim(fmt.Sprintf("%9s", Duration(s.Took))), mark)
	if p.Packets != NoPackets {
		for _, line := range p.draw(s.Packets) {
			fmt.Fprintln(p.W, indent+line)
		}
	}
	for _, o := range s.Observations {
		fmt.Fprintf(p.W, "%s%s %s\n", indent, p.Style.Warn(term.Pad(o.By, 7)), o.Text)
	}
	if s.Err != nil {
		fmt.Fprintf(p.W, "%s%s\n", indent, p.Style.Bad(strings.ReplaceAll(s.Err.Error(), "\n", "\n"+indent)))
	}
	if p.Packets != NoPackets {
		fmt.Fprintln(p.W)
	}
}

func (p *Printer) draw(entries []transcript.Entry) []string {
	width := p.Width
	if width > 0 {
		width = max(width-utf8.RuneCountInString(indent), 60)
	}
	paint := exchange.Paint{Client: p.Style.Client, Stub: p.Style.Stub, Dim: p.Style.Dim}
	if p.Packets == All {
		return exchange.DrawAll(exchange.Pair(entries), 0, paint)
	}
	return exchange.Draw(exchange.Pair(entries), width, paint)
}

// End writes the last word on a run.
func (p *Printer) End(r *Run) {
	if r.Err != nil {
		fmt.Fprintf(p.W, "%s %v\n", p.Style.Bad("FAILED"), r.Err)
	}
	for _, line := range r.Stderr {
		fmt.Fprintf(p.W, "%s %s\n", p.Style.Dim("stderr"), line)
	}
	held := 0
	for _, s := range r.Steps {
		if s.Err == nil {
			held++
		}
	}
	fmt.Fprintf(p.W, "%s  %s: %d of %d steps hold, %s (machine up in %s)\n", p.verdict(r), r.Machine.Arch, held, r.Planned, Duration(r.Took), Duration(r.Started))
}

// NotPlayed says why a run is none.
func (p *Printer) NotPlayed(r *Run) {
	fmt.Fprintf(p.W, "%s  %s  %v\n\n", p.Style.Bold(r.Machine.Arch), p.verdict(r), r.Err)
}

func (p *Printer) verdict(r *Run) string {
	switch {
	case r.NotApplicable:
		return p.Style.Warn("not applicable")
	case !r.OK():
		return p.Style.Bad("FAILED")
	}
	return p.Style.Good("ok")
}

// Table writes a line for each of several runs.
func (p *Printer) Table(runs []*Run, took time.Duration) {
	fmt.Fprintln(p.W)
	fmt.Fprintln(p.W, p.Style.Bold(fmt.Sprintf("%-9s %-9s %-8s %-8s %5s %9s %9s", "", "QEMU", "endpoint", "dialect", "steps", "up in", "took")))
	for _, r := range runs {
		verdict := p.verdict(r)
		if r.Err != nil && len(r.Steps) == 0 {
			fmt.Fprintf(p.W, "%-9s %s  %v\n", r.Machine.Arch, verdict, r.Err)
			continue
		}
		fmt.Fprintf(p.W, "%-9s %-9s %-8s %-8s %5d %9s %9s  %s\n", r.Machine.Arch, r.Machine.Version, r.Machine.Endpoint, r.Machine.Dialect,
			len(r.Steps), Duration(r.Started), Duration(r.Took), verdict)
	}
	fmt.Fprintf(p.W, "%s\n", p.Style.Dim(fmt.Sprintf("%d architectures in %s", len(runs), Duration(took))))
}

// Duration is short enough to compare at a glance.
func Duration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// MarshalJSON writes a run for programs.
func (r *Run) MarshalJSON() ([]byte, error) {
	type packet struct {
		Sent    string `json:"sent,omitempty"`
		Answer  string `json:"answer,omitempty"`
		Meaning string `json:"meaning,omitempty"`
		At      int64  `json:"at_us"`
		Took    int64  `json:"took_us"`
	}
	type step struct {
		Name         string        `json:"name"`
		OK           bool          `json:"ok"`
		Error        string        `json:"error,omitempty"`
		Took         int64         `json:"took_us"`
		Observations []Observation `json:"observations,omitempty"`
		Packets      []packet      `json:"packets,omitempty"`
	}
	out := struct {
		Machine
		OK            bool     `json:"ok"`
		Error         string   `json:"error,omitempty"`
		NotApplicable bool     `json:"not_applicable,omitempty"`
		Started       int64    `json:"started_us"`
		Took          int64    `json:"took_us"`
		Planned       int      `json:"planned_steps"`
		Steps         []step   `json:"steps"`
		Stderr        []string `json:"stderr,omitempty"`
	}{
		Machine: r.Machine, OK: r.OK(), Error: text(r.Err), NotApplicable: r.NotApplicable, Started: r.Started.Microseconds(), Took: r.Took.Microseconds(),
		Planned: r.Planned, Steps: []step{}, Stderr: r.Stderr,
	}
	for _, s := range r.Steps {
		js := step{Name: s.Name, OK: s.Err == nil, Error: text(s.Err), Took: s.Took.Microseconds(), Observations: s.Observations}
		for _, x := range exchange.Pair(s.Packets) {
			if len(x.Sent)+len(x.Answer) > 0 {
				js.Packets = append(js.Packets, packet{
					transcript.Escape(x.Sent), transcript.Escape(x.Answer), x.Meaning, x.At.Microseconds(), x.Took.Microseconds(),
				})
			}
		}
		out.Steps = append(out.Steps, js)
	}
	return json.Marshal(out)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
