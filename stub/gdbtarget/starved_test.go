// SPDX-License-Identifier: Apache-2.0

package gdbtarget_test

import (
	"runtime"
	"syscall"
	"testing"
	"time"
)

// A core whose thread the host does not let run is not one that sleeps: its step is made when it has a processor again.
func TestStepOfAStarvedCore(t *testing.T) {
	r := startQEMU(t, rigConfig{arch: "arm"})
	ctx := deadline(t)
	var cpus []struct {
		Thread int `json:"thread-id"`
	}
	if err := r.qmp.Execute(ctx, "query-cpus-fast", nil, &cpus); err != nil || len(cpus) != 1 {
		t.Fatalf("%v, %v", cpus, err)
	}
	before := r.pc(t, 0)

	runtime.LockOSThread() // which alone may let go of what it traces
	defer runtime.UnlockOSThread()
	if err := syscall.PtraceAttach(cpus[0].Thread); err != nil {
		t.Skipf("a thread of QEMU cannot be stopped: %v", err)
	}
	if _, err := syscall.Wait4(cpus[0].Thread, nil, syscall.WALL, nil); err != nil {
		t.Fatal(err)
	}
	stepped := make(chan error, 1)
	go func() { stepped <- r.Step(ctx, 0) }()
	starved := time.NewTimer(700 * time.Millisecond) // longer than a step is waited for
	<-starved.C
	if err := syscall.PtraceDetach(cpus[0].Thread); err != nil {
		t.Fatal(err)
	}
	if err := <-stepped; err != nil {
		t.Fatalf("step of a core that had no processor for a while: %v", err)
	}
	if after := r.pc(t, 0); after != before+4 {
		t.Errorf("one step went from %#x to %#x", before, after)
	}
}
