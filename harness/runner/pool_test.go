// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mcdtest/harness/result"
)

// testTimeout bounds what a test waits for.
const testTimeout = 30 * time.Second

func items(ids ...string) []Item {
	var list []Item
	for i, id := range ids {
		list = append(list, Item{Spec: result.Spec{ID: id, Index: i, Subject: "fake", Arch: "arm", Cores: 1, Dialect: "packet"}, Cost: time.Millisecond})
	}
	return list
}

// collector keeps results.
type collector struct {
	mu    sync.Mutex
	specs map[string]result.Spec
	twice []string
	warn  []string
}

func (c *collector) done(s result.Spec) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.specs == nil {
		c.specs = make(map[string]result.Spec)
	}
	if _, ok := c.specs[s.ID]; ok {
		c.twice = append(c.twice, s.ID)
	}
	c.specs[s.ID] = s
	return nil
}

func (c *collector) warned(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.warn = append(c.warn, text)
}

func runPool(t *testing.T, workers int, ids ...string) (*collector, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	c := &collector{}
	p := &Pool{Command: fakeCommand(ids...), Workers: workers, Items: items(ids...), Done: c.done, Warn: c.warned, Progress: NewProgress(items(ids...), 1, workers)}
	err := p.Run(ctx)
	if ctx.Err() != nil {
		t.Fatalf("the run did not end within %v", testTimeout)
	}
	if len(c.twice) > 0 {
		t.Errorf("items ran twice: %q", c.twice)
	}
	if s := p.Progress.Snapshot(); err == nil && (s.Done != len(ids) || len(s.Running) > 0) {
		t.Errorf("progress at the end: %d of %d done, running %v", s.Done, len(ids), s.Running)
	}
	return c, err
}

func (c *collector) outcomes() string {
	var list []string
	for id, s := range c.specs {
		list = append(list, id+" "+string(s.Outcome))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func TestEachItemRunsOnce(t *testing.T) {
	var ids []string
	for i := range 12 {
		ids = append(ids, fmt.Sprintf("pass %02d", i))
	}
	for _, workers := range []int{1, 3, 50} {
		c, err := runPool(t, workers, ids...)
		if err != nil {
			t.Fatalf("%d workers: %v", workers, err)
		}
		if len(c.specs) != len(ids) {
			t.Errorf("%d workers: %d items ended, want %d", workers, len(c.specs), len(ids))
		}
		for _, s := range c.specs {
			if s.Outcome != result.Passed || s.Subject != "fake" || s.Arch != "arm" || ids[s.Index] != s.ID {
				t.Errorf("%d workers: %+v", workers, s)
			}
		}
	}
}

func TestOneThatFails(t *testing.T) {
	c, err := runPool(t, 2, "pass", "fail", "pass 2")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.outcomes(), "fail failed, pass 2 passed, pass passed"; got != want {
		t.Errorf("outcomes %s, want %s", got, want)
	}
}

// What takes long comes first, wherever it stands.
func TestLongItemsFirst(t *testing.T) {
	list := items("pass 1", "pass 2", "pass 3", "pass 4")
	list[2].Cost = 2 * long
	var order []string
	p := &Pool{Command: fakeCommand("pass 1", "pass 2", "pass 3", "pass 4"), Workers: 1, Items: list, Done: func(s result.Spec) error {
		order = append(order, s.ID)
		return nil
	}}
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(order, ", "), "pass 3, pass 1, pass 2, pass 4"; got != want {
		t.Errorf("order %s, want %s", got, want)
	}
}

// A worker that dies fails what it ran, says how, and the rest still runs.
func TestWorkerThatDies(t *testing.T) {
	for _, c := range []struct{ id, says, process string }{
		{"panic", "ended with exit status 2", "panic: the worker panics"},
		{"kill", "was ended by SIGKILL", ""},
		{"half", "was ended by SIGKILL", ""},
		{"garbage", "is no message", ""},
		{"other", `reported "something else" while "other" was running`, ""},
	} {
		for _, workers := range []int{1, 2} {
			got, err := runPool(t, workers, "pass 1", "pass 2", c.id, "pass 3", "pass 4")
			if err != nil {
				t.Errorf("%s: %v", c.id, err)
			}
			if len(got.specs) != 5 {
				t.Errorf("%s: %s; want all five", c.id, got.outcomes())
			}
			for id, s := range got.specs {
				if id != c.id {
					if s.Outcome != result.Passed {
						t.Errorf("%s: %s %s: %s", c.id, id, s.Outcome, s.Failure)
					}
					continue
				}
				if s.Outcome != result.Failed || !strings.Contains(s.Failure, c.says) {
					t.Errorf("%s %s with %q, which was to hold %q", id, s.Outcome, s.Failure, c.says)
				}
				if !strings.Contains(s.Process, c.process) {
					t.Errorf("%s: the process said %q, which was to hold %q", id, s.Process, c.process)
				}
			}
		}
	}
}

// A spec may leave something behind that ends the worker later. Its own result stands, and the run tells.
func TestWorkerThatDiesBetweenItems(t *testing.T) {
	c, err := runPool(t, 1, "pass 1", "later", "pass 2")
	if err == nil || !strings.Contains(err.Error(), "died between two specs") || !strings.Contains(err.Error(), "behind its spec") {
		t.Errorf("the run says %v", err)
	}
	if got, want := c.outcomes(), "later passed, pass 1 passed, pass 2 passed"; got != want {
		t.Errorf("outcomes %s, want %s", got, want)
	}
	if len(c.warn) != 1 {
		t.Errorf("warned %q", c.warn)
	}
}

func TestNoWorkerCanBeHad(t *testing.T) {
	for _, c := range []struct {
		ids  []string
		says string
	}{
		{[]string{"exit", "pass"}, "ended before it ran anything"},
		{[]string{"problem", "pass"}, "there is nothing to run: problem"},
	} {
		got, err := runPool(t, 2, c.ids...)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: the run says %v, which was to hold %q", c.ids, err, c.says)
		}
		if len(got.specs) > 0 {
			t.Errorf("%q: %s", c.ids, got.outcomes())
		}
	}
	c := &collector{}
	p := &Pool{Command: Command{Path: "/nonexistent/worker", Args: []string{"{fd}"}}, Workers: 1, Items: items("pass"), Done: c.done}
	if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "/nonexistent/worker") {
		t.Errorf("a worker that does not exist: %v", err)
	}
}

// An item that the workers do not have is no success.
func TestItemThatNoWorkerHas(t *testing.T) {
	c := &collector{}
	p := &Pool{Command: fakeCommand("pass"), Workers: 1, Items: items("pass", "missing"), Done: c.done}
	err := p.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), `do not know 1 of the 2 specs`) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("the run says %v", err)
	}
}

func TestItemThatIsNotAskedFor(t *testing.T) {
	c := &collector{}
	p := &Pool{Command: fakeCommand("pass", "panic", "pass 2"), Workers: 1, Items: items("pass", "pass 2"), Done: c.done}
	if err := p.Run(t.Context()); err != nil {
		t.Error(err)
	}
	if got, want := c.outcomes(), "pass 2 passed, pass passed"; got != want {
		t.Errorf("outcomes %s, want %s", got, want)
	}
}

// A spec that hangs is described, and then killed; the rest runs.
func TestItemThatHangs(t *testing.T) {
	c := &collector{}
	p := &Pool{
		Command: fakeCommand("hang", "pass"), Workers: 1, Items: items("hang", "pass"), Done: c.done, Warn: c.warned,
		Limits: Limits{Stuck: 20 * time.Millisecond, Kill: 2 * time.Second},
	}
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := c.outcomes(), "hang failed, pass passed"; got != want {
		t.Errorf("outcomes %s, want %s", got, want)
	}
	if s := c.specs["hang"]; !strings.Contains(s.Failure, "did not end within 2s") {
		t.Errorf("it failed with %q", s.Failure)
	}
	if len(c.warn) != 1 || !strings.Contains(c.warn[0], "standing in hang") {
		t.Errorf("warned %q, want where it stands", c.warn)
	}
}

// The limit is for each spec, not for all that a worker runs.
func TestLimitIsOfOneSpec(t *testing.T) {
	ids := []string{"while 1", "while 2", "while 3", "while 4", "while 5"}
	c := &collector{}
	p := &Pool{Command: fakeCommand(ids...), Workers: 1, Items: items(ids...), Done: c.done, Warn: c.warned, Limits: Limits{Kill: 2 * time.Second}}
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, s := range c.specs {
		if s.Outcome != result.Passed {
			t.Errorf("%s %s: %s", id, s.Outcome, s.Failure)
		}
	}
}

// When the run is ended, it ends at once, and what ran is reported as interrupted.
func TestInterruption(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := &collector{}
	progress := NewProgress(items("hang 1", "hang 2", "pass"), 1, 2)
	p := &Pool{Command: fakeCommand("hang 1", "hang 2", "pass"), Workers: 2, Items: items("hang 1", "hang 2", "pass"), Done: c.done, Progress: progress}
	ended := make(chan error)
	go func() { ended <- p.Run(ctx) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(testTimeout)
	for text := ""; !strings.Contains(text, "standing in hang 1") || !strings.Contains(text, "standing in hang 2"); text = progress.Describe() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v for two items to run and to say where they stand, last %q", testTimeout, text)
		}
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("an interruption is no error, but the run says %v", err)
		}
	case <-deadline:
		t.Fatal("the run does not end")
	}
	if got, want := c.outcomes(), "hang 1 interrupted, hang 2 interrupted"; got != want {
		t.Errorf("outcomes %s, want %s", got, want)
	}
}

// Results that cannot be kept end the run.
func TestResultsThatCannotBeKept(t *testing.T) {
	full := errors.New("the disk is full")
	n := 0
	p := &Pool{Command: fakeCommand("pass", "hang"), Workers: 1, Items: items("pass", "hang"), Done: func(result.Spec) error { n++; return full }}
	if err := p.Run(t.Context()); !errors.Is(err, full) {
		t.Errorf("the run says %v", err)
	}
	if n > 2 {
		t.Errorf("%d results", n)
	}
}

func TestExpectedIsKnownToProgress(t *testing.T) {
	c := &collector{}
	list := items("fail", "pass")
	p := &Pool{Command: fakeCommand("fail", "pass"), Workers: 1, Items: list, Done: c.done, Progress: NewProgress(list, 1, 1)}
	p.Expected = func(result.Spec) string { return "known" }
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := p.Progress.Snapshot().Summary; s.ExpectedFailures != 1 || s.UnexpectedPasses != 1 {
		t.Errorf("%+v", s)
	}
}
