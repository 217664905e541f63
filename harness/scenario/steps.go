// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"fmt"
	"strings"

	"mcdtest/harness/debugger"
)

func open(ctx context.Context, e *Env) error {
	if err := e.Debugger.Open(ctx); err != nil {
		return err
	}
	cores, err := e.Debugger.Cores(ctx)
	if err != nil {
		return err
	}
	if len(cores) != e.Cores {
		return fmt.Errorf("MCD says that there are %d cores; the machine was started with %d", len(cores), e.Cores)
	}
	for _, c := range cores {
		e.note(byMCD, "core %d is a %s with %d registers in %d groups, %d memory spaces", c.Index, c.Type, len(c.Registers), len(c.Groups), len(c.Spaces))
	}
	for _, c := range cores {
		s, err := e.Debugger.State(ctx, c.Index)
		if err != nil {
			return err
		}
		if !s.Standing() {
			return fmt.Errorf("core %d: MCD says %q; the machine has not been started", c.Index, s)
		}
	}
	return e.runState(ctx, "prelaunch")
}

func runs(ctx context.Context, e *Env) error {
	if err := e.findSpace(ctx); err != nil {
		return err
	}
	if err := e.Debugger.Go(ctx, debugger.AllCores); err != nil {
		return err
	}
	if err := e.runState(ctx, "running"); err != nil {
		return err
	}
	s, err := debugger.WaitFor(ctx, e.Debugger, e.Core, "running", func(s debugger.State) bool { return s.Status == debugger.Running })
	if err != nil {
		return err
	}
	e.note(byMCD, "state %v", s.Status)
	// The observer first: behind address translation the variable has no logical address before the loop is reached.
	if e.Memory != nil {
		if err := e.grows(ctx, byQTest, e.counterSeen); err != nil {
			return err
		}
	}
	return e.grows(ctx, byMCD, e.counter)
}

func stops(ctx context.Context, e *Env) error {
	if err := e.Debugger.Stop(ctx, e.Core); err != nil {
		return err
	}
	s, err := e.Debugger.WaitStopped(ctx, e.Core)
	if err != nil {
		return err
	}
	e.note(byMCD, "state %v", s.Status)
	// With more cores the machine runs on without this one.
	if e.Cores == 1 {
		if err := e.stands(ctx); err != nil {
			return err
		}
	}
	return e.still(ctx)
}

// breakpoint leaves the core at the loop head, with the breakpoint in.
func breakpoint(ctx context.Context, e *Env) error {
	head, err := e.Image.Symbol("loop")
	if err != nil {
		return err
	}
	e.note(bySymbols, "loop is at %#x", head)
	if err := e.Debugger.Insert(ctx, e.Core, debugger.Trigger{Type: debugger.Exec, Addr: head}); err != nil {
		return err
	}
	// The core may stand at the loop head already.
	if err := debugger.Continue(ctx, e.Debugger, e.Core); err != nil {
		return err
	}
	s, err := e.hit(ctx, head)
	if err != nil {
		return err
	}
	e.note(byMCD, "state %v, %v, pc %#x", s.Status, s.Reason, head)
	if e.Cores == 1 {
		return e.stands(ctx)
	}
	return nil
}

// hit waits for the core to stop at the breakpoint at addr.
func (e *Env) hit(ctx context.Context, addr uint64) (debugger.State, error) {
	s, err := e.Debugger.WaitStopped(ctx, e.Core)
	if err != nil {
		return s, err
	}
	if s.Reason != debugger.Breakpoint && s.Reason != debugger.NoReason {
		return s, fmt.Errorf("core %d stopped with %q; there is a breakpoint at %#x", e.Core, s, addr)
	}
	if s.Reason == debugger.NoReason && e.Debugger.Dialect() == "packet" {
		return s, fmt.Errorf("core %d stopped and no reason was told (%q); there is a breakpoint at %#x", e.Core, s, addr)
	}
	return s, e.pcIs(ctx, addr)
}

func hits(ctx context.Context, e *Env) error {
	head, err := e.Image.Symbol("loop")
	if err != nil {
		return err
	}
	before, err := e.counter(ctx)
	if err != nil {
		return err
	}
	for i := range Hits {
		if err := debugger.Continue(ctx, e.Debugger, e.Core); err != nil {
			return err
		}
		if _, err := e.hit(ctx, head); err != nil {
			return fmt.Errorf("hit %d of %d: %w", i+1, Hits, err)
		}
	}
	after, err := e.counter(ctx)
	if err != nil {
		return err
	}
	if after != before+Hits {
		return fmt.Errorf("%d hits of the breakpoint took the variable from %d to %d, which is %d increments", Hits, before, after, after-before)
	}
	e.note(byMCD, "variable %d → %d", before, after)
	return e.confirm(ctx, after)
}

// steps leaves the core at the loop head, without the breakpoint.
func steps(ctx context.Context, e *Env) error {
	labels := e.Image.Labels()
	if len(labels) == 0 {
		return fmt.Errorf("%v has no labels to walk along", e.Image)
	}
	head, err := e.Image.Symbol(labels[0])
	if err != nil {
		return err
	}
	if err := e.Debugger.Remove(ctx, e.Core, debugger.Trigger{Type: debugger.Exec, Addr: head}); err != nil {
		return err
	}
	if err := e.pcIs(ctx, head); err != nil {
		return err
	}
	walked := []string{labels[0]}
	for _, label := range append(labels[1:len(labels):len(labels)], labels[0]) {
		addr, err := e.Image.Symbol(label)
		if err != nil {
			return err
		}
		if err := e.Debugger.Step(ctx, e.Core); err != nil {
			return err
		}
		if err := e.pcIs(ctx, addr); err != nil {
			return fmt.Errorf("a step to %s: %w", label, err)
		}
		walked = append(walked, label)
	}
	e.note(byMCD, "pc walks %s", strings.Join(walked, ", "))
	return nil
}

// patch lets the core run at the end.
func patch(ctx context.Context, e *Env) error {
	const patched = 0x10000000
	head, err := e.Image.Symbol("loop")
	if err != nil {
		return err
	}
	addr, err := e.slot()
	if err != nil {
		return err
	}
	if err := debugger.WriteValue(ctx, e.Debugger, e.Core, e.logical, addr, counterBytes, patched); err != nil {
		return err
	}
	if err := e.confirm(ctx, patched); err != nil {
		return err
	}
	// One pass from there, exactly.
	at := debugger.Trigger{Type: debugger.Exec, Addr: head}
	if err := e.Debugger.Insert(ctx, e.Core, at); err != nil {
		return err
	}
	if err := debugger.Continue(ctx, e.Debugger, e.Core); err != nil {
		return err
	}
	if _, err := e.hit(ctx, head); err != nil {
		return err
	}
	got, err := e.counter(ctx)
	if err != nil {
		return err
	}
	if got != patched+1 {
		return fmt.Errorf("one pass behind a variable of %#x: want %#x, MCD reads %#x", uint32(patched), uint32(patched+1), got)
	}
	e.note(byMCD, "variable %#x, one pass later %#x", uint32(patched), got)
	if err := e.confirm(ctx, got); err != nil {
		return err
	}
	if err := e.Debugger.Remove(ctx, e.Core, at); err != nil {
		return err
	}
	if err := e.Debugger.Go(ctx, e.Core); err != nil {
		return err
	}
	return e.grows(ctx, byMCD, e.counter)
}

func closeServer(ctx context.Context, e *Env) error {
	if err := e.Debugger.Close(ctx); err != nil {
		return err
	}
	if err := e.runState(ctx, "running"); err != nil {
		return err
	}
	if e.Memory == nil {
		return nil
	}
	return e.grows(ctx, byQTest, e.counterSeen)
}
