// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mcdtest/harness/rawclient"
	"mcdtest/harness/transcript"
)

// shimmed installs the shim in a folder of its own and returns a function that makes commands of its qemu-system-arm.
func shimmed(t *testing.T, mark string) func(args ...string) *exec.Cmd {
	t.Helper()
	real := needQEMU(t, "arm")
	dir := filepath.Join(t.TempDir(), "bin")
	if r := mcdtest(t, nil, "qemu-shim", "--install", dir); r.status != 0 {
		t.Fatal(r.errors)
	}
	return func(args ...string) *exec.Cmd {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		t.Cleanup(cancel)
		cmd := exec.CommandContext(ctx, filepath.Join(dir, "qemu-system-arm"), args...)
		cmd.Env = append(os.Environ(), marker+"="+mark, "MCDTEST_SHIM_QEMU="+real)
		return cmd
	}
}

// conversation says what a client says first, and checks the answer.
func conversation(t *testing.T, conn net.Conn) *rawclient.Client {
	t.Helper()
	c := rawclient.New(conn, rawclient.Options{})
	t.Cleanup(func() { c.Close() })
	if s, err := c.System(t.Context()); err != nil || s != "qemu-system" {
		t.Fatalf("qsystem: %q, %v", s, err)
	}
	return c
}

// dialling waits until somebody listens at path.
func dialling(t *testing.T, path string) net.Conn {
	t.Helper()
	var conn net.Conn
	waitFor(t, "the MCD endpoint to listen", func() (bool, string) {
		var err error
		conn, err = net.Dial("unix", path)
		return err == nil, fmt.Sprint(err)
	})
	return conn
}

func TestShimDevices(t *testing.T) {
	t.Parallel()
	mark := rand.Text()
	qemu := shimmed(t, mark)
	_, machine := armGuest(t)
	dir := shortDir(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, args := range map[string][]string{
		"unix":          {"-mcd", "unix:" + at("unix") + ",server=on,wait=off"},
		"old":           {"--mcd", "unix:" + at("old") + ",server,nowait"},
		"chardev":       {"-chardev", "socket,id=m,path=" + at("chardev") + ",server=on,wait=off", "-mcd", "chardev:m"},
		"chardev later": {"-mcd", "chardev:m", "--chardev", "socket,id=m,path=" + at("chardev later") + ",server,nowait"},
		// QEMU does not start before the client has connected, and the client does not mind.
		"waits": {"-mcd", "unix:" + at("waits") + ",server=on"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := qemu(append(machine, args...)...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			c := conversation(t, dialling(t, at(name)))
			if s, err := c.State(t.Context(), 0); err != nil || s.Name != rawclient.Running {
				t.Errorf("want the machine running, got %+v, %v", s, err)
			}
			// A client that has gone makes room for the next one, but not where QEMU waited for it.
			if err := c.Kill(t.Context()); err != nil {
				t.Error(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("a kill is an end with exit status 0, got %v", err)
			}
			waitFor(t, "the socket file to be removed", func() (bool, string) {
				_, err := os.Lstat(at(name))
				return err != nil, "it is there"
			})
		})
	}
	t.Cleanup(func() { noneLeft(t, mark) })
}

func TestShimDialsOut(t *testing.T) {
	t.Parallel()
	mark := rand.Text()
	qemu := shimmed(t, mark)
	_, machine := armGuest(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	cmd := qemu(append(machine, "-chardev", "socket,id=m,host="+host+",port="+port+",server=off", "-mcd", "chardev:m")...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := conversation(t, conn)

	// QEMU is ended from outside: the client sees it, and the exit status is QEMU's.
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.ExpectEOF(t.Context()); err != nil {
		t.Error(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("want it ended by SIGKILL, got %v", err)
	}
	noneLeft(t, mark)

	// Nobody to dial.
	l.Close()
	out, err := qemu(append(machine, "-chardev", "socket,id=m,host="+host+",port="+port+",server=off", "-mcd", "chardev:m")...).CombinedOutput()
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !bytes.Contains(out, []byte("connection refused")) {
		t.Errorf("want exit status 1 and why, got %v:\n%s", err, out)
	}
	noneLeft(t, mark)
}

// Two copies of the shim in PATH find QEMU, and not each other for ever.
func TestCopiesOfTheShim(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	first, second := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	if r := mcdtest(t, nil, "qemu-shim", "--install", first); r.status != 0 {
		t.Fatal(r.errors)
	}
	program, err := filepath.EvalSymlinks(filepath.Join(first, "qemu-system-arm"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(second, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(second, "qemu-system-arm"), text, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for _, args := range [][]string{{"-version"}, {"-M", "help"}} {
		cmd := exec.CommandContext(ctx, filepath.Join(first, "qemu-system-arm"), args...)
		cmd.Env = append(os.Environ(), "PATH="+first+":"+second+":"+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%.300s", args, err, out)
		}
	}
}

func TestShimWarnsOfAddressesThatOthersReach(t *testing.T) {
	t.Parallel()
	mark := rand.Text()
	qemu := shimmed(t, mark)
	for addr, warned := range map[string]bool{
		"tcp:0.0.0.0:0": true, "tcp:127.0.0.1:0": false, "unix:" + filepath.Join(shortDir(t), "s") + ",server=on,wait=off": false, "chardev:abstract": true,
	} {
		out, err := qemu("-M", "no-such-machine", "-chardev", "socket,id=abstract,path="+mark+",abstract=on,server=on,wait=off", "-mcd", addr).CombinedOutput()
		if err == nil || !bytes.Contains(out, []byte("unsupported machine type")) {
			t.Errorf("%s: QEMU was to refuse its machine: %v:\n%s", addr, err, out)
		}
		if got := bytes.Contains(out, []byte("MCD has no authentication")); got != warned {
			t.Errorf("%s: a warning: want %v, got %v:\n%s", addr, warned, got, out)
		}
	}
	noneLeft(t, mark)
}

// A descriptor that QEMU would inherit: a connected socket, and the JSON dialect on it.
func TestShimDescriptor(t *testing.T) {
	t.Parallel()
	mark := rand.Text()
	qemu := shimmed(t, mark)
	_, machine := armGuest(t)
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	conn, err := net.FileConn(ours)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ours.Close()
	cmd := qemu(append(machine, "-chardev", "socket,id=m,fd=3", "-mcd", "chardev:m")...)
	cmd.ExtraFiles = []*os.File{theirs}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	if _, err := conn.Write([]byte(`{"execute":"mcd-qry-servers","arguments":{"host":"","running":true,"start-index":0,"num-servers":0}}`)); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 1000)
	n, err := conn.Read(reply)
	if err != nil || !strings.HasPrefix(string(reply[:n]), `{"return":{"return-status":0`) {
		t.Errorf("%s, %v", transcript.Escape(reply[:n]), err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("QEMU takes SIGTERM for a quit, and so should this: %v", err)
	}
	noneLeft(t, mark)
}

// What has nothing to do with MCD is QEMU's own affair.
func TestShimPassesThrough(t *testing.T) {
	t.Parallel()
	mark := rand.Text()
	qemu := shimmed(t, mark)
	run := func(cmd *exec.Cmd) (out, errs string, status int) {
		var o, e bytes.Buffer
		cmd.Stdout, cmd.Stderr = &o, &e
		if err := cmd.Run(); cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return o.String(), e.String(), cmd.ProcessState.ExitCode()
	}
	out, _, status := run(qemu("-version"))
	if !strings.HasPrefix(out, "QEMU emulator version") || strings.Contains(out, "mcd") || status != 0 {
		t.Errorf("-version: exit status %d, %q", status, out)
	}
	out, _, status = run(qemu("-help"))
	if !strings.Contains(out, "\n-mcd ") || !strings.Contains(out, "\n-gdb ") || status != 0 {
		t.Errorf("-help: exit status %d, and a line that begins with -mcd is wanted:\n%.300s", status, out)
	}
	_, errs, status := run(qemu("-M", "none-such", "-mcd", "unix:"+filepath.Join(shortDir(t), "s")+",server,nowait"))
	if status != 1 || !strings.Contains(errs, "unsupported machine type") {
		t.Errorf("QEMU's own mistake: exit status %d: %s", status, errs)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-mcd"}, "a device is needed"},
		{[]string{"-mcd", "vc"}, "this stub takes"},
		{[]string{"-mcd", "pipe:/none/p"}, "mkfifo /none/p.in /none/p.out"},
		{[]string{"-mcd", "chardev:none"}, "no -chardev with id=none"},
		{[]string{"-mcd", "default", "-s"}, "QEMU has one gdbstub"},
	} {
		out, errs, status := run(qemu(tt.args...))
		if status != 1 || out != "" || !strings.HasPrefix(errs, "qemu-system-arm: ") || !strings.Contains(errs, tt.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%q: want one sentence with %q and exit status 1, got %d: %s%s", tt.args, tt.want, status, out, errs)
		}
	}

	// QEMU's default monitor is where it would be, on the standard streams.
	cmd := qemu("-M", "virt", "-nographic", "-S", "-mcd", "unix:"+filepath.Join(shortDir(t), "s")+",server,nowait")
	cmd.Stdin = strings.NewReader("\x01cinfo status\nquit\n")
	out, errs, status = run(cmd)
	if status != 0 || !strings.Contains(out, "VM status: paused (prelaunch)") {
		t.Errorf("the monitor: exit status %d, %q, %s", status, out, errs)
	}
	noneLeft(t, mark)

	// Without a real QEMU there is nothing to be.
	cmd = qemu("-version")
	cmd.Env = append(cmd.Env, "MCDTEST_SHIM_QEMU="+t.TempDir())
	if _, errs, status := run(cmd); status != 1 || !strings.Contains(errs, "set it to the real one") {
		t.Errorf("no QEMU: exit status %d: %s", status, errs)
	}
	cmd = qemu("-version")
	cmd.Env = append(cmd.Env, "MCDTEST_SHIM_QEMU=", "PATH="+filepath.Dir(cmd.Path))
	if _, errs, status := run(cmd); status != 1 || !strings.Contains(errs, "no qemu-system-arm in PATH besides this shim") {
		t.Errorf("only the shim in PATH: exit status %d: %s", status, errs)
	}
}
