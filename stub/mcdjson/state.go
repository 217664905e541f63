// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"fmt"

	"mcdtest/stub/jsonwire"
	"mcdtest/stub/target"
)

// qryState answers mcd-qry-state.
func qryState(s *session, a *jsonwire.CoreArgs, r *jsonwire.QryStateResult) error {
	c, err := s.core(a.CoreUID)
	if err != nil {
		return err
	}
	if err := s.alive(); err != nil {
		return err
	}
	st := s.target.State(c.index)
	s.noteHits(c, st)
	r.State = jsonwire.State{HWThreadID: c.uid()}
	if st.Running {
		r.State.State = jsonwire.CoreStateRunning
	} else {
		r.State.State = jsonwire.CoreStateDebug
		r.State.StopStr = jsonwire.StopPaused
	}
	if s.reports.Take(c.index, st) {
		r.State.Event = jsonwire.CoreEventStopped
		if t := c.hitBy(st); t != nil {
			r.State.Event = jsonwire.CoreEventTriggerChange
			r.State.TrigID = t.id
		}
	}
	r.State.InfoStr = jsonwire.Cut(stateText(c.index, st), jsonwire.MaxInfo)
	return nil
}

// stateText says in words what the state is.
func stateText(core int, st target.State) string {
	switch st.Cause {
	case target.CauseNone:
		return fmt.Sprintf("core %d is running", core)
	case target.CauseBoot:
		return fmt.Sprintf("core %d has not been started", core)
	case target.CauseBreakpoint, target.CauseWatchpoint:
		return fmt.Sprintf("core %d stopped: %v", core, st.Trigger)
	case target.CauseStep:
		return fmt.Sprintf("core %d stopped: step done", core)
	case target.CauseStop:
		return fmt.Sprintf("core %d stopped", core)
	case target.CauseElsewhere:
		return fmt.Sprintf("core %d was paused from elsewhere", core)
	}
	return fmt.Sprintf("core %d stopped for a reason that is not known", core)
}

// alive is nil as long as the machine is there. State cannot tell: it is what was known last.
func (s *session) alive() error {
	select {
	case <-s.target.Done():
		return target.Errorf(target.ErrGone, "query the state")
	default:
		return nil
	}
}
