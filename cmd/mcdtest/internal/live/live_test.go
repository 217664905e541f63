// SPDX-License-Identifier: Apache-2.0

package live

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"mcdtest/harness/result"
	"mcdtest/harness/runner"
)

// screen is what was written, and says when something was.
type screen struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	written chan struct{}
}

func newScreen() *screen { return &screen{written: make(chan struct{}, 100)} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written <- struct{}{}
	return s.buf.Write(p)
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// wait waits for one more write.
func (s *screen) wait(t *testing.T) {
	t.Helper()
	select {
	case <-s.written:
	case <-time.After(10 * time.Second):
		t.Fatalf("nothing more was written; until now %q", s.text())
	}
}

func sample() runner.Snapshot {
	return runner.Snapshot{
		Total: 10, Done: 4, Left: 95 * time.Second, Summary: result.Summary{Passed: 1, Failed: 2, Skipped: 1},
		Running: []runner.Running{{ID: "short", For: time.Second}, {ID: "long", For: 12 * time.Second}},
	}
}

const sampleText = "4 of 10 done, 2 failed, 1 skipped, about 95 s left; running: long (12 s), short (1.0 s)"

func TestText(t *testing.T) {
	for _, c := range []struct {
		s    runner.Snapshot
		want string
	}{
		{runner.Snapshot{Total: 3}, "0 of 3 done"},
		{sample(), sampleText},
		{runner.Snapshot{Total: 2, Done: 2, Left: time.Second, Summary: result.Summary{ExpectedFailures: 1, UnexpectedPasses: 1}}, "2 of 2 done, 1 failed as expected, 1 passed unexpectedly"},
		{runner.Snapshot{Total: 2, Done: 1, Left: 5 * time.Minute}, "1 of 2 done, about 5 min left"},
	} {
		if got := Text(c.s); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// On a terminal the line is taken off before anything else is written, and at the end.
func TestTerminal(t *testing.T) {
	s, ticks := newScreen(), make(chan time.Time)
	d := start(s, true, sample, ticks)
	ticks <- time.Time{}
	s.wait(t)
	d.Print("FAILED something\n")
	ticks <- time.Time{}
	s.wait(t)
	d.Close()
	want := clear + sampleText + clear + "FAILED something\n" + clear + sampleText + clear
	if got := s.text(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A line that is longer than the terminal is wide would not be taken off whole.
func TestNarrowTerminal(t *testing.T) {
	s, ticks := newScreen(), make(chan time.Time)
	d := start(s, true, sample, ticks)
	d.style.Width = 20
	ticks <- time.Time{}
	s.wait(t)
	d.Close()
	if got, want := s.text(), clear+"4 of 10 done, 2 fa…"+clear; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestNoTerminal(t *testing.T) {
	s, ticks := newScreen(), make(chan time.Time)
	d := start(s, false, sample, ticks)
	ticks <- time.Time{}
	s.wait(t)
	d.Print("FAILED something")
	d.Close()
	if got, want := s.text(), sampleText+"\nFAILED something\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if strings.Contains(s.text(), "\x1b") {
		t.Error("there are control characters in what is no terminal's")
	}
}

func TestStart(t *testing.T) {
	s := newScreen()
	d := Start(s, sample)
	d.Print("hello")
	d.Close()
	if got := s.text(); got != "hello\n" {
		t.Errorf("%q", got)
	}
}
