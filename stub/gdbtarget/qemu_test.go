// SPDX-License-Identifier: Apache-2.0

package gdbtarget_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mcdtest/guest"
	"mcdtest/stub/gdbtarget"
	"mcdtest/stub/qmp"
	"mcdtest/stub/qtest"
	"mcdtest/stub/target"
)

// rig is a QEMU with a Target over it and an observer beside it.
type rig struct {
	*gdbtarget.Target
	guest *guest.Image
	qmp   *qmp.Monitor  // the observer's own
	qtest *qtest.Client // shared, nil without
	dump  *countedDump
	proc  *os.Process
}

type rigConfig struct {
	arch     string
	variant  guest.Variant
	cores    int
	args     []string
	noQTest  bool
	running  bool
	asked    bool   // the first questions are there before QEMU is
	dumpPath string // where QEMU writes dumps; empty: where they are read
	noDump   bool
	gdb      func(net.Conn, *os.Process) net.Conn // goes between the Target and the gdbstub
	tap      func(net.Conn, *os.Process) net.Conn // likewise, qtest
}

func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// socketPair returns our end and the file that QEMU inherits.
func socketPair(t testing.TB) (net.Conn, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours := os.NewFile(uintptr(fds[0]), "ours")
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		t.Fatal(err)
	}
	return conn, os.NewFile(uintptr(fds[1]), "theirs")
}

// qemuPath finds a QEMU as the harness does: MCDTEST_QEMU (a binary or a folder), else PATH.
func qemuPath(t testing.TB, arch string) string {
	t.Helper()
	name := "qemu-system-" + arch
	if q := os.Getenv("MCDTEST_QEMU"); q != "" {
		if filepath.Base(q) == name {
			return q
		}
		if p := filepath.Join(q, name); exec.Command(p, "--version").Run() == nil {
			return p
		}
		t.Skipf("MCDTEST_QEMU=%s has no %s", q, name)
	}
	p, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("no %s on PATH", name)
	}
	return p
}

func startQEMU(t testing.TB, cfg rigConfig) *rig {
	t.Helper()
	r, config := launchQEMU(t, cfg)
	tgt, err := gdbtarget.New(deadline(t), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tgt.Close() })
	r.Target = tgt
	return r
}

// launchQEMU is startQEMU without the Target, and what a Target is to be made of.
func launchQEMU(t testing.TB, cfg rigConfig) (*rig, gdbtarget.Config) {
	t.Helper()
	if cfg.variant == "" {
		cfg.variant = guest.Loop
	}
	cfg.cores = max(cfg.cores, 1)
	img, err := guest.Lookup(cfg.arch, cfg.variant)
	if err != nil {
		t.Skip(err)
	}
	elf := filepath.Join(t.TempDir(), "guest.elf")
	if err := os.WriteFile(elf, img.ELF, 0o600); err != nil {
		t.Fatal(err)
	}
	args := append(img.QEMUArgs(elf, cfg.cores), "-nodefaults", "-display", "none", "-serial", "none", "-monitor", "none")
	if !cfg.running {
		args = append(args, "-S")
	}
	var files []*os.File
	connect := func(id string) net.Conn {
		conn, file := socketPair(t)
		files = append(files, file)
		args = append(args, "-chardev", fmt.Sprintf("socket,id=%s,fd=%d", id, 2+len(files)))
		return conn
	}
	gdb := connect("gdb0")
	if cfg.asked {
		_, err := gdb.Write(gdbtarget.FirstQuestions())
		must(t, err)
	}
	own := connect("qmp0")
	observer := connect("qmp1")
	args = append(args, "-gdb", "chardev:gdb0", "-qmp", "chardev:qmp0", "-qmp", "chardev:qmp1")
	var tap net.Conn
	if !cfg.noQTest {
		// QEMU looks for a character device that is called "qtest", whatever -qtest says.
		tap = connect("qtest")
		args = append(args, "-accel", "tcg", "-qtest", "chardev:qtest", "-qtest-log", "none")
	}
	args = append(args, cfg.args...)
	cmd := exec.Command(qemuPath(t, cfg.arch), args...)
	cmd.ExtraFiles = files
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	ended := make(chan struct{})
	go func() {
		runtime.LockOSThread() // Pdeathsig is bound to the forking thread
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
		close(ended)
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		f.Close()
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	mons := []*qmp.Monitor{qmp.New(own), qmp.New(observer)}
	for _, m := range mons {
		if err := m.Connect(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Disconnect() })
	}
	dump, path := dumpFile(t)
	if cfg.dumpPath != "" {
		path = cfg.dumpPath
	}
	if cfg.gdb != nil {
		gdb = cfg.gdb(gdb, cmd.Process)
	}
	if cfg.tap != nil {
		tap = cfg.tap(tap, cmd.Process)
	}
	var qt *qtest.Client
	if tap != nil {
		qt = qtest.New(tap)
		t.Cleanup(func() { qt.Close() })
	}
	config := gdbtarget.Config{GDB: gdb, QMP: mons[0], QTest: qt, Asked: cfg.asked}
	if !cfg.noDump {
		config.Dump = gdbtarget.Dump{File: dump, Path: path}
	}
	return &rig{guest: img, qmp: mons[1], qtest: qt, dump: dump, proc: cmd.Process}, config
}

// before is a connection that has something done in front of whatever is written with the given text in it.
type before struct {
	net.Conn
	text string
	do   func()
}

func (b before) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(b.text)) {
		b.do()
	}
	return b.Conn.Write(p)
}

// stopsAt makes a rigConfig's gdb or tap that stops QEMU, where it is armed, in front of the next write with the given text in it.
func stopsAt(t *testing.T, text string, armed *atomic.Bool) func(net.Conn, *os.Process) net.Conn {
	return func(c net.Conn, p *os.Process) net.Conn {
		return before{c, text, func() {
			if armed.CompareAndSwap(true, false) {
				stopQEMU(t, p)
			}
		}}
	}
}

// stopped reports whether all of a process stands.
func stopped(t *testing.T, p *os.Process) bool {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.Pid))
	must(t, err)
	for _, task := range tasks {
		stat, err := os.ReadFile(task)
		must(t, err)
		if _, state, ok := strings.Cut(string(stat), ") "); !ok || state[0] != 'T' {
			return false
		}
	}
	return true
}

func stopQEMU(t *testing.T, p *os.Process) {
	must(t, p.Signal(syscall.SIGSTOP))
	until(t, "QEMU stands", func() (bool, string) { return stopped(t, p), "" })
}

// runState is what QMP says, without the Target.
func (r *rig) runState(t testing.TB) string {
	t.Helper()
	var s struct {
		Status string `json:"status"`
	}
	if err := r.qmp.Execute(deadline(t), "query-status", nil, &s); err != nil {
		t.Fatal(err)
	}
	return s.Status
}

// hmpWord reads 4 bytes of physical memory through the monitor, as little-endian.
func (r *rig) hmpWord(t testing.TB, addr uint64) uint32 {
	t.Helper()
	text, err := r.qmp.HMP(deadline(t), -1, fmt.Sprintf("xp /1xw %#x", addr))
	if err != nil {
		t.Fatal(err)
	}
	_, value, ok := strings.Cut(text, ":")
	var v uint32
	if _, err := fmt.Sscanf(strings.TrimSpace(value), "0x%x", &v); !ok || err != nil {
		t.Fatalf("xp answers %q", text)
	}
	return v
}

// until polls a condition; the target's events come from another process.
func until(t testing.TB, what string, cond func() (bool, string)) {
	t.Helper()
	limit := time.Now().Add(5 * time.Second)
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for {
		ok, seen := cond()
		if ok {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("waited 5 s until %s; last seen: %s", what, seen)
		}
		<-tick.C
	}
}

// waitStopped waits until a core stands and returns its state.
func (r *rig) waitStopped(t testing.TB, core int) target.State {
	t.Helper()
	var s target.State
	until(t, fmt.Sprintf("core %d stands", core), func() (bool, string) {
		s = r.State(core)
		return !s.Running, fmt.Sprintf("%+v", s)
	})
	return s
}

// must fails the test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
