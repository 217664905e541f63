// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"context"
	"errors"

	"mcdtest/stub/jsonwire"
)

// A core's trigger set is all triggers that it has, also those that other clients have left behind. As each is active from its
// creation, the set is active as long as there are any.

// activateTrigSet answers mcd-activate-trig-set: the triggers wait for their next hit.
func activateTrigSet(s *session, a *jsonwire.CoreArgs, _ *jsonwire.NoResult) error {
	c, err := s.triggersOf(a.CoreUID)
	if err != nil {
		return err
	}
	stops := s.target.State(c.index).Stops
	for _, t := range c.triggers {
		t.captured, t.armed = false, stops
	}
	return nil
}

// removeTrigSet answers mcd-remove-trig-set.
func removeTrigSet(s *session, a *jsonwire.CoreArgs, _ *jsonwire.NoResult) error {
	c, err := s.triggersOf(a.CoreUID)
	if err != nil {
		return err
	}
	return s.removeTriggers(s.ctx, c, true)
}

// removeTriggers takes back every trigger of a core, those of other clients only if that is asked for. What cannot be taken back
// stays in the set.
func (s *session) removeTriggers(ctx context.Context, c *core, foreign bool) error {
	var errs []error
	var left []*trigger
	for _, t := range c.triggers {
		if t.foreign && !foreign {
			left = append(left, t)
			continue
		}
		if err := s.take(ctx, c, t); err != nil {
			errs = append(errs, err)
			left = append(left, t)
		}
	}
	c.triggers = left
	return errors.Join(errs...)
}

// qryTrigSet answers mcd-qry-trig-set.
func qryTrigSet(s *session, a *jsonwire.QryTrigSetArgs, r *jsonwire.QryTrigSetResult) error {
	c, err := s.triggersOf(a.CoreUID)
	if err != nil {
		return err
	}
	ids := make([]uint32, len(c.triggers))
	for i, t := range c.triggers {
		ids[i] = t.id
	}
	r.NumTrigs, r.TrigIDs, err = window(ids, a.StartIndex, a.NumTrigs)
	return err
}

// qryTrigSetState answers mcd-qry-trig-set-state. There is no state machine, trigger bus, trace or analysis.
func qryTrigSetState(s *session, a *jsonwire.CoreArgs, r *jsonwire.QryTrigSetStateResult) error {
	c, err := s.triggersOf(a.CoreUID)
	if err != nil {
		return err
	}
	r.TrigState = jsonwire.TrigSetState{Active: len(c.triggers) > 0}
	return nil
}
