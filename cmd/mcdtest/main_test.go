// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mcdtest/cmd/mcdtest/internal/shim"
	"mcdtest/harness"
	"mcdtest/suites"
)

// TestMain makes this program the command, if it is called by one of its names.
func TestMain(m *testing.M) {
	if shim.Is(os.Args[0]) || len(os.Args) > 1 && os.Args[1] == suites.WorkerCommand {
		os.Exit(Main())
	}
	if os.Getenv(badVariable) != "" {
		os.Exit(badMain())
	}
	testscript.Main(m, map[string]func(){"mcdtest": func() { os.Exit(Main()) }})
}

// needQEMU skips a test where there is no QEMU for an architecture.
func needQEMU(t *testing.T, arch string) string {
	t.Helper()
	path, err := harness.Find(arch)
	if err != nil {
		t.Skip(err)
	}
	return path
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv(harness.QEMUVariable, os.Getenv(harness.QEMUVariable))
			return nil
		},
		Condition: func(cond string) (bool, error) {
			arch, ok := strings.CutPrefix(cond, "qemu:")
			if !ok {
				return false, fmt.Errorf("no condition %q: there is qemu:ARCH", cond)
			}
			_, err := harness.Find(arch)
			return err == nil, nil
		},
	})
}

// outcome is how a run of the command ended.
type outcome struct {
	status      int
	out, errors string
}

// limit bounds every run of the command in tests.
const limit = time.Minute

// marker is the environment variable by which tests find what the command has left behind.
const marker = "MCDTEST_TEST_MARK"

// command is this program under the name of the command. Everything that it starts has the mark in its environment.
func command(ctx context.Context, mark string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Args[0] = "mcdtest"
	cmd.Env = append(os.Environ(), marker+"="+mark)
	cmd.WaitDelay = time.Second
	return cmd
}

// mcdtest runs the command to its end, in an empty folder, and checks that no process is left. env is added to its environment.
func mcdtest(t *testing.T, env []string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	mark := rand.Text()
	cmd := command(ctx, mark, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(cmd.Env, env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("mcdtest %s: %v", strings.Join(args, " "), err)
	}
	if ctx.Err() != nil {
		t.Fatalf("mcdtest %s does not end:\n%s%s", strings.Join(args, " "), out.String(), errs.String())
	}
	noneLeft(t, mark)
	if left, _ := os.ReadDir(cmd.Dir); len(left) > 0 {
		t.Errorf("mcdtest %s left %v behind", strings.Join(args, " "), left)
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// noneLeft waits until there is no process with the mark: the end of a process that another one ended takes a moment.
func noneLeft(t *testing.T, mark string) {
	t.Helper()
	waitFor(t, "the end of every process that was started", func() (bool, string) {
		left := marked(mark)
		return len(left) == 0, strings.Join(left, ", ")
	})
}

// marked lists the processes with the mark in their environment.
func marked(mark string) []string {
	var found []string
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		env, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(env, []byte(marker+"="+mark)) {
			continue
		}
		cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		found = append(found, fmt.Sprintf("%s %q", filepath.Base(filepath.Dir(path)), bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '})))
	}
	return found
}

// waitFor polls until done says so, or for a few seconds; last says what was seen last.
func waitFor(t *testing.T, what string, done func() (ok bool, last string)) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, last := done()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited for %s; last seen: %s", what, last)
		}
	}
}
