// SPDX-License-Identifier: Apache-2.0

// Package scenario is the story that every debug stub must be able to tell: the loop of the guest program runs and is
// seen to run, stops and stands, is caught at a breakpoint, walks in single steps, and goes on from what is written into
// its variable. Each step of it claims one thing, which MCD says and somebody else confirms: QMP the run state, qtest the
// memory, the program's symbols the addresses. The command shows the steps to people, the suite makes specs of them.
//
// It speaks through the Debugger and the observers that it is given and starts nothing.
package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mcdtest/guest"
	"mcdtest/harness/debugger"
)

// Memory reads physical memory without MCD, also while the machine runs. *qtest.Client is one.
type Memory interface {
	Read(ctx context.Context, addr uint64, p []byte) error
}

// Env is what the steps work with.
type Env struct {
	Debugger debugger.Debugger
	Image    *guest.Image
	Core     int // which core's loop is looked at
	Cores    int // how many there are

	// The observers. RunState is QMP's word for the run state of the machine: "prelaunch", "running", "paused", "debug".
	RunState func(context.Context) (string, error)
	Memory   Memory // nil: qtest is not there, and what it would confirm is left out

	Timeout time.Duration // of each step; 0: StepTimeout

	// Note, if not nil, is told what was seen on the way, and by whom.
	Note func(by, text string)

	logical int // id of the memory space
}

// Step is one claim.
type Step struct {
	Name string
	Run  func(context.Context, *Env) error
}

// StepTimeout bounds a step unless Env.Timeout does; the slowest takes some 100 ms.
const StepTimeout = 5 * time.Second

// ErrTimeout is wrapped by the error of a step that was not done in time.
var ErrTimeout = errors.New("timed out")

// Do runs the step within its time.
func (s Step) Do(ctx context.Context, e *Env) error {
	limit := e.Timeout
	if limit == 0 {
		limit = StepTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w: not done within %v", ErrTimeout, limit))
	defer cancel()
	err := s.Run(ctx, e)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// Hits is how often the breakpoint is hit in a row.
const Hits = 10

// Loop is the story of one core, for a machine that has not been started. The steps are run in this order, up to the first
// that fails: each leaves the core where the next one expects it.
func Loop() []Step {
	list := append([]Step{{"the server opens and the machine waits", open}}, Core()...)
	return append(list, Step{"the machine runs on after close", closeServer})
}

// Core is the part of the story that can be told of one core after the other, while the server is open.
func Core() []Step {
	return []Step{
		{"the loop runs and its variable grows", runs},
		{"stop: the core stands, and so does its variable", stops},
		{"a breakpoint at the loop head stops with that pc", breakpoint},
		{fmt.Sprintf("%d hits make exactly %d increments", Hits, Hits), hits},
		{"single steps walk the labels in order", steps},
		{"the loop goes on from a patched variable", patch},
	}
}

func (e *Env) note(by, format string, args ...any) {
	if e.Note != nil {
		e.Note(by, fmt.Sprintf(format, args...))
	}
}

// Who sees something.
const (
	byMCD     = "MCD"
	byQMP     = "QMP"
	byQTest   = "qtest"
	bySymbols = "symbols"
)
