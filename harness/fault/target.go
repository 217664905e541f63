// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"context"
	"errors"

	"mcdtest/stub/target"
)

// altered is a Target with some methods replaced: those that are not nil. The rest is passed on, also what a Target can
// do beside its heart.
type altered struct {
	target.Target

	info           *target.Info
	state          func(core int) target.State
	readMemory     func(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error
	writeMemory    func(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error
	readRegister   func(ctx context.Context, core, number int, p []byte) ([]byte, error)
	writeRegister  func(ctx context.Context, core, number int, p []byte) error
	insertTrigger  func(ctx context.Context, core int, t target.Trigger) error
	removeTrigger  func(ctx context.Context, core int, t target.Trigger) error
	removeTriggers func(ctx context.Context, core int) error
	goes           func(ctx context.Context, core int) error
	stop           func(ctx context.Context, core int) error
	step           func(ctx context.Context, core int) error
	reset          func(ctx context.Context, class int, halt bool) error
	kill           func(ctx context.Context) error
}

var (
	_ target.Resetter = (*altered)(nil)
	_ target.Killer   = (*altered)(nil)
)

func (a *altered) Info() *target.Info {
	if a.info != nil {
		return a.info
	}
	return a.Target.Info()
}

func (a *altered) State(core int) target.State {
	if a.state != nil {
		return a.state(core)
	}
	return a.Target.State(core)
}

func (a *altered) ReadMemory(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
	if a.readMemory != nil {
		return a.readMemory(ctx, core, space, addr, p)
	}
	return a.Target.ReadMemory(ctx, core, space, addr, p)
}

func (a *altered) WriteMemory(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
	if a.writeMemory != nil {
		return a.writeMemory(ctx, core, space, addr, p)
	}
	return a.Target.WriteMemory(ctx, core, space, addr, p)
}

func (a *altered) ReadRegister(ctx context.Context, core, number int, p []byte) ([]byte, error) {
	if a.readRegister != nil {
		return a.readRegister(ctx, core, number, p)
	}
	return a.Target.ReadRegister(ctx, core, number, p)
}

func (a *altered) WriteRegister(ctx context.Context, core, number int, p []byte) error {
	if a.writeRegister != nil {
		return a.writeRegister(ctx, core, number, p)
	}
	return a.Target.WriteRegister(ctx, core, number, p)
}

func (a *altered) InsertTrigger(ctx context.Context, core int, t target.Trigger) error {
	if a.insertTrigger != nil {
		return a.insertTrigger(ctx, core, t)
	}
	return a.Target.InsertTrigger(ctx, core, t)
}

func (a *altered) RemoveTrigger(ctx context.Context, core int, t target.Trigger) error {
	if a.removeTrigger != nil {
		return a.removeTrigger(ctx, core, t)
	}
	return a.Target.RemoveTrigger(ctx, core, t)
}

func (a *altered) RemoveTriggers(ctx context.Context, core int) error {
	if a.removeTriggers != nil {
		return a.removeTriggers(ctx, core)
	}
	return a.Target.RemoveTriggers(ctx, core)
}

func (a *altered) Go(ctx context.Context, core int) error {
	if a.goes != nil {
		return a.goes(ctx, core)
	}
	return a.Target.Go(ctx, core)
}

func (a *altered) Stop(ctx context.Context, core int) error {
	if a.stop != nil {
		return a.stop(ctx, core)
	}
	return a.Target.Stop(ctx, core)
}

func (a *altered) Step(ctx context.Context, cores ...int) error {
	if a.step == nil {
		return a.Target.Step(ctx, cores...)
	}
	var errs []error
	for _, core := range cores {
		err := a.step(ctx, core)
		if len(cores) > 1 && errors.Is(err, target.ErrRunning) {
			continue
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Reset implements target.Resetter.
func (a *altered) Reset(ctx context.Context, class int, halt bool) error {
	if a.reset != nil {
		return a.reset(ctx, class, halt)
	}
	return resetOf(a.Target)(ctx, class, halt)
}

// Kill implements target.Killer.
func (a *altered) Kill(ctx context.Context) error {
	if a.kill != nil {
		return a.kill(ctx)
	}
	if k, ok := a.Target.(target.Killer); ok {
		return k.Kill(ctx)
	}
	return target.ErrUnsupported
}

// resetOf is the Reset of a Target.
func resetOf(t target.Target) func(ctx context.Context, class int, halt bool) error {
	if r, ok := t.(target.Resetter); ok {
		return r.Reset
	}
	return func(context.Context, int, bool) error { return target.ErrUnsupported }
}

// each calls f for a core, or for each if it is target.AllCores.
func each(t target.Target, core int, f func(core int)) {
	if core != target.AllCores {
		f(core)
		return
	}
	for i := range t.Info().Cores {
		f(i)
	}
}

// hit reports whether a core stands at a trigger.
func hit(s target.State) bool {
	return !s.Running && (s.Cause == target.CauseBreakpoint || s.Cause == target.CauseWatchpoint)
}
