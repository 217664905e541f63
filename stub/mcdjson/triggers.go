// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"context"
	"errors"
	"slices"

	"mcdtest/stub/jsonwire"
	"mcdtest/stub/target"
)

// trigger is one that the core has, whoever made it.
type trigger struct {
	id       uint32
	at       target.Trigger
	trig     jsonwire.Trig // as the client gave it
	foreign  bool          // another client made it, so it stays when this one leaves
	captured bool
	since    uint64 // State.Stops of the core when the trigger was created: a hit is a later stop
	armed    uint64 // State.Stops of the core when its set was activated: a hit is captured if it is another stop
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

// know makes the core's triggers those that the Target has: another client may have left some behind, or removed some. Those of
// others get an id like any other.
func (s *session) know(c *core) {
	have := make(map[target.Trigger]int)
	list := s.target.Triggers(c.index)
	for _, at := range list {
		have[at]++
	}
	// This client's own have the first claim to what is there.
	for _, foreign := range []bool{false, true} {
		c.triggers = slices.DeleteFunc(c.triggers, func(t *trigger) bool {
			if t.foreign != foreign {
				return false
			}
			have[t.at]--
			return have[t.at] < 0
		})
	}
	for _, at := range list {
		if have[at] > 0 {
			have[at]--
			c.trigID++
			c.triggers = append(c.triggers, &trigger{id: c.trigID, at: at, trig: s.describe(c, at), foreign: true})
		}
	}
}

// describe is a trigger as a client of this dialect would have created it.
func (s *session) describe(c *core, at target.Trigger) jsonwire.Trig {
	t := &jsonwire.TrigSimpleCore{Action: jsonwire.TrigActionDebug}
	t.AddrStart.Address, t.AddrStart.MemSpaceID = at.Addr, firstLogical
	for kind, of := range types {
		if of == at.Type {
			t.Type = kind
		}
	}
	if at.Type != target.Exec {
		t.AddrRange = target.WatchLength
	}
	return jsonwire.Trig{SimpleCore: t}
}

// atTrigger reports whether a trigger stopped the core.
func atTrigger(st target.State) bool {
	return st.Cause == target.CauseBreakpoint || st.Cause == target.CauseWatchpoint
}

// noteHits marks the triggers that stopped the core.
func (s *session) noteHits(c *core, st target.State) {
	if !atTrigger(st) {
		return
	}
	s.know(c)
	for _, t := range c.triggers {
		if t.stopped(st) && st.Stops != t.armed {
			t.captured = true
		}
	}
}

// noteAllHits marks hits on every open core, before they are forgotten because the cores run on.
func (s *session) noteAllHits() {
	for _, c := range s.cores {
		if c != nil {
			s.noteHits(c, s.target.State(c.index))
		}
	}
}

func (t *trigger) stopped(st target.State) bool {
	return atTrigger(st) && st.Trigger == t.at && st.Stops != t.since
}

// hitBy is the trigger that stopped the core, nil if it was none or has been removed since.
func (c *core) hitBy(st target.State) *trigger {
	for _, t := range c.triggers {
		if t.stopped(st) {
			return t
		}
	}
	return nil
}

// triggersOf finds an open core, with its triggers as they are now.
func (s *session) triggersOf(uid uint32) (*core, error) {
	c, err := s.core(uid)
	if err != nil {
		return nil, err
	}
	s.know(c)
	return c, nil
}

// trigger finds a trigger of a core.
func (s *session) trigger(a *jsonwire.TrigArgs) (*core, int, error) {
	c, err := s.triggersOf(a.CoreUID)
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
	c, err := s.triggersOf(a.CoreUID)
	if err != nil {
		return err
	}
	at, err := s.place(c, &a.Trig)
	if err != nil {
		return err
	}
	since := s.target.State(c.index).Stops // before, as a core that runs may hit it at once
	if err := s.target.InsertTrigger(s.ctx, c.index, at); err != nil {
		return failed(jsonwire.ErrTrigCreate, err)
	}
	c.trigID++
	t := &trigger{id: c.trigID, at: at, trig: a.Trig, since: since}
	c.triggers = append(c.triggers, t)
	r.Trig, r.TrigID = t.trig, t.id
	return nil
}

// place checks a trigger and says what it is to the Target.
func (s *session) place(c *core, trig *jsonwire.Trig) (target.Trigger, error) {
	t := trig.SimpleCore
	if t == nil {
		return target.Trigger{}, fail(jsonwire.ErrParam, "a complex trigger: there are simple ones, which have an address only")
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

// take takes a trigger back from the Target. One that another client has just removed is fine.
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
	s.noteHits(c, s.target.State(c.index))
	r.TrigState = jsonwire.TrigState{Active: true, Captured: c.triggers[i].captured, CapturedValid: true}
	return nil
}
