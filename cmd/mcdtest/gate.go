// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mcdtest/cmd/mcdtest/internal/live"
	"mcdtest/cmd/mcdtest/internal/summary"
	"mcdtest/cmd/mcdtest/internal/term"
	"mcdtest/harness"
	"mcdtest/harness/gate"
	"mcdtest/harness/result"
	"mcdtest/harness/runner"
	"mcdtest/suites"
)

type gateCmd struct {
	specFlags
	Base     string   `placeholder:"PATH" help:"What it is compared with: a QEMU binary, a folder of them, or a saved result."`
	Head     string   `placeholder:"PATH" help:"What is to be judged: a QEMU binary or a folder of them; otherwise $$MCDTEST_QEMU, then $$PATH. Or a saved result."`
	Against  string   `placeholder:"FILE" xor:"base" help:"A saved result as the base."`
	Save     string   `placeholder:"FILE" help:"Save the result of head, for a later --against. Without a base that is all that is done."`
	Rounds   int      `default:"3" placeholder:"N" help:"How often each spec runs on each side."`
	Confirm  int      `default:"12" placeholder:"N" help:"How often, at most, what differs runs once more before it is called a difference."`
	Ratio    float64  `default:"1.5" placeholder:"R" help:"The least ratio of latencies that counts as a difference, if it is beyond the noise as well."`
	Accept   []string `placeholder:"KIND" help:"Differences that do not fail the gate: ${gate_kinds}."`
	Markdown string   `placeholder:"FILE" help:"Write the comparison here for a pull request; - is the standard output."`
	JUnit    string   `name:"junit" placeholder:"FILE" help:"Write a JUnit report here."`
	JSON     bool     `name:"json" help:"Write the comparison to the standard output as JSON instead of a table."`
	Out      string   `placeholder:"FILE" help:"Write the comparison here as JSON."`

	BaseFault string `hidden:"" help:"Put a fault between client and the endpoint of base."`
	HeadFault string `hidden:"" help:"Put a fault between client and the endpoint of head."`
}

func (gateCmd) Help() string {
	return `Runs the suite on two builds, in turns on the same machine, and compares spec by spec and packet by packet: what fails newly or no
longer, requests and fields that appeared or vanished, replies that changed in specs that pass on both, latency that moved beyond
the noise. What varies between two runs of the same build is no difference: each spec runs several times, and what differs runs
again before it is called so.

The exit status is 0 if there is no regression, 1 if there is one, 2 if the gate could not be carried out or was ended by a signal.
What does not fail the gate is shown all the same.

Examples:
  mcdtest gate --base ~/qemu/build-main --head ~/qemu/build
  mcdtest gate --base /usr/bin/qemu-system-arm --head ~/qemu/build/qemu-system-arm --fast --markdown gate.md
  mcdtest gate --head ~/qemu/build-main --save main.jsonl.gz
  mcdtest gate --head ~/qemu/build --against main.jsonl.gz --accept 'reply changed,slower'`
}

func (c *gateCmd) Run(ctx context.Context, con *console) error {
	cfg := gate.Config{Rounds: c.Rounds, Confirm: c.Confirm, Lanes: c.Parallel, Ratio: c.Ratio, Limits: runner.DefaultLimits}
	if err := c.check(&cfg); err != nil {
		return err
	}
	if err := canWrite(c.Out, c.Markdown, c.JUnit); err != nil {
		return err
	}
	base := c.Base
	if c.Against != "" {
		base = c.Against
	}
	var err error
	var settings [2]suites.Settings
	if cfg.Head, settings[gate.Head], err = c.source(ctx, gate.Head, c.Head, c.HeadFault); err != nil {
		return fmt.Errorf("head: %w", err)
	}
	alone := base == ""
	if !alone {
		if cfg.Base, settings[gate.Base], err = c.source(ctx, gate.Base, base, c.BaseFault); err != nil {
			return fmt.Errorf("base: %w", err)
		}
		if err := comparableSources(cfg, settings); err != nil {
			return err
		}
	}
	if cfg.Head.Saved != nil && c.Save != "" {
		return errors.New("--save is for a head that is run, and this one is a saved result already")
	}
	return c.compare(ctx, con, cfg, alone)
}

// maxRatio is more than any latency moves by.
const maxRatio = 1000

// check checks flags that can be wrong by themselves.
func (c *gateCmd) check(cfg *gate.Config) error {
	switch {
	case c.Base == "" && c.Against == "" && c.Save == "":
		return errors.New("there is nothing to compare with: name a QEMU with --base, or a saved result with --against")
	case c.Base == "" && c.Against == "" && (c.JSON || c.Out != "" || c.Markdown != "" || c.JUnit != ""):
		return errors.New("without a base there is no comparison to write: drop --json, --out, --markdown and --junit, or name one with --base or --against")
	case c.JSON && (c.Markdown == "-" || c.Out == "-"), c.Markdown == "-" && c.Out == "-":
		return errors.New("the standard output takes one of --json, --out - and --markdown -")
	case c.Base != "" && c.Against != "":
		return errors.New("--base and --against both name the base: give one of them")
	case !(c.Ratio > 1 && c.Ratio <= maxRatio): // NaN is neither
		return fmt.Errorf("--ratio=%v: it is to be above 1, and %d at most", c.Ratio, maxRatio)
	case c.Seed != 0:
		return errors.New("--seed: a gate runs its specs in a fixed order, so that both sides meet")
	}
	if err := cmp.Or(within("rounds", c.Rounds, 1, maxRounds), within("confirm", c.Confirm, 0, maxRounds)); err != nil {
		return err
	}
	for _, a := range c.Accept {
		if !slices.Contains(gate.Kinds, gate.Kind(a)) {
			return fmt.Errorf("--accept: there is no kind of difference %q; there are %s", a, gateKinds())
		}
		cfg.Accept = append(cfg.Accept, gate.Kind(a))
	}
	return nil
}

// gateKinds lists the differences that fail a gate.
func gateKinds() string {
	var list []string
	for _, k := range gate.Kinds {
		if k.Regression() {
			list = append(list, string(k))
		}
	}
	return strings.Join(list, ", ")
}

// source is a side: a build that is looked at and made ready, or a file that is read.
func (c *gateCmd) source(ctx context.Context, which gate.Side, path, fault string) (gate.Source, suites.Settings, error) {
	var s gate.Source
	if isResult(path) || (which == gate.Base && c.Against != "") {
		saved, err := result.Open(path)
		if err != nil {
			return s, suites.Settings{}, err
		}
		if part := saved.Header.Shard; part != "" {
			return s, suites.Settings{}, fmt.Errorf("%s is part %s of a run, so it cannot be compared with: merge all parts first (mcdtest report --merge)", path, part)
		}
		if why := saved.Incomplete(); why != "" {
			return s, suites.Settings{}, fmt.Errorf("%s is incomplete, so it cannot be compared with: %s", path, why)
		}
		if !slices.ContainsFunc(saved.Header.Settings, func(v string) bool { return strings.HasPrefix(v, suites.RecordVariable+"=") }) {
			return s, suites.Settings{}, fmt.Errorf("%s has no conversations of specs that pass, so packets cannot be compared with it: save it with mcdtest gate --save, or run mcdtest suite with --record", path)
		}
		return gate.Source{Saved: saved}, suites.Settings{}, nil
	}
	flags := c.specFlags
	if flags.Artifacts != "" {
		flags.Artifacts = filepath.Join(flags.Artifacts, which.String())
	}
	settings, err := flags.settings(path)
	if err != nil {
		return s, settings, err
	}
	settings.Record = true
	if fault != "" {
		settings.Fault = fault
	}
	if _, s.Items, err = suiteItems(settings); err != nil {
		return s, settings, err
	}
	build, err := buildUnderTest(ctx, settings, "")
	if err != nil {
		return s, settings, err
	}
	if s.Command, err = workerCommand(settings, 0); err != nil {
		return s, settings, err
	}
	s.Header = result.Header{
		Tool: version(), Started: time.Now(), Settings: comparable(settings), Build: build, Planned: len(s.Items) * c.Rounds,
		Rounds: c.Rounds, Host: host(),
	}
	return s, settings, nil
}

// isResult tells a saved result from a QEMU.
func isResult(path string) bool {
	fi, err := os.Stat(path)
	if err != nil || !fi.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	first := make([]byte, 1)
	_, err = io.ReadFull(f, first)
	// A program begins with neither a brace nor the mark of a compressed file.
	return err == nil && (first[0] == '{' || first[0] == 0x1f) || fi.Size() == 0 || filepath.Ext(path) == ".jsonl"
}

// comparableSources makes sure that both sides are about the same specs.
func comparableSources(cfg gate.Config, settings [2]suites.Settings) error {
	if cfg.Base.Saved != nil && cfg.Head.Saved != nil {
		return errors.New("both sides are saved results: one of them is to be a QEMU")
	}
	same := func(s []string) []string {
		return slices.DeleteFunc(slices.Clone(s), func(v string) bool {
			return strings.HasPrefix(v, suites.FaultVariable+"=") || strings.HasPrefix(v, suites.RecordVariable+"=")
		})
	}
	header := func(s gate.Source) result.Header {
		if s.Saved != nil {
			return s.Saved.Header
		}
		return s.Header
	}
	if base, head := header(cfg.Base).Build, header(cfg.Head).Build; base.Endpoint == string(harness.Native) && head.Endpoint == string(harness.Stub) {
		return fmt.Errorf("base (%s) is tested through its own -mcd, and head (%s) has none: mcdtest's stub in front of it would be compared; build head with -mcd (--enable-mcd), or choose --endpoint stub for both", base.Label, head.Label)
	}
	settingsOf := func(s gate.Source) []string {
		return same(header(s).Settings)
	}
	if b, h := settingsOf(cfg.Base), settingsOf(cfg.Head); !slices.Equal(b, h) {
		return fmt.Errorf("the sides are about different specs: base has %s, head has %s; choose the same architectures, cores, dialects and specs for both", strings.Join(b, " "), strings.Join(h, " "))
	}
	return nil
}

// compare runs the gate, or saves head if there is no base.
func (c *gateCmd) compare(ctx context.Context, con *console, cfg gate.Config, alone bool) error {
	var saving *result.Writer
	var err error
	if c.Save != "" {
		if saving, err = result.Create(c.Save, cfg.Head.Header); err != nil {
			return err
		}
	}
	if alone {
		cfg.Confirm = 0
	}
	cfg.Progress = runner.NewProgress(append(slices.Clone(cfg.Base.Items), cfg.Head.Items...), c.Rounds, cfg.Lanes)
	display := live.Start(con.err, cfg.Progress.Snapshot)
	stop := onDescribe(display, cfg.Progress)
	cfg.Warn = display.Print
	style := term.For(con.err)
	var head result.Summary
	var failures []result.Spec
	cfg.Keep = func(s gate.Side, spec result.Spec) error {
		if spec.Outcome == result.Failed {
			display.Print(s.String() + ": " + summary.Failure(spec, style))
			if spec.Evidence != nil && spec.Evidence.Unsaved != "" {
				failures = append(failures, result.Spec{Evidence: &result.Evidence{Unsaved: spec.Evidence.Unsaved}})
			}
		}
		if s != gate.Head {
			return nil
		}
		head.Add(spec)
		if saving == nil {
			return nil
		}
		return saving.Spec(spec)
	}
	began := time.Now()
	comparison, err := gate.Run(ctx, cfg)
	stop()
	display.Close()
	if saving != nil {
		footer := result.Footer{Complete: err == nil && ctx.Err() == nil}
		switch {
		case ctx.Err() != nil:
			footer.Problem = "the run was interrupted"
		case err != nil:
			footer.Problem = err.Error()
		}
		err = errors.Join(err, saving.Close(footer))
	}
	err = errors.Join(err, unsaved(failures))
	if comparison != nil && comparison.Incomplete != "" && !alone {
		err = errors.Join(err, c.output(con, comparison))
	}
	switch {
	case ctx.Err() != nil:
		if err != nil {
			fmt.Fprintf(con.err, "mcdtest gate: %s\n", told(err))
		}
		fmt.Fprintln(con.err, "mcdtest gate: interrupted, so this is no verdict on the builds")
		return failed(statusCannotRun)
	case comparison == nil || comparison.Incomplete != "":
		return err
	case alone && err != nil:
		return err
	case alone:
		fmt.Fprintf(con.out, "Saved to %s: %s\n", c.Save, summary.Line(head, time.Since(began)))
		return nil
	}
	if err := errors.Join(err, c.output(con, comparison)); err != nil {
		return err
	}
	if comparison.Regressions() > 0 {
		return failed(statusFailed)
	}
	return nil
}

func (c *gateCmd) output(con *console, comparison *gate.Comparison) error {
	text, err := json.MarshalIndent(comparison, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	var errs []error
	write := func(name string, text []byte) {
		if name == "" {
			return
		}
		if name == "-" {
			_, err := con.out.Write(text)
			errs = append(errs, err)
			return
		}
		errs = append(errs, os.WriteFile(name, text, 0o666))
	}
	write(c.Out, text)
	write(c.Markdown, []byte(comparison.Markdown()))
	if c.JUnit != "" {
		errs = append(errs, comparison.JUnit().Write(c.JUnit))
	}
	switch {
	case c.JSON:
		write("-", text)
	case c.Markdown != "-":
		gateTable(con.out, con.style, comparison)
	}
	return errors.Join(errs...)
}

// gateTable shows a comparison on a terminal.
func gateTable(w io.Writer, style term.Style, c *gate.Comparison) {
	for s, side := range []gate.SideSummary{c.Base, c.Head} {
		saved := ""
		if side.Saved {
			saved = ", saved"
		}
		fmt.Fprintf(w, "%v  %s%s: %d passed, %d failed, %d skipped in %d runs\n", gate.Side(s), side.Build, saved, side.Passed, side.Failed, side.Skipped, side.Runs)
	}
	fmt.Fprintln(w, c.Compares())
	for _, n := range c.Notes {
		fmt.Fprintln(w, style.Warn("note:"), n)
	}
	fmt.Fprintln(w)
	for _, f := range c.Findings {
		kind := style.Warn(string(f.Kind))
		if f.Regression {
			kind = style.Bad(string(f.Kind))
		}
		extent := f.Extent()
		if extent != "" {
			extent = " " + style.Dim("("+extent+")")
		}
		base, head := f.Change()
		fmt.Fprintf(w, "%s  %s%s\n", kind, style.Bold(f.Where()), extent)
		if f.Example != "" {
			fmt.Fprintf(w, "    in     %s\n", term.Cut(f.Example, style.Width-11))
		}
		fmt.Fprintf(w, "    base   %s\n    head   %s\n", base, head)
		if f.Evidence != nil && f.Evidence.Reproduce != "" {
			fmt.Fprintf(w, "    to reproduce: %s\n", f.Evidence.Reproduce)
		}
	}
	verdict := style.Good(c.Verdict())
	switch {
	case c.Incomplete != "":
		verdict = style.Warn(c.Verdict())
	case c.Regressions() > 0:
		verdict = style.Bad(c.Verdict())
	}
	fmt.Fprintln(w, verdict)
}
