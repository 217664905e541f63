// SPDX-License-Identifier: Apache-2.0

package gdbtarget

import (
	"log/slog"
	"testing"

	"mcdtest/stub/target"
)

// A core that hits a trigger while a request for it is under way is neither started nor stepped, as its client took it for running and
// would never hear of the hit; a reset has it run on.
func TestHitInTheMomentOfARequest(t *testing.T) {
	tr := target.Trigger{Type: target.Exec, Addr: 0x40100000}
	machine := func() *Target {
		m := &Target{log: slog.New(slog.DiscardHandler), want: []bool{true, true, false}, states: make([]target.State, 3)}
		m.states[0].Running, m.states[1].Running = true, true
		m.stopped(2, target.CauseBreakpoint, tr) // before the request
		m.noteStops()
		return m
	}
	m := machine()
	ran := []bool{true, true, false}
	m.runOn(ran)
	for core, want := range []bool{false, false, true} {
		if m.stands(core) != want {
			t.Errorf("before the hit: core %d stands: %v", core, !want)
		}
	}
	m.stopAll(0, target.CauseBreakpoint, tr)
	for core, want := range []bool{false, true, true} { // core 1 stands from elsewhere, and may be started
		if m.stands(core) != want {
			t.Errorf("after the hit of core 0: core %d stands: %v", core, !want)
		}
	}
	m.runOn(ran)
	for core, want := range ran {
		if m.want[core] != want || m.State(core).Running != want {
			t.Errorf("for a reset core %d is wanted: %v, state %+v", core, m.want[core], m.State(core))
		}
	}
	m = machine()
	m.stopWanted(target.CauseElsewhere)
	m.runOn(ran)
	if m.want[0] || m.want[1] {
		t.Error("a pause by somebody else is taken back for a reset")
	}
}

// What stops the VM by itself is told, also if that comes in the moment of a pause; the answer to an interrupt is not.
func TestStopRepliesInAPause(t *testing.T) {
	for reply, want := range map[string]struct {
		cause target.Cause
		reset string
	}{
		"T02thread:p01.01;": {target.CauseNone, ""},
		"T03thread:p01.01;": {target.CauseUnknown, "shutdown"},
		"T8fthread:p01.01;": {target.CauseUnknown, ""},
	} {
		m := &Target{log: slog.New(slog.DiscardHandler), want: []bool{true}, states: []target.State{{Running: true}}, vmRunning: true}
		if err := m.absorb([]byte(reply), true); err != nil {
			t.Errorf("%s: %v", reply, err)
		}
		if s := m.State(0); s.Cause != want.cause || m.needsReset != want.reset || m.want[0] != (want.cause == target.CauseNone) {
			t.Errorf("%s: the state is %+v, a reset is needed because of %q, wanted %v", reply, s, m.needsReset, m.want[0])
		}
	}
}
