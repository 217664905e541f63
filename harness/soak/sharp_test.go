// SPDX-License-Identifier: Apache-2.0

package soak

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Each count notices what it counts.
func TestLeaksAreSeen(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	kept := new([]byte)
	for _, test := range []struct {
		kind string
		leak func() (undo func())
	}{
		{"goroutines", func() func() {
			end, ended := make(chan struct{}), make(chan struct{})
			go func() { <-end; close(ended) }()
			return func() { close(end); <-ended }
		}},
		{"descriptors", func() func() {
			f, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			return func() { f.Close() }
		}},
		{"processes", func() func() {
			cmd := exec.Command("sleep", "1000")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			return func() { cmd.Process.Kill(); cmd.Wait() }
		}},
		{"files", func() func() {
			path := filepath.Join(folder, "left")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return func() { os.Remove(path) }
		}},
		{"heap", func() func() {
			*kept = make([]byte, 2*slack)
			return func() { *kept = nil }
		}},
	} {
		before := count(t)
		undo := test.leak()
		if more := count(t).more(before); !slices.Contains(more, test.kind) {
			t.Errorf("%s: a leak that is not noticed; what is: %q", test.kind, more)
		}
		undo()
		settled(t, before)
	}
	if len(*kept) > 0 { // it is used until here
		t.Error("the heap was not let go of")
	}
}

const stuckVariable = "SOAK_STUCK" // makes the test below the program that it starts

// The watchdog ends a program that stands still, and shows where.
func TestWatchdog(t *testing.T) {
	if os.Getenv(stuckVariable) != "" {
		watchdog(t, 50*time.Millisecond)
		hangs(make(chan struct{}))
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestWatchdog$", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), stuckVariable+"=1")
	out, err := cmd.CombinedOutput()
	for _, want := range []string{"nothing has moved for 50ms", "soak.hangs("} {
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%q is missing (%v):\n%s", want, err, out)
		}
	}
}

// hangs is what the watchdog has to name.
//
//go:noinline
func hangs(never chan struct{}) { <-never }
