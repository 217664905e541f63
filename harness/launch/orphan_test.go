// SPDX-License-Identifier: Apache-2.0

package launch_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mcdtest/harness/launch"
)

// orphanEnv makes this test binary a program that starts a QEMU and is then killed.
const orphanEnv = "MCDTEST_LAUNCH_ORPHAN"

// orphanMain starts the QEMU that the variable names, prints its process number and waits to be killed.
func orphanMain() {
	p, err := launch.Start(context.Background(), launch.Spec{Path: os.Getenv(orphanEnv), Args: noMachine, Monitors: 1})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(p.PID())
	<-p.Done()
}

func TestQEMUDoesNotOutliveAKilledProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self)
	parent.Env = append(os.Environ(), orphanEnv+"="+qemuPath(t))
	stdout, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer parent.Wait()
	defer parent.Process.Kill()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("no QEMU was started: %s", line)
	}
	fd, err := unix.PidfdOpen(pid, 0) // becomes readable when the process ends
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)

	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for {
		left := 5*time.Second - time.Since(began)
		if left <= 0 {
			unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			t.Fatalf("QEMU (pid %d) still runs 5 s after SIGKILL of the program that started it", pid)
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		if n > 0 {
			break
		}
	}
	t.Logf("QEMU ended %v after SIGKILL of the program that started it", time.Since(began))
}

// A QEMU behind a wrapper that waits for it ends with the wrapper, also if it does not do what it is asked to.
func TestQEMUBehindAWrapperIsKilled(t *testing.T) {
	wrapper := filepath.Join(t.TempDir(), "wrapper")
	note := wrapper + ".pid"
	script := fmt.Sprintf("#!/bin/sh\n%s \"$@\" &\necho $! >%s\nwait\nexit 0\n", qemuPath(t), note)
	if err := os.WriteFile(wrapper, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := launch.Start(t.Context(), launch.Spec{Path: wrapper, Args: noMachine, Monitors: 1})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	p.Kill()
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 5000); n != 1 {
		unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		t.Errorf("QEMU (pid %d) outlives its wrapper (%v)", pid, err)
	}
}
