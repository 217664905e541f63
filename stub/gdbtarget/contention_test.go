// SPDX-License-Identifier: Apache-2.0

package gdbtarget_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mcdtest/guest"
	"mcdtest/stub/target"
)

// The events of what somebody else has just done with QMP may not have been taken in when a request comes.
func TestRunControlRightBehindSomebodyElses(t *testing.T) {
	r := startQEMU(t, rigConfig{arch: "arm", variant: guest.Loop})
	ctx := deadline(t)
	r.atLoop(t)
	for round := range 100 {
		for range 3 {
			must(t, r.qmp.Execute(ctx, "stop", nil, nil))
			must(t, r.qmp.Execute(ctx, "cont", nil, nil))
		}
		must(t, r.Stop(ctx, target.AllCores))
		if s := r.runState(t); s == "running" {
			t.Fatalf("round %d: stopped, and QMP says %s; MCD %+v", round, s, r.State(0))
		}
		if s := r.State(0); s.Running {
			t.Fatalf("round %d: %+v", round, s)
		}
	}
}

// A packet that comes in the moment of somebody else's cont is swallowed. That costs the request, and no other one.
func TestRequestsBesideSomebodyElsesResume(t *testing.T) {
	r := startQEMU(t, rigConfig{arch: "arm", variant: guest.Loop})
	ctx := deadline(t)
	r.atLoop(t)
	failed := 0
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end) && failed < 2; {
		done := make(chan error, 1)
		go func() { done <- r.qmp.Execute(ctx, "cont", nil, nil) }()
		for range 5 {
			if _, err := r.ReadRegister(ctx, 0, 15, nil); err == nil {
				continue
			}
			failed++
			begun := time.Now()
			if p, err := r.ReadRegister(ctx, 0, 15, nil); err != nil || len(p) != 4 || time.Since(begun) > 3*time.Second {
				t.Fatalf("the request after one that was lost took %v: %x, %v", time.Since(begun), p, err)
			}
		}
		must(t, <-done)
		must(t, r.Stop(ctx, target.AllCores))
	}
	t.Logf("%d requests were lost", failed)
}

// A QEMU that stands still holds up the request that finds it so, as long as whoever made it has patience. Afterwards the
// machine is as it was.
func TestRequestsToAQEMUThatStandsStill(t *testing.T) {
	r := startQEMU(t, rigConfig{arch: "arm", variant: guest.Loop})
	ctx := deadline(t)
	r.atLoop(t)
	for round := range 6 {
		run := round%2 == 0
		if run {
			must(t, r.Go(ctx, target.AllCores))
		} else {
			must(t, r.Stop(ctx, target.AllCores))
		}
		before := r.State(0)
		must(t, r.proc.Signal(syscall.SIGSTOP))
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		begun := time.Now()
		_, err := r.ReadRegister(short, 0, 15, nil)
		cancel()
		if took := time.Since(begun); err == nil || took > 2*time.Second {
			t.Errorf("round %d: a QEMU that stands still: %v after %v", round, err, took)
		}
		must(t, r.proc.Signal(syscall.SIGCONT))
		if p, err := r.ReadRegister(ctx, 0, 15, nil); err != nil || len(p) != 4 {
			t.Fatalf("round %d: the next request: %x, %v", round, p, err)
		}
		until(t, "the machine is as it was", func() (bool, string) {
			now, qmp := r.State(0), r.runState(t)
			return now == before && (qmp == "running") == run, fmt.Sprintf("%+v, QMP says %s; it was %+v", now, qmp, before)
		})
	}
}

// A large read that is given up leaves replies behind. They are read although nobody asks for anything any more: else QEMU,
// which cannot get rid of them, would stand, and its monitor with it.
func TestALargeReadThatIsGivenUp(t *testing.T) {
	r := startQEMU(t, rigConfig{arch: "arm", variant: guest.Loop, noDump: true})
	ctx := deadline(t)
	r.atLoop(t)
	must(t, r.Stop(ctx, target.AllCores))
	ram, _ := r.guest.RAM()
	for round := range 5 {
		must(t, r.proc.Signal(syscall.SIGSTOP))
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		err := r.ReadMemory(short, 0, target.Space{}, ram, make([]byte, 1<<20))
		cancel()
		must(t, r.proc.Signal(syscall.SIGCONT))
		if err == nil {
			t.Fatalf("round %d: a QEMU that stands still was read", round)
		}
		quick, cancel := context.WithTimeout(ctx, 3*time.Second)
		err = r.qmp.Execute(quick, "query-status", nil, nil)
		cancel()
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	must(t, r.ReadMemory(ctx, 0, target.Space{}, ram, make([]byte, 1<<20)))
}

// An insertion that is given up is not made, even if the gdbstub takes it later on.
func TestATriggerThatIsGivenUp(t *testing.T) {
	r := startQEMU(t, rigConfig{arch: "arm", variant: guest.Loop})
	ctx := deadline(t)
	r.atLoop(t)
	must(t, r.Stop(ctx, target.AllCores))
	kept, given := target.Trigger{Type: target.Exec, Addr: r.guest.Addr("scratch")}, target.Trigger{Type: target.Exec, Addr: r.guest.Addr("loop")}
	must(t, r.InsertTrigger(ctx, 0, kept))
	for _, change := range []func(context.Context) error{
		func(ctx context.Context) error { return r.InsertTrigger(ctx, 0, given) },
		func(ctx context.Context) error {
			must(t, r.proc.Signal(syscall.SIGCONT))
			must(t, r.InsertTrigger(deadline(t), 0, given))
			must(t, r.proc.Signal(syscall.SIGSTOP))
			return r.RemoveTriggers(ctx, target.AllCores)
		},
	} {
		must(t, r.proc.Signal(syscall.SIGSTOP))
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		err := change(short)
		cancel()
		must(t, r.proc.Signal(syscall.SIGCONT))
		if err == nil {
			t.Fatal("a QEMU that stands still has taken it")
		}
		must(t, r.Go(ctx, target.AllCores))
		first := r.counter(t)
		until(t, "the loop to go on", func() (bool, string) {
			n := r.counter(t)
			return n > first+1000, fmt.Sprintf("%d, at first %d", n, first)
		})
		if s := r.State(0); !s.Running {
			t.Fatalf("stopped by a trigger that is not there: %+v", s)
		}
		must(t, r.Stop(ctx, target.AllCores))
	}
}

// A go that QEMU has not come round to is carried out before the stop that follows it.
func TestAStopBehindAGoThatIsGivenUp(t *testing.T) {
	r := startQEMU(t, rigConfig{arch: "arm", variant: guest.Loop})
	ctx := deadline(t)
	r.atLoop(t)
	must(t, r.Stop(ctx, target.AllCores))
	must(t, r.proc.Signal(syscall.SIGSTOP))
	if err := r.Go(ctx, target.AllCores); err == nil {
		t.Error("a QEMU that stands still has let its machine run")
	}
	must(t, r.proc.Signal(syscall.SIGCONT))
	must(t, r.Stop(ctx, target.AllCores))
	for range 20 {
		if s := r.runState(t); s == "running" || r.State(0).Running {
			t.Fatalf("stopped, and QMP says %s; MCD %+v", s, r.State(0))
		}
	}
	must(t, r.Go(ctx, target.AllCores))
	until(t, "the machine runs", func() (bool, string) { s := r.runState(t); return s == "running" && r.State(0).Running, s })
	if _, err := r.ReadRegister(ctx, 0, 15, nil); err != nil {
		t.Error(err)
	}
}

// A machine that could not be let run on after a pause runs on when QEMU answers again, and says so meanwhile neither more nor less.
func TestAPauseInWhichQEMUStandsStill(t *testing.T) {
	t.Parallel()
	var armed atomic.Bool
	r := startQEMU(t, rigConfig{arch: "arm", gdb: stopsAt(t, "$p", &armed)})
	ctx := deadline(t)
	must(t, r.Go(ctx, 0))
	armed.Store(true)
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := r.ReadRegister(short, 0, 15, nil); err == nil {
		t.Error("a register of a QEMU that stands still was read")
	}
	must(t, r.proc.Signal(syscall.SIGCONT))
	until(t, "the machine runs on", func() (bool, string) { s := r.runState(t); return s == "running", s })
	if s := r.State(0); !s.Running {
		t.Errorf("core 0: %+v", s)
	}
	first := r.counter(t)
	until(t, "core 0 counts", func() (bool, string) { n := r.counter(t); return n != first, fmt.Sprint(n) })
}
