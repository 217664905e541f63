// SPDX-License-Identifier: Apache-2.0

// Command mcdtest tests MCD debug stubs of QEMU, and serves MCD in front of any QEMU. Its commands are thin: each has a
// file of its own, and what it does is in the packages that it calls.
package main

import (
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
	"strconv"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"mcdtest/cmd/mcdtest/internal/shim"
	"mcdtest/cmd/mcdtest/internal/term"
	"mcdtest/guest"
	"mcdtest/suites"
)

// Exit statuses.
const (
	statusFailed     = 1 // what was tested is wrong
	statusCannotRun  = 2 // it could not be tested, or the command line is wrong
	statusInterrupts = 128
)

// commands is the command line.
type commands struct {
	Run       runCmd       `cmd:"" help:"Play the loop scenario on a QEMU and show what happens."`
	Suite     suiteCmd     `cmd:"" help:"Run the suite against a QEMU."`
	Gate      gateCmd      `cmd:"" help:"Compare two builds by the suite, packet by packet."`
	Sharpness sharpnessCmd `cmd:"" help:"Show which spec notices each of many deliberate faults."`
	Report    reportCmd    `cmd:"" help:"Make an HTML page of a run or a gate."`
	Serve     serveCmd     `cmd:"" help:"Serve MCD in front of any QEMU."`
	QEMUShim  shimCmd      `cmd:"" name:"qemu-shim" help:"Give any QEMU the option -mcd."`
	Play      playCmd      `cmd:"" help:"Play raw-packet scripts, or record them anew."`
	Send      sendCmd      `cmd:"" help:"Send raw packets and show what comes back."`
	Shell     shellCmd     `cmd:"" help:"Talk to a stub by hand."`
	Doctor    doctorCmd    `cmd:"" help:"Show what is installed and what to do about what is not."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

// console is where a command reads and writes.
type console struct {
	in       io.Reader
	out, err io.Writer
	style    term.Style // of out
}

// failed is an error that has been shown already; only the exit status is left to tell.
type failed int

func (f failed) Error() string { return fmt.Sprintf("exit status %d", int(f)) }

func main() { os.Exit(Main()) }

// Main is the program; it returns the exit status.
func Main() int {
	name := filepath.Base(os.Args[0])
	switch {
	case shim.Is(name):
		status, err := shim.Run(context.Background(), os.Args, os.Stdout)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		}
		return status
	case len(os.Args) == 3 && os.Args[1] == shim.EndpointCommand:
		return shim.Endpoint(os.Args[2])
	case len(os.Args) > 2 && os.Args[1] == suites.WorkerCommand:
		return suites.Worker(os.Args[2:])
	}
	return execute(os.Args[1:], &console{in: os.Stdin, out: os.Stdout, err: os.Stderr, style: term.For(os.Stdout)})
}

func execute(args []string, con *console) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once

	var cli commands
	exited := -1
	parser, err := newParser(&cli, con, func(status int) { exited = status })
	if err != nil {
		fmt.Fprintf(con.err, "mcdtest: %v\n", err)
		return statusCannotRun
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(negatives(args))
	if exited >= 0 { // --help
		return exited
	}
	if err != nil {
		command := "mcdtest"
		if p := (*kong.ParseError)(nil); errors.As(err, &p) && p.Context != nil && p.Context.Command() != "" {
			command += " " + p.Context.Selected().Name
		}
		text := err.Error()
		if name := strings.TrimPrefix(command, "mcdtest "); name != command {
			text = strings.TrimPrefix(text, name+": ") // kong says it, too, for what a command checks itself
		}
		fmt.Fprintf(con.err, "%s: %s\nTry: %s --help\n", command, text, command)
		return statusCannotRun
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	out := &checked{w: con.out}
	con.out = out
	err = parsed.Run(con)
	var f failed
	if out.err != nil && !errors.As(err, &f) {
		err = errors.Join(err, fmt.Errorf("write to the standard output: %w", out.err))
	}
	switch {
	case err == nil:
		return 0
	case errors.As(err, &f) && out.err != nil:
		fmt.Fprintf(con.err, "mcdtest %s: write to the standard output: %v\n", parsed.Selected().Name, out.err)
		return statusCannotRun
	case errors.As(err, &f):
		return int(f)
	case ctx.Err() != nil:
		fmt.Fprintf(con.err, "mcdtest %s: interrupted\n", parsed.Selected().Name)
		return statusInterrupts + int(syscall.SIGINT)
	}
	fmt.Fprintf(con.err, "mcdtest %s: %s\n", parsed.Selected().Name, told(err))
	return statusCannotRun
}

// told is an error as it is shown: what several parts of a command have met alike is said once.
func told(err error) string {
	var list []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if !slices.Contains(list, line) {
			list = append(list, line)
		}
	}
	return strings.Join(list, "\n")
}

// checked remembers the first error of a writer, so that a summary on a full disk is not taken for a whole one.
type checked struct {
	w   io.Writer
	err error
}

func (c *checked) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	if err != nil && c.err == nil {
		c.err = err
		if p := (*os.PathError)(nil); errors.As(err, &p) {
			c.err = p.Err
		}
	}
	return n, err
}

var (
	flagAlone = regexp.MustCompile(`^(--[a-z][a-z-]*|-[a-z])$`)
	negative  = regexp.MustCompile(`^-[0-9][0-9.]*$`)
)

// negatives joins a negative number to the flag before it, where it would be taken for a flag.
func negatives(args []string) []string {
	var list []string
	for i, a := range args {
		if a == "--" {
			return append(list, args[i:]...)
		}
		if i > 0 && negative.MatchString(a) && flagAlone.MatchString(args[i-1]) {
			if strings.HasPrefix(args[i-1], "--") {
				a = "=" + a
			}
			list[len(list)-1] += a
			continue
		}
		list = append(list, a)
	}
	return list
}

func newParser(cli *commands, con *console, exit func(int)) (*kong.Kong, error) {
	return kong.New(cli,
		kong.Name("mcdtest"),
		kong.Description("Tests for MCD debug stubs of QEMU, and an MCD server for any QEMU.\n\n"+
			"Start with: mcdtest doctor, mcdtest run. A QEMU is looked for in $MCDTEST_QEMU (a binary or a folder), then in $PATH."),
		kong.Writers(con.out, con.err),
		kong.Exit(exit),
		kong.Vars{
			"architectures":  strings.Join(guest.Architectures(), ", "),
			"max_cores":      strconv.Itoa(guest.MaxCores),
			"processors":     strconv.Itoa(runtime.GOMAXPROCS(0)),
			"fault_variable": suites.FaultVariable,
			"gate_kinds":     gateKinds(),
		},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
}
