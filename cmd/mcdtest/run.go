// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"mcdtest/cmd/mcdtest/internal/story"
	"mcdtest/guest"
	"mcdtest/harness"
	"mcdtest/harness/scenario"
	"mcdtest/harness/transcript"
)

type runCmd struct {
	machineFlags
	Packets string `default:"folded" enum:"folded,all,none" help:"Which packets to show: folded (long runs of a request are cut short), all, none."`
	JSON    bool   `name:"json" help:"Print one JSON object a run instead."`

	WriteExpectations string `placeholder:"FILE" help:"Run the suite instead, and start a file of expectations with what fails: short for mcdtest suite --write-expectations."`
}

func (runCmd) Help() string {
	return `Starts a QEMU with a small program that counts in a loop, and plays a scenario over MCD: the loop runs and its variable grows; a
stop holds it; a breakpoint at the loop head catches it, and as many hits make as many counts; single steps walk the labels; the
loop goes on from a value that is written. What MCD says is checked against QMP (run state), qtest (memory) and the program's
symbols (addresses), so a stub that lies is caught.

If the QEMU has -mcd itself, that is what is tested (native). Otherwise mcdtest's own stub in front of it is.
With --arch all, an architecture that the build lacks is not applicable.
The exit status is 0 if everything holds, 1 if a step fails, 2 if the scenario could not be played.

Examples:
  mcdtest run
  mcdtest run --arch riscv64 --cores 2
  mcdtest run --arch all --packets none
  mcdtest run --qemu ~/qemu/build --endpoint native --dialect packet
  mcdtest run --json`
}

func (c *runCmd) Run(ctx context.Context, con *console) error {
	if c.WriteExpectations != "" {
		return c.suite(ctx, con)
	}
	list := []string{c.Arch}
	if c.Arch == "all" {
		if c.Guest != "" {
			return fmt.Errorf("--guest=%s is for one architecture: drop --arch all", c.Guest)
		}
		list = guest.Architectures()
	}
	printer := &story.Printer{W: con.out, Style: con.style, Packets: story.Packets(c.Packets), Width: con.style.Width}
	began := time.Now()
	var runs []*story.Run
	for _, arch := range list {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r, err := c.play(ctx, arch, printer)
		if err != nil {
			if len(list) == 1 {
				return err
			}
			r = &story.Run{Machine: story.Machine{Arch: arch}, Err: err, Planned: len(scenario.Loop()), NotApplicable: errors.Is(err, harness.ErrNoTarget)}
			if !c.JSON {
				printer.NotPlayed(r)
			}
		}
		runs = append(runs, r)
		if c.JSON {
			if err := json.NewEncoder(con.out).Encode(r); err != nil {
				return err
			}
		}
	}
	if len(list) > 1 && !c.JSON {
		printer.Table(runs, time.Since(began))
	}
	return verdict(runs)
}

// suite runs the suite on the same QEMU.
func (c *runCmd) suite(ctx context.Context, con *console) error {
	if c.Guest != "" || c.Variant != "" || len(c.QEMUArg) > 0 {
		return errors.New("--write-expectations runs the suite, whose specs choose program and options by themselves: drop --guest, --variant and --qemu-arg")
	}
	s := suiteCmd{
		specFlags: specFlags{Arch: c.Arch, Cores: []int{c.Cores}, Dialect: c.Dialect, Endpoint: c.Endpoint, Parallel: runtime.GOMAXPROCS(0)},
		QEMU:      c.QEMU, Repeat: 1, WriteExpectations: c.WriteExpectations, JSON: c.JSON,
	}
	if s.Dialect == "auto" {
		s.Dialect = "all"
	}
	return s.Run(ctx, con)
}

// verdict is the exit status of several runs: one that could not be played weighs most, since it says nothing. One that
// is not applicable does not count, unless there is no other.
func verdict(runs []*story.Run) error {
	status := failed(0)
	if !slices.ContainsFunc(runs, func(r *story.Run) bool { return !r.NotApplicable }) {
		status = statusCannotRun
	}
	for _, r := range runs {
		switch {
		case r.NotApplicable:
		case len(r.Steps) == 0:
			status = statusCannotRun
		case !r.OK() && status == 0:
			status = statusFailed
		}
	}
	if status == 0 {
		return nil
	}
	return status
}

// play plays the scenario on a machine of its own. An error means that it could not be played.
func (c *runCmd) play(ctx context.Context, arch string, printer *story.Printer) (*story.Run, error) {
	if v := guest.Variant(c.Variant); c.Cores > 1 && c.Guest == "" && v != "" && v != guest.SMP {
		return nil, fmt.Errorf("--cores=%d and --variant=%s: only one core of that program counts; leave --variant out, or --cores", c.Cores, v)
	}
	cfg, err := c.config(ctx, arch)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	m, err := harness.Start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	r := &story.Run{Started: time.Since(began), Machine: story.Machine{
		Arch: m.Build().Arch, QEMU: m.Build().Path, Version: m.Build().Version, Board: m.Guest().Machine(), CPU: m.Guest().CPU(),
		Cores: m.Cores(), Endpoint: string(m.Endpoint()), Dialect: string(m.Dialect()),
	}}
	err = c.steps(ctx, m, r, printer)
	if closing := m.Close(); closing != nil && r.Err == nil {
		r.Err = closing
	}
	if err != nil {
		return nil, err
	}
	r.Took = time.Since(began)
	if !r.OK() {
		r.Stderr = m.Stderr()
	}
	if !c.JSON {
		printer.End(r)
	}
	return r, nil
}

func (c *runCmd) steps(ctx context.Context, m *harness.Machine, r *story.Run, printer *story.Printer) error {
	conn, err := m.Dial(ctx)
	if err != nil {
		return err
	}
	rec := transcript.NewRecorder(0)
	session, err := newDebugger(m, conn, rec)
	if err != nil {
		return err
	}
	defer conn.Close()
	if !c.JSON {
		printer.Begin(r.Machine)
	}
	env := &scenario.Env{
		Debugger: session, Image: m.Guest(), Cores: m.Cores(), RunState: m.RunState, Memory: m.QTest(),
	}
	plan := plan(m.Cores())
	r.Planned = len(plan)
	shown := 0
	for _, p := range plan {
		s := story.Step{Name: p.name}
		env.Core = p.core
		env.Note = func(by, text string) { s.Observations = append(s.Observations, story.Observation{By: by, Text: text}) }
		began := time.Now()
		s.Err = p.step.Do(ctx, env)
		s.Took = time.Since(began)
		entries := rec.Entries()
		s.Packets, shown = entries[shown:], len(entries)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.Steps = append(r.Steps, s)
		if !c.JSON {
			printer.Step(s)
		}
		if s.Err != nil {
			break
		}
	}
	return nil
}

// planned is a step and the core that it is about.
type planned struct {
	name string
	step scenario.Step
	core int
}

// plan tells the story of each core, one after the other, between one open and one close.
func plan(cores int) []planned {
	all := scenario.Loop()
	perCore := scenario.Core()
	var list []planned
	list = append(list, planned{all[0].Name, all[0], 0})
	for core := range cores {
		for _, s := range perCore {
			name := s.Name
			if cores > 1 {
				name = fmt.Sprintf("core %d: %s", core, s.Name)
			}
			list = append(list, planned{name, s, core})
		}
	}
	last := all[len(all)-1]
	return append(list, planned{last.Name, last, cores - 1})
}
