// SPDX-License-Identifier: Apache-2.0

package harness_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// fakeEnv makes this test binary a QEMU with -mcd: the real one that the variable names, and a server for -mcd that
// understands next to nothing. fakeDialectsEnv says which dialects.
const (
	fakeEnv         = "MCDTEST_HARNESS_FAKE"
	fakeDialectsEnv = "MCDTEST_HARNESS_FAKE_DIALECTS"
)

// fakeBuild makes a QEMU with -mcd and returns its path.
func fakeBuild(t *testing.T, dialects string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return script(t, t.TempDir(), fmt.Sprintf("%s='%s' %s='%s' exec '%s' \"$@\"",
		fakeEnv, qemuPath(t, "arm"), fakeDialectsEnv, dialects, self))
}

// script makes a QEMU of a shell script.
func script(t *testing.T, dir, text string) string {
	t.Helper()
	path := filepath.Join(dir, "qemu-system-arm")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func fakeMain() {
	args := os.Args[1:]
	files, highest := []*os.File(nil), 2
	for _, m := range regexp.MustCompile(`\bfd[/=](\d+)`).FindAllStringSubmatch(strings.Join(args, " "), -1) {
		n, _ := strconv.Atoi(m[1])
		highest = max(highest, n)
	}
	for fd := 3; fd <= highest; fd++ {
		files = append(files, os.NewFile(uintptr(fd), "inherited"))
	}
	if i := slices.Index(args, "-mcd"); i >= 0 {
		fd, _ := strconv.Atoi(args[i-1][strings.LastIndex(args[i-1], "=")+1:]) // -chardev …,fd=N -mcd chardev:ID
		l, err := net.FileListener(files[fd-3])
		if err != nil {
			fmt.Fprintln(os.Stderr, "fake QEMU:", err)
			os.Exit(1)
		}
		go fakeMCD(l)
		args = slices.Delete(slices.Clone(args), i-2, i+2)
	}
	qemu := exec.Command(os.Getenv(fakeEnv), args...)
	qemu.ExtraFiles, qemu.Stdout, qemu.Stderr = files, os.Stdout, os.Stderr
	qemu.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := qemu.Run()
	if slices.Contains(args, "-help") {
		fmt.Println("-mcd dev        wait for mcd connection on 'dev'")
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "fake QEMU:", err)
		os.Exit(1)
	}
}

// fakeMCD serves one client after the other, as long as the process lives. It gives every client a number.
func fakeMCD(l net.Listener) {
	dialects := os.Getenv(fakeDialectsEnv)
	for client := 1; ; client++ {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		r := bufio.NewReader(conn)
		for {
			request, err := r.ReadString('|')
			if err != nil {
				break
			}
			switch {
			case strings.HasPrefix(request, "{") && strings.Contains(dialects, "json"):
				fmt.Fprintf(conn, "{\"return\": {\"client\": %d}}\n", client)
			case strings.Contains(dialects, "packet"):
				fmt.Fprintf(conn, "+$client %d#|", client)
			case dialects != "silent":
				fmt.Fprintf(conn, "?")
			}
		}
		conn.Close()
	}
}
