// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"mcdtest/cmd/mcdtest/internal/sharpness"
	"mcdtest/cmd/mcdtest/internal/summary"
	"mcdtest/cmd/mcdtest/internal/term"
	"mcdtest/guest"
	"mcdtest/harness"
	"mcdtest/harness/fault"
	"mcdtest/harness/runner"
	"mcdtest/suites"
)

type sharpnessCmd struct {
	Fault    []string `placeholder:"NAME,…" help:"Only these faults; --list shows their names."`
	Dialect  string   `default:"all" enum:"all,packet,json" help:"packet, json or all."`
	Arch     string   `default:"arm" placeholder:"ARCH" help:"Architecture: ${architectures}."`
	QEMU     string   `name:"qemu" placeholder:"PATH" help:"QEMU binary, or a folder of them; otherwise $MCDTEST_QEMU, then $PATH."`
	Parallel int      `short:"p" default:"${processors}" placeholder:"N" help:"So many faults at the same time; one for each processor unless given."`
	Write    string   `placeholder:"FILE" help:"Write the table of all faults here."`
	Check    string   `placeholder:"FILE" help:"Make sure that such a table is right: it has every fault, and the specs that it names notice them."`
	Verbose  bool     `short:"v" help:"Show how the spec put it, too."`
	List     bool     `help:"Show the faults and run nothing."`
}

func (sharpnessCmd) Help() string {
	return `Puts deliberate faults into the stub, one after the other, and shows which spec of the suite notices each first and how long
that took. The specs run in their order, those first where a fault ought to be noticed. The stub is mcdtest's own, in front
of the QEMU. At the end the specs that ran are run once more without a fault; they have to pass.

The exit status is 0 if every fault was noticed, 1 if one was not, or a spec fails without a fault, or a table is not right, 2 if
that could not be found out.

Examples:
  mcdtest sharpness --list
  mcdtest sharpness --fault step-of-two
  mcdtest sharpness --check docs/sharpness.md
  mcdtest sharpness --write docs/sharpness.md`
}

func (c *sharpnessCmd) Run(ctx context.Context, con *console) error {
	if err := within("parallel", c.Parallel, 1, maxParallel); err != nil {
		return err
	}
	trials, err := c.plan()
	if err != nil {
		return err
	}
	width, widest := 0, 0
	for _, t := range trials {
		width = max(width, len(t.Fault.Name))
		widest = max(widest, len(t.Dialect))
	}
	if c.List {
		for _, f := range fault.Catalogue {
			if slices.ContainsFunc(trials, func(t sharpness.Trial) bool { return t.Fault.Name == f.Name }) {
				fmt.Fprintf(con.out, "%s  %s\n", term.Pad(f.Name, width), f.Meaning)
			}
		}
		return nil
	}
	run, doc, err := c.runner()
	if err != nil {
		return err
	}
	unnoticed, stale, unknown := 0, 0, 0
	run.Done = func(v sharpness.Verdict) {
		line := fmt.Sprintf("%s  %s  %5.1f s  ", term.Pad(v.Fault.Name, width), term.Pad(v.Dialect, widest), v.Took.Seconds())
		switch {
		case v.Err != nil:
			unknown++
			line += con.style.Bad("could not be found out") + ": " + v.Err.Error()
		case !v.Noticed():
			unnoticed++
			line += con.style.Bad("NOT NOTICED") + ": " + v.Fault.Meaning
		case v.Elsewhere:
			line += v.By + con.style.Warn(fmt.Sprintf(" (not by a spec of: %s)", strings.Join(v.Fault.Subjects, ", ")))
		default:
			line += v.By
		}
		fmt.Fprintln(con.out, line)
		if v.Noticed() && v.Err == nil && (c.Verbose || v.Elsewhere) {
			fmt.Fprintln(con.out, "    "+con.style.Dim(v.Failure))
		}
		if doc != nil && v.Err == nil && v.Noticed() && !v.Holds {
			stale++
			fmt.Fprintf(con.out, "    %s says that it is noticed by %q, and it is not\n", c.Check, v.Documented)
		}
	}
	began := time.Now()
	verdicts, err := run.Run(ctx, trials)
	if err != nil {
		return err
	}
	took := time.Since(began)
	passed, failures, err := run.Honest(ctx, verdicts)
	if err != nil {
		return fmt.Errorf("run the specs without a fault: %w", err)
	}
	for _, s := range failures {
		fmt.Fprintln(con.out, summary.Failure(s, con.style))
	}
	fmt.Fprintf(con.out, "\n%d of %d noticed in %.0f s; without a fault %d of the specs passed and %d failed in %.0f s\n",
		len(trials)-unnoticed-unknown, len(trials), took.Seconds(), passed, len(failures), time.Since(began).Seconds()-took.Seconds())
	if c.Write != "" && unnoticed == 0 && unknown == 0 && len(failures) == 0 {
		if err := os.WriteFile(c.Write, []byte(sharpness.NewDocument(verdicts).Format()), 0o666); err != nil {
			return err
		}
	}
	if doc != nil {
		for _, d := range doc.Differences() {
			stale++
			fmt.Fprintf(con.out, "%s: %s\n", c.Check, d)
		}
	}
	if stale > 0 {
		fmt.Fprintf(con.out, "%s is out of date: write it anew with mcdtest sharpness --write %s\n", c.Check, c.Check)
	}
	if unknown > 0 {
		return failed(statusCannotRun)
	}
	if unnoticed > 0 || stale > 0 || len(failures) > 0 {
		return failed(statusFailed)
	}
	return nil
}

func (c *sharpnessCmd) plan() ([]sharpness.Trial, error) {
	if c.Write != "" && (len(c.Fault) > 0 || c.Dialect != "all") {
		return nil, errors.New("--write: the table is of all faults in all dialects; leave out --fault and --dialect")
	}
	if !slices.Contains(guest.Architectures(), c.Arch) {
		return nil, fmt.Errorf("--arch=%s: there are guest programs for %s", c.Arch, strings.Join(guest.Architectures(), ", "))
	}
	trials, err := sharpness.Plan(c.Fault)
	if err != nil {
		return nil, fmt.Errorf("--fault: %w", err)
	}
	if c.Dialect != "all" {
		trials = slices.DeleteFunc(trials, func(t sharpness.Trial) bool { return t.Dialect != c.Dialect })
	}
	if len(trials) == 0 {
		return nil, fmt.Errorf("the faults do not show in the dialect %s", c.Dialect)
	}
	return trials, nil
}

// runner makes what runs the trials, and opens the table that is to be checked.
func (c *sharpnessCmd) runner() (*sharpness.Runner, *sharpness.Document, error) {
	qemu := c.QEMU
	if qemu == "" {
		qemu = os.Getenv(harness.QEMUVariable)
	}
	r := &sharpness.Runner{
		Settings: suites.Settings{QEMU: qemu, Archs: []string{c.Arch}},
		Command:  func(s suites.Settings) (runner.Command, error) { return workerCommand(s, 0) },
		Parallel: c.Parallel,
	}
	if _, err := r.Settings.FindBuild(c.Arch); err != nil {
		return nil, nil, err
	}
	if c.Check == "" {
		return r, nil, nil
	}
	doc, err := sharpness.Open(c.Check)
	if err != nil {
		return nil, nil, fmt.Errorf("--check: %w", err)
	}
	r.Documented = doc.By
	return r, &doc, nil
}
