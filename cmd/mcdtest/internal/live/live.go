// SPDX-License-Identifier: Apache-2.0

// Package live shows how far a run has come while it goes on: one line that changes on a terminal, lines one after the
// other elsewhere. It writes to what it is given and starts one goroutine.
package live

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	xterm "golang.org/x/term"

	"mcdtest/cmd/mcdtest/internal/term"
	"mcdtest/harness/runner"
)

// How often the state is shown.
const (
	onTerminal = 100 * time.Millisecond
	elsewhere  = 5 * time.Second
)

// clear is what takes a line off a terminal.
const clear = "\r\x1b[K"

// Display shows a run.
type Display struct {
	w        io.Writer
	style    term.Style
	terminal bool
	snapshot func() runner.Snapshot
	stop     chan struct{}
	stopped  chan struct{}

	mu    sync.Mutex
	shown bool // a line is on the terminal that is to be taken off
}

// Start shows what snapshot tells, until Close.
func Start(w io.Writer, snapshot func() runner.Snapshot) *Display {
	f, ok := w.(*os.File)
	terminal := ok && xterm.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
	interval := elsewhere
	if terminal {
		interval = onTerminal
	}
	ticker := time.NewTicker(interval)
	d := start(w, terminal, snapshot, ticker.C)
	go func() {
		<-d.stopped
		ticker.Stop()
	}()
	return d
}

func start(w io.Writer, terminal bool, snapshot func() runner.Snapshot, ticks <-chan time.Time) *Display {
	d := &Display{
		w: w, style: term.For(w), terminal: terminal, snapshot: snapshot,
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	go func() {
		defer close(d.stopped)
		for {
			select {
			case <-ticks:
				d.show()
			case <-d.stop:
				return
			}
		}
	}()
	return d
}

func (d *Display) show() {
	s := d.snapshot()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.terminal {
		fmt.Fprintln(d.w, Text(s))
		return
	}
	fmt.Fprint(d.w, clear, term.Cut(Text(s), d.style.Width-1))
	d.shown = true
}

// Print writes text at once, above the line that changes.
func (d *Display) Print(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shown {
		fmt.Fprint(d.w, clear)
		d.shown = false
	}
	fmt.Fprintln(d.w, strings.TrimSuffix(text, "\n"))
}

// Close takes the line off the terminal.
func (d *Display) Close() {
	close(d.stop)
	<-d.stopped
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shown {
		fmt.Fprint(d.w, clear)
		d.shown = false
	}
}

// Text is a snapshot in one line.
func Text(s runner.Snapshot) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d done", s.Done, s.Total)
	count := func(n int, what string) {
		if n > 0 {
			fmt.Fprintf(&b, ", %d %s", n, what)
		}
	}
	count(s.Summary.Failed, "failed")
	count(s.Summary.ExpectedFailures, "failed as expected")
	count(s.Summary.UnexpectedPasses, "passed unexpectedly")
	count(s.Summary.Skipped, "skipped")
	if s.Left > 0 && s.Done < s.Total {
		fmt.Fprintf(&b, ", about %s left", duration(s.Left))
	}
	slices.SortFunc(s.Running, func(a, b runner.Running) int { return cmp.Compare(b.For, a.For) })
	for i, r := range s.Running {
		sep := ", "
		if i == 0 {
			sep = "; running: "
		}
		fmt.Fprintf(&b, "%s%s (%s)", sep, r.ID, duration(r.For))
	}
	return b.String()
}

// duration is a time as people say it.
func duration(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 100*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f min", d.Minutes())
}
