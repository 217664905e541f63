// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcdtest/stub/memtarget"
	"mcdtest/stub/target"
)

// Places of the program of memtarget.ARMLoop.
const (
	loopHead  = memtarget.LoopStart + 3*4
	loopStore = loopHead + 4
	loopLoad  = loopHead + 8
	scratch   = memtarget.RAMStart + 0x8000
	pageEnd   = scratch + pageSize
	pcNumber  = 15
)

// scene does something to a machine through a Target that may have a fault, and notes what came of it. What the machine
// itself says, without the fault, is noted, too.
type scene struct {
	t     *testing.T
	ctx   context.Context
	to    target.Target
	m     *memtarget.Machine
	notes []string
}

func (s *scene) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// refused is the reason of an error without what was asked for.
func refused(err error) string {
	if err == nil {
		return "done"
	}
	text := err.Error()
	return text[strings.LastIndex(text, ": ")+1:]
}

func (s *scene) read(space target.Space, addr uint64, n int) {
	p := make([]byte, n)
	err := s.to.ReadMemory(s.ctx, 0, space, addr, p)
	if err != nil {
		p = nil
	}
	s.note("%x, %s", p, refused(err))
}

// is is what memory holds.
func (s *scene) is(addr uint64, n int) {
	p := make([]byte, n)
	if err := s.m.ReadMemory(s.ctx, 0, target.Space{}, addr, p); err != nil {
		s.t.Fatal(err)
	}
	s.note("memory holds %x", p)
}

// holds is what a register holds.
func (s *scene) holds(core, number int) {
	p, err := s.m.ReadRegister(s.ctx, core, number, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.note("core %d's register %d holds %x", core, number, p)
}

func (s *scene) register(core, number int) {
	p, err := s.to.ReadRegister(s.ctx, core, number, nil)
	s.note("register %d reads %x, %s", number, p, refused(err))
}

func (s *scene) state(core int) {
	st := s.to.State(core)
	s.note("state: running %v, %v, %v, stopped before %v", st.Running, st.Cause, st.Trigger, st.Stops > 0)
}

func (s *scene) runs() {
	for i := range s.m.Info().Cores {
		s.note("core %d runs: %v", i, s.m.State(i).Running)
	}
}

func (s *scene) insert(core int, k target.TriggerType, addr uint64) {
	s.note("insert: %s", refused(s.to.InsertTrigger(s.ctx, core, target.Trigger{Type: k, Addr: addr})))
}

func (s *scene) remove(core int, k target.TriggerType, addr uint64) {
	s.note("remove: %s", refused(s.to.RemoveTrigger(s.ctx, core, target.Trigger{Type: k, Addr: addr})))
}

// has is what triggers the machine has.
func (s *scene) has() {
	for i := range s.m.Info().Cores {
		list := s.m.Triggers(i)
		slices.SortFunc(list, func(a, b target.Trigger) int { return int(a.Addr) - int(b.Addr) })
		s.note("triggers of core %d: %v", i, list)
	}
}

func (s *scene) goes(core int) { s.note("go: %s", refused(s.to.Go(s.ctx, core))) }
func (s *scene) stop(core int) { s.note("stop: %s", refused(s.to.Stop(s.ctx, core))) }
func (s *scene) step(core int) { s.note("step: %s", refused(s.to.Step(s.ctx, core))) }

func (s *scene) reset(class int, halt bool) {
	s.note("reset: %s", refused(s.to.(target.Resetter).Reset(s.ctx, class, halt)))
}

var scenes = map[string]func(s *scene){
	"read a word":       func(s *scene) { s.read(target.Space{}, memtarget.LoopStart, 4) },
	"read 100 bytes":    func(s *scene) { s.read(target.Space{}, memtarget.LoopStart, 100) },
	"read physically":   func(s *scene) { s.read(target.Space{Physical: true}, memtarget.LoopStart, 2) },
	"read at page end":  func(s *scene) { s.read(target.Space{}, pageEnd-3, 6) },
	"read nothing":      func(s *scene) { s.read(target.Space{}, memtarget.Unmapped, 2) },
	"write a word":      func(s *scene) { s.write(scratch, 4); s.is(scratch-4, 12) },
	"write at page end": func(s *scene) { s.write(pageEnd-2, 4); s.is(pageEnd-2, 4) },
	"write to nothing":  func(s *scene) { s.write(memtarget.Unmapped, 4) },
	"read while it runs": func(s *scene) {
		s.goes(0)
		for range 2 {
			s.m.Run(20)
			s.read(target.Space{}, memtarget.LoopCounter, 1)
		}
		s.note("%d stops", s.m.State(0).Stops)
	},
	"read a register": func(s *scene) {
		s.setRegister(0, 4, 0x44332211)
		s.register(0, 4)
	},
	"write a register": func(s *scene) {
		s.note("write: %s", refused(s.to.WriteRegister(s.ctx, 0, 4, []byte{1, 2, 3, 4})))
		s.holds(0, 4)
		s.holds(0, 5)
		s.register(0, 4)
	},
	"write a register that is fixed": func(s *scene) {
		for _, r := range s.m.Info().Cores[0].Registers {
			if r.Group == len(s.m.Info().Cores[0].Groups)-1 {
				s.note("write: %s", refused(s.to.WriteRegister(s.ctx, 0, r.Number, []byte{1, 2, 3, 4})))
				return
			}
		}
	},
	"read a register while it runs": func(s *scene) { s.goes(0); s.m.Run(5); s.register(0, pcNumber); s.runs() },
	"step":                          func(s *scene) { s.register(0, pcNumber); s.step(0); s.register(0, pcNumber); s.state(0); s.runs() },
	"step while it runs":            func(s *scene) { s.goes(0); s.m.Run(5); s.step(0); s.runs() },
	"go":                            func(s *scene) { s.goes(0); s.runs() },
	"ask while it runs":             func(s *scene) { s.goes(0); s.state(0) },
	"stop":                          func(s *scene) { s.goes(0); s.m.Run(5); s.stop(0); s.state(0); s.runs() },
	"pause from elsewhere":          func(s *scene) { s.goes(0); s.m.PauseElsewhere(); s.state(0) },
	"resume from elsewhere":         func(s *scene) { s.state(0); s.m.ResumeElsewhere(); s.state(0) },
	"ask twice": func(s *scene) {
		s.goes(0)
		s.m.Run(5)
		s.stop(0)
		var reports target.Reports
		for range 3 {
			s.note("told: %v", reports.Take(0, s.to.State(0)))
		}
	},
	"breakpoint": func(s *scene) {
		s.insert(0, target.Exec, loopStore)
		for range 2 {
			s.goes(0)
			s.m.Run(20)
			s.state(0)
			s.holds(0, pcNumber)
			s.step(0)
		}
		s.remove(0, target.Exec, loopStore)
		s.has()
	},
	"breakpoint in memory": func(s *scene) { s.insert(0, target.Exec, scratch+1); s.read(target.Space{}, scratch, 4) },
	"breakpoint twice": func(s *scene) {
		s.insert(0, target.Exec, loopStore)
		s.insert(0, target.Exec, loopStore)
		s.remove(0, target.Exec, loopStore)
		s.has()
	},
	"remove what is not there": func(s *scene) { s.remove(0, target.Write, scratch) },
	"seventeen triggers": func(s *scene) {
		for i := range uint64(17) {
			s.insert(0, target.Exec, scratch+4*i)
		}
	},
	"read watchpoint":   func(s *scene) { s.watch(target.Read) },
	"write watchpoint":  func(s *scene) { s.watch(target.Write) },
	"access watchpoint": func(s *scene) { s.watch(target.Access) },

	"registers of core 1": func(s *scene) { s.setRegister(1, 4, 7); s.register(1, 4) },
	"states of cores":     func(s *scene) { s.goes(1); s.state(0); s.state(1) },
	"step of core 1":      func(s *scene) { s.step(1); s.holds(0, pcNumber); s.holds(1, pcNumber) },
	"go of core 1":        func(s *scene) { s.goes(1); s.runs() },
	"go of all":           func(s *scene) { s.goes(target.AllCores); s.runs() },
	"stop of core 1":      func(s *scene) { s.start(); s.stop(1); s.runs() },
	"stop of all":         func(s *scene) { s.start(); s.stop(target.AllCores); s.runs() },
	"step of all":         func(s *scene) { s.step(target.AllCores); s.holds(0, pcNumber); s.holds(1, pcNumber) },
	"hit of core 1": func(s *scene) {
		s.insert(1, target.Exec, loopStore)
		s.goes(1)
		s.m.Run(20)
		s.state(0)
		s.state(1)
	},
	"trigger of core 1": func(s *scene) { s.insert(1, target.Write, scratch); s.has() },

	"reset": func(s *scene) {
		s.m.Run(1)
		s.step(0)
		s.reset(0, false)
		s.holds(0, pcNumber)
		s.runs()
	},
	"reset while it runs":    func(s *scene) { s.start(); s.m.Run(9); s.reset(0, false); s.holds(0, pcNumber); s.runs() },
	"reset and halt":         func(s *scene) { s.start(); s.reset(0, true); s.runs() },
	"reset with triggers":    func(s *scene) { s.insert(0, target.Exec, scratch); s.reset(0, false); s.has() },
	"reset of another class": func(s *scene) { s.reset(1, false) },
	"kill": func(s *scene) {
		s.note("kill: %s", refused(s.to.(target.Killer).Kill(s.ctx)))
		s.note("ended: %v", s.m.Err() != nil)
	},
	"close": func(s *scene) {
		s.insert(0, target.Exec, scratch)
		s.note("%s", refused(s.to.RemoveTriggers(s.ctx, target.AllCores)))
		s.has()
		s.goes(target.AllCores)
		s.runs()
	},

	"description": func(s *scene) {
		i := s.to.Info()
		s.note("%s %s, big endian %v, %v", i.Program, i.Machine, i.BigEndian, i.ResetClasses)
		for _, c := range i.Cores {
			s.note("%s %v", c.Type, c.AddressSpaces)
		}
	},
	"registers": func(s *scene) {
		for _, r := range s.to.Info().Cores[0].Registers {
			s.note("%v", r)
		}
	},
}

func (s *scene) write(addr uint64, n int) {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i + 1)
	}
	s.note("write: %s", refused(s.to.WriteMemory(s.ctx, 0, target.Space{}, addr, p)))
}

func (s *scene) setRegister(core, number int, v uint32) {
	if err := s.m.WriteRegister(s.ctx, core, number, []byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)}); err != nil {
		s.t.Fatal(err)
	}
}

// start lets all cores run behind the fault's back.
func (s *scene) start() {
	if err := s.m.Go(s.ctx, target.AllCores); err != nil {
		s.t.Fatal(err)
	}
}

// watch stops at the accesses of one pass of the loop.
func (s *scene) watch(k target.TriggerType) {
	s.insert(0, k, memtarget.LoopCounter)
	for range 2 {
		s.goes(0)
		s.m.Run(20)
		s.state(0)
		s.holds(0, pcNumber)
	}
	s.remove(0, k, memtarget.LoopCounter)
	s.has()
}

// play plays every scene, each on a machine of its own.
func play(t *testing.T, wrap func(target.Target) target.Target) map[string][]string {
	t.Helper()
	notes := make(map[string][]string)
	for name, do := range scenes {
		cfg := memtarget.ARMLoop()
		cfg.Manual, cfg.Cores = true, 2
		m := memtarget.New(cfg)
		ctx := t.Context()
		for i := range 128 { // something to read
			if err := m.WriteMemory(ctx, 0, target.Space{}, pageEnd-64+uint64(i), []byte{byte(i + 1)}); err != nil {
				t.Fatal(err)
			}
		}
		// The bus looks different from the core's view.
		var to target.Target = &altered{Target: m, readMemory: func(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
			err := m.ReadMemory(ctx, core, target.Space{}, addr, p)
			for i := range p {
				if space.Physical {
					p[i] = ^p[i]
				}
			}
			return err
		}}
		if wrap != nil {
			to = wrap(to)
		}
		s := &scene{t: t, ctx: ctx, to: to, m: m}
		do(s)
		notes[name] = s.notes
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	return notes
}

// changed are the scenes that each fault changes; in all others the machine is as it was.
var changed = map[string][]string{
	"memory-reads-zeros":              {"read 100 bytes", "read a word", "read at page end", "read physically", "read while it runs"},
	"memory-byte-order":               {"read 100 bytes", "read a word", "read at page end", "write a word", "write at page end"},
	"memory-off-by-one":               {"read 100 bytes", "read a word", "read at page end", "read physically", "read while it runs", "write a word", "write at page end"},
	"memory-long-read-repeats":        {"read 100 bytes"},
	"memory-stale":                    {"read while it runs"},
	"memory-read-stops":               {"read while it runs"},
	"memory-write-ignored":            {"write a word", "write at page end"},
	"memory-write-spills":             {"write a word"},
	"memory-write-cut":                {"write at page end"},
	"memory-read-cut":                 {"read at page end"},
	"unmapped-reads-zeros":            {"read nothing"},
	"unmapped-write-succeeds":         {"write to nothing"},
	"memory-spaces-swapped":           {"breakpoint in memory", "read 100 bytes", "read a word", "read at page end", "read physically", "read while it runs"},
	"register-byte-order":             {"read a register", "read a register while it runs", "registers of core 1", "step", "write a register"},
	"register-stale-after-step":       {"step"},
	"register-stale-after-write":      {"write a register"},
	"register-write-ignored":          {"write a register", "write a register that is fixed"},
	"register-write-spills":           {"write a register"},
	"register-write-cut":              {"write a register"},
	"register-write-refused-silently": {"write a register that is fixed"},
	"register-read-stops":             {"read a register while it runs"},
	"register-size":                   {"registers"},
	"register-id-shifted":             {"registers"},
	"register-group":                  {"registers"},
	"register-missing":                {"registers"},
	"core-missing":                    {"description"},
	"core-invented":                   {"description"},
	"core-type":                       {"description"},
	"endianness":                      {"description"},
	"stop-does-not-stop":              {"stop", "stop of all", "stop of core 1"},
	"go-does-not-go":                  {"access watchpoint", "ask twice", "ask while it runs", "breakpoint", "close", "go", "go of all", "go of core 1", "hit of core 1", "pause from elsewhere", "read a register while it runs", "read watchpoint", "read while it runs", "states of cores", "step while it runs", "stop", "write watchpoint"},
	"step-of-two":                     {"step", "step of all", "step of core 1"},
	"step-of-zero":                    {"step", "step of all", "step of core 1"},
	"step-runs":                       {"reset", "step", "step of all", "step of core 1", "step while it runs"},
	"step-stops":                      {"step while it runs"},
	"running-while-standing":          {"ask twice", "stop"},
	"standing-while-running":          {"ask while it runs", "resume from elsewhere", "states of cores"},
	"pause-unnoticed":                 {"pause from elsewhere"},
	"resume-unnoticed":                {"resume from elsewhere"},
	"step-called-breakpoint":          {"step"},
	"breakpoint-called-stop":          {"breakpoint", "hit of core 1"},
	"state-reported-twice":            {"ask twice"},
	"state-never-reported":            {"access watchpoint", "ask twice", "breakpoint", "hit of core 1", "pause from elsewhere", "read watchpoint", "step", "stop", "write watchpoint"},
	"trigger-left-behind":             {"access watchpoint", "breakpoint", "breakpoint twice", "read watchpoint", "write watchpoint"},
	"breakpoint-not-inserted":         {"breakpoint", "breakpoint twice", "hit of core 1", "reset with triggers", "seventeen triggers"},
	"breakpoint-late":                 {"breakpoint"},
	"breakpoint-fires-once":           {"breakpoint"},
	"breakpoint-shows-in-memory":      {"breakpoint in memory"},
	"absent-removal-succeeds":         {"remove what is not there"},
	"duplicates-count-once":           {"breakpoint twice"},
	"too-many-triggers":               {"seventeen triggers"},
	"watchpoint-kinds-swapped":        {"read watchpoint", "trigger of core 1", "write watchpoint"},
	"watchpoint-type-reported":        {"read watchpoint", "write watchpoint"},
	"watchpoint-address-off":          {"access watchpoint", "read watchpoint", "trigger of core 1", "write watchpoint"},
	"watchpoint-address-reported":     {"access watchpoint", "read watchpoint", "write watchpoint"},
	"watchpoint-early":                {"access watchpoint", "read watchpoint", "write watchpoint"},
	"watchpoint-ignored":              {"access watchpoint", "read watchpoint", "trigger of core 1", "write watchpoint"},
	"watchpoint-access-reads-only":    {"access watchpoint"},
	"registers-of-core-0":             {"registers of core 1"},
	"state-of-core-0":                 {"hit of core 1", "states of cores"},
	"steps-other-core":                {"step", "step of core 1", "step while it runs"},
	"step-moves-others":               {"step of core 1"},
	"global-go-of-core-0":             {"close", "go of all"},
	"global-stop-of-core-0":           {"stop of all"},
	"global-step-of-core-0":           {"step of all"},
	"go-of-all":                       {"go", "go of core 1", "hit of core 1", "read a register while it runs", "states of cores", "step while it runs", "stop"},
	"stop-of-all":                     {"stop of core 1"},
	"hit-on-other-core":               {"access watchpoint", "breakpoint", "hit of core 1", "read watchpoint", "write watchpoint"},
	"triggers-on-all-cores":           {"breakpoint twice", "reset with triggers", "trigger of core 1"},
	"triggers-on-core-0":              {"hit of core 1", "trigger of core 1"},
	"reset-does-nothing":              {"reset", "reset and halt", "reset while it runs"},
	"reset-starts":                    {"reset"},
	"reset-stops":                     {"reset while it runs"},
	"reset-drops-triggers":            {"reset with triggers"},
	"reset-never-halts":               {"reset and halt"},
	"reset-class-without-effect":      {"description", "reset of another class"},
	"close-leaves-triggers":           {"close"},
	"close-does-not-run":              {"close"},
	"kill-does-not-kill":              {"kill"},
}

func TestTargetFaults(t *testing.T) {
	honest := play(t, nil)
	if diff := cmp.Diff(honest, play(t, func(t target.Target) target.Target { return &altered{Target: t} })); diff != "" {
		t.Fatalf("a Target without a fault is changed (-without +with):\n%s", diff)
	}
	for _, f := range Catalogue {
		if f.WrapTarget == nil {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			got := play(t, f.WrapTarget)
			var differ []string
			for _, name := range slices.Sorted(maps.Keys(scenes)) {
				if !slices.Equal(honest[name], got[name]) {
					differ = append(differ, name)
				}
			}
			want := slices.Sorted(slices.Values(changed[f.Name]))
			if diff := cmp.Diff(want, differ); diff != "" {
				t.Errorf("%s: the scenes that it changes (-want +got):\n%s", f.Meaning, diff)
				for _, name := range differ {
					t.Logf("%s (-without +with):\n%s", name, cmp.Diff(honest[name], got[name]))
				}
			}
		})
	}
}
