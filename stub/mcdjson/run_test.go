// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcdtest/stub/jsonwire"
	"mcdtest/stub/memtarget"
	"mcdtest/stub/target"
)

// states is one letter a core: r running, d debug.
func states(p *peer, cores uint32) (s string) {
	p.t.Helper()
	for uid := uint32(1); uid <= cores; uid++ {
		s += []string{"u", "r", "h", "d"}[p.state(uid).State]
	}
	return s
}

func TestRunAndStop(t *testing.T) {
	m, p := openLoop(t, 3)
	expect := func(want string) {
		t.Helper()
		if got := states(p, 3); got != want {
			t.Errorf("states %s, want %s", got, want)
		}
	}
	expect("ddd")
	p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 2}, nil)
	expect("drd")
	p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 2}, nil) // runs on
	m.Run(1)
	if pc := p.register(2, 15, 3); pc != memtarget.LoopStart+4 {
		t.Errorf("core 1 was let run twice and one instruction later is at %#x", pc)
	}
	p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 1, Global: true}, nil)
	expect("rrr")
	p.do(jsonwire.Stop, jsonwire.RunArgs{CoreUID: 3}, nil)
	expect("rrd")
	p.do(jsonwire.Stop, jsonwire.RunArgs{CoreUID: 3}, nil)
	expect("rrd")
	p.do(jsonwire.Stop, jsonwire.RunArgs{CoreUID: 3, Global: true}, nil)
	expect("ddd")
}

func stepArgs(core uint32, global bool, n uint32) jsonwire.StepArgs {
	return jsonwire.StepArgs{CoreUID: core, Global: global, StepType: jsonwire.StepInstructions, NSteps: n}
}

func TestStep(t *testing.T) {
	_, p := openLoop(t, 2)
	pcs := func() (list []uint32) {
		for uid := range uint32(2) {
			list = append(list, (p.register(uid+1, 15, 3)-memtarget.LoopStart)/4)
		}
		return list
	}
	expect := func(a, b uint32) {
		t.Helper()
		if diff := cmp.Diff([]uint32{a, b}, pcs()); diff != "" {
			t.Errorf("instructions done (- want, + got):\n%s", diff)
		}
	}
	p.do(jsonwire.Step, stepArgs(1, false, 1), nil)
	expect(1, 0)
	p.do(jsonwire.Step, stepArgs(2, false, 2), nil)
	expect(1, 2)
	p.do(jsonwire.Step, stepArgs(1, true, 1), nil)
	expect(2, 3)
	p.do(jsonwire.Step, stepArgs(1, true, 3), nil)
	expect(5, 6)
	p.do(jsonwire.Step, stepArgs(1, false, 0), nil)
	expect(5, 6)
	if s := p.state(1); s.State != jsonwire.CoreStateDebug || s.TrigID != 0 {
		t.Errorf("after a step: %+v", s)
	}

	for _, c := range []struct {
		kind jsonwire.StepType
		code jsonwire.ErrorCode
	}{{jsonwire.StepCycles, jsonwire.ErrFnUnimplemented}, {0, jsonwire.ErrParam}, {3, jsonwire.ErrParam}, {1<<32 - 1, jsonwire.ErrParam}} {
		args := stepArgs(1, false, 1)
		args.StepType = c.kind
		p.refused(1, c.code, jsonwire.Step, args)
	}
	// Refused while the core runs, one of several too; the others can be stepped without it.
	p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 1}, nil)
	p.refused(1, jsonwire.ErrUsage, jsonwire.Step, stepArgs(1, false, 1))
	p.refused(1, jsonwire.ErrUsage, jsonwire.Step, stepArgs(1, true, 1))
	expect(5, 6)
	p.do(jsonwire.Step, stepArgs(2, true, 1), nil)
	expect(5, 7)
}

// Many steps end at a watchpoint.
func TestStepToWatchpoint(t *testing.T) {
	_, p := openLoop(t, 1)
	id := trigAt(p, 1, jsonwire.TrigTypeWrite, memtarget.LoopCounter)
	p.do(jsonwire.Step, stepArgs(1, false, 103), nil)
	if pc := p.register(1, 15, 3); pc != memtarget.LoopStore+4 {
		t.Errorf("103 steps with a watchpoint on the store end at %#x, want behind the store", pc)
	}
	if s := p.state(1); s.TrigID != id || s.Event != jsonwire.CoreEventTriggerChange {
		t.Errorf("after that: %+v", s)
	}
}

// They do so, too, if it is another core's.
func TestGlobalStepToAnothersWatchpoint(t *testing.T) {
	for _, alone := range []bool{false, true} {
		_, p := openLoop(t, 3)
		p.do(jsonwire.SetGlobal, jsonwire.SetGlobalArgs{CoreUID: 3, Enable: !alone}, nil)
		id := trigAt(p, 2, jsonwire.TrigTypeWrite, memtarget.LoopCounter)
		p.do(jsonwire.Step, stepArgs(1, true, 103), nil)
		for _, uid := range []uint32{1, 2} {
			if pc := p.register(uid, 15, 3); pc != memtarget.LoopStore+4 {
				t.Errorf("103 steps end at %#x on core-uid %d, want behind the store", pc, uid)
			}
		}
		if s := p.state(2); s.TrigID != id || s.Event != jsonwire.CoreEventTriggerChange {
			t.Errorf("after that: %+v", s)
		}
		if s := trigState(p, 2, id); !s.Captured {
			t.Errorf("the trigger's state: %+v", s)
		}
	}
}

// A core that is taken out of global commands follows those of the others no more, and its own still.
func TestSetGlobal(t *testing.T) {
	_, p := openLoop(t, 3)
	expect := func(want string) {
		t.Helper()
		if got := states(p, 3); got != want {
			t.Errorf("states %s, want %s", got, want)
		}
	}
	p.do(jsonwire.SetGlobal, jsonwire.SetGlobalArgs{CoreUID: 2, Enable: false}, nil)
	p.do(jsonwire.Step, stepArgs(1, true, 2), nil)
	for uid, want := range []uint32{8, 0, 8} {
		if pc := p.register(uint32(uid)+1, 15, 3) - memtarget.LoopStart; pc != want {
			t.Errorf("core %d is at +%d, want +%d", uid, pc, want)
		}
	}
	p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 1, Global: true}, nil)
	expect("rdr")
	p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 2}, nil)
	expect("rrr")
	p.do(jsonwire.Stop, jsonwire.RunArgs{CoreUID: 3, Global: true}, nil)
	expect("drd")
	p.do(jsonwire.Step, stepArgs(1, true, 1), nil)
	p.do(jsonwire.Stop, jsonwire.RunArgs{CoreUID: 2, Global: true}, nil)
	expect("ddd")
	// A step of several leaves those alone that run.
	p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 3}, nil)
	before := p.register(1, 15, 3)
	p.do(jsonwire.Step, stepArgs(1, true, 1), nil)
	if pc := p.register(1, 15, 3); pc != before+4 {
		t.Errorf("core 0 was stepped from %#x to %#x while core 2 runs", before, pc)
	}
	expect("ddr")
	p.do(jsonwire.Stop, jsonwire.RunArgs{CoreUID: 3}, nil)
	p.do(jsonwire.SetGlobal, jsonwire.SetGlobalArgs{CoreUID: 2, Enable: true}, nil)
	p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 1, Global: true}, nil)
	expect("rrr")
	p.do(jsonwire.Stop, jsonwire.RunArgs{CoreUID: 1, Global: true}, nil)

	// It ends with the core.
	p.do(jsonwire.SetGlobal, jsonwire.SetGlobalArgs{CoreUID: 2, Enable: false}, nil)
	p.do(jsonwire.CloseCore, jsonwire.CoreArgs{CoreUID: 2}, nil)
	p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 1, Global: true}, nil)
	p.do(jsonwire.CloseServer, jsonwire.CloseServerArgs{ServerUID: 1}, nil)
	p.open(3)
	expect("rrr")
}

// The state tells a stop once, whatever its cause; what it says of the state itself it says always.
func TestState(t *testing.T) {
	m, p := openLoop(t, 2)
	check := func(uid uint32, want jsonwire.State, info string) {
		t.Helper()
		got := p.state(uid)
		contains(t, got.InfoStr, info)
		got.InfoStr = ""
		want.HWThreadID = uid
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("state of core-uid %d (- want, + got):\n%s", uid, diff)
		}
	}
	paused := jsonwire.State{State: jsonwire.CoreStateDebug, StopStr: "RUN_STATE_PAUSED"}
	stopped := paused
	stopped.Event = jsonwire.CoreEventStopped
	running := jsonwire.State{State: jsonwire.CoreStateRunning}

	check(1, paused, "core 0 has not been started")
	p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 1, Global: true}, nil)
	check(1, running, "core 0 is running")
	check(2, running, "core 1 is running")
	p.do(jsonwire.Stop, jsonwire.RunArgs{CoreUID: 1}, nil)
	check(1, stopped, "core 0 stopped")
	check(1, paused, "core 0 stopped")
	check(2, running, "core 1 is running")
	p.do(jsonwire.Step, stepArgs(1, false, 1), nil)
	check(1, stopped, "step done")
	check(1, paused, "step done")
	m.PauseElsewhere()
	check(2, stopped, "core 1 was paused from elsewhere")
	check(2, paused, "core 1 was paused from elsewhere")
}

// inexplicable stands for a reason that nobody knows.
type inexplicable struct{ *memtarget.Machine }

func (inexplicable) State(int) target.State {
	return target.State{Cause: target.CauseUnknown, Stops: 1}
}

func TestStateForAnUnknownReason(t *testing.T) {
	p := connect(t, newDialect(inexplicable{loop(t, 1)}, Options{}))
	p.open(1)
	s := p.state(1)
	contains(t, s.InfoStr, "not known")
	s.InfoStr = ""
	want := jsonwire.State{State: jsonwire.CoreStateDebug, StopStr: "RUN_STATE_PAUSED", Event: jsonwire.CoreEventStopped, HWThreadID: 1}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("- want, + got:\n%s", diff)
	}
}

// A stop is told once over connections, too.
func TestStateReportedOnceForAll(t *testing.T) {
	m := loop(t, 1)
	reports := &target.Reports{}
	first := connect(t, NewDialect(m, reports, Options{}))
	first.open(1)
	first.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 1}, nil)
	first.do(jsonwire.Stop, jsonwire.RunArgs{CoreUID: 1}, nil)
	if s := first.state(1); s.Event != jsonwire.CoreEventStopped {
		t.Errorf("first client: %+v", s)
	}
	second := connect(t, NewDialect(m, reports, Options{}))
	second.open(1)
	if s := second.state(1); s.Event != 0 {
		t.Errorf("the second client is told again: %+v", s)
	}
}

func TestReset(t *testing.T) {
	m, p := openLoop(t, 2)
	var classes jsonwire.QryRstClassesResult
	p.do(jsonwire.QryRstClasses, jsonwire.CoreArgs{CoreUID: 1}, &classes)
	if classes.RstClassVector != 1 {
		t.Errorf("reset classes %#x", classes.RstClassVector)
	}
	var info jsonwire.QryRstClassInfoResult
	p.do(jsonwire.QryRstClassInfo, jsonwire.QryRstClassInfoArgs{CoreUID: 1}, &info)
	if info.RstInfo != (jsonwire.RstInfo{ClassVector: 1, InfoStr: "System Reset"}) {
		t.Errorf("class 0: %+v", info.RstInfo)
	}
	for _, class := range []uint8{1, 31, 32, 255} {
		p.refused(1, jsonwire.ErrParam, jsonwire.QryRstClassInfo, jsonwire.QryRstClassInfoArgs{CoreUID: 1, RstClass: class})
	}
	for _, vector := range []uint32{0, 2, 3, 1 << 31, 1<<32 - 1} {
		p.refused(1, jsonwire.ErrParam, jsonwire.Rst, jsonwire.RstArgs{CoreUID: 1, RstClassVector: vector})
	}

	p.do(jsonwire.Step, stepArgs(1, false, 3), nil)
	p.do(jsonwire.Rst, jsonwire.RstArgs{CoreUID: 1, RstClassVector: 1}, nil)
	if pc := p.register(1, 15, 3); pc != memtarget.LoopStart || states(p, 2) != "dd" {
		t.Errorf("after a reset of stopped cores: pc %#x, %s", pc, states(p, 2))
	}
	p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 1}, nil)
	m.Run(5)
	p.do(jsonwire.Rst, jsonwire.RstArgs{CoreUID: 2, RstClassVector: 1}, nil)
	if pc := p.register(1, 15, 3); pc != memtarget.LoopStart || states(p, 2) != "rd" {
		t.Errorf("after a reset without halt: pc %#x, %s", pc, states(p, 2))
	}
	m.Run(5)
	p.do(jsonwire.Rst, jsonwire.RstArgs{CoreUID: 2, RstClassVector: 1, RstAndHalt: true}, nil)
	if pc := p.register(1, 15, 3); pc != memtarget.LoopStart || states(p, 2) != "dd" {
		t.Errorf("after a reset with halt: pc %#x, %s", pc, states(p, 2))
	}
}

// What stopped a core before a reset is over, told or not.
func TestResetEndsTheStopBefore(t *testing.T) {
	for _, halt := range []bool{false, true} {
		for _, told := range []bool{false, true} {
			m, p := openLoop(t, 1)
			id := breakAt(p, 1, memtarget.LoopHead)
			p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 1}, nil)
			m.Run(100)
			if told {
				if s := p.state(1); s.TrigID != id {
					t.Errorf("before the reset: %+v", s)
				}
			}
			p.do(jsonwire.Rst, jsonwire.RstArgs{CoreUID: 1, RstClassVector: 1, RstAndHalt: halt}, nil)
			s := p.state(1)
			if s.State != jsonwire.CoreStateDebug || s.Event != 0 || s.TrigID != 0 || s.InfoStr != "core 0 has not been started" {
				t.Errorf("after a reset, halt %v, told before %v: %+v", halt, told, s)
			}
			if s := trigState(p, 1, id); !s.Captured {
				t.Errorf("the trigger has hit before: %+v", s)
			}
		}
	}
	m, p := openLoop(t, 1)
	p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 1}, nil)
	m.Run(100)
	p.do(jsonwire.Rst, jsonwire.RstArgs{CoreUID: 1, RstClassVector: 1, RstAndHalt: true}, nil)
	if s := p.state(1); s.State != jsonwire.CoreStateDebug || s.Event != jsonwire.CoreEventStopped || s.InfoStr != "core 0 has not been started" {
		t.Errorf("a core that ran, reset and halted: %+v", s)
	}
}

// A core that sleeps is stepped, and executes nothing: the real client lets a core run only if a step in front of that succeeds. The end
// of a machine, or one that needs a reset, is no sleep.
func TestStepOfASleepingCore(t *testing.T) {
	m := &stuck{Machine: loop(t, 1)}
	p := connect(t, newDialect(m, Options{}))
	p.open(1)
	steps := 0
	m.step = func(context.Context) error {
		steps++
		return target.Errorf(target.ErrAsleep, "step core 0")
	}
	p.do(jsonwire.Step, stepArgs(1, false, 1000), nil)
	if steps != 1 {
		t.Errorf("%d steps of a core that sleeps", steps)
	}
	p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 1}, nil)
	if got := states(p, 1); got != "r" {
		t.Errorf("after a step and a run: %s", got)
	}
	p.do(jsonwire.Stop, jsonwire.RunArgs{CoreUID: 1}, nil)
	m.step = func(context.Context) error { return target.Errorf(target.ErrUnreachable, "step core 0") }
	p.refused(1, jsonwire.ErrDeviceAccess, jsonwire.Step, stepArgs(1, false, 1))
}

// A Target that cannot be reset has no classes, and says so if it is asked all the same.
func TestNoReset(t *testing.T) {
	m := loop(t, 1)
	info := *m.Info()
	info.ResetClasses = []target.ResetClass{{ID: 0, Name: "a"}, {ID: 2, Name: "gpr_reset"}}
	p := connect(t, newDialect(&onlyTarget{m, &info}, Options{}))
	p.open(1)
	p.refused(1, jsonwire.ErrFnUnimplemented, jsonwire.Rst, jsonwire.RstArgs{CoreUID: 1, RstClassVector: 1})
	var r jsonwire.QryRstClassInfoResult
	p.do(jsonwire.QryRstClassInfo, jsonwire.QryRstClassInfoArgs{CoreUID: 1, RstClass: 2}, &r)
	if r.RstInfo != (jsonwire.RstInfo{ClassVector: 4, InfoStr: "gpr_reset"}) {
		t.Errorf("class 2: %+v", r.RstInfo)
	}
	info.ResetClasses = nil
	p.refused(1, jsonwire.ErrParam, jsonwire.Rst, jsonwire.RstArgs{CoreUID: 1, RstClassVector: 1})
}

// onlyTarget hides the capabilities of a Target and describes it differently.
type onlyTarget struct {
	target.Target
	info *target.Info
}

func (o *onlyTarget) Info() *target.Info { return o.info }
