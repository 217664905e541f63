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

// step answers mcd-step, when all steps are done or one of them has run into a trigger.
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
		if err := each(group, func(core int) error { return s.step(core, len(group) > 1) }); err != nil {
			return err
		}
		if s.target.State(c.index).Cause == target.CauseWatchpoint {
			return nil
		}
	}
	return nil
}

// step steps one core, or all. Among several a core that runs is left alone.
func (s *session) step(core int, several bool) error {
	err := s.target.Step(s.ctx, core)
	if several && errors.Is(err, target.ErrRunning) {
		return nil
	}
	return err
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
