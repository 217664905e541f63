// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"context"
	"errors"

	"mcdtest/stub/jsonwire"
	"mcdtest/stub/target"
)

// group lists the cores that a command acts on: the core alone, or with global every core that takes part in global
// commands, and the core itself. All of them are target.AllCores.
func (s *session) group(c *core, global bool) []int {
	if !global {
		return []int{c.index}
	}
	all := true
	var list []int
	for i, other := range s.cores {
		if other != nil && other.alone && other != c {
			all = false
			continue
		}
		list = append(list, i)
	}
	if all {
		return []int{target.AllCores}
	}
	return list
}

// each calls f for each core of a group. A core that fails does not keep the others from their turn.
func each(group []int, f func(core int) error) error {
	var errs []error
	for _, core := range group {
		errs = append(errs, f(core))
	}
	return errors.Join(errs...)
}

// run answers mcd-run. A core that runs already runs on.
func run(s *session, a *jsonwire.RunArgs, _ *jsonwire.NoResult) error {
	c, err := s.core(a.CoreUID)
	if err != nil {
		return err
	}
	s.noteAllHits()
	return each(s.group(c, a.Global), func(core int) error { return s.target.Go(s.ctx, core) })
}

// stop answers mcd-stop.
func stop(s *session, a *jsonwire.RunArgs, _ *jsonwire.NoResult) error {
	c, err := s.core(a.CoreUID)
	if err != nil {
		return err
	}
	return each(s.group(c, a.Global), func(core int) error { return s.target.Stop(s.ctx, core) })
}

// step answers mcd-step, when all steps are done or one of them has run into a watchpoint. A core that sleeps executes nothing, and
// that is all there is to its step: the real client steps before it lets a core run, and an idle machine is one that sleeps.
func step(s *session, a *jsonwire.StepArgs, _ *jsonwire.NoResult) error {
	c, err := s.core(a.CoreUID)
	if err != nil {
		return err
	}
	switch a.StepType {
	case jsonwire.StepInstructions:
	case jsonwire.StepCycles:
		return fail(jsonwire.ErrFnUnimplemented, "step-type 1: the machine steps instructions, not cycles")
	default:
		return fail(jsonwire.ErrParam, "step-type %d", a.StepType)
	}
	if s.target.State(c.index).Running {
		return target.Errorf(target.ErrRunning, "step core %d", c.index)
	}
	s.noteAllHits()
	group := s.group(c, a.Global)
	for n := range a.NSteps {
		if s.ctx.Err() != nil {
			return target.Errorf(context.Cause(s.ctx), "step %d of %d on core %d", n+1, a.NSteps, c.index)
		}
		before := s.stops()
		err := s.target.Step(s.ctx, group...)
		if errors.Is(err, target.ErrAsleep) {
			s.opts.Log.Debug("nothing was executed", "error", err)
			return nil
		}
		if err != nil {
			return err
		}
		if s.hitSince(before) {
			return nil
		}
	}
	return nil
}

// stops counts the stops of each core.
func (s *session) stops() []uint64 {
	n := make([]uint64, len(s.target.Info().Cores))
	for i := range n {
		n[i] = s.target.State(i).Stops
	}
	return n
}

// hitSince reports whether a step has run into a watchpoint, on whatever core.
func (s *session) hitSince(before []uint64) bool {
	for i, n := range before {
		if st := s.target.State(i); st.Stops != n && st.Cause == target.CauseWatchpoint {
			return true
		}
	}
	return false
}

// setGlobal answers mcd-set-global.
func setGlobal(s *session, a *jsonwire.SetGlobalArgs, _ *jsonwire.NoResult) error {
	c, err := s.core(a.CoreUID)
	if err != nil {
		return err
	}
	c.alone = !a.Enable
	return nil
}
