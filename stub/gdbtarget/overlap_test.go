// SPDX-License-Identifier: Apache-2.0

package gdbtarget_test

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"mcdtest/guest"
	"mcdtest/stub/target"
)

// A core passes an access that several watchpoints of another core match.
func TestSeveralWatchpointsOfAnotherCore(t *testing.T) {
	for _, arch := range []string{"arm", "riscv64", "x86_64"} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			r := startQEMU(t, rigConfig{arch: arch, cores: 2}) // core 1 does not execute the loop program, or sleeps
			ctx := deadline(t)
			r.atLoop(t)
			counter := r.guest.Addr("counter")
			for _, kind := range []target.TriggerType{target.Write, target.Access, target.Read} {
				must(t, r.InsertTrigger(ctx, 1, target.Trigger{Type: kind, Addr: counter}))
			}
			must(t, r.InsertTrigger(ctx, 1, target.Trigger{Type: target.Exec, Addr: r.guest.Addr("store")}))
			for _, label := range r.guest.Labels()[1:] {
				must(t, r.Step(ctx, 0))
				if pc := r.pc(t, 0); pc != r.guest.Addr(label) {
					t.Fatalf("pc is %#x, %s is %#x", pc, label, r.guest.Addr(label))
				}
			}
			first := r.counter(t)
			must(t, r.Go(ctx, 0))
			until(t, "core 0 counts", func() (bool, string) { n := r.counter(t); return n-first > 20, fmt.Sprint(n) })
			if s := r.State(0); !s.Running {
				t.Errorf("core 0 stands: %+v", s)
			}
		})
	}
}

// A core's own watchpoint stops it, also if QEMU names one of another core that matches the same access.
func TestOwnWatchpointBehindAnother(t *testing.T) {
	for _, arch := range []string{"arm", "x86_64"} {
		for _, ownFirst := range []bool{false, true} { // QEMU names the one that was inserted last
			t.Run(fmt.Sprintf("%s, own first %v", arch, ownFirst), func(t *testing.T) {
				t.Parallel()
				r := startQEMU(t, rigConfig{arch: arch, cores: 2})
				ctx := deadline(t)
				r.atLoop(t)
				own := target.Trigger{Type: target.Access, Addr: r.guest.Addr("counter")}
				if ownFirst {
					must(t, r.InsertTrigger(ctx, 0, own))
				}
				for _, kind := range []target.TriggerType{target.Write, target.Read} {
					must(t, r.InsertTrigger(ctx, 1, target.Trigger{Type: kind, Addr: own.Addr}))
				}
				if !ownFirst {
					must(t, r.InsertTrigger(ctx, 0, own))
				}
				must(t, r.Go(ctx, 0))
				until(t, "core 0 stops", func() (bool, string) { s := r.State(0); return !s.Running, fmt.Sprintf("%+v", s) })
				if s := r.State(0); s.Cause != target.CauseWatchpoint || s.Trigger != own {
					t.Errorf("core 0 stands: %+v", s)
				}
			})
		}
	}
}

// QEMU stops all cores while it saves their memory, and lets all run afterwards, also those that were held.
func TestHeldCoresStayHeldAfterADump(t *testing.T) {
	t.Parallel()
	r := startQEMU(t, rigConfig{arch: "arm", variant: guest.SMP, cores: 2})
	ctx := deadline(t)
	count := func(core int) uint32 {
		var p [4]byte
		must(t, r.ReadMemory(ctx, 0, logical, r.guest.Addr("counter")+uint64(core)*r.guest.Addr("slot_stride"), p[:]))
		return uint32(p[0]) | uint32(p[1])<<8 | uint32(p[2])<<16 | uint32(p[3])<<24
	}
	must(t, r.Go(ctx, target.AllCores))
	until(t, "both cores count", func() (bool, string) { a, b := count(0), count(1); return a > 0 && b > 0, fmt.Sprint(a, b) })
	must(t, r.Stop(ctx, 1))
	must(t, r.qmp.Execute(ctx, "dump-guest-memory", map[string]any{"paging": false, "protocol": "file:" + filepath.Join(t.TempDir(), "dump")}, nil))
	until(t, "core 1 stands while core 0 counts", func() (bool, string) {
		held := count(1)
		for range 50 {
			runs := count(0)
			until(t, "core 0 counts", func() (bool, string) { n := count(0); return n-runs > 100_000, fmt.Sprint(n) })
			if now := count(1); now != held {
				return false, fmt.Sprintf("%d, %d", held, now)
			}
		}
		return true, ""
	})
	if a, b := r.State(0), r.State(1); !a.Running || b.Running {
		t.Errorf("states %+v, %+v", a, b)
	}
}

// A QEMU that does not read for a while makes the step that was asked for, when it does.
func TestStepOfAQEMUThatStandsStill(t *testing.T) {
	t.Parallel()
	r := startQEMU(t, rigConfig{arch: "arm"})
	ctx := deadline(t)
	r.atLoop(t)
	must(t, r.proc.Signal(syscall.SIGSTOP))
	stepped := make(chan error, 1)
	go func() { stepped <- r.Step(ctx, 0) }()
	<-time.NewTimer(2 * time.Second).C
	must(t, r.proc.Signal(syscall.SIGCONT))
	if err := <-stepped; err != nil {
		t.Errorf("the step: %v", err)
	}
	if pc, want := r.pc(t, 0), r.guest.Addr(r.guest.Labels()[1]); pc != want {
		t.Errorf("pc is %#x, want %#x", pc, want)
	}
}
