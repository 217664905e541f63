// SPDX-License-Identifier: Apache-2.0

package memtarget

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mcdtest/stub/target"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func loop(t *testing.T, change func(*Config)) *Machine {
	t.Helper()
	cfg := ARMLoop()
	if change != nil {
		change(&cfg)
	}
	m := New(cfg)
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return m
}

func manual(c *Config) { c.Manual = true }

func pc(t *testing.T, m *Machine, core int) uint64 {
	t.Helper()
	return register(t, m, core, armPC)
}

func register(t *testing.T, m *Machine, core, number int) uint64 {
	t.Helper()
	p, err := m.ReadRegister(t.Context(), core, number, nil)
	if err != nil {
		t.Fatal(err)
	}
	return uint64(binary.LittleEndian.Uint32(p))
}

func word(t *testing.T, m *Machine, addr uint64) uint32 {
	t.Helper()
	var p [4]byte
	if err := m.ReadMemory(t.Context(), 0, target.Space{}, addr, p[:]); err != nil {
		t.Fatal(err)
	}
	return binary.LittleEndian.Uint32(p[:])
}

// eventually polls f, without a fixed wait, until it holds.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10 s for %s", what)
		}
		runtime.Gosched()
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLoopRuns(t *testing.T) {
	m := loop(t, nil)
	if s := m.State(0); s != (target.State{Cause: target.CauseBoot}) {
		t.Fatalf("a new machine is %+v", s)
	}
	must(t, m.Go(t.Context(), 0))
	eventually(t, "the counter to grow", func() bool { return word(t, m, LoopCounter) > 1000 })
	must(t, m.Stop(t.Context(), 0))
	if s := m.State(0); s.Running || s.Cause != target.CauseStop || s.Stops != 1 {
		t.Errorf("after Stop: %+v", s)
	}
	if a, b := word(t, m, LoopCounter), word(t, m, LoopCounter); a != b {
		t.Errorf("the counter of a stopped machine went from %d to %d", a, b)
	}
}

func TestBreakpointStopsBeforeTheInstruction(t *testing.T) {
	m := loop(t, nil)
	head := target.Trigger{Type: target.Exec, Addr: LoopHead}
	must(t, m.InsertTrigger(t.Context(), 0, head))
	for n := range uint32(5) {
		must(t, m.Go(t.Context(), 0))
		eventually(t, "the breakpoint", func() bool { return !m.State(0).Running })
		s := m.State(0)
		if s.Cause != target.CauseBreakpoint || s.Trigger != head || pc(t, m, 0) != LoopHead {
			t.Fatalf("hit %d: %+v at %#x", n, s, pc(t, m, 0))
		}
		if c := word(t, m, LoopCounter); c != n {
			t.Errorf("hit %d with counter %d", n, c)
		}
		// From the breakpoint itself the machine does not get away.
		must(t, m.Go(t.Context(), 0))
		if s := m.State(0); s.Running || s.Cause != target.CauseBreakpoint {
			t.Fatalf("go from the breakpoint: %+v", s)
		}
		must(t, m.Step(t.Context(), 0))
	}
}

func TestWatchpointsStopAfterTheAccess(t *testing.T) {
	for _, test := range []struct {
		kind target.TriggerType
		addr uint64
		pcs  []uint64
	}{
		{target.Read, LoopCounter, []uint64{LoopSum, LoopSum}},
		{target.Write, LoopCounter, []uint64{LoopLoad, LoopLoad}},
		{target.Access, LoopCounter, []uint64{LoopLoad, LoopSum, LoopLoad}},
		{target.Write, LoopCounter + 3, []uint64{LoopLoad}},
		{target.Write, LoopCounter - 3, []uint64{LoopLoad}},
	} {
		m := loop(t, manual)
		trigger := target.Trigger{Type: test.kind, Addr: test.addr}
		must(t, m.InsertTrigger(t.Context(), 0, trigger))
		for i, want := range test.pcs {
			must(t, m.Go(t.Context(), 0))
			m.Run(100)
			s := m.State(0)
			if s.Cause != target.CauseWatchpoint || s.Trigger != trigger || pc(t, m, 0) != want {
				t.Errorf("%v, hit %d: %+v at %#x, want it at %#x", trigger, i, s, pc(t, m, 0), want)
			}
		}
	}
	m := loop(t, manual)
	must(t, m.InsertTrigger(t.Context(), 0, target.Trigger{Type: target.Access, Addr: LoopCounter + 4}))
	must(t, m.Go(t.Context(), 0))
	m.Run(100)
	if s := m.State(0); !s.Running {
		t.Errorf("a watchpoint behind the counter was hit: %+v", s)
	}
}

func TestStepsWalkTheLoop(t *testing.T) {
	m := loop(t, manual)
	for i, want := range []uint64{
		LoopStart + 4, LoopStart + 8, LoopHead, LoopStore, LoopLoad, LoopSum, LoopBranch, LoopHead, LoopStore,
	} {
		must(t, m.Step(t.Context(), 0))
		if s := m.State(0); s.Cause != target.CauseStep || s.Stops != uint64(i+1) || pc(t, m, 0) != want {
			t.Fatalf("step %d: %+v at %#x, want %#x", i, s, pc(t, m, 0), want)
		}
	}
	must(t, m.Go(t.Context(), 0))
	if err := m.Step(t.Context(), 0); !errors.Is(err, target.ErrRunning) {
		t.Errorf("a step of a core that runs: %v", err)
	}
}

func TestPatchedCodeIsExecuted(t *testing.T) {
	m := loop(t, manual)
	must(t, m.WriteMemory(t.Context(), 0, target.Space{}, LoopStore, []byte{0x00, 0xf0, 0x20, 0xe3}))
	must(t, m.Go(t.Context(), 0))
	m.Run(1000)
	if c := word(t, m, LoopCounter); c != 0 || register(t, m, 0, 0) < 100 {
		t.Errorf("counter %d, r0 %d: the store was executed although it is a nop now", c, register(t, m, 0, 0))
	}
}

func TestCoresAreControlledApart(t *testing.T) {
	m := loop(t, func(c *Config) { c.Cores = 3; c.Manual = true })
	must(t, m.Go(t.Context(), 1))
	must(t, m.InsertTrigger(t.Context(), 2, target.Trigger{Type: target.Exec, Addr: LoopHead}))
	m.Run(100)
	if m.State(0).Running || !m.State(1).Running || m.State(2).Running {
		t.Errorf("states %+v %+v %+v", m.State(0), m.State(1), m.State(2))
	}
	if pc(t, m, 0) != LoopStart || pc(t, m, 2) != LoopStart || register(t, m, 1, 0) == 0 {
		t.Errorf("pcs %#x %#x %#x", pc(t, m, 0), pc(t, m, 1), pc(t, m, 2))
	}
	must(t, m.Go(t.Context(), target.AllCores))
	m.Run(100)
	if !m.State(0).Running || !m.State(1).Running || m.State(2).Cause != target.CauseBreakpoint {
		t.Errorf("states %+v %+v %+v", m.State(0), m.State(1), m.State(2))
	}
}

func TestPausedElsewhere(t *testing.T) {
	m := loop(t, manual)
	m.PauseElsewhere()
	if s := m.State(0); s.Cause != target.CauseBoot {
		t.Errorf("a pause of a machine that stands: %+v", s)
	}
	must(t, m.Go(t.Context(), 0))
	m.PauseElsewhere()
	if s := m.State(0); s.Running || s.Cause != target.CauseElsewhere || s.Stops != 1 {
		t.Errorf("after a pause: %+v", s)
	}
	m.ResumeElsewhere()
	if s := m.State(0); !s.Running || s.Cause != target.CauseNone {
		t.Errorf("after the pause: %+v", s)
	}
}

func TestReset(t *testing.T) {
	m := loop(t, func(c *Config) { c.Cores = 2; c.Manual = true })
	must(t, m.Go(t.Context(), 1))
	m.Run(100)
	must(t, m.Step(t.Context(), 0))
	must(t, m.WriteMemory(t.Context(), 0, target.Space{}, LoopScratch, []byte{1}))
	must(t, m.Reset(t.Context(), 0, false))
	if s := m.State(0); s != (target.State{Cause: target.CauseBoot, Stops: 1, Moot: true}) || pc(t, m, 0) != LoopStart {
		t.Errorf("the core that stood: %+v at %#x", s, pc(t, m, 0))
	}
	if s := m.State(1); !s.Running || pc(t, m, 1) != LoopStart {
		t.Errorf("the core that ran: %+v at %#x", s, pc(t, m, 1))
	}
	if c := word(t, m, LoopCounter); c != 0 {
		t.Errorf("counter %d", c)
	}
	if c := word(t, m, LoopScratch); c != 1 {
		t.Errorf("scratch %d", c)
	}
	must(t, m.Reset(t.Context(), 0, true))
	if s := m.State(1); s != (target.State{Cause: target.CauseBoot, Stops: 1}) {
		t.Errorf("the core that ran, with halt: %+v", s)
	}
	if err := m.Reset(t.Context(), 1, false); !errors.Is(err, target.ErrNoResetClass) {
		t.Errorf("class 1: %v", err)
	}
}

func TestMemoryIsWholeOrRefused(t *testing.T) {
	m := loop(t, func(c *Config) { c.Secure = true })
	logical, physical := target.Space{}, target.Space{Physical: true}
	secure, securePhysical := target.Space{AddressSpace: 1}, target.Space{AddressSpace: 1, Physical: true}
	end := uint64(RAMStart + RAMSize)
	for _, test := range []struct {
		name  string
		space target.Space
		addr  uint64
		n     int
		want  error
	}{
		{"RAM", logical, RAMStart, 112, nil},
		{"across a page", logical, RAMStart + 4093, 9, nil},
		{"up to the end", physical, end - 4, 4, nil},
		{"across the end", physical, end - 4, 5, target.ErrUnmapped},
		{"nothing at all", logical, Unmapped, 0, nil},
		{"a hole", logical, Unmapped, 1, target.ErrUnmapped},
		{"across the end of the address space", logical, ^uint64(0), 2, target.ErrUnmapped},
		{"no such space", target.Space{AddressSpace: 2}, RAMStart, 1, target.ErrNoSpace},
		{"negative space", target.Space{AddressSpace: -1}, RAMStart, 1, target.ErrNoSpace},
		{"secure RAM from the bus", physical, SecureStart, 112, target.ErrUnmapped},
		{"secure RAM from the secure bus", securePhysical, SecureStart, 112, nil},
		{"secure RAM as the core sees it", logical, SecureStart, 112, nil},
		{"secure RAM in the secure space", secure, SecureStart, 112, nil},
		{"flash", logical, 0, 4, target.ErrNotTaken},
	} {
		p := make([]byte, test.n)
		for i := range p {
			p[i] = byte(i + 1)
		}
		if err := m.WriteMemory(t.Context(), 0, test.space, test.addr, p); !errors.Is(err, test.want) {
			t.Errorf("%s, write: %v, want %v", test.name, err, test.want)
		}
		q := make([]byte, test.n)
		err := m.ReadMemory(t.Context(), 0, test.space, test.addr, q)
		if test.want == target.ErrNotTaken {
			test.want = nil
			clear(p)
		}
		if !errors.Is(err, test.want) || err == nil && string(p) != string(q) {
			t.Errorf("%s, read: % x, %v, want % x, %v", test.name, q, err, p, test.want)
		}
	}
	m.SetSecure(0, false)
	if err := m.ReadMemory(t.Context(), 0, secure, RAMStart, make([]byte, 4)); !errors.Is(err, target.ErrUnreachable) {
		t.Errorf("the secure space from the normal world: %v", err)
	}
	if err := m.ReadMemory(t.Context(), 0, logical, SecureStart, make([]byte, 4)); !errors.Is(err, target.ErrUnmapped) {
		t.Errorf("secure RAM from the normal world: %v", err)
	}
	if err := m.ReadMemory(t.Context(), 1, logical, RAMStart, make([]byte, 4)); !errors.Is(err, target.ErrNoCore) {
		t.Errorf("core 1: %v", err)
	}
}

func TestMemoryAtTheEndOfTheAddressSpace(t *testing.T) {
	m := New(Config{Memory: []Region{{Start: 0, Size: 16}, {Start: 1<<64 - 16, Size: 16}}})
	defer m.Close()
	if err := m.WriteMemory(t.Context(), 0, target.Space{}, 1<<64-16, make([]byte, 16)); err != nil {
		t.Errorf("the last 16 bytes: %v", err)
	}
	if err := m.WriteMemory(t.Context(), 0, target.Space{}, 1<<64-16, make([]byte, 17)); !errors.Is(err, target.ErrUnmapped) {
		t.Errorf("the last 16 bytes and the first: %v", err)
	}
}

func TestRegisters(t *testing.T) {
	m := loop(t, nil)
	for _, r := range m.Info().Cores[0].Registers {
		p, err := m.ReadRegister(t.Context(), 0, r.Number, nil)
		if err != nil || len(p) != r.Bytes() {
			t.Fatalf("%s: %d bytes, %v", r.Name, len(p), err)
		}
		for i := range p {
			p[i] = byte(0x80 + r.Number + i)
		}
		err = m.WriteRegister(t.Context(), 0, r.Number, p)
		if fixed := m.Info().Cores[0].Groups[r.Group].Name == armSystemFeature; fixed != errors.Is(err, target.ErrNotTaken) {
			t.Errorf("write %s: %v", r.Name, err)
			continue
		} else if fixed {
			continue
		}
		if q, _ := m.ReadRegister(t.Context(), 0, r.Number, nil); string(p) != string(q) {
			t.Errorf("%s: % x, want % x", r.Name, q, p)
		}
		if err := m.WriteRegister(t.Context(), 0, r.Number, p[1:]); !errors.Is(err, target.ErrSize) {
			t.Errorf("write %s too short: %v", r.Name, err)
		}
	}
	for _, n := range []int{-1, 16, 999} {
		if _, err := m.ReadRegister(t.Context(), 0, n, nil); !errors.Is(err, target.ErrNoRegister) {
			t.Errorf("read %d: %v", n, err)
		}
		if err := m.WriteRegister(t.Context(), 0, n, make([]byte, 4)); !errors.Is(err, target.ErrNoRegister) {
			t.Errorf("write %d: %v", n, err)
		}
	}
}

func TestTriggersAreCounted(t *testing.T) {
	m := loop(t, nil)
	ctx := t.Context()
	a := target.Trigger{Type: target.Exec, Addr: LoopHead}
	for range 16 {
		must(t, m.InsertTrigger(ctx, 0, a))
	}
	if err := m.InsertTrigger(ctx, 0, a); !errors.Is(err, target.ErrTriggersFull) {
		t.Errorf("the seventeenth: %v", err)
	}
	must(t, m.RemoveTrigger(ctx, 0, a))
	must(t, m.RemoveTriggers(ctx, target.AllCores))
	if err := m.RemoveTrigger(ctx, 0, a); !errors.Is(err, target.ErrNoTrigger) {
		t.Errorf("remove after all were removed: %v", err)
	}
	if err := m.InsertTrigger(ctx, 0, target.Trigger{Type: 5}); !errors.Is(err, target.ErrBadTrigger) {
		t.Errorf("type 5: %v", err)
	}
	if m.cores[0].exec != 0 {
		t.Errorf("%d execution breakpoints are counted, none are there", m.cores[0].exec)
	}
}

func TestTheEnd(t *testing.T) {
	m := loop(t, nil)
	must(t, m.Go(t.Context(), 0))
	if err := m.Err(); err != nil {
		t.Errorf("a live machine has the error %v", err)
	}
	must(t, m.Kill(context.Background()))
	<-m.Done()
	for name, err := range map[string]error{
		"Err":    m.Err(),
		"Go":     m.Go(t.Context(), 0),
		"Stop":   m.Stop(t.Context(), target.AllCores),
		"Step":   m.Step(t.Context(), 0),
		"Reset":  m.Reset(t.Context(), 0, false),
		"Read":   m.ReadMemory(t.Context(), 0, target.Space{}, RAMStart, make([]byte, 1)),
		"Write":  m.WriteMemory(t.Context(), 0, target.Space{}, RAMStart, make([]byte, 1)),
		"Insert": m.InsertTrigger(t.Context(), 0, target.Trigger{Type: target.Exec}),
		"Remove": m.RemoveTrigger(t.Context(), 0, target.Trigger{Type: target.Exec}),
	} {
		if !errors.Is(err, target.ErrGone) {
			t.Errorf("%s after the end: %v", name, err)
		}
	}
	if s := m.State(0); s.Running || s.Cause != target.CauseUnknown {
		t.Errorf("state after the end: %+v", s)
	}
}

func TestRISCV64(t *testing.T) {
	m := New(RISCV64())
	defer m.Close()
	must(t, m.Step(t.Context(), 0))
	p, err := m.ReadRegister(t.Context(), 0, 32, nil)
	if err != nil || binary.LittleEndian.Uint64(p) != 0x1004 {
		t.Errorf("pc % x, %v", p, err)
	}
}

func BenchmarkNew(b *testing.B) {
	cfg := ARMLoop()
	b.ReportAllocs()
	for b.Loop() {
		New(cfg)
	}
}

func BenchmarkInstructions(b *testing.B) {
	cfg := ARMLoop()
	cfg.Manual = true
	m := New(cfg)
	if err := m.Go(context.Background(), 0); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	m.Run(b.N)
}
