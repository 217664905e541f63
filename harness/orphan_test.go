// SPDX-License-Identifier: Apache-2.0

package harness_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mcdtest/harness"
)

// orphanEnv makes this test binary a program that starts a machine and is then killed. TMPDIR of it is its own.
const orphanEnv = "MCDTEST_HARNESS_ORPHAN"

func orphanMain() {
	m, err := harness.Start(context.Background(), harness.Config{Endpoint: harness.Stub, Running: true})
	if err != nil {
		fmt.Println("0", err)
		os.Exit(1)
	}
	conn, err := m.Dial(context.Background())
	if err != nil {
		fmt.Println("0", err)
		os.Exit(1)
	}
	defer conn.Close()
	fmt.Println(m.PID(), conn.RemoteAddr())
	<-m.Done()
}

// However this program ends, nothing is left: no process, no file, no listener.
func TestNothingOutlivesAKilledProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	parent := exec.Command(self)
	parent.Env = append(os.Environ(), orphanEnv+"=1", "TMPDIR="+tmp)
	parent.Dir = tmp
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
	var pid int
	var address string
	if n, err := fmt.Sscan(line, &pid, &address); n != 2 || pid == 0 {
		t.Fatalf("no machine was started: %q, %v", line, err)
	}
	fd, err := unix.PidfdOpen(pid, 0) // becomes readable when the process ends
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)

	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(5 * time.Second)
	for ended := false; !ended; {
		left := time.Until(deadline)
		if left <= 0 {
			unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			t.Fatalf("QEMU (pid %d) still runs 5 s after SIGKILL of the program that started it", pid)
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		ended = n > 0
	}
	parent.Wait()
	if files, err := os.ReadDir(tmp); err != nil || len(files) > 0 {
		t.Errorf("files are left: %v, %v", files, err)
	}
	sockets, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(sockets), address) {
		t.Errorf("the endpoint's socket %s is left", address)
	}
}
