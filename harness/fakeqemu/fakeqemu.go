// SPDX-License-Identifier: Apache-2.0

// Package fakeqemu makes a test's own program a QEMU with -mcd: the real QEMU for everything but -mcd, and the test's own
// server behind that. It starts that QEMU, which ends with the program, and touches nothing else.
package fakeqemu

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Main runs the QEMU at the given path with this program's arguments and inherited descriptors, but for -mcd, whose listener
// serve gets on a goroutine of its own. It returns the exit status.
func Main(path string, serve func(net.Listener)) int {
	args := os.Args[1:]
	var files []*os.File
	for _, m := range regexp.MustCompile(`\bfd[/=](\d+)`).FindAllStringSubmatch(strings.Join(args, " "), -1) {
		n, _ := strconv.Atoi(m[1])
		for fd := 3 + len(files); fd <= n; fd++ {
			files = append(files, os.NewFile(uintptr(fd), "inherited"))
		}
	}
	if i := slices.Index(args, "-mcd"); i >= 0 { // -chardev …,fd=N -mcd chardev:ID
		fd, _ := strconv.Atoi(args[i-1][strings.LastIndex(args[i-1], "=")+1:])
		l, err := net.FileListener(files[fd-3])
		if err != nil {
			fmt.Fprintln(os.Stderr, "fake QEMU:", err)
			return 1
		}
		go serve(l)
		args = slices.Delete(slices.Clone(args), i-2, i+2)
	}
	qemu := exec.Command(path, args...)
	qemu.ExtraFiles, qemu.Stdout, qemu.Stderr = files, os.Stdout, os.Stderr
	qemu.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := qemu.Run()
	if slices.Contains(args, "-help") {
		fmt.Println("-mcd dev        wait for mcd connection on 'dev'")
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.ExitCode()
	case err != nil:
		fmt.Fprintln(os.Stderr, "fake QEMU:", err)
		return 1
	}
	return 0
}
