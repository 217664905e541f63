// SPDX-License-Identifier: Apache-2.0

package gdbtarget_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mcdtest/guest"
	"mcdtest/stub/target"
)

var architectures = []string{"arm", "aarch64", "riscv32", "riscv64", "i386", "x86_64"}

var (
	logical  = target.Space{}
	physical = target.Space{Physical: true}
)

// eachArch runs a test on every architecture.
func eachArch(t *testing.T, cfg rigConfig, f func(t *testing.T, r *rig)) {
	for _, arch := range architectures {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			cfg := cfg
			cfg.arch = arch
			f(t, startQEMU(t, cfg))
		})
	}
}

func (r *rig) pc(t testing.TB, core int) uint64 {
	t.Helper()
	for _, reg := range r.Info().Cores[core].Registers {
		if reg.Name == r.guest.PCRegister().Name {
			return r.register(t, core, reg)
		}
	}
	t.Fatalf("core %d has no %s", core, r.guest.PCRegister().Name)
	return 0
}

func (r *rig) register(t testing.TB, core int, reg target.Register) uint64 {
	t.Helper()
	p, err := r.ReadRegister(deadline(t), core, reg.Number, nil)
	must(t, err)
	var wide [8]byte
	copy(wide[:], p)
	return binary.LittleEndian.Uint64(wide[:])
}

func (r *rig) counter(t testing.TB) uint32 {
	t.Helper()
	var p [4]byte
	must(t, r.ReadMemory(deadline(t), 0, logical, r.guest.Addr("counter"), p[:]))
	return binary.LittleEndian.Uint32(p[:])
}

// atLoop runs the guest to its loop head with a breakpoint, and takes the breakpoint out.
func (r *rig) atLoop(t testing.TB) {
	t.Helper()
	tr := target.Trigger{Type: target.Exec, Addr: r.guest.Addr("loop")}
	must(t, r.InsertTrigger(deadline(t), 0, tr))
	must(t, r.Go(deadline(t), target.AllCores))
	if s := r.waitStopped(t, 0); s.Cause != target.CauseBreakpoint || s.Trigger != tr {
		t.Fatalf("core 0 stands with %+v", s)
	}
	must(t, r.RemoveTrigger(deadline(t), 0, tr))
}

// absent reports whether the architecture has no such register although QEMU's description lists it: a 64-bit RISC-V
// has only the even pmpcfg registers.
func absent(r *rig, reg target.Register) bool {
	return r.guest.Arch == "riscv64" && (reg.Name == "pmpcfg1" || reg.Name == "pmpcfg3")
}

func TestBoot(t *testing.T) {
	eachArch(t, rigConfig{}, func(t *testing.T, r *rig) {
		if s := r.State(0); s.Running || s.Cause != target.CauseBoot || s.Stops != 0 {
			t.Errorf("state before the first go: %+v", s)
		}
		info := r.Info()
		core := info.Cores[0]
		if info.Arch != r.guest.Arch || len(info.Cores) != 1 || !strings.Contains(core.Type, "-cpu") {
			t.Errorf("described as %s with %d cores of %s", info.Arch, len(info.Cores), core.Type)
		}
		if core.AddressSpaces[0].Root != "system" || core.AddressSpaces[0].Name != "cpu-memory-0" {
			t.Errorf("address spaces: %+v", core.AddressSpaces)
		}
		// Every register of the description exists and has the size that it says.
		for _, reg := range core.Registers {
			if _, err := r.ReadRegister(deadline(t), 0, reg.Number, nil); err != nil && !(errors.Is(err, target.ErrUnreachable) && absent(r, reg)) {
				t.Error(err)
			}
		}
		t.Logf("%s: %d registers in %v", core.Type, len(core.Registers), core.Groups)
	})
}

func TestLoopScenario(t *testing.T) {
	eachArch(t, rigConfig{}, func(t *testing.T, r *rig) {
		ctx := deadline(t)
		r.atLoop(t)
		if pc := r.pc(t, 0); pc != r.guest.Addr("loop") {
			t.Fatalf("pc is %#x at the loop head %#x", pc, r.guest.Addr("loop"))
		}
		if got := r.runState(t); got != "debug" {
			t.Errorf("QMP says %s at a breakpoint", got)
		}
		// Steps walk the labels.
		labels := r.guest.Labels()
		for _, label := range append(labels[1:], labels[0]) {
			must(t, r.Step(ctx, 0))
			if pc := r.pc(t, 0); pc != r.guest.Addr(label) {
				t.Fatalf("a step ends at %#x, %s is %#x", pc, label, r.guest.Addr(label))
			}
			if s := r.State(0); s.Cause != target.CauseStep {
				t.Fatalf("after a step: %+v", s)
			}
		}
		// N hits make N increments.
		before := r.counter(t)
		tr := target.Trigger{Type: target.Exec, Addr: r.guest.Addr("loop")}
		must(t, r.InsertTrigger(ctx, 0, tr))
		for range 5 {
			must(t, r.Step(ctx, 0))
			must(t, r.Go(ctx, 0))
			r.waitStopped(t, 0)
		}
		if after := r.counter(t); after-before != 5 {
			t.Errorf("5 hits made %d increments", after-before)
		}
		must(t, r.RemoveTriggers(ctx, target.AllCores))
		// It runs, is seen growing without a stop, and stands when stopped.
		must(t, r.Go(ctx, target.AllCores))
		if got := r.runState(t); got != "running" {
			t.Errorf("QMP says %s after go", got)
		}
		first := r.counter(t)
		until(t, "the counter grows", func() (bool, string) {
			now := r.counter(t)
			return now != first, fmt.Sprint(now)
		})
		if got := r.runState(t); got != "running" {
			t.Errorf("QMP says %s after reads", got)
		}
		must(t, r.Stop(ctx, 0))
		if s := r.State(0); s.Running || s.Cause != target.CauseStop {
			t.Errorf("after stop: %+v", s)
		}
		if got := r.runState(t); got != "paused" {
			t.Errorf("QMP says %s after stop", got)
		}
		a := r.hmpWord(t, r.guest.Addr("counter_phys"))
		b := r.counter(t)
		if a != b {
			t.Errorf("the monitor sees %d, the Target %d", a, b)
		}
		// A patched variable is what the loop goes on from.
		var p [4]byte
		binary.LittleEndian.PutUint32(p[:], 0x1000)
		must(t, r.WriteMemory(ctx, 0, logical, r.guest.Addr("counter"), p[:]))
		if got := r.hmpWord(t, r.guest.Addr("counter_phys")); got != 0x1000 {
			t.Errorf("the monitor sees %#x after a write of 0x1000", got)
		}
	})
}

func TestWatchpoints(t *testing.T) {
	eachArch(t, rigConfig{}, func(t *testing.T, r *rig) {
		ctx := deadline(t)
		r.atLoop(t)
		counter := r.guest.Addr("counter")
		for _, c := range []struct {
			kind target.TriggerType
			pc   []string // where it stops, in turn
		}{
			{target.Write, []string{"after_store", "after_store"}},
			{target.Read, []string{"after_load", "after_load"}},
			{target.Access, []string{"after_store", "after_load"}},
		} {
			tr := target.Trigger{Type: c.kind, Addr: counter}
			must(t, r.InsertTrigger(ctx, 0, tr))
			for _, label := range c.pc {
				must(t, r.Go(ctx, 0))
				s := r.waitStopped(t, 0)
				if s.Cause != target.CauseWatchpoint || s.Trigger != tr {
					t.Fatalf("%v: core stands with %+v", tr, s)
				}
				if name, off, _ := r.guest.SymbolAt(r.pc(t, 0)); name != label || off != 0 {
					t.Fatalf("%v: pc is %s+%d, not %s", tr, name, off, label)
				}
			}
			must(t, r.RemoveTrigger(ctx, 0, tr))
		}
		// Another address is not watched.
		must(t, r.InsertTrigger(ctx, 0, target.Trigger{Type: target.Access, Addr: r.guest.Addr("untouched")}))
		before := r.counter(t)
		must(t, r.Go(ctx, 0))
		until(t, "the counter grows", func() (bool, string) { now := r.counter(t); return now != before, fmt.Sprint(now) })
		if s := r.State(0); !s.Running {
			t.Errorf("stopped by an address that nothing touches: %+v", s)
		}
	})
}

// Cores that write where only another one has a watchpoint run on, however often QEMU stops for it, or for nothing: on x86 it tells
// of one of two hits, and for the other one it stops later without a reason.
func TestWatchpointsOfOtherCores(t *testing.T) {
	for _, arch := range architectures {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			const cores = 2
			passes := uint32(300)
			if arch == "i386" || arch == "x86_64" {
				passes = 5000 // which takes as long
			}
			r := startQEMU(t, rigConfig{arch: arch, variant: guest.SMP, cores: cores})
			ctx := deadline(t)
			slot := func(core int) uint64 {
				return r.guest.Addr("counter") + uint64(core)*r.guest.Addr("slot_stride")
			}
			counters := func() (list [cores]uint32) {
				var p [4]byte
				for i := range list {
					must(t, r.ReadMemory(ctx, 0, logical, slot(i), p[:]))
					list[i] = binary.LittleEndian.Uint32(p[:])
				}
				return list
			}
			must(t, r.Go(ctx, target.AllCores))
			until(t, "every core counts", func() (bool, string) {
				n := counters()
				return !slices.Contains(n[:], 0), fmt.Sprint(n)
			})
			must(t, r.Stop(ctx, target.AllCores))
			for i := range cores {
				must(t, r.InsertTrigger(ctx, i, target.Trigger{Type: target.Write, Addr: slot((i + 1) % cores)}))
			}
			first := counters()
			must(t, r.Go(ctx, target.AllCores))
			look := time.NewTicker(20 * time.Millisecond) // seldom, as whoever reads memory keeps the cores from each other
			defer look.Stop()
			for n := first; n[0]-first[0] < passes || n[1]-first[1] < passes; n = counters() {
				select {
				case <-look.C:
				case <-ctx.Done():
					t.Fatalf("the cores have counted from %d to %d only", first, n)
				}
				for i := range cores {
					if s := r.State(i); !s.Running {
						t.Fatalf("core %d stands: %+v; counted from %d to %d", i, s, first, n)
					}
				}
			}
		})
	}
}

func TestForeignRunControl(t *testing.T) {
	eachArch(t, rigConfig{}, func(t *testing.T, r *rig) {
		ctx := deadline(t)
		r.atLoop(t)
		tr := target.Trigger{Type: target.Exec, Addr: r.guest.Addr("store")}
		watch := target.Trigger{Type: target.Write, Addr: r.guest.Addr("counter")}
		for round := range 5 {
			must(t, r.qmp.Execute(ctx, "cont", nil, nil))
			until(t, "the core runs after QMP cont", func() (bool, string) { s := r.State(0); return s.Running, fmt.Sprintf("%+v", s) })
			must(t, r.qmp.Execute(ctx, "stop", nil, nil))
			if s := r.waitStopped(t, 0); s.Cause != target.CauseElsewhere {
				t.Fatalf("round %d: after QMP stop: %+v", round, s)
			}
			// own go, foreign stop
			must(t, r.Go(ctx, 0))
			must(t, r.qmp.Execute(ctx, "stop", nil, nil))
			if s := r.waitStopped(t, 0); s.Cause != target.CauseElsewhere {
				t.Fatalf("round %d: after go and QMP stop: %+v", round, s)
			}
			// foreign go, own stop
			must(t, r.qmp.Execute(ctx, "cont", nil, nil))
			until(t, "the core runs after QMP cont", func() (bool, string) { s := r.State(0); return s.Running, fmt.Sprintf("%+v", s) })
			must(t, r.Stop(ctx, 0))
			if s := r.State(0); s.Cause != target.CauseStop {
				t.Fatalf("round %d: QMP cont, then stop: %+v", round, s)
			}
			// foreign go into a breakpoint and a watchpoint
			for _, tr := range []target.Trigger{tr, watch} {
				must(t, r.InsertTrigger(ctx, 0, tr))
				stops := r.State(0).Stops
				must(t, r.qmp.Execute(ctx, "cont", nil, nil))
				until(t, "a trigger is hit after QMP cont", func() (bool, string) {
					s := r.State(0)
					return !s.Running && s.Stops > stops, fmt.Sprintf("%+v", s)
				})
				if s := r.State(0); s.Trigger != tr {
					t.Fatalf("round %d: QMP cont into %v: %+v", round, tr, s)
				}
				must(t, r.RemoveTrigger(ctx, 0, tr))
			}
		}
	})
}

func TestMemory(t *testing.T) {
	for _, noQTest := range []bool{false, true} {
		t.Run(fmt.Sprintf("qtest=%v", !noQTest), func(t *testing.T) {
			eachArch(t, rigConfig{noQTest: noQTest}, func(t *testing.T, r *rig) {
				ctx := deadline(t)
				r.atLoop(t)
				for _, running := range []bool{false, true} {
					if running {
						must(t, r.Go(ctx, 0))
					}
					for _, c := range []struct {
						space   target.Space
						scratch uint64
						bad     uint64
					}{
						{logical, r.guest.Addr("scratch"), r.guest.Addr("unmapped")},
						{physical, r.guest.Addr("scratch_phys"), r.guest.Addr("unmapped_phys")},
					} {
						for _, n := range []int{1, 3, 4, 7, 64, 65, 4096, 5000} {
							p := bytes.Repeat([]byte{0xa5, byte(n)}, n)[:n]
							must(t, r.WriteMemory(ctx, 0, c.space, c.scratch+1, p))
							back := make([]byte, n)
							must(t, r.ReadMemory(ctx, 0, c.space, c.scratch+1, back))
							if !bytes.Equal(p, back) {
								t.Errorf("%v running=%v: %d bytes do not read back", c.space, running, n)
							}
						}
						var four [4]byte
						if err := r.ReadMemory(ctx, 0, c.space, c.bad, four[:]); !errors.Is(err, target.ErrUnmapped) {
							t.Errorf("%v running=%v: read of unmapped memory: %v", c.space, running, err)
						}
						if err := r.WriteMemory(ctx, 0, c.space, c.bad, four[:]); !errors.Is(err, target.ErrUnmapped) {
							t.Errorf("%v running=%v: write of unmapped memory: %v", c.space, running, err)
						}
					}
					if s := r.State(0); s.Running != running {
						t.Errorf("state afterwards: %+v", s)
					}
				}
			})
		})
	}
}

func TestReset(t *testing.T) {
	eachArch(t, rigConfig{}, func(t *testing.T, r *rig) {
		ctx := deadline(t)
		resetPC := r.pc(t, 0)
		r.atLoop(t)
		before := r.State(0)
		must(t, r.Reset(ctx, 0, false))
		if pc := r.pc(t, 0); pc != resetPC {
			t.Errorf("pc after a reset is %#x, before the first go it was %#x", pc, resetPC)
		}
		if s := r.State(0); s != (target.State{Cause: target.CauseBoot, Stops: before.Stops, Moot: true}) {
			t.Errorf("a stopped core after a reset: %+v", s)
		}
		must(t, r.Go(ctx, 0))
		must(t, r.Reset(ctx, 0, false))
		if s := r.State(0); !s.Running {
			t.Errorf("a running core stands after a reset: %+v", s)
		}
		if got := r.runState(t); got != "running" {
			t.Errorf("QMP says %s", got)
		}
		must(t, r.Reset(ctx, 0, true))
		if s := r.State(0); s != (target.State{Cause: target.CauseBoot, Stops: before.Stops + 1}) {
			t.Errorf("after reset and halt: %+v", s)
		}
		if pc := r.pc(t, 0); pc != resetPC {
			t.Errorf("pc after reset and halt is %#x, not %#x", pc, resetPC)
		}
		// A reset by somebody else ends what stopped the core, too.
		must(t, r.Step(ctx, 0))
		if s := r.State(0); s.Cause != target.CauseStep {
			t.Errorf("after a step: %+v", s)
		}
		must(t, r.qmp.Execute(ctx, "system_reset", nil, nil))
		until(t, "a reset by QMP is noticed", func() (bool, string) {
			s := r.State(0)
			return s.Cause == target.CauseBoot, fmt.Sprintf("%+v", s)
		})
	})
}

func TestKillAndDeath(t *testing.T) {
	r := startQEMU(t, rigConfig{arch: "arm"})
	must(t, r.Kill(deadline(t)))
	if err := r.Err(); !errors.Is(err, target.ErrGone) {
		t.Errorf("Err is %v", err)
	}
	if err := r.Go(deadline(t), 0); !errors.Is(err, target.ErrGone) {
		t.Errorf("Go afterwards: %v", err)
	}
	r = startQEMU(t, rigConfig{arch: "arm"})
	must(t, r.proc.Kill())
	select {
	case <-r.Done():
	case <-time.After(5 * time.Second):
		t.Error("Done is not closed 5 s after SIGKILL")
	}
}

// unsteady are registers of RISC-V that do not stay as they were: they count, also while the VM stands, or (mideleg, 7.2) QEMU sets
// bits in them at any write.
var unsteady = []string{"mcycle", "minstret", "cycle", "instret", "mideleg"}

func TestRegisters(t *testing.T) {
	eachArch(t, rigConfig{}, func(t *testing.T, r *rig) {
		ctx := deadline(t)
		r.atLoop(t)
		taken, refused := 0, 0
		for _, reg := range r.Info().Cores[0].Registers {
			old, err := r.ReadRegister(ctx, 0, reg.Number, nil)
			if absent(r, reg) {
				continue
			}
			must(t, err)
			p := bytes.Clone(old)
			for i := range p {
				p[i] ^= 0x54 + byte(i/8) // no two parts of a wide one are alike
			}
			err = r.WriteRegister(ctx, 0, reg.Number, p)
			now, readErr := r.ReadRegister(ctx, 0, reg.Number, nil)
			must(t, readErr)
			switch {
			case err == nil:
				taken++
				if !bytes.Equal(now, p) {
					t.Errorf("%s: success, but %x was written and %x is there", reg.Name, p, now)
				}
				r.WriteRegister(ctx, 0, reg.Number, old)
			case errors.Is(err, target.ErrNotTaken):
				refused++
				if !bytes.Equal(now, old) && !slices.Contains(unsteady, reg.Name) {
					t.Errorf("%s: refused, but %x was there and %x is", reg.Name, old, now)
				}
			default:
				t.Errorf("%s: %v", reg.Name, err)
			}
		}
		t.Logf("%d registers took a write, %d did not", taken, refused)
		if taken < 8 {
			t.Errorf("only %d registers are writable", taken)
		}
		must(t, r.Go(ctx, 0))
		if _, err := r.ReadRegister(ctx, 0, 0, nil); err != nil {
			t.Error(err)
		}
		if s := r.State(0); !s.Running {
			t.Errorf("a register read stopped the core: %+v", s)
		}
	})
}

// A Q register is two D registers, whatever order QEMU's gdbstub reads them in.
func TestQRegisters(t *testing.T) {
	t.Parallel()
	r := startQEMU(t, rigConfig{arch: "arm"})
	ctx := deadline(t)
	number := func(name string) int {
		t.Helper()
		for _, reg := range r.Info().Cores[0].Registers {
			if reg.Name == name {
				return reg.Number
			}
		}
		t.Fatalf("there is no %s", name)
		return 0
	}
	read := func(name string) string {
		t.Helper()
		p, err := r.ReadRegister(ctx, 0, number(name), nil)
		must(t, err)
		return string(p)
	}
	must(t, r.WriteRegister(ctx, 0, number("d2"), []byte("abcdefgh")))
	must(t, r.WriteRegister(ctx, 0, number("d3"), []byte("ijklmnop")))
	if q := read("q1"); q != "abcdefghijklmnop" {
		t.Errorf("q1 is %q", q)
	}
	must(t, r.WriteRegister(ctx, 0, number("q1"), []byte("0123456789ABCDEF")))
	if d2, d3 := read("d2"), read("d3"); d2 != "01234567" || d3 != "89ABCDEF" {
		t.Errorf("after a write of q1 d2 is %q and d3 %q", d2, d3)
	}
	// By number, as 7.2 calls two of them q10.
	for n := range 16 {
		low, high := fmt.Sprintf("lower%3d", n), fmt.Sprintf("upper%3d", n)
		must(t, r.WriteRegister(ctx, 0, number(fmt.Sprintf("d%d", 2*n)), []byte(low)))
		must(t, r.WriteRegister(ctx, 0, number(fmt.Sprintf("d%d", 2*n+1)), []byte(high)))
	}
	for n := range 16 {
		p, err := r.ReadRegister(ctx, 0, number("q0")+n, nil)
		if want := fmt.Sprintf("lower%3dupper%3d", n, n); err != nil || string(p) != want {
			t.Errorf("Q register %d is %q, %v", n, p, err)
		}
	}
}

// QEMU ends on some of these, at once or when the core goes on.
func TestNoRegisterEndsQEMU(t *testing.T) {
	for _, tt := range []struct {
		arch, name string
		shift      int // of the field that is varied
		bits       int
	}{
		{"riscv32", "tdata1", 28, 4},
		{"riscv64", "tdata1", 60, 4},
		{"i386", "efer", 8, 4},
		{"aarch64", "cpsr", 0, 5},
	} {
		t.Run(tt.arch, func(t *testing.T) {
			t.Parallel()
			r := startQEMU(t, rigConfig{arch: tt.arch})
			r.atLoop(t)
			ctx := deadline(t)
			tried := 0
			for _, reg := range r.Info().Cores[0].Registers {
				if reg.Name != tt.name {
					continue
				}
				tried++
				old, err := r.ReadRegister(ctx, 0, reg.Number, nil)
				must(t, err)
				for field := range uint64(1) << tt.bits {
					var wide [8]byte
					copy(wide[:], old)
					mask := (uint64(1)<<tt.bits - 1) << tt.shift
					binary.LittleEndian.PutUint64(wide[:], binary.LittleEndian.Uint64(wide[:])&^mask|field<<tt.shift)
					err := r.WriteRegister(ctx, 0, reg.Number, wide[:len(old)])
					if err != nil && !errors.Is(err, target.ErrNotTaken) {
						t.Fatalf("%s, field %d: %v", tt.name, field, err)
					}
					var p [4]byte
					_ = r.ReadMemory(ctx, 0, logical, r.guest.Addr("loop"), p[:]) // what comes of it is the guest's affair
					_ = r.Step(ctx, 0)
					if err := r.Err(); err != nil {
						t.Fatalf("%s, field %d: %v", tt.name, field, err)
					}
					_ = r.WriteRegister(ctx, 0, reg.Number, old)
				}
			}
			if tried != 1 {
				t.Errorf("%d registers are called %s", tried, tt.name)
			}
		})
	}
}

func TestCores(t *testing.T) {
	eachArch(t, rigConfig{variant: guest.SMP, cores: 4}, func(t *testing.T, r *rig) {
		ctx := deadline(t)
		slot := func(core int) uint32 {
			var p [4]byte
			must(t, r.ReadMemory(ctx, core, physical, r.guest.Addr("counter_phys")+uint64(core)*r.guest.Addr("slot_stride"), p[:]))
			return binary.LittleEndian.Uint32(p[:])
		}
		grows := func(core int) {
			t.Helper()
			first := slot(core)
			until(t, fmt.Sprintf("the slot of core %d grows", core), func() (bool, string) { now := slot(core); return now != first, fmt.Sprint(now) })
		}
		must(t, r.Go(ctx, target.AllCores))
		for core := range 4 {
			grows(core)
		}
		// One stops, the others run on.
		must(t, r.Stop(ctx, 2))
		stands := slot(2)
		for core := range 4 {
			if s := r.State(core); s.Running != (core != 2) {
				t.Errorf("core %d after stop of core 2: %+v", core, s)
			}
			if core != 2 {
				grows(core)
			}
		}
		if now := slot(2); now != stands {
			t.Errorf("core 2 counted on to %d from %d", now, stands)
		}
		must(t, r.Step(ctx, 2))
		must(t, r.Go(ctx, 2))
		grows(2)
		must(t, r.Stop(ctx, target.AllCores))
		// One goes, the others stay.
		var before [4]uint32
		for core := range before {
			before[core] = slot(core)
		}
		must(t, r.Go(ctx, 1))
		grows(1)
		for _, core := range []int{0, 2, 3} {
			if now := slot(core); now != before[core] {
				t.Errorf("core %d counted on to %d from %d", core, now, before[core])
			}
		}
		must(t, r.Stop(ctx, target.AllCores))
		// A trigger of one core does not stop another.
		tr := target.Trigger{Type: target.Exec, Addr: r.guest.Addr("store")}
		must(t, r.InsertTrigger(ctx, 1, tr))
		must(t, r.Go(ctx, 0))
		grows(0)
		if s := r.State(0); !s.Running {
			t.Errorf("core 0 stopped at a breakpoint of core 1: %+v", s)
		}
		must(t, r.Go(ctx, target.AllCores))
		if s := r.waitStopped(t, 1); s.Trigger != tr {
			t.Errorf("core 1: %+v", s)
		}
		if pc := r.pc(t, 1); pc != tr.Addr {
			t.Errorf("core 1 stands at %#x", pc)
		}
		for _, core := range []int{0, 2, 3} {
			if s := r.State(core); s.Running || s.Cause != target.CauseElsewhere {
				t.Errorf("core %d when core 1 hit its breakpoint: %+v", core, s)
			}
		}
		must(t, r.RemoveTriggers(ctx, target.AllCores))
		// Watchpoints likewise: every core only writes its own slot.
		watch := target.Trigger{Type: target.Write, Addr: r.guest.Addr("counter") + 2*r.guest.Addr("slot_stride")}
		must(t, r.InsertTrigger(ctx, 3, watch))
		must(t, r.Go(ctx, target.AllCores))
		grows(2)
		must(t, r.RemoveTriggers(ctx, target.AllCores))
		must(t, r.InsertTrigger(ctx, 2, watch))
		if s := r.waitStopped(t, 2); s.Trigger != watch {
			t.Errorf("core 2: %+v", s)
		}
	})
}

func TestCancelled(t *testing.T) {
	r := startQEMU(t, rigConfig{arch: "arm"})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Go(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Go with a cancelled context: %v", err)
	}
	if s := r.State(0); s.Running {
		t.Error("it runs all the same")
	}
}

// TestStopSelectsACore holds that registers are read from the core that is asked for, although the gdbstub selects the
// core that a stop reply names.
func TestStopSelectsACore(t *testing.T) {
	eachArch(t, rigConfig{variant: guest.SMP, cores: 2}, func(t *testing.T, r *rig) {
		ctx := deadline(t)
		must(t, r.Go(ctx, target.AllCores))
		number := r.guest.CoreRegister().Name
		for core := range 2 {
			first := uint32(0)
			addr := r.guest.Addr("counter_phys") + uint64(core)*r.guest.Addr("slot_stride")
			until(t, fmt.Sprintf("core %d counts", core), func() (bool, string) { first = r.hmpWord(t, addr); return first != 0, "0" })
		}
		must(t, r.Stop(ctx, target.AllCores))
		for round := range 6 {
			stop := round % 2
			other := 1 - stop
			if got := r.named(t, other, number); got != uint64(other) {
				t.Fatalf("%s of core %d is %d", number, other, got)
			}
			must(t, r.Step(ctx, stop)) // the stop reply names this core
			if got := r.named(t, other, number); got != uint64(other) {
				t.Fatalf("round %d: after a step of core %d, %s of core %d is %d", round, stop, number, other, got)
			}
			tr := target.Trigger{Type: target.Exec, Addr: r.guest.Addr("store")}
			must(t, r.InsertTrigger(ctx, stop, tr))
			must(t, r.Go(ctx, stop))
			r.waitStopped(t, stop)
			must(t, r.RemoveTrigger(ctx, stop, tr))
			if got := r.named(t, other, number); got != uint64(other) {
				t.Fatalf("round %d: after a hit of core %d, %s of core %d is %d", round, stop, number, other, got)
			}
		}
	})
}

func (r *rig) named(t testing.TB, core int, name string) uint64 {
	t.Helper()
	for _, reg := range r.Info().Cores[core].Registers {
		if reg.Name == name {
			return r.register(t, core, reg)
		}
	}
	t.Fatalf("core %d has no %s", core, name)
	return 0
}

// TestNames is about what QEMU is asked where nobody has told it, before QEMU starts or when it has started.
func TestNames(t *testing.T) {
	for _, asked := range []bool{false, true} {
		t.Run(fmt.Sprintf("asked=%t", asked), func(t *testing.T) {
			eachArch(t, rigConfig{asked: asked}, func(t *testing.T, r *rig) {
				info := r.Info()
				// The families of machines have versions, as "virt" and "pc" do.
				if info.Machine != r.guest.Machine() {
					t.Errorf("the machine is called %q, it was started as %q", info.Machine, r.guest.Machine())
				}
				if got := info.Cores[0].Type; !strings.HasPrefix(got, r.guest.CPU()) || !strings.HasSuffix(got, "-cpu") {
					t.Errorf("the core is a %q, it was started as %q", got, r.guest.CPU())
				}
				if s := r.State(0); s != (target.State{Cause: target.CauseBoot}) {
					t.Errorf("the core's state is %+v", s)
				}
			})
		})
	}
}

// TestClusters is about a machine whose cores are of two kinds, which the gdbstub shows as two processes.
func TestClusters(t *testing.T) {
	for _, asked := range []bool{false, true} {
		t.Run(fmt.Sprintf("asked=%t", asked), func(t *testing.T) { testClusters(t, asked) })
	}
}

func testClusters(t *testing.T, asked bool) {
	r := startQEMU(t, rigConfig{asked: asked, arch: "riscv64", variant: guest.SMP, cores: 5, args: []string{"-M", "sifive_u", "-m", "128M"}})
	ctx := deadline(t)
	info := r.Info()
	if len(info.Cores) != 5 || info.Machine != "sifive_u" {
		t.Fatalf("%s has %d cores", info.Machine, len(info.Cores))
	}
	if info.Cores[0].Type == info.Cores[1].Type {
		t.Errorf("the cores of both clusters are called %s", info.Cores[0].Type)
	}
	must(t, r.Go(ctx, target.AllCores))
	word := func(core int) uint32 {
		return r.hmpWord(t, r.guest.Addr("counter_phys")+uint64(core)*r.guest.Addr("slot_stride"))
	}
	for core := range 5 {
		until(t, fmt.Sprintf("core %d counts", core), func() (bool, string) { n := word(core); return n != 0, fmt.Sprint(n) })
	}
	must(t, r.Stop(ctx, target.AllCores))
	for core := range 5 {
		if got := r.named(t, core, r.guest.CoreRegister().Name); got != uint64(core) {
			t.Errorf("core %d says that it is core %d", core, got)
		}
	}
	for _, core := range []int{0, 4} {
		before := [2]uint32{word(0), word(4)}
		tr := target.Trigger{Type: target.Exec, Addr: r.guest.Addr("store")}
		must(t, r.InsertTrigger(ctx, core, tr))
		must(t, r.Go(ctx, core))
		if s := r.waitStopped(t, core); s.Trigger != tr {
			t.Errorf("core %d stands with %+v", core, s)
		}
		must(t, r.Step(ctx, core))
		must(t, r.RemoveTriggers(ctx, target.AllCores))
		after := [2]uint32{word(0), word(4)}
		if moved := core / 4; after[moved] == before[moved] || after[1-moved] != before[1-moved] {
			t.Errorf("a go and a step of core %d: slots of cores 0 and 4 from %d to %d", core, before, after)
		}
	}
}

// TestAddressesEnd holds that a 32-bit core has no address beyond 4 GiB, although the gdbstub would cut it to one.
func TestAddressesEnd(t *testing.T) {
	for _, arch := range []string{"arm", "riscv32", "i386"} {
		t.Run(arch, func(t *testing.T) {
			r := startQEMU(t, rigConfig{arch: arch})
			ctx := deadline(t)
			r.atLoop(t)
			before := r.counter(t)
			beyond := r.guest.Addr("counter") + 1<<32
			for _, running := range []bool{false, true} {
				if running {
					must(t, r.Go(ctx, 0))
				}
				if err := r.WriteMemory(ctx, 0, logical, beyond, []byte{1, 2, 3, 4}); !errors.Is(err, target.ErrUnmapped) {
					t.Errorf("running=%v: write at %#x: %v", running, beyond, err)
				}
				if err := r.ReadMemory(ctx, 0, logical, 1<<32-2, make([]byte, 4)); !errors.Is(err, target.ErrUnmapped) {
					t.Errorf("running=%v: read across the end: %v", running, err)
				}
				if err := r.InsertTrigger(ctx, 0, target.Trigger{Type: target.Exec, Addr: beyond}); !errors.Is(err, target.ErrBadTrigger) {
					t.Errorf("running=%v: trigger at %#x: %v", running, beyond, err)
				}
				if !running && r.counter(t) != before {
					t.Error("something was written")
				}
			}
		})
	}
}

// TestLiveReadWithoutQTest holds that the monitor reads a running machine without stopping it.
func TestLiveReadWithoutQTest(t *testing.T) {
	eachArch(t, rigConfig{noQTest: true}, func(t *testing.T, r *rig) {
		ctx := deadline(t)
		r.atLoop(t)
		must(t, r.Go(ctx, 0))
		r.counter(t)
		r.runState(t)
		events, err := r.qmp.Events(ctx)
		must(t, err)
		first := r.counter(t)
		until(t, "the counter grows", func() (bool, string) { n := r.counter(t); return n != first, fmt.Sprint(n) })
		var p [16]byte
		must(t, r.ReadMemory(ctx, 0, physical, r.guest.Addr("loop_phys"), p[:]))
		if want, err := r.guest.Data(r.guest.Addr("loop"), len(p)); err != nil || !bytes.Equal(p[:], want) {
			t.Errorf("code at the loop reads %x, it is %x (%v)", p, want, err)
		}
		if err := r.ReadMemory(ctx, 0, physical, r.guest.Addr("unmapped_phys"), p[:]); !errors.Is(err, target.ErrUnmapped) {
			t.Errorf("unmapped: %v", err)
		}
		if got := r.runState(t); got != "running" { // also a round trip behind any event
			t.Errorf("QMP says %s", got)
		}
		select {
		case ev := <-events:
			t.Errorf("the machine was disturbed: %s", ev.Event)
		default:
		}
	})
}

// A qtest that is gone is not missed.
func TestQTestIsGone(t *testing.T) {
	t.Parallel()
	r := startQEMU(t, rigConfig{arch: "arm"})
	ctx := deadline(t)
	r.atLoop(t)
	must(t, r.qtest.Close())
	var p [4]byte
	must(t, r.ReadMemory(ctx, 0, physical, r.guest.Addr("scratch_phys"), p[:]))
	must(t, r.Go(ctx, 0))
	first := r.counter(t)
	until(t, "the counter grows", func() (bool, string) { n := r.counter(t); return n != first, fmt.Sprint(n) })
	must(t, r.WriteMemory(ctx, 0, logical, r.guest.Addr("scratch"), []byte{1, 2, 3, 4}))
	must(t, r.ReadMemory(ctx, 0, logical, r.guest.Addr("scratch"), p[:]))
	if p != [4]byte{1, 2, 3, 4} {
		t.Errorf("%x is read back", p)
	}
}

// TestGlobalStepPassesSleepers holds that a core that is powered off does not keep the others from a global step.
func TestGlobalStepPassesSleepers(t *testing.T) {
	r := startQEMU(t, rigConfig{arch: "arm", cores: 2}) // the loop program leaves core 1 off
	ctx := deadline(t)
	r.atLoop(t)
	for _, label := range r.guest.Labels()[1:] {
		must(t, r.Step(ctx, target.AllCores))
		if pc := r.pc(t, 0); pc != r.guest.Addr(label) {
			t.Fatalf("pc is %#x, %s is %#x", pc, label, r.guest.Addr(label))
		}
	}
	if err := r.Step(ctx, 1); !errors.Is(err, target.ErrAsleep) || !errors.Is(err, target.ErrUnreachable) {
		t.Errorf("a step of the core that is off: %v", err)
	}
	if err := r.Step(ctx, 7, 1); !errors.Is(err, target.ErrNoCore) {
		t.Errorf("a step of a core that does not exist: %v", err)
	}
}

// However many there are, they do not use up a client's patience. It does so for some of the cores, too.
func TestStepOfManySleepers(t *testing.T) {
	r := startQEMU(t, rigConfig{arch: "arm", cores: 8})
	ctx := deadline(t)
	r.atLoop(t)
	labels := r.guest.Labels()[1:]
	for i, cores := range [][]int{{target.AllCores}, {0, 1, 2, 3, 4, 5, 6}, {6, 0}} {
		began := time.Now()
		must(t, r.Step(ctx, cores...))
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("a step of the cores %d takes %v", cores, took)
		}
		if pc := r.pc(t, 0); pc != r.guest.Addr(labels[i]) {
			t.Fatalf("pc is %#x, %s is %#x", pc, labels[i], r.guest.Addr(labels[i]))
		}
	}
	// Those that are known to sleep are waited for much less: with 20 ms for each this would take six seconds.
	began := time.Now()
	for range 40 {
		must(t, r.Step(ctx, target.AllCores))
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("40 steps of all cores take %v", took)
	}
	for _, cores := range [][]int{{1, 2}, {3}} {
		if err := r.Step(ctx, cores...); !errors.Is(err, target.ErrAsleep) {
			t.Errorf("a step of the cores %d, which are off: %v", cores, err)
		}
	}
}

// A write to ROM takes, as that of a debugger does while the VM stands and addresses are logical, or it is an error.
func TestWriteToROM(t *testing.T) {
	r := startQEMU(t, rigConfig{arch: "riscv64"})
	ctx := deadline(t)
	const rom = 0x1000 // virt.mrom
	r.atLoop(t)
	for _, running := range []bool{false, true} {
		if running {
			must(t, r.Go(ctx, 0))
		}
		for _, space := range []target.Space{logical, physical} {
			var before, after [4]byte
			must(t, r.ReadMemory(ctx, 0, space, rom, before[:]))
			err := r.WriteMemory(ctx, 0, space, rom, []byte{before[0] + 1, 2, 3, 4})
			must(t, r.ReadMemory(ctx, 0, space, rom, after[:]))
			if took := after != before; took != (err == nil) || err != nil && !errors.Is(err, target.ErrNotTaken) {
				t.Errorf("running %v, %+v: %x became %x, and the error is %v", running, space, before, after, err)
			}
		}
	}
}
