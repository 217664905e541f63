// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"mcdtest/cmd/mcdtest/internal/live"
	"mcdtest/cmd/mcdtest/internal/summary"
	"mcdtest/cmd/mcdtest/internal/term"
	"mcdtest/guest"
	"mcdtest/harness"
	"mcdtest/harness/expect"
	"mcdtest/harness/result"
	"mcdtest/harness/runner"
	"mcdtest/suites"
)

// specFlags say which specs to run on what, except for the QEMU.
type specFlags struct {
	Arch      string `placeholder:"ARCH,…" help:"Architectures (${architectures}), or all. Those that there is no QEMU for are not applicable. Unless given: the QEMU's own, or arm."`
	Cores     []int  `default:"1" placeholder:"N" help:"Numbers of cores, 1 to ${max_cores}; the specs run with each."`
	Dialect   string `default:"all" enum:"all,packet,json" help:"packet (2023), json (2025), or all that the endpoint speaks."`
	Endpoint  string `default:"auto" enum:"auto,native,stub" help:"Where MCD is spoken: native (QEMU's own -mcd), stub (mcdtest's, in front of QEMU), or auto: native if the build has it."`
	Fast      bool   `help:"Only the fast specs that matter most."`
	Specs     string `placeholder:"REGEXP" help:"Only specs whose ID matches; --list shows IDs."`
	Parallel  int    `short:"p" default:"${processors}" placeholder:"N" help:"So many specs at the same time; one for each processor unless given."`
	Seed      int64  `placeholder:"N" help:"Shuffle the specs, in the same way for the same number."`
	Artifacts string `placeholder:"DIR" help:"Write a script for each failure here that reproduces it."`
	Fault     string `hidden:"" env:"${fault_variable}" help:"Put a fault of the catalogue between client and endpoint."`
}

// settings finds the QEMUs and checks the flags.
func (f *specFlags) settings(qemu string) (suites.Settings, error) {
	s := suites.Settings{QEMU: qemu, Cores: f.Cores, Fast: f.Fast, Fault: f.Fault, Artifacts: f.Artifacts}
	if qemu == "" {
		s.QEMU = os.Getenv(harness.QEMUVariable)
	}
	if err := within("parallel", f.Parallel, 1, maxParallel); err != nil {
		return s, err
	}
	for _, n := range f.Cores {
		if n < 1 || n > guest.MaxCores {
			return s, fmt.Errorf("--cores=%d: the guest programs are for 1 to %d cores", n, guest.MaxCores)
		}
	}
	if f.Dialect != "all" {
		s.Dialects = []harness.Dialect{harness.Dialect(f.Dialect)}
	}
	if f.Endpoint != "auto" {
		s.Endpoint = harness.EndpointKind(f.Endpoint)
	}
	if f.Specs != "" {
		re, err := regexp.Compile(f.Specs)
		if err != nil {
			return s, fmt.Errorf("--specs: %w", err)
		}
		s.Specs = re
	}
	if f.Artifacts != "" {
		if err := writable(f.Artifacts); err != nil {
			return s, fmt.Errorf("--artifacts: %w", err)
		}
		// Workers and the commands that reproduce failures may run elsewhere.
		path, err := filepath.Abs(f.Artifacts)
		if err != nil {
			return s, fmt.Errorf("--artifacts: %w", err)
		}
		s.Artifacts = path
	}
	switch f.Arch {
	case "":
		build, err := s.FindBuild("")
		if err != nil {
			return s, err
		}
		s.Archs = []string{build.Arch}
	case "all":
		s.Archs = guest.Architectures()
	default:
		for _, arch := range strings.Split(f.Arch, ",") {
			if !slices.Contains(guest.Architectures(), arch) {
				return s, fmt.Errorf("--arch=%s: there is no guest program for %q; there are some for %s", f.Arch, arch, strings.Join(guest.Architectures(), ", "))
			}
			s.Archs = append(s.Archs, arch)
		}
	}
	return s, f.speaks(s)
}

// speaks makes sure that the builds speak MCD themselves, and as they are to, where that is what is tested.
func (f *specFlags) speaks(s suites.Settings) error {
	for _, arch := range s.Archs {
		build, err := s.FindBuild(arch)
		if err != nil || s.EndpointOf(build) != harness.Native {
			continue // buildUnderTest says what is missing
		}
		if build.MCD == "" {
			return fmt.Errorf("--endpoint=native: %s has no option -mcd: use --endpoint=stub, which puts mcdtest's own in front of it, or a build with -mcd", build)
		}
		for _, d := range s.Dialects {
			if !build.Speaks(d) {
				return fmt.Errorf("--dialect=%s: the -mcd of %s speaks another one: leave the flag out, or use --endpoint=stub, which speaks both", d, build)
			}
		}
	}
	return nil
}

// What is asked for beyond these is a slip of the keyboard.
const (
	maxParallel = 256
	maxRounds   = 100_000
)

// within checks a number of a flag.
func within(flag string, n, least, most int) error {
	if n < least || n > most {
		return fmt.Errorf("--%s=%d: it is to be a number from %d to %d", flag, n, least, most)
	}
	return nil
}

// writable makes a folder if need be, and tries to write there.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, ".mcdtest-*")
	if err != nil {
		return fmt.Errorf("files cannot be written to %s: %w; choose another folder", dir, errors.Unwrap(err))
	}
	file.Close()
	return os.Remove(file.Name())
}

// canWrite makes sure, before a long run, that its outcome can be written to files. It leaves empty ones.
func canWrite(names ...string) error {
	for _, name := range names {
		if name == "" || name == "-" {
			continue
		}
		file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o666)
		if err != nil {
			return fmt.Errorf("what comes out cannot be written there: %w", err)
		}
		file.Close()
	}
	return nil
}

// suiteItems lists the items of a run, and those of its shard as a run wants them.
func suiteItems(s suites.Settings) (all []suites.Item, mine []runner.Item, err error) {
	shard := s.Shard
	s.Shard = suites.Shard{}
	if all, err = suites.Items(s); err != nil {
		return nil, nil, err
	}
	if len(all) == 0 {
		return nil, nil, errors.New("there is no such spec: --list shows what there is; --specs is a regular expression on the whole ID")
	}
	index := make(map[string]int)
	for i, item := range all {
		index[item.ID()] = i
	}
	for _, i := range shard.Pick(all) {
		mine = append(mine, runner.Item{Cost: i.Cost(), Spec: result.Spec{
			ID: i.ID(), Index: index[i.ID()], Subject: i.Spec.Subject, Labels: i.Spec.Labels,
			Arch: i.Case.Arch, Cores: i.Case.Cores, Dialect: string(i.Case.Dialect),
		}})
	}
	return all, mine, nil
}

// buildUnderTest finds and probes the QEMUs of a run, and starts a machine with each, so that a run of a thousand specs
// does not begin where none can work. The specs of an architecture that the build lacks are not applicable, unless it
// lacks all.
func buildUnderTest(ctx context.Context, s suites.Settings, label string) (result.Build, error) {
	b := result.Build{Label: label, Paths: make(map[string]string), Versions: make(map[string]string)}
	var lacking error
	for _, arch := range s.Archs {
		build, err := s.FindBuild(arch)
		if errors.Is(err, harness.ErrNoTarget) {
			lacking = cmp.Or(lacking, err)
			continue
		}
		if err != nil {
			return b, err
		}
		kind := s.EndpointOf(build)
		image, err := guest.Lookup(arch, guest.Loop)
		if err != nil {
			return b, err
		}
		m, err := harness.Start(ctx, harness.Config{Build: build, Guest: image, Endpoint: kind})
		if err != nil {
			return b, err
		}
		if err := m.Close(); err != nil {
			return b, fmt.Errorf("start and end a machine with %s: %w", build, err)
		}
		b.Paths[arch], b.Versions[arch] = build.Path, build.Version
		switch {
		case len(b.Paths) == 1:
			b.Endpoint = string(kind)
		case b.Endpoint != string(kind):
			b.Endpoint = ""
		}
		if b.Label == "" {
			b.Label = s.QEMU
			if s.QEMU == "" {
				b.Label = "QEMU " + build.Version
			}
		}
	}
	if len(b.Paths) == 0 {
		return b, lacking
	}
	return b, nil
}

// workerCommand is this program as a worker.
func workerCommand(s suites.Settings, seed int64) (runner.Command, error) {
	self, err := os.Executable()
	if err != nil {
		return runner.Command{}, fmt.Errorf("find this program, to start workers: %w", err)
	}
	s.Shard = suites.Shard{} // what a worker runs is dealt to it
	return runner.Command{Path: self, Args: suites.WorkerArgs(seed), Env: append(os.Environ(), s.Environment()...)}, nil
}

// comparable are the settings without what may differ between the parts of a run.
func comparable(s suites.Settings) []string {
	s.Shard, s.QEMU, s.Artifacts = suites.Shard{}, "", ""
	return slices.DeleteFunc(s.Environment(), func(v string) bool { return strings.HasSuffix(v, "=") })
}

// host says what the machine is.
func host() string {
	return fmt.Sprintf("%s/%s, %d processors", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
}

type suiteCmd struct {
	specFlags
	QEMU              string `name:"qemu" placeholder:"PATH" help:"QEMU binary, or a folder of them; otherwise $MCDTEST_QEMU, then $PATH."`
	Shard             string `placeholder:"I/N" help:"Only the I-th of N parts, which take about the same time."`
	Repeat            int    `default:"1" placeholder:"N" help:"Run everything N times."`
	Expectations      string `placeholder:"FILE" help:"What is known to fail; see docs/expectations.md."`
	WriteExpectations string `placeholder:"FILE" help:"Start such a file with what fails now."`
	Label             string `placeholder:"TEXT" help:"What the build is called in results; its path unless given."`
	Out               string `placeholder:"FILE" help:"Write results here, one JSON object a line; see docs/result-format.md."`
	JUnit             string `name:"junit" placeholder:"FILE" help:"Write a JUnit report here."`
	JSON              bool   `name:"json" help:"Write results to the standard output instead of a summary."`
	Record            bool   `help:"Keep the conversations of specs that pass, too."`
	List              bool   `help:"Show the IDs of the specs and run nothing."`
	WriteTimes        string `hidden:"" placeholder:"FILE" help:"Write how long each spec took, for suites/times.json."`
}

func (suiteCmd) Help() string {
	return `Runs the specs of the suite against a QEMU, each with a machine of its own. What MCD says is checked against QMP, qtest and the
symbols of the guest program, never against the code under test.

If the QEMU has -mcd itself, that is what is tested (native). Otherwise mcdtest's own stub in front of it is.
Failures are shown as they happen and, with what explains them, at the end. SIGUSR1 shows where every machine stands.
The exit status is 0 if all is as it should be, 1 if a spec failed that was not expected to or passed that was, 2 if the run could
not be carried out or was ended by a signal; what was finished until then is in the results.

Examples:
  mcdtest suite --fast
  mcdtest suite --arch all --cores 1,2
  mcdtest suite --qemu ~/qemu/build --dialect packet --artifacts failures
  mcdtest suite --specs 'watchpoints:' --repeat 20 --seed 1
  mcdtest suite --qemu ~/qemu/build --expectations known.yaml --out result.jsonl --junit junit.xml
  mcdtest suite --shard 2/5 --out part2.jsonl`
}

func (c *suiteCmd) Run(ctx context.Context, con *console) error {
	settings, err := c.settings(c.QEMU)
	if err != nil {
		return err
	}
	settings.Record = c.Record
	if c.Shard != "" {
		if settings.Shard, err = suites.ParseShard(c.Shard); err != nil {
			return fmt.Errorf("--shard: %w", err)
		}
	}
	if err := within("repeat", c.Repeat, 1, maxRounds); err != nil {
		return err
	}
	all, items, err := suiteItems(settings)
	if err != nil {
		return err
	}
	if c.List {
		for _, i := range items {
			fmt.Fprintln(con.out, i.ID)
		}
		return nil
	}
	build, err := buildUnderTest(ctx, settings, c.Label)
	if err != nil {
		return err
	}
	r := &suiteRun{suiteCmd: c, con: con, settings: settings, items: items}
	r.result.Header = result.Header{
		Tool: version(), Started: time.Now(), Settings: comparable(settings), Build: build, Planned: len(items) * c.Repeat,
		Seed: c.Seed, Shard: settings.Shard.String(), Host: host(),
	}
	if c.Repeat > 1 {
		r.result.Header.Rounds = c.Repeat
	}
	if err := r.expectations(); err != nil {
		return err
	}
	if err := canWrite(c.JUnit, c.WriteTimes); err != nil {
		return err
	}
	err = r.run(ctx)
	if c.WriteTimes != "" && r.result.Incomplete() == "" {
		err = errors.Join(err, writeTimes(c.WriteTimes, all, &r.result))
	}
	return err
}

// suiteRun is a run of the suite.
type suiteRun struct {
	*suiteCmd
	con      *console
	settings suites.Settings
	items    []runner.Item
	expected *expect.File
	writers  []*result.Writer
	result   result.Result
}

func (r *suiteRun) expectations() error {
	if r.Expectations == "" {
		return nil
	}
	f, err := expect.Open(r.Expectations)
	if err != nil {
		return err
	}
	if err := f.CheckBuild(r.result.Header.Build); err != nil {
		return err
	}
	r.expected = f
	return nil
}

func (r *suiteRun) run(ctx context.Context) error {
	if err := r.open(); err != nil {
		return err
	}
	if r.WriteExpectations != "" { // last, so that no other error leaves an empty one behind
		if err := expect.New(r.WriteExpectations); err != nil {
			return err
		}
	}
	began := time.Now()
	problem := r.rounds(ctx)
	footer := &result.Footer{Ended: time.Now(), Specs: len(r.result.Specs)}
	footer.Complete = problem == nil && ctx.Err() == nil && len(r.result.Specs) == r.result.Header.Planned
	switch {
	case ctx.Err() != nil:
		footer.Problem = "the run was interrupted"
	case problem != nil:
		footer.Problem = problem.Error()
	}
	if r.expected != nil {
		footer.Unmatched = r.expected.Unmatched(suites.AllIDs())
	}
	r.result.Footer = footer
	problem = errors.Join(problem, r.close(*footer), unsaved(r.result.Specs))
	if !r.JSON {
		summary.Print(r.con.out, r.con.style, &r.result, time.Since(began))
	}
	switch {
	case ctx.Err() != nil:
		if problem != nil {
			fmt.Fprintf(r.con.err, "mcdtest suite: %s\n", told(problem))
		}
		fmt.Fprintln(r.con.err, "mcdtest suite: interrupted; what was finished until then is in the results")
		return failed(statusCannotRun)
	case problem != nil:
		return problem
	case !r.result.Summary().OK():
		return failed(statusFailed)
	}
	if none := r.result.NothingApplies(); none != "" && r.Shard == "" { // a part may be of such specs only
		return errors.New(none)
	}
	return nil
}

// unsaved tells of scripts of failures that could not be written.
func unsaved(specs []result.Spec) error {
	n, why := 0, ""
	for _, s := range specs {
		if s.Evidence != nil && s.Evidence.Unsaved != "" {
			n++
			why = s.Evidence.Unsaved
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("the scripts of %d failures could not be written: %s", n, why)
}

// open opens what results go to.
func (r *suiteRun) open() error {
	if r.Out != "" {
		w, err := result.Create(r.Out, r.result.Header)
		if err != nil {
			return err
		}
		r.writers = append(r.writers, w)
	}
	if r.JSON {
		w, err := result.NewWriter(struct{ io.Writer }{r.con.out}, "the standard output", r.result.Header)
		if err != nil {
			return err
		}
		r.writers = append(r.writers, w)
	}
	return nil
}

// close writes what is written at the end. It goes on after an error.
func (r *suiteRun) close(f result.Footer) error {
	var errs []error
	for _, w := range r.writers {
		errs = append(errs, w.Close(f))
	}
	if r.JUnit != "" {
		errs = append(errs, r.result.JUnit().Write(r.JUnit))
	}
	if r.WriteExpectations != "" {
		errs = append(errs, expect.Write(r.WriteExpectations, &r.result))
	}
	return errors.Join(errs...)
}

func (r *suiteRun) rounds(ctx context.Context) error {
	progress := runner.NewProgress(r.items, r.Repeat, r.Parallel)
	display := live.Start(r.con.err, progress.Snapshot)
	defer display.Close()
	stop := onDescribe(display, progress)
	defer stop()
	style := term.For(r.con.err)
	for round := 1; round <= r.Repeat && ctx.Err() == nil; round++ {
		seed := r.Seed
		if seed != 0 {
			seed += int64(round - 1)
		}
		command, err := workerCommand(r.settings, seed)
		if err != nil {
			return err
		}
		pool := &runner.Pool{
			Command: command, Limits: runner.DefaultLimits, Workers: r.Parallel, Items: r.items, Progress: progress,
			Expected: func(s result.Spec) string {
				return r.expected.Reason(s.ID, r.result.Header.Build.Versions[s.Arch])
			},
			Warn: display.Print,
			Done: func(s result.Spec) error {
				r.result.Specs = append(r.result.Specs, s)
				if s.Unexpected() {
					display.Print(summary.Failure(s, style))
				}
				var errs []error
				for _, w := range r.writers {
					errs = append(errs, w.Spec(s))
				}
				return errors.Join(errs...)
			},
		}
		if round > 1 {
			pool.Round = round
		}
		if err := pool.Run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// onDescribe shows at each SIGUSR1 where every machine stands, until the function that it returns is called.
func onDescribe(display *live.Display, progress *runner.Progress) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-signals:
				display.Print(live.Text(progress.Snapshot()) + "\n" + progress.Describe())
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
		<-ended
	}
}

// writeTimes keeps how long specs took, so that shards are even.
func writeTimes(name string, items []suites.Item, r *result.Result) error {
	took := make(map[string]time.Duration)
	for _, s := range r.Specs {
		if s.Outcome == result.Passed || s.Outcome == result.Skipped {
			took[s.ID] = s.Took
		}
	}
	text, err := suites.Times(items, took)
	if err != nil {
		return err
	}
	return os.WriteFile(name, text, 0o666)
}
