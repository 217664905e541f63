// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"crypto/rand"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// talk has a conversation on a stream with the stub of a QEMU, to its end.
func talk(t *testing.T, qemu *exec.Cmd, to io.Writer, from io.Reader) {
	t.Helper()
	in := bufio.NewReader(from)
	for _, x := range [][2]string{{"$qsystem#|", "+$qemu-system#|"}, {"$i0#|", "+"}, {"$qstate0#|", "+$state=running."}} {
		if _, err := to.Write([]byte(x[0])); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(x[1]))
		if n, err := io.ReadFull(in, got); err != nil || string(got) != x[1] {
			t.Fatalf("%s: want %s, got %s, %v", x[0], x[1], got[:n], err)
		}
	}
	if _, err := to.Write([]byte("$k#|")); err != nil {
		t.Fatal(err)
	}
	if err := qemu.Wait(); err != nil {
		t.Errorf("a kill is an end with exit status 0, got %v", err)
	}
}

func TestShimStreams(t *testing.T) {
	t.Parallel()
	mark := rand.Text()
	qemu := shimmed(t, mark)
	_, machine := armGuest(t)
	t.Cleanup(func() { noneLeft(t, mark) })

	for name, args := range map[string][]string{"stdio": {"-mcd", "stdio"}, "chardev stdio": {"-chardev", "stdio,id=m,signal=off", "-mcd", "chardev:m"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := qemu(append(machine, args...)...)
			to, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			from, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			talk(t, cmd, to, from)
		})
	}
	t.Run("pipe", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "p")
		var ends []*os.File
		for _, end := range []string{".in", ".out"} {
			if err := syscall.Mkfifo(path+end, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path+end, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			ends = append(ends, f)
		}
		cmd := qemu(append(machine, "-mcd", "pipe:"+path)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		talk(t, cmd, ends[0], ends[1])
	})
	t.Run("pty", func(t *testing.T) {
		t.Parallel()
		cmd := qemu(append(machine, "-mcd", "pty")...)
		errs, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(errs).ReadString('\n')
		name, ok := strings.CutPrefix(line, "qemu-system-arm: char device redirected to ")
		if !ok {
			t.Fatalf("%q, %v", line, err)
		}
		name, _, _ = strings.Cut(name, " ")
		// A client that has gone does not end it.
		for range 2 {
			f, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write([]byte("$I#|")); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len("+$shaking your hand#|"))
			if _, err := io.ReadFull(f, got); err != nil || string(got) != "+$shaking your hand#|" {
				t.Fatalf("%s, %v", got, err)
			}
			f.Close()
		}
		f, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		talk(t, cmd, f, f)
	})
	t.Run("null", func(t *testing.T) {
		t.Parallel()
		cmd := qemu(append(machine, "-mcd", "null", "-monitor", "stdio")...)
		cmd.Stdin = strings.NewReader("info status\nquit\n")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "VM status: running") {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("reconnect", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(shortDir(t), "s")
		cmd := qemu(append(machine, "-chardev", "socket,id=m,path="+path+",reconnect-ms=10", "-mcd", "chardev:m")...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("unix", path) // perhaps after the first attempt
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for range 2 {
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			conversation(t, conn).Close()
		}
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		talk(t, cmd, conn, conn)
	})
}
