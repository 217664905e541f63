// SPDX-License-Identifier: Apache-2.0

package gdbtarget_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// threads are QEMU's main thread and that of its only core.
func threads(t *testing.T, r *rig) (loop, core int) {
	t.Helper()
	var cpus []struct {
		Thread int `json:"thread-id"`
	}
	if err := r.qmp.Execute(deadline(t), "query-cpus-fast", nil, &cpus); err != nil || len(cpus) != 1 {
		t.Fatalf("%v, %v", cpus, err)
	}
	return r.proc.Pid, cpus[0].Thread
}

// holdVariable makes this program hold the thread with that number, for hold.
const holdVariable = "MCDTEST_HOLD_THREAD"

func init() {
	thread, err := strconv.Atoi(os.Getenv(holdVariable))
	if err != nil {
		return
	}
	runtime.LockOSThread() // only the thread that traces another one may let it go
	if err := syscall.PtraceAttach(thread); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	_, _ = syscall.Wait4(thread, nil, syscall.WALL, nil)
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = syscall.PtraceDetach(thread)
	os.Exit(0)
}

// hold stops a thread of QEMU until the function that it returns is called. A program of its own does it: here, the stop of a main
// thread would be taken for QEMU's end.
func hold(t *testing.T, thread int) (release func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", holdVariable, thread))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	release = sync.OnceFunc(func() {
		in.Close()
		_ = cmd.Wait()
	})
	t.Cleanup(release)
	if said, _ := bufio.NewReader(out).ReadString('\n'); said != "held\n" {
		t.Skipf("a thread of QEMU cannot be stopped: %s", said)
	}
	return release
}

// starve lets time pass: more than a step is waited for.
func starve() { <-time.NewTimer(700 * time.Millisecond).C }

// A core whose thread the host does not let run is not one that sleeps: its step is made when it has a processor again.
func TestStepOfAStarvedCore(t *testing.T) {
	r := startQEMU(t, rigConfig{arch: "arm"})
	ctx := deadline(t)
	_, core := threads(t, r)
	before := r.pc(t, 0)
	release := hold(t, core)
	stepped := make(chan error, 1)
	go func() { stepped <- r.Step(ctx, 0) }()
	starve()
	release()
	if err := <-stepped; err != nil {
		t.Fatalf("step of a core that had no processor for a while: %v", err)
	}
	if after := r.pc(t, 0); after != before+4 {
		t.Errorf("one step went from %#x to %#x", before, after)
	}
}

// A step that was made in the moment in which it was given up is not made a second time. QEMU tells of the interrupt then, and not of
// the step: its main loop finds both at once.
func TestStepIsMadeOnce(t *testing.T) {
	for _, arch := range []string{"arm", "x86_64"} {
		t.Run(arch, func(t *testing.T) {
			r := startQEMU(t, rigConfig{arch: arch})
			ctx := deadline(t)
			loop, core := threads(t, r)
			r.atLoop(t)
			labels := r.guest.Labels()
			releaseCore := hold(t, core)
			stepped := make(chan error, 1)
			go func() { stepped <- r.Step(ctx, 0) }()
			until(t, "QEMU lets the core run", func() (bool, string) { s := r.runState(t); return s == "running", s })
			releaseLoop := hold(t, loop)
			releaseCore()
			starve()
			releaseLoop()
			if err := <-stepped; err != nil {
				t.Fatalf("step that was made late: %v", err)
			}
			if after, want := r.pc(t, 0), r.guest.Addr(labels[1]); after != want {
				t.Errorf("one step from %s went to %#x, want %#x", labels[0], after, want)
			}
		})
	}
}
