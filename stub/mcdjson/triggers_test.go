// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcdtest/stub/jsonwire"
	"mcdtest/stub/memtarget"
	"mcdtest/stub/target"
)

func simpleTrig(kind jsonwire.TrigType, addr uint64) *jsonwire.TrigSimpleCore {
	return &jsonwire.TrigSimpleCore{Type: kind, Action: jsonwire.TrigActionDebug, AddrStart: jsonwire.Addr{Address: addr, MemSpaceID: 2}}
}

// trigAt creates a trigger and gives its id.
func trigAt(p *peer, core uint32, kind jsonwire.TrigType, addr uint64) uint32 {
	p.t.Helper()
	var r jsonwire.CreateTrigResult
	p.do(jsonwire.CreateTrig, jsonwire.CreateTrigArgs{CoreUID: core, Trig: jsonwire.Trig{SimpleCore: simpleTrig(kind, addr)}}, &r)
	return r.TrigID
}

func breakAt(p *peer, core uint32, addr uint64) uint32 {
	p.t.Helper()
	return trigAt(p, core, jsonwire.TrigTypeIP, addr)
}

func trigState(p *peer, core, id uint32) jsonwire.TrigState {
	p.t.Helper()
	var r jsonwire.QryTrigStateResult
	p.do(jsonwire.QryTrigState, jsonwire.TrigArgs{CoreUID: core, TrigID: id}, &r)
	return r.TrigState
}

func TestTrigInfo(t *testing.T) {
	_, p := openLoop(t, 1)
	var r jsonwire.QryTrigInfoResult
	p.do(jsonwire.QryTrigInfo, jsonwire.CoreArgs{CoreUID: 1}, &r)
	want := jsonwire.TrigInfo{Type: 15, Action: 1, TrigNumber: 32}
	if diff := cmp.Diff(want, r.TrigInfo); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
}

// atOnce is a Target whose core 0 hits a trigger while it is being inserted.
type atOnce struct {
	target.Target
	hit *target.State
}

func (a *atOnce) InsertTrigger(ctx context.Context, core int, t target.Trigger) error {
	err := a.Target.InsertTrigger(ctx, core, t)
	a.hit = &target.State{Cause: target.CauseBreakpoint, Trigger: t, Stops: a.Target.State(0).Stops + 1}
	return err
}

func (a *atOnce) State(core int) target.State {
	if a.hit != nil {
		return *a.hit
	}
	return a.Target.State(core)
}

func TestHitWhileItIsInserted(t *testing.T) {
	m, _ := openLoop(t, 1)
	p := connect(t, newDialect(&atOnce{Target: m}, Options{}))
	p.open(1)
	id := breakAt(p, 1, 0x40210000)
	var r jsonwire.QryStateResult
	p.do(jsonwire.QryState, jsonwire.CoreArgs{CoreUID: 1}, &r)
	if r.State.Event != jsonwire.CoreEventTriggerChange || r.State.TrigID != id {
		t.Errorf("trigger %d was hit at once, and the state is %+v", id, r.State)
	}
	if s := trigState(p, 1, id); !s.Captured {
		t.Errorf("its own state is %+v", s)
	}
}

// Every field comes back as it was given, and the Target has the trigger.
func TestCreateTrig(t *testing.T) {
	m, p := openLoop(t, 2)
	simple := &jsonwire.TrigSimpleCore{
		Type: jsonwire.TrigTypeWrite, Option: 2, Action: 1, ActionParam: 7, Modified: true, StateMask: 8,
		AddrStart: jsonwire.Addr{Address: 0x40210000, MemSpaceID: 2, AddrSpaceID: 9, AddrSpaceType: 10}, AddrRange: 4,
	}
	other := &jsonwire.TrigSimpleCore{Type: jsonwire.TrigTypeRW, Option: 1, Action: 1, ActionParam: 2, Modified: true, StateMask: 3, AddrStart: simple.AddrStart, AddrRange: 1}
	for i, trig := range []jsonwire.Trig{{SimpleCore: simple}, {SimpleCore: other}} {
		var r jsonwire.CreateTrigResult
		p.do(jsonwire.CreateTrig, jsonwire.CreateTrigArgs{CoreUID: 2, Trig: trig}, &r)
		if diff := cmp.Diff(jsonwire.CreateTrigResult{Trig: trig, TrigID: uint32(i) + 1}, r); diff != "" {
			t.Errorf("create (- want, + got):\n%s", diff)
		}
		var q jsonwire.QryTrigResult
		p.do(jsonwire.QryTrig, jsonwire.TrigArgs{CoreUID: 2, TrigID: r.TrigID}, &q)
		if diff := cmp.Diff(trig, q.Trig); diff != "" {
			t.Errorf("query (- want, + got):\n%s", diff)
		}
		if s := trigState(p, 2, r.TrigID); s != (jsonwire.TrigState{Active: true, CapturedValid: true}) {
			t.Errorf("state after the creation: %+v", s)
		}
	}
	if on0, on1 := m.Triggers(0), m.Triggers(1); len(on0) != 0 || len(on1) != 2 {
		t.Errorf("the machine has %v on core 0 and %v on core 1", on0, on1)
	}
	for kind, want := range map[jsonwire.TrigType]target.TriggerType{1: target.Exec, 2: target.Read, 4: target.Write, 8: target.Access} {
		id := trigAt(p, 1, kind, 0x40210040)
		if got := m.Triggers(0); len(got) != 1 || got[0] != (target.Trigger{Type: want, Addr: 0x40210040}) {
			t.Errorf("type %d is %v in the machine", kind, got)
		}
		p.do(jsonwire.RemoveTrig, jsonwire.TrigArgs{CoreUID: 1, TrigID: id}, nil)
		if got := m.Triggers(0); len(got) != 0 {
			t.Errorf("after its removal: %v", got)
		}
	}
	// Ids are not given twice.
	if id := breakAt(p, 1, 0x40200000); id != 5 {
		t.Errorf("the fifth trigger of core 0 has id %d", id)
	}
}

func TestCreateTrigRefused(t *testing.T) {
	m, p := openLoop(t, 1)
	for _, c := range []struct {
		name    string
		code    jsonwire.ErrorCode
		simple  func(*jsonwire.TrigSimpleCore)
		complex func(*jsonwire.TrigComplexCore)
	}{
		{"type 0", jsonwire.ErrTrigCreate, func(t *jsonwire.TrigSimpleCore) { t.Type = 0 }, nil},
		{"two types", jsonwire.ErrTrigCreate, func(t *jsonwire.TrigSimpleCore) { t.Type = 3 }, nil},
		{"type 16", jsonwire.ErrTrigCreate, func(t *jsonwire.TrigSimpleCore) { t.Type = 16 }, nil},
		{"largest type", jsonwire.ErrTrigCreate, func(t *jsonwire.TrigSimpleCore) { t.Type = 1<<32 - 1 }, nil},
		{"action 0", jsonwire.ErrFnUnimplemented, func(t *jsonwire.TrigSimpleCore) { t.Action = 0 }, nil},
		{"action 2", jsonwire.ErrFnUnimplemented, func(t *jsonwire.TrigSimpleCore) { t.Action = 2 }, nil},
		{"an option that is a condition", jsonwire.ErrFnUnimplemented, func(t *jsonwire.TrigSimpleCore) { t.Option = 4 }, nil},
		{"space 0", jsonwire.ErrParam, func(t *jsonwire.TrigSimpleCore) { t.AddrStart.MemSpaceID = 0 }, nil},
		{"physical space", jsonwire.ErrParam, func(t *jsonwire.TrigSimpleCore) { t.AddrStart.MemSpaceID = 1 }, nil},
		{"register space", jsonwire.ErrParam, func(t *jsonwire.TrigSimpleCore) { t.AddrStart.MemSpaceID = 3 }, nil},
		{"space beyond the last", jsonwire.ErrParam, func(t *jsonwire.TrigSimpleCore) { t.AddrStart.MemSpaceID = 4 }, nil},
		{"a long range", jsonwire.ErrTrigCreate, func(t *jsonwire.TrigSimpleCore) { t.AddrRange = 5 }, nil},
		{"complex", jsonwire.ErrParam, nil, func(*jsonwire.TrigComplexCore) {}},
		{"complex, with a condition on data", jsonwire.ErrParam, nil, func(t *jsonwire.TrigComplexCore) { t.DataMask = 1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.t = t
			var trig jsonwire.Trig
			if c.simple != nil {
				trig.SimpleCore = simpleTrig(jsonwire.TrigTypeIP, 0x40200000)
				c.simple(trig.SimpleCore)
			} else {
				trig.ComplexCore = &jsonwire.TrigComplexCore{Type: 1, Action: 1, AddrStart: jsonwire.Addr{MemSpaceID: 2}}
				c.complex(trig.ComplexCore)
			}
			p.refused(1, c.code, jsonwire.CreateTrig, jsonwire.CreateTrigArgs{CoreUID: 1, Trig: trig})
			if got := m.Triggers(0); len(got) != 0 {
				t.Errorf("the machine has %v", got)
			}
		})
	}
	p.t = t
	for i := range 16 {
		breakAt(p, 1, uint64(0x40200000+4*i))
	}
	p.refused(1, jsonwire.ErrTrigCreate, jsonwire.CreateTrig, jsonwire.CreateTrigArgs{CoreUID: 1, Trig: jsonwire.Trig{SimpleCore: simpleTrig(1, 0x40200100)}})
	trigAt(p, 1, jsonwire.TrigTypeRead, 0x40200100) // watchpoints are counted apart
}

func TestUnknownTrigger(t *testing.T) {
	_, p := openLoop(t, 2)
	id := breakAt(p, 1, 0x40200000)
	for _, name := range []string{jsonwire.QryTrig, jsonwire.RemoveTrig, jsonwire.QryTrigState} {
		for _, bad := range []uint32{0, id + 1, 1 << 31, 1<<32 - 1} {
			p.refused(1, jsonwire.ErrTrigAccess, name, jsonwire.TrigArgs{CoreUID: 1, TrigID: bad})
		}
		p.refused(2, jsonwire.ErrTrigAccess, name, jsonwire.TrigArgs{CoreUID: 2, TrigID: id})
	}
	p.do(jsonwire.RemoveTrig, jsonwire.TrigArgs{CoreUID: 1, TrigID: id}, nil)
	p.refused(1, jsonwire.ErrTrigAccess, jsonwire.RemoveTrig, jsonwire.TrigArgs{CoreUID: 1, TrigID: id})
}

// A hit is told once, on the core that hit, with the trigger that caused it; captured says it until the set is armed anew.
func TestHit(t *testing.T) {
	m, p := openLoop(t, 2)
	other := breakAt(p, 1, memtarget.LoopStore)
	id := breakAt(p, 1, memtarget.LoopHead)
	watch := trigAt(p, 2, jsonwire.TrigTypeRead, memtarget.LoopCounter)
	p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 1, Global: true}, nil)
	m.Run(100)

	s := p.state(1)
	contains(t, s.InfoStr, "breakpoint at 0x4020000c")
	s.InfoStr = ""
	want := jsonwire.State{State: 3, Event: jsonwire.CoreEventTriggerChange, TrigID: id, HWThreadID: 1, StopStr: "RUN_STATE_PAUSED"}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("core 0 (- want, + got):\n%s", diff)
	}
	if s := p.state(1); s.Event != 0 || s.TrigID != 0 || s.State != 3 {
		t.Errorf("core 0, asked again: %+v", s)
	}
	if pc := p.register(1, 15, 3); pc != memtarget.LoopHead {
		t.Errorf("core 0 stopped at %#x", pc)
	}
	if s := p.state(2); s.Event != jsonwire.CoreEventTriggerChange || s.TrigID != watch {
		t.Errorf("core 1: %+v", s)
	}
	captured := func(want map[uint32]bool) {
		t.Helper()
		for id, c := range want {
			if s := trigState(p, 1, id); s.Captured != c || !s.Active || !s.CapturedValid {
				t.Errorf("trigger %d: %+v, want captured %v", id, s, c)
			}
		}
	}
	captured(map[uint32]bool{id: true, other: false})
	// It stays when the core runs on.
	p.do(jsonwire.Step, stepArgs(1, false, 1), nil)
	captured(map[uint32]bool{id: true, other: false})
	// And it is known of a hit that nobody has asked for before the core ran on.
	p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 1}, nil)
	m.Run(100)
	p.do(jsonwire.Step, stepArgs(1, false, 1), nil)
	captured(map[uint32]bool{id: true, other: true})

	p.do(jsonwire.ActivateTrigSet, jsonwire.CoreArgs{CoreUID: 1}, nil)
	captured(map[uint32]bool{id: false, other: false})
	p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 1}, nil)
	m.Run(100)
	captured(map[uint32]bool{id: true, other: false})
	p.do(jsonwire.ActivateTrigSet, jsonwire.CoreArgs{CoreUID: 1}, nil)
	captured(map[uint32]bool{id: false, other: false})
	if s := p.state(1); s.Event != jsonwire.CoreEventTriggerChange || s.TrigID != id {
		t.Errorf("the hit is told although the set was armed anew meanwhile: %+v", s)
	}
	captured(map[uint32]bool{id: false, other: false})
}

// A hit is remembered, whatever the machine does before anybody asks about the trigger.
func TestHitRemembered(t *testing.T) {
	for name, then := range map[string]func(m *memtarget.Machine, p *peer){
		"the core runs on": func(_ *memtarget.Machine, p *peer) { p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 1}, nil) },
		"it is reset": func(_ *memtarget.Machine, p *peer) {
			p.do(jsonwire.Rst, jsonwire.RstArgs{CoreUID: 1, RstClassVector: 1}, nil)
		},
		"it is let run from elsewhere, after the state was asked for": func(m *memtarget.Machine, p *peer) {
			p.state(1)
			m.ResumeElsewhere()
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := loop(t, 1)
			p := connect(t, newDialect(&forgetful{m}, Options{}))
			p.open(1)
			id := trigAt(p, 1, jsonwire.TrigTypeWrite, memtarget.LoopCounter)
			p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 1}, nil)
			m.Run(100)
			then(m, p)
			m.PauseElsewhere()
			if s := m.State(0); s.Cause != target.CauseElsewhere {
				t.Fatalf("the machine still remembers the hit itself: %+v", s)
			}
			if s := trigState(p, 1, id); !s.Captured {
				t.Errorf("%+v", s)
			}
		})
	}
}

// forgetful is a machine whose cores run after a reset.
type forgetful struct{ *memtarget.Machine }

func (f *forgetful) Reset(ctx context.Context, class int, halt bool) error {
	if err := f.Machine.Reset(ctx, class, halt); err != nil {
		return err
	}
	return f.Go(ctx, target.AllCores)
}

// A trigger is not captured by a stop at its address that was before it.
func TestNotCapturedByAnEarlierStop(t *testing.T) {
	m, p := openLoop(t, 1)
	id := breakAt(p, 1, memtarget.LoopHead)
	p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 1}, nil)
	m.Run(100)
	p.do(jsonwire.RemoveTrig, jsonwire.TrigArgs{CoreUID: 1, TrigID: id}, nil)
	again := breakAt(p, 1, memtarget.LoopHead)
	if s := trigState(p, 1, again); s.Captured {
		t.Errorf("a trigger that was created after the stop: %+v", s)
	}
	if s := p.state(1); s.TrigID != 0 {
		t.Errorf("the stop is told as that of a later trigger: %+v", s)
	}
	p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 1}, nil) // stops at once, without executing anything
	if s := p.state(1); s.TrigID != again || s.Event != jsonwire.CoreEventTriggerChange {
		t.Errorf("after the next stop: %+v", s)
	}
}

// trigSet lists the ids of a core's trigger set.
func trigSet(p *peer, core uint32) []uint32 {
	p.t.Helper()
	var count, r jsonwire.QryTrigSetResult
	p.do(jsonwire.QryTrigSet, jsonwire.QryTrigSetArgs{CoreUID: core}, &count)
	if count.NumTrigs == 0 {
		return nil
	}
	p.do(jsonwire.QryTrigSet, jsonwire.QryTrigSetArgs{CoreUID: core, NumTrigs: 100}, &r)
	if int(count.NumTrigs) != len(r.TrigIDs) {
		p.t.Errorf("%d triggers are announced, and %v come", count.NumTrigs, r.TrigIDs)
	}
	return r.TrigIDs
}

// Triggers that another client has left behind are there with ids like any other.
func TestTriggersOfOthers(t *testing.T) {
	m := loop(t, 2)
	insert := func(core int, kind target.TriggerType, addr uint64) {
		t.Helper()
		if err := m.InsertTrigger(t.Context(), core, target.Trigger{Type: kind, Addr: addr}); err != nil {
			t.Fatal(err)
		}
	}
	insert(0, target.Exec, memtarget.LoopHead)
	insert(0, target.Exec, memtarget.LoopHead)
	insert(0, target.Write, memtarget.LoopCounter)
	insert(1, target.Read, memtarget.LoopCounter)
	insert(1, target.Access, memtarget.LoopCounter)
	d := newDialect(m, Options{})
	p := connect(t, d)
	p.open(2)
	if diff := cmp.Diff([][]uint32{{1, 2, 3}, {1, 2}}, [][]uint32{trigSet(p, 1), trigSet(p, 2)}); diff != "" {
		t.Errorf("ids (- want, + got):\n%s", diff)
	}
	var got []jsonwire.TrigSimpleCore
	for _, of := range [][2]uint32{{1, 1}, {1, 2}, {1, 3}, {2, 1}, {2, 2}} {
		var q jsonwire.QryTrigResult
		p.do(jsonwire.QryTrig, jsonwire.TrigArgs{CoreUID: of[0], TrigID: of[1]}, &q)
		got = append(got, *q.Trig.SimpleCore)
		if s := trigState(p, of[0], of[1]); s != (jsonwire.TrigState{Active: true, CapturedValid: true}) {
			t.Errorf("trigger %d of core %d: %+v", of[1], of[0], s)
		}
	}
	exec, write := *simpleTrig(jsonwire.TrigTypeIP, memtarget.LoopHead), *simpleTrig(jsonwire.TrigTypeWrite, memtarget.LoopCounter)
	read, access := *simpleTrig(jsonwire.TrigTypeRead, memtarget.LoopCounter), *simpleTrig(jsonwire.TrigTypeRW, memtarget.LoopCounter)
	write.AddrRange, read.AddrRange, access.AddrRange = 4, 4, 4
	if diff := cmp.Diff([]jsonwire.TrigSimpleCore{exec, exec, write, read, access}, got); diff != "" {
		t.Errorf("triggers (- want, + got):\n%s", diff)
	}

	// One that hits is told by its id, and captured; one that comes later and is removed again goes from the set.
	p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 1}, nil)
	m.Run(100)
	if s := p.state(1); s.Event != jsonwire.CoreEventTriggerChange || s.TrigID != 1 {
		t.Errorf("after a hit: %+v", s)
	}
	if a, b := trigState(p, 1, 1), trigState(p, 1, 3); !a.Captured || b.Captured {
		t.Errorf("after a hit: %+v, and of the other trigger %+v", a, b)
	}
	insert(0, target.Exec, memtarget.LoopStart)
	own := breakAt(p, 1, memtarget.LoopStart)
	if diff := cmp.Diff([]uint32{1, 2, 3, 4, 5}, trigSet(p, 1)); own != 5 || diff != "" {
		t.Errorf("the client's own is %d (- want, + got):\n%s", own, diff)
	}
	for range 2 { // the first of them is the other client's, the second this one's
		if err := m.RemoveTrigger(t.Context(), 0, target.Trigger{Type: target.Exec, Addr: memtarget.LoopStart}); err != nil {
			t.Fatal(err)
		}
		gone := []uint32{4, 5}
		for _, id := range gone[:5-len(trigSet(p, 1))] {
			p.refused(1, jsonwire.ErrTrigAccess, jsonwire.QryTrig, jsonwire.TrigArgs{CoreUID: 1, TrigID: id})
		}
	}
	if diff := cmp.Diff([]uint32{1, 2, 3}, trigSet(p, 1)); diff != "" {
		t.Errorf("after others have removed some (- want, + got):\n%s", diff)
	}

	// The client can remove them, and leaves those that it has not created.
	p.do(jsonwire.RemoveTrig, jsonwire.TrigArgs{CoreUID: 1, TrigID: 2}, nil)
	breakAt(p, 1, memtarget.LoopStart)
	p.do(jsonwire.CloseCore, jsonwire.CoreArgs{CoreUID: 1}, nil)
	want := []target.Trigger{{Type: target.Exec, Addr: memtarget.LoopHead}, {Type: target.Write, Addr: memtarget.LoopCounter}}
	if diff := cmp.Diff(want, m.Triggers(0)); diff != "" {
		t.Errorf("after the core was closed (- want, + got):\n%s", diff)
	}
	p.do(jsonwire.RemoveTrigSet, jsonwire.CoreArgs{CoreUID: 2}, nil)
	if left := m.Triggers(1); left != nil {
		t.Errorf("after the set was removed: %v", left)
	}
	p.conn.Close()
	p.wait()
	if left := m.Triggers(target.AllCores); len(left) != 2 {
		t.Errorf("after the client has left: %v", left)
	}
}

// A stop by a trigger that another client has left behind and that nobody has been told of is told with its id.
func TestHitBeforeTheClientCame(t *testing.T) {
	m := loop(t, 1)
	if err := m.InsertTrigger(t.Context(), 0, target.Trigger{Type: target.Exec, Addr: memtarget.LoopHead}); err != nil {
		t.Fatal(err)
	}
	if err := m.Go(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	m.Run(100)
	p := connect(t, newDialect(m, Options{}))
	p.open(1)
	if s := p.state(1); s.Event != jsonwire.CoreEventTriggerChange || s.TrigID != 1 {
		t.Errorf("%+v", s)
	}
	if s := trigState(p, 1, 1); !s.Captured {
		t.Errorf("%+v", s)
	}
}

func TestTrigSet(t *testing.T) {
	m, p := openLoop(t, 2)
	ids := func() []uint32 { t.Helper(); return trigSet(p, 1) }
	setState := func() jsonwire.TrigSetState {
		t.Helper()
		var r jsonwire.QryTrigSetStateResult
		p.do(jsonwire.QryTrigSetState, jsonwire.CoreArgs{CoreUID: 1}, &r)
		return r.TrigState
	}
	if got := setState(); ids() != nil || got != (jsonwire.TrigSetState{}) {
		t.Errorf("without triggers: %v, %+v", ids(), got)
	}
	p.do(jsonwire.ActivateTrigSet, jsonwire.CoreArgs{CoreUID: 1}, nil)
	p.do(jsonwire.RemoveTrigSet, jsonwire.CoreArgs{CoreUID: 1}, nil)
	for i := range 4 {
		breakAt(p, 1, uint64(0x40200000+4*i))
	}
	breakAt(p, 1, 0x40200000) // twice at one address
	breakAt(p, 2, 0x40200000)
	p.do(jsonwire.RemoveTrig, jsonwire.TrigArgs{CoreUID: 1, TrigID: 2}, nil)
	if diff := cmp.Diff([]uint32{1, 3, 4, 5}, ids()); diff != "" {
		t.Errorf("ids (- want, + got):\n%s", diff)
	}
	if got := setState(); got != (jsonwire.TrigSetState{Active: true}) {
		t.Errorf("with triggers: %+v", got)
	}
	p.do(jsonwire.RemoveTrigSet, jsonwire.CoreArgs{CoreUID: 1}, nil)
	if got := setState(); ids() != nil || got.Active {
		t.Errorf("after the set was removed: %v, %+v", ids(), got)
	}
	if a, b := m.Triggers(0), m.Triggers(1); len(a) != 0 || len(b) != 1 {
		t.Errorf("the machine has %v and %v", a, b)
	}
	p.refused(1, jsonwire.ErrTrigAccess, jsonwire.QryTrig, jsonwire.TrigArgs{CoreUID: 1, TrigID: 1})
}

// A trigger that somebody else has removed is gone, and does not keep the core from being closed.
func TestTriggerGone(t *testing.T) {
	m, p := openLoop(t, 1)
	id := breakAt(p, 1, 0x40200000)
	breakAt(p, 1, 0x40200004)
	if err := m.RemoveTriggers(t.Context(), target.AllCores); err != nil {
		t.Fatal(err)
	}
	p.refused(1, jsonwire.ErrTrigAccess, jsonwire.RemoveTrig, jsonwire.TrigArgs{CoreUID: 1, TrigID: id})
	p.do(jsonwire.RemoveTrigSet, jsonwire.CoreArgs{CoreUID: 1}, nil)
	if next := breakAt(p, 1, 0x40200000); next != 3 {
		t.Errorf("the third trigger has id %d", next)
	}
	p.do(jsonwire.CloseCore, jsonwire.CoreArgs{CoreUID: 1}, nil)
}

// Each use that is answered as unimplemented is listed by Unsupported, and each that it lists is so answered.
func TestUnsupported(t *testing.T) {
	_, p := openLoop(t, 1)
	create := func(change func(*jsonwire.TrigSimpleCore)) jsonwire.CreateTrigArgs {
		trig := simpleTrig(jsonwire.TrigTypeIP, memtarget.LoopHead)
		change(trig)
		return jsonwire.CreateTrigArgs{CoreUID: 1, Trig: jsonwire.Trig{SimpleCore: trig}}
	}
	uses := []struct {
		entry   string // how the entry begins
		command string
		args    any
	}{
		{"mcd-step with step-type 1", jsonwire.Step, jsonwire.StepArgs{CoreUID: 1, StepType: jsonwire.StepCycles, NSteps: 1}},
		{"mcd-create-trig with an action", jsonwire.CreateTrig, create(func(t *jsonwire.TrigSimpleCore) { t.Action = 2 })},
		{"mcd-create-trig with an option", jsonwire.CreateTrig, create(func(t *jsonwire.TrigSimpleCore) { t.Option = 4 })},
	}
	listed := make(map[string]bool)
	for _, u := range uses {
		p.refused(1, jsonwire.ErrFnUnimplemented, u.command, u.args)
		for _, entry := range Unsupported() {
			if strings.HasPrefix(entry, u.entry) {
				listed[entry] = true
				u.entry = ""
			}
		}
		if u.entry != "" {
			t.Errorf("%s is not listed", u.entry)
		}
	}
	for _, entry := range Unsupported() {
		if !listed[entry] {
			t.Errorf("nothing shows that this is unsupported: %s", entry)
		}
	}
	// The places that refuse so, lest there be one more than the uses above.
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	places := 0
	for _, f := range files {
		if text, err := os.ReadFile(f); err != nil {
			t.Fatal(err)
		} else if !strings.HasSuffix(f, "_test.go") {
			places += strings.Count(string(text), "fail(jsonwire.ErrFnUnimplemented")
		}
	}
	if places != len(uses) {
		t.Errorf("%d places answer 0x100, and %d uses are tried here", places, len(uses))
	}
}
