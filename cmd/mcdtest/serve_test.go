// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"mcdtest/guest"
	"mcdtest/harness/rawclient"
	"mcdtest/stub/qmp"
	"mcdtest/stub/qtest"
)

// shortDir is a folder for sockets: their paths must be short, and those of t.TempDir may not be.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mcd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// daemon is a command that runs in the background.
type daemon struct {
	cmd   *exec.Cmd
	mark  string
	first string // its first line of output
	out   chan string
	errs  *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start starts a command and waits for its first line of output. What it leaves behind is an error of the test.
func start(t *testing.T, args ...string) *daemon {
	t.Helper()
	errs := new(lockedBuffer)
	d := startTo(t, errs, args...)
	d.errs = errs
	return d
}

// startTo is start with another place for the standard error.
func startTo(t *testing.T, stderr io.Writer, args ...string) *daemon {
	t.Helper()
	d := &daemon{mark: rand.Text(), out: make(chan string, 100)}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	d.cmd = command(ctx, d.mark, args...)
	d.cmd.Stderr = stderr
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		d.cmd.Wait()
		noneLeft(t, d.mark)
	})
	go func() {
		defer close(d.out)
		for s := bufio.NewScanner(out); s.Scan(); {
			d.out <- s.Text()
		}
	}()
	d.first = <-d.out
	return d
}

// wait waits for the command to end by itself and returns its exit status.
func (d *daemon) wait() int {
	for range d.out {
	}
	d.cmd.Wait()
	return d.cmd.ProcessState.ExitCode()
}

// interrupt does what Ctrl-C does, and waits.
func (d *daemon) interrupt(t *testing.T) int {
	t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	return d.wait()
}

// qemu is the number of the process that the command started.
func (d *daemon) qemu(t *testing.T) int {
	t.Helper()
	pid := 0
	for _, p := range marked(d.mark) {
		var n int
		if fmt.Sscan(p, &n); n != d.cmd.Process.Pid && strings.Contains(p, "qemu-system-") {
			pid = n
		}
	}
	if pid == 0 {
		t.Fatalf("there is no QEMU among %q", marked(d.mark))
	}
	return pid
}

func client(t *testing.T, path string) *rawclient.Client {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c := rawclient.New(conn, rawclient.Options{})
	t.Cleanup(func() { c.Close() })
	return c
}

// armGuest is the loop for arm, in a file.
func armGuest(t *testing.T) (*guest.Image, []string) {
	t.Helper()
	image, err := guest.Lookup("arm", guest.Loop)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "loop.elf")
	if err := os.WriteFile(path, image.ELF, 0o644); err != nil {
		t.Fatal(err)
	}
	return image, append([]string{"-nodefaults", "-display", "none"}, image.QEMUArgs(path, 1)...)
}

// absent reports an error if there is a file at path.
func absent(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); err == nil {
		t.Errorf("%s was left behind", path)
	}
}

// A log that nobody reads any more ends neither the server nor its clean-up.
func TestServeWhoseLogNobodyReads(t *testing.T) {
	t.Parallel()
	qemu := needQEMU(t, "arm")
	_, args := armGuest(t)
	sock := filepath.Join(shortDir(t), "s")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	d := startTo(t, write, append([]string{"serve", "--listen", "unix:" + sock, "--", qemu}, args...)...)
	write.Close()
	read.Close()
	for range 3 { // each of them is a line of the log
		c := client(t, sock)
		if _, err := c.State(t.Context(), 0); err != nil {
			t.Errorf("a client: %v", err)
		}
		c.Close()
	}
	if status := d.interrupt(t); status != 0 {
		t.Errorf("Ctrl-C: exit status %d", status)
	}
	absent(t, sock)
}

func TestServe(t *testing.T) {
	t.Parallel()
	qemu := needQEMU(t, "arm")
	_, args := armGuest(t)
	sock := filepath.Join(shortDir(t), "s")
	serve := append([]string{"serve", "--listen", "unix:" + sock, "--", qemu}, args...)

	d := start(t, serve...)
	if want := "MCD on unix:" + sock + "  (qemu-system-arm, cortex-a15-arm-cpu)"; d.first != want {
		t.Errorf("want %q, got %q", want, d.first)
	}
	c := client(t, sock)
	if s, err := c.State(t.Context(), 0); err != nil || s.Name != rawclient.Running {
		t.Errorf("without -S the machine runs; MCD says %+v, %v", s, err)
	}
	// Ctrl-C with a client connected.
	if status := d.interrupt(t); status != 0 {
		t.Errorf("Ctrl-C: exit status %d:\n%s", status, d.errs)
	}
	absent(t, sock)

	// A client ends QEMU: that is a good end.
	d = start(t, serve...)
	if err := client(t, sock).Kill(t.Context()); err != nil {
		t.Error(err)
	}
	if status := d.wait(); status != 0 {
		t.Errorf("kill: exit status %d:\n%s", status, d.errs)
	}
	absent(t, sock)

	// QEMU is ended by somebody else.
	d = start(t, serve...)
	if err := syscall.Kill(d.qemu(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if status := d.wait(); status != statusFailed || !strings.Contains(d.errs.String(), "ended by SIGKILL") {
		t.Errorf("SIGKILL of QEMU: exit status %d:\n%s", status, d.errs)
	}
	absent(t, sock)

	// The server is ended the hard way: QEMU does not outlive it.
	d = start(t, serve...)
	if err := d.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	d.wait()
	noneLeft(t, d.mark)

	// The socket file that was left behind is no obstacle.
	d = start(t, append(serve[:1:1], append([]string{"--no-kill", "--dialect", "packet"}, serve[1:]...)...)...)
	c = client(t, sock)
	if _, err := c.Do(t.Context(), "k"); err != nil {
		t.Error(err)
	}
	if s, err := c.State(t.Context(), 0); err != nil || !strings.Contains(s.Info, "error") {
		t.Errorf("--no-kill: want the refusal in the state, got %+v, %v", s, err)
	}
	if status := d.interrupt(t); status != 0 {
		t.Errorf("exit status %d:\n%s", status, d.errs)
	}
}

// standing is a QEMU that somebody else started, to attach to.
type standing struct {
	monitor *qmp.Monitor
	memory  *qtest.Client
	flags   []string
}

func standingQEMU(t *testing.T, args ...string) *standing {
	t.Helper()
	dir := shortDir(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	server := func(name string) string { return "unix:" + at(name) + ",server=on,wait=off" }
	cmd := exec.Command(needQEMU(t, "arm"), append(args, "-gdb", server("g"), "-qmp", server("q"), "-qmp", server("own"),
		"-accel", "tcg", "-qtest", server("t"), "-qtest-log", "none")...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	s := &standing{flags: []string{"--gdb", "unix:" + at("g"), "--qmp", "unix:" + at("q")}}
	var conn net.Conn
	waitFor(t, "QEMU to listen", func() (bool, string) {
		var err error
		conn, err = net.Dial("unix", at("own"))
		return err == nil, fmt.Sprint(err)
	})
	s.monitor = qmp.New(conn)
	t.Cleanup(func() { s.monitor.Disconnect() })
	if err := s.monitor.Connect(); err != nil {
		t.Fatal(err)
	}
	mem, err := net.Dial("unix", at("t"))
	if err != nil {
		t.Fatal(err)
	}
	s.memory = qtest.New(mem)
	t.Cleanup(func() { s.memory.Close() })
	return s
}

func (s *standing) status(t *testing.T) string {
	t.Helper()
	var status struct{ Status string }
	if err := s.monitor.Execute(t.Context(), "query-status", nil, &status); err != nil {
		t.Fatal(err)
	}
	return status.Status
}

func (s *standing) counter(t *testing.T, image *guest.Image) uint32 {
	t.Helper()
	var p [4]byte
	if err := s.memory.Read(t.Context(), image.Addr("counter"), p[:]); err != nil {
		t.Fatal(err)
	}
	return binary.LittleEndian.Uint32(p[:])
}

// grows waits until the loop has made passes.
func (s *standing) grows(t *testing.T, image *guest.Image) {
	t.Helper()
	first := s.counter(t, image)
	waitFor(t, "the loop to go on", func() (bool, string) { return s.counter(t, image) != first, fmt.Sprint(first) })
}

func TestServeAttached(t *testing.T) {
	t.Parallel()
	image, args := armGuest(t)
	sock := filepath.Join(shortDir(t), "s")

	// One that runs: it runs on, whatever a client did, and no trigger is left in its way.
	s := standingQEMU(t, args...)
	s.grows(t, image)
	d := start(t, append([]string{"serve", "--listen", "unix:" + sock}, s.flags...)...)
	if !strings.HasPrefix(d.first, "MCD on unix:"+sock) {
		t.Fatalf("%s\n%s", d.first, d.errs)
	}
	if got := s.status(t); got != "running" {
		t.Errorf("attached to: want it running, got %s", got)
	}
	s.grows(t, image)
	c := client(t, sock)
	if err := c.InsertTrigger(t.Context(), 0, 1, image.Addr("loop")); err != nil {
		t.Error(err)
	}
	waitFor(t, "the breakpoint to be hit", func() (bool, string) {
		state, err := c.State(t.Context(), 0)
		return err == nil && state.Name == rawclient.Debug, fmt.Sprint(state, err)
	})
	if status := d.interrupt(t); status != 0 {
		t.Errorf("exit status %d:\n%s", status, d.errs)
	}
	if got := s.status(t); got != "running" {
		t.Errorf("let go of: want it running, got %s", got)
	}
	s.grows(t, image)
	s.grows(t, image)

	// One that stands: it stands.
	s = standingQEMU(t, append(args, "-S")...)
	d = start(t, append([]string{"serve", "--listen", "unix:" + sock}, s.flags...)...)
	if state, err := client(t, sock).State(t.Context(), 0); err != nil || state.Name != rawclient.Halted {
		t.Errorf("MCD says %+v, %v", state, err)
	}
	if status := d.interrupt(t); status != 0 {
		t.Errorf("exit status %d:\n%s", status, d.errs)
	}
	if got := s.status(t); got == "running" {
		t.Errorf("a machine that stood is %s", got)
	}

	// A qtest that never answers would be missed only later.
	silent := endpointThat(t, func(net.Conn) {})
	r := mcdtest(t, nil, append([]string{"serve", "--listen", "127.0.0.1:0", "--qtest", silent}, s.flags...)...)
	if r.status != statusCannotRun || !strings.Contains(r.errors, "attach to qtest at "+silent) || !strings.Contains(r.errors, "is that QEMU's -qtest") {
		t.Errorf("a qtest that never answers: exit status %d:\n%s%s", r.status, r.out, r.errors)
	}

	// The end of QEMU is an error, unless a client asked for it.
	d = start(t, append([]string{"serve", "--listen", "unix:" + sock}, s.flags...)...)
	if err := s.monitor.Execute(t.Context(), "quit", nil, nil); err != nil {
		t.Error(err)
	}
	if status := d.wait(); status != statusFailed || !strings.Contains(d.errs.String(), "QEMU has ended") {
		t.Errorf("quit: exit status %d:\n%s", status, d.errs)
	}
	s = standingQEMU(t, append(args, "-S")...)
	d = start(t, append([]string{"serve", "--listen", "unix:" + sock}, s.flags...)...)
	if err := client(t, sock).Kill(t.Context()); err != nil {
		t.Error(err)
	}
	if status := d.wait(); status != 0 {
		t.Errorf("kill: exit status %d:\n%s", status, d.errs)
	}
	absent(t, sock)
}
