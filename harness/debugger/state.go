// SPDX-License-Identifier: Apache-2.0

package debugger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Status is whether a core runs.
type Status uint8

// Statuses.
const (
	Unknown Status = iota
	Running
	Halted // stands, but not because of this debugger: before the first go, or paused from elsewhere
	Debug  // stands in debug state
)

var statusNames = [...]string{"unknown", "running", "halted", "debug"}

func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return fmt.Sprintf("Status(%d)", uint8(s))
}

// Reason is why a core in debug state stopped, as far as the dialect tells.
type Reason uint8

// Reasons.
const (
	NoReason   Reason = iota // none told: it runs, the stop has been reported before, or the dialect does not say
	Breakpoint               // an execution breakpoint; the published packet stub also calls a Stop so
	Watchpoint               // a watchpoint: State.Trigger is its kind, State.Addr the address
	Stepped                  // a step is done
	Stopped                  // Stop
)

var reasonNames = [...]string{"no reason told", "breakpoint", "watchpoint", "step", "stop"}

func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// State is the state of a core.
type State struct {
	Status  Status
	Reason  Reason
	Trigger TriggerType // of Breakpoint and Watchpoint
	Addr    uint64      // of Watchpoint; of Breakpoint where the dialect tells it
	Stop    string      // what the stub says of the stop
	Info    string      // what it says of the core; "error: …" if it refused a request that has no reply
}

// Standing reports whether the core does not run.
func (s State) Standing() bool { return s.Status == Halted || s.Status == Debug }

func (s State) String() string {
	var b strings.Builder
	b.WriteString(s.Status.String())
	if s.Reason != NoReason {
		fmt.Fprintf(&b, ", %v", s.Reason)
	}
	if s.Trigger != 0 {
		fmt.Fprintf(&b, ", %v", Trigger{s.Trigger, s.Addr})
	}
	for _, text := range []string{s.Stop, s.Info} {
		if text != "" {
			fmt.Fprintf(&b, " (%s)", text)
		}
	}
	return b.String()
}

// ErrTimeout is wrapped by the error of a wait for a state that did not come in time.
var ErrTimeout = errors.New("timed out")

// WaitTimeout bounds a wait for a state whose context has no deadline before that.
const WaitTimeout = 5 * time.Second

// Intervals between questions: short ones first, since most states come soon.
const (
	firstInterval = 100 * time.Microsecond
	lastInterval  = 5 * time.Millisecond
)

// WaitFor asks for the state of a core until ok likes it; what names that state in the error, which has the last one.
func WaitFor(ctx context.Context, d Debugger, core int, what string, ok func(State) bool) (State, error) {
	return poll(ctx, d.State, core, what, ok)
}

// poll does not let the end of ctx cut a question short: its answer would be outstanding, and a session in which a core
// did not stop in time is to be usable afterwards. A question is bounded by the client's own time-out.
func poll(ctx context.Context, state func(context.Context, int) (State, error), core int, what string, ok func(State) bool) (State, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, WaitTimeout, ErrTimeout)
	defer cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	interval := firstInterval
	var last State
	for asked := 0; ; asked++ {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return last, failed(fmt.Errorf("%w (asked %d times in %v); the last state: %v", context.Cause(ctx), asked, time.Since(start).Round(time.Millisecond), last),
				"wait until core %d is %s", core, what)
		}
		s, err := state(context.WithoutCancel(ctx), core)
		switch {
		case err != nil:
			return last, failed(fmt.Errorf("%w; the last state: %v", err, last), "wait until core %d is %s", core, what)
		case ok(s):
			return s, nil
		}
		last = s
		timer.Reset(interval)
		interval = min(2*interval, lastInterval)
	}
}

// merge completes a state with the reason of a stop that was told to a wait of our own and not to the caller yet.
func merge(kept *State, s State) State {
	switch {
	case !s.Standing():
		*kept = State{}
	case s.Reason == NoReason && kept.Reason != NoReason:
		info := s.Info
		s, *kept = *kept, State{}
		if info != "" {
			s.Info = info
		}
	default:
		*kept = State{}
	}
	return s
}
