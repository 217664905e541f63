// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"context"
	"errors"

	"mcdtest/stub/jsonwire"
	"mcdtest/stub/target"
)

// trigger is one that the client has created.
type trigger struct {
	id       uint32
	at       target.Trigger
	trig     jsonwire.Trig // as the client gave it
	captured bool
	since    uint64 // State.Stops of the core when the trigger was armed: a hit is a later stop
}

// types are the trigger types of both sides.
var types = map[jsonwire.TrigType]target.TriggerType{
	jsonwire.TrigTypeIP:    target.Exec,
	jsonwire.TrigTypeRead:  target.Read,
	jsonwire.TrigTypeWrite: target.Write,
	jsonwire.TrigTypeRW:    target.Access,
}

// trigOptImplementation are the option bits that ask for a breakpoint in hardware or in software; the machine's are both. The
// others ask for conditions.
const trigOptImplementation = 1 | 2

// noteHits marks the triggers that stopped the core.
func (c *core) noteHits(st target.State) {
	for _, t := range c.triggers {
		if t.stopped(st) {
			t.captured = true
		}
	}
}

// noteHits marks hits on every open core, before they are forgotten because the cores run on.
func (s *session) noteHits() {
	for _, c := range s.cores {
		if c != nil && len(c.triggers) > 0 {
			c.noteHits(s.target.State(c.index))
		}
	}
}

func (t *trigger) stopped(st target.State) bool {
	return (st.Cause == target.CauseBreakpoint || st.Cause == target.CauseWatchpoint) && st.Trigger == t.at && st.Stops != t.since
}

// hitBy is the trigger that stopped the core, nil if it was none of this client's.
func (c *core) hitBy(st target.State) *trigger {
	for _, t := range c.triggers {
		if t.stopped(st) {
			return t
		}
	}
	return nil
}

// trigger finds a trigger of a core.
func (s *session) trigger(a *jsonwire.TrigArgs) (*core, int, error) {
	c, err := s.core(a.CoreUID)
	if err != nil {
		return nil, 0, err
	}
	for i, t := range c.triggers {
		if t.id == a.TrigID {
			return c, i, nil
		}
	}
	return nil, 0, fail(jsonwire.ErrTrigAccess, "core %d has no trigger %d", c.index, a.TrigID)
}

// qryTrigInfo answers mcd-qry-trig-info.
func qryTrigInfo(s *session, a *jsonwire.CoreArgs, r *jsonwire.QryTrigInfoResult) error {
	if _, err := s.core(a.CoreUID); err != nil {
		return err
	}
	r.TrigInfo = jsonwire.TrigInfo{
		Type:       jsonwire.TrigTypeIP | jsonwire.TrigTypeRead | jsonwire.TrigTypeWrite | jsonwire.TrigTypeRW,
		Action:     jsonwire.TrigActionDebug,
		TrigNumber: uint32(s.info.MaxBreakpoints + s.info.MaxWatchpoints),
	}
	return nil
}

// qryCtrigs answers mcd-qry-ctrigs: there are no custom triggers.
func qryCtrigs(s *session, a *jsonwire.QryCtrigsArgs, r *jsonwire.QryCtrigsResult) error {
	if _, err := s.core(a.CoreUID); err != nil {
		return err
	}
	var err error
	r.NumCtrigs, r.CtrigInfo, err = window([]jsonwire.CtrigInfo{}, a.StartIndex, a.NumCtrigs)
	return err
}

// createTrig answers mcd-create-trig.
func createTrig(s *session, a *jsonwire.CreateTrigArgs, r *jsonwire.CreateTrigResult) error {
	c, err := s.core(a.CoreUID)
	if err != nil {
		return err
	}
	at, err := s.place(c, &a.Trig)
	if err != nil {
		return err
	}
	if err := s.target.InsertTrigger(s.ctx, c.index, at); err != nil {
		return failed(jsonwire.ErrTrigCreate, err)
	}
	c.trigID++
	t := &trigger{id: c.trigID, at: at, trig: a.Trig, since: s.target.State(c.index).Stops}
	c.triggers = append(c.triggers, t)
	r.Trig, r.TrigID = t.trig, t.id
	return nil
}

// place checks a trigger and says what it is to the Target. A complex trigger will do if its further conditions are empty.
func (s *session) place(c *core, trig *jsonwire.Trig) (target.Trigger, error) {
	t := trig.SimpleCore
	if x := trig.ComplexCore; x != nil {
		t = &jsonwire.TrigSimpleCore{
			Type: x.Type, Option: x.Option, Action: x.Action, ActionParam: x.ActionParam, Modified: x.Modified,
			StateMask: x.StateMask, AddrStart: x.AddrStart, AddrRange: x.AddrRange,
		}
		if x.DataMask != 0 || x.DataSize > target.WatchLength {
			return target.Trigger{}, fail(jsonwire.ErrFnUnimplemented, "a condition on data: the machine's triggers have an address only")
		}
		if x.HWThreadID != 0 && x.HWThreadID != c.uid() || x.SWThreadID != 0 || x.CoreModeMask != 0 {
			return target.Trigger{}, fail(jsonwire.ErrFnUnimplemented, "a condition on threads or core modes: the machine's triggers have an address only")
		}
	}
	kind, ok := types[t.Type]
	if !ok {
		return target.Trigger{}, fail(jsonwire.ErrTrigCreate, "trigger type %#x; there are 1, 2, 4 and 8", uint32(t.Type))
	}
	if t.Action != jsonwire.TrigActionDebug {
		return target.Trigger{}, fail(jsonwire.ErrFnUnimplemented, "action %#x: the machine's triggers stop the core and do nothing else", uint32(t.Action))
	}
	if t.Option&^trigOptImplementation != 0 {
		return target.Trigger{}, fail(jsonwire.ErrFnUnimplemented, "option %#x: the machine's triggers have an address only", t.Option)
	}
	desc := &s.info.Cores[c.index]
	space, err := spaceOf(desc, t.AddrStart.MemSpaceID)
	if err != nil || space.Physical {
		return target.Trigger{}, fail(jsonwire.ErrParam, "a trigger in memory space %d, which is not logical", t.AddrStart.MemSpaceID)
	}
	if t.AddrRange > target.WatchLength {
		return target.Trigger{}, fail(jsonwire.ErrTrigCreate, "addr-range %d; the most is %d", t.AddrRange, target.WatchLength)
	}
	return target.Trigger{Type: kind, Addr: t.AddrStart.Address}, nil
}

// qryTrig answers mcd-qry-trig.
func qryTrig(s *session, a *jsonwire.TrigArgs, r *jsonwire.QryTrigResult) error {
	c, i, err := s.trigger(a)
	if err != nil {
		return err
	}
	r.Trig = c.triggers[i].trig
	return nil
}

// removeTrig answers mcd-remove-trig.
func removeTrig(s *session, a *jsonwire.TrigArgs, _ *jsonwire.NoResult) error {
	c, i, err := s.trigger(a)
	if err != nil {
		return err
	}
	if err := s.take(s.ctx, c, c.triggers[i]); err != nil {
		return err
	}
	c.triggers = append(c.triggers[:i], c.triggers[i+1:]...)
	return nil
}

// take takes a trigger back from the Target. One that is gone already, say because a client of the packet dialect has
// closed the server, is fine.
func (s *session) take(ctx context.Context, c *core, t *trigger) error {
	err := s.target.RemoveTrigger(ctx, c.index, t.at)
	if errors.Is(err, target.ErrNoTrigger) {
		return nil
	}
	return err
}

// qryTrigState answers mcd-qry-trig-state. A trigger is active from its creation to its removal.
func qryTrigState(s *session, a *jsonwire.TrigArgs, r *jsonwire.QryTrigStateResult) error {
	c, i, err := s.trigger(a)
	if err != nil {
		return err
	}
	c.noteHits(s.target.State(c.index))
	r.TrigState = jsonwire.TrigState{Active: true, Captured: c.triggers[i].captured, CapturedValid: true}
	return nil
}
