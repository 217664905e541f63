// SPDX-License-Identifier: Apache-2.0

package launch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"mcdtest/harness/launch"
	"mcdtest/stub/qmp"
)

func TestMain(m *testing.M) {
	if os.Getenv(orphanEnv) != "" {
		orphanMain()
		return
	}
	goleak.VerifyTestMain(m)
}

// qemuPath is the QEMU that these tests run.
func qemuPath(t testing.TB) string {
	t.Helper()
	path := os.Getenv("MCDTEST_QEMU")
	if fi, err := os.Stat(path); err == nil && fi.IsDir() {
		path = filepath.Join(path, "qemu-system-arm")
	}
	if path == "" {
		return "qemu-system-arm"
	}
	return path
}

// noMachine is a QEMU without guest, the quickest to start.
var noMachine = []string{"-M", "none", "-nodefaults", "-display", "none"}

var virt = []string{"-M", "virt", "-cpu", "cortex-a15", "-m", "16M", "-nodefaults", "-nic", "none", "-display", "none", "-S"}

func start(t testing.TB, s launch.Spec) *launch.Process {
	t.Helper()
	if s.Path == "" {
		s.Path = qemuPath(t)
	}
	p, err := launch.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// shell runs a script in place of a QEMU.
func shell(script string, monitors int) launch.Spec {
	return launch.Spec{Path: "/bin/sh", Args: []string{"-c", script, "sh"}, Monitors: monitors}
}

// within fails the test if c is not closed in time.
func within(t testing.TB, limit time.Duration, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(limit):
		t.Fatalf("%s did not happen within %v", what, limit)
	}
}

// What is written to the gdbstub beforehand is answered when QEMU comes to it.
func TestGDBInput(t *testing.T) {
	p := start(t, launch.Spec{Args: virt, GDB: true, GDBInput: []byte("$qC#b4")})
	p.GDB().SetDeadline(time.Now().Add(5 * time.Second))
	var got []byte
	for buf := make([]byte, 100); !regexp.MustCompile(`^\+\$QC.*#`).Match(got); {
		n, err := p.GDB().Read(buf)
		if err != nil {
			t.Fatalf("waited for the answer to qC, got %q: %v", got, err)
		}
		got = append(got, buf[:n]...)
	}
}

func TestConnections(t *testing.T) {
	p := start(t, launch.Spec{Args: virt, Monitors: 2, GDB: true, QTest: true})
	for i, m := range p.Monitors() {
		var status struct{ Status string }
		if err := m.Execute(t.Context(), "query-status", nil, &status); err != nil || status.Status != "prelaunch" {
			t.Errorf("monitor %d: status %+v, %v", i, status, err)
		}
	}
	for _, c := range []struct {
		name         string
		conn         net.Conn
		request, hex string
	}{
		{"gdb", p.GDB(), "$?#3f", `^\+\$T05`},
		{"qtest", p.QTest(), "readl 0x40000000\n", `^OK 0x0000000`},
	} {
		c.conn.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.WriteString(c.conn, c.request); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		var got []byte
		for buf := make([]byte, 100); !regexp.MustCompile(c.hex).Match(got); {
			n, err := c.conn.Read(buf)
			if err != nil {
				t.Fatalf("%s: sent %q, waited for %q, got %q: %v", c.name, c.request, c.hex, got, err)
			}
			got = append(got, buf[:n]...)
		}
	}
	if p.Exit() != nil {
		t.Errorf("exit of a living process: %v", p.Exit())
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if e := p.Exit(); e == nil || e.Status != 0 || e.Signal != "" {
		t.Errorf("exit after Stop: %v", e)
	}
}

func TestFiles(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	l, err := net.Listen("unix", "@mcdtest-launch-"+fmt.Sprint(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	lf, err := l.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	args := append(slices.Clone(noMachine),
		"-chardev", "file,id=log,path=/proc/self/fd/{fd:0}",
		"-chardev", "socket,id=extra,fd={fd:1},server=on,wait=off", "-qmp", "chardev:extra")
	p := start(t, launch.Spec{Args: args, Monitors: 1, Files: []*os.File{w, lf}})
	w.Close()
	lf.Close()
	l.Close()
	if !slices.Contains(p.Args(), "file,id=log,path=/proc/self/fd/4") {
		t.Errorf("arguments: %q", p.Args())
	}
	for range 2 { // a listening socket that QEMU inherits serves one client after the other
		conn, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		m := qmp.New(conn)
		if err := m.Connect(); err != nil {
			t.Error(err)
		}
		m.Disconnect()
	}
	p.Kill()
	if _, err := io.ReadAll(r); err != nil { // its end shows that nobody holds the write end
		t.Error(err)
	}
	if _, err := net.Dial("unix", l.Addr().String()); err == nil {
		t.Error("something still listens where QEMU did")
	}
}

// QEMU finds the dump under the name that Dump says, and what it writes there is there for us.
func TestDump(t *testing.T) {
	p := start(t, launch.Spec{Args: virt, Monitors: 1, GDB: true, Dump: true})
	f, path := p.Dump()
	if err := p.Monitors()[0].Execute(t.Context(), "memsave", map[string]any{"val": 0x40000000, "size": 8, "filename": path}, nil); err != nil {
		t.Fatal(err)
	}
	if fi, err := f.Stat(); err != nil || fi.Size() != 8 {
		t.Errorf("the dump has %d bytes, %v", fi.Size(), err)
	}
	p.Kill()
	if _, err := f.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the dump of a process that was killed: %v", err)
	}
}

func TestStdio(t *testing.T) {
	in, err := os.CreateTemp(t.TempDir(), "in")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := in.WriteAt([]byte("typed"), 0); err != nil {
		t.Fatal(err)
	}
	var out, stderr bytes.Buffer
	s := shell(`cat; echo "said $X" >&2`, 0)
	s.Stdin, s.Stdout, s.Stderr, s.Env = in, &out, &stderr, []string{"X=it", "PATH=" + os.Getenv("PATH")}
	p := start(t, s)
	within(t, 5*time.Second, "the end of a shell", p.Done())
	if diff := cmp.Diff([]string{"typed", "said it\n"}, []string{out.String(), stderr.String()}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestProcessGroup(t *testing.T) {
	group := func(s launch.Spec) int {
		g, err := syscall.Getpgid(start(t, s).PID())
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	own := syscall.Getpgrp()
	if g := group(launch.Spec{Args: noMachine, Monitors: 1}); g == own {
		t.Error("without Stdin, signals from the terminal reach QEMU")
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if g := group(launch.Spec{Args: noMachine, Monitors: 1, Stdin: null}); g != own {
		t.Error("with Stdin, QEMU may not read from the terminal")
	}
}

func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name string
		spec launch.Spec
		says string // a pattern for the whole message
	}{
		{"no such file", launch.Spec{Path: filepath.Join(dir, "none")}, `start QEMU: there is no \S+/none \(.*no such file or directory\)`},
		{"not in PATH", launch.Spec{Path: "qemu-system-nowhere"}, `start QEMU: there is no qemu-system-nowhere \(.*not found in \$PATH\)`},
		{"a folder", launch.Spec{Path: dir}, `start QEMU: \S+ is a folder; name the binary in it`},
		{"not executable", launch.Spec{Path: file("plain", "text", 0o644)}, `start QEMU: \S+/plain is not executable \(.*permission denied\)`},
		{"a text", launch.Spec{Path: file("text", "text", 0o755)}, `start QEMU: \S+/text is not a program for this machine \(.*exec format error\)`},
		{"true", launch.Spec{Path: "/bin/true", Monitors: 1},
			`start QEMU: true \(pid \d+\) ended with exit status 0 before it answered on QMP; is it a QEMU, and are its options right\?`},
		{"cat", launch.Spec{Path: "/bin/cat", Args: noMachine, Monitors: 2},
			`start QEMU: cat \(pid \d+\) ended with exit status 1, having printed "(?s).*invalid option.*" before it answered on QMP; .*`},
		{"unknown machine", launch.Spec{Path: qemuPath(t), Args: []string{"-M", "nonsense"}, Monitors: 2},
			`start QEMU: qemu-system-arm \(pid \d+\) ended with exit status 1, having printed "qemu-system-arm: unsupported machine type.*" before it answered on QMP; .*`},
		{"killed", shell("kill -ABRT $$", 1), `start QEMU: sh \(pid \d+\) was ended by SIGABRT before it answered on QMP; .*`},
		{"hangs", shell("exec sleep 1000", 1), `start QEMU: sh \(pid \d+\) did not answer on QMP, is it a QEMU\? .*waited for QEMU's greeting.*`},
		{"says something else", shell("echo hello >&3; exec sleep 1000", 1), `start QEMU: sh \(pid \d+\) did not answer on QMP, is it a QEMU\? .*`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			if tt.name == "hangs" {
				cancel()
				ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
			}
			defer cancel()
			p, err := launch.Start(ctx, tt.spec)
			if err == nil {
				p.Kill()
				t.Fatal("started")
			}
			if !regexp.MustCompile("^" + tt.says + "$").MatchString(err.Error()) {
				t.Errorf("got %q\nwant %q", err, tt.says)
			}
			if ctx.Err() != nil && tt.name != "hangs" {
				t.Error("it took all the time there was")
			}
		})
	}
}

// When QEMU dies, everything that waits returns at once, with the reason.
func TestDeathReachesEverybody(t *testing.T) {
	p := start(t, launch.Spec{Args: virt, Monitors: 2, GDB: true, QTest: true})
	events, err := p.Monitors()[0].Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 4)
	go func() {
		for range events {
		}
		ended <- p.Monitors()[0].Err()
	}()
	go func() { <-p.Monitors()[1].Done(); ended <- p.Monitors()[1].Err() }()
	for _, c := range []net.Conn{p.GDB(), p.QTest()} {
		go func() { _, err := io.ReadAll(c); ended <- err }()
	}
	if err := p.Signal(syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, "the end of a QEMU that got SIGABRT", p.Done())
	for range cap(ended) {
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Fatal("a connection outlives QEMU")
		}
	}
	want := fmt.Sprintf("qemu-system-arm (pid %d) was ended by SIGABRT", p.PID())
	if got := p.Exit(); got.Signal != "SIGABRT" || got.Status != -1 || got.Error() != want {
		t.Errorf("got %+v, %q; want %q", got, got, want)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Errorf("Stop after the end: %v", err)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("Signal after the end: %v", err)
	}
}

func TestStop(t *testing.T) {
	short := func(t *testing.T) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	t.Run("a stopped QEMU", func(t *testing.T) {
		p := start(t, launch.Spec{Args: noMachine, Monitors: 1})
		if err := p.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		err := p.Stop(short(t))
		if err == nil || !strings.Contains(err.Error(), "had to be killed") {
			t.Errorf("got %v", err)
		}
		if e := p.Exit(); e == nil || e.Signal != "SIGKILL" {
			t.Errorf("exit: %v", e)
		}
	})
	t.Run("a QEMU that crashes when it quits", func(t *testing.T) {
		p := start(t, shell(greet+`read quit <&3; printf '{"return": {}, "id": 2}' >&3; kill -SEGV $$`, 1))
		var exit *launch.Exit
		if err := p.Stop(t.Context()); !errors.As(err, &exit) || exit.Signal != "SIGSEGV" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a QEMU that does not quit", func(t *testing.T) {
		p := start(t, shell(greet+`trap 'exit 0' TERM; read quit <&3; printf '{"error": {"class": "GenericError", "desc": "no"}, "id": 2}' >&3; read more <&3`, 1))
		err := p.Stop(t.Context())
		if err == nil || !strings.Contains(err.Error(), "ended on SIGTERM, but not when asked to: QMP quit: refused") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a QEMU that must not get a command while it quits", func(t *testing.T) {
		s := shell(greet+strings.ReplaceAll(greet, "&3", "&4")+`
			read query <&4
			if read -t 0.2 quit <&3; then exit 5; fi
			printf '{"return": {}, "id": 2}' >&4
			read quit <&3; printf '{"return": {}, "id": 2}' >&3
			if read -t 0.2 late <&4; then exit 6; fi`, 2)
		s.Path = "/bin/bash" // whose read has a limit
		p := start(t, s)
		other := p.Monitors()[1]
		query, err := other.Send(t.Context(), "query-status", nil)
		if err != nil {
			t.Fatal(err)
		}
		answered := make(chan error, 1)
		go func() {
			answered <- query.Wait(t.Context(), nil)
			other.Execute(t.Context(), "query-status", nil, nil) // which must not reach it
		}()
		if err := p.Stop(t.Context()); err != nil {
			t.Errorf("got %v: 5 is a quit before others were answered, 6 a command after it", err)
		}
		if err := <-answered; err != nil {
			t.Error(err)
		}
	})
	t.Run("without monitor", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		s := shell("trap 'exit 0' TERM; echo ready; while :; do :; done", 0)
		s.Stdout = w
		p := start(t, s)
		w.Close()
		if _, err := r.Read(make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		if err := p.Stop(t.Context()); err != nil {
			t.Errorf("got %v", err)
		}
	})
}

// greet is what a shell that plays QEMU says to the launcher.
const greet = `printf '{"QMP": {"version": {}}}' >&3; read caps <&3; printf '{"return": {}, "id": 1}' >&3; `

// The parent-death signal is bound to the thread that forked. The caller's thread, which may end, must not be that one.
func TestCallersThreadEnds(t *testing.T) {
	type started struct {
		p   *launch.Process
		err error
		tid int
	}
	result := make(chan started)
	var call func()
	call = func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		tid := unix.Gettid()
		if tid == os.Getpid() { // the one thread that Go does not end
			go call() // on another thread, as this one is taken
			<-t.Context().Done()
			return
		}
		p, err := launch.Start(t.Context(), launch.Spec{Path: qemuPath(t), Args: noMachine, Monitors: 1})
		result <- started{p, err, tid}
	}
	go call()
	s := <-result
	if s.err != nil {
		t.Fatal(s.err)
	}
	defer s.p.Kill()
	thread := fmt.Sprintf("/proc/self/task/%d", s.tid)
	for deadline := time.Now().Add(5 * time.Second); ; {
		if _, err := os.Stat(thread); errors.Is(err, os.ErrNotExist) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the caller's thread, %s, has not ended in 5 s", thread)
		}
		runtime.Gosched()
	}
	if err := s.p.Stop(t.Context()); err != nil || s.p.Exit().Signal != "" {
		t.Errorf("after the end of the caller's thread: %v; %v", err, s.p.Exit())
	}
}

func TestStderr(t *testing.T) {
	tests := []struct {
		name, script      string
		lines, complaints []string
	}{
		{"nothing", ``, nil, nil},
		{"unfinished line", `printf 'a\nb'`, []string{"a", "b"}, nil},
		{"assertion", `echo "qemu-system-arm: ../hw/x.c:12: f: Assertion '\''s'\'' failed." ; echo "more"`,
			[]string{"qemu-system-arm: ../hw/x.c:12: f: Assertion 's' failed.", "more"},
			[]string{"qemu-system-arm: ../hw/x.c:12: f: Assertion 's' failed."}},
		{"unfinished complaint", `printf "Bail out!"`, []string{"Bail out!"}, []string{"Bail out!"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := start(t, shell("exec >&2; "+strings.ReplaceAll(tt.script, `'\''`, `'`), 0))
			within(t, 5*time.Second, "the end of a shell", p.Done())
			if diff := cmp.Diff(tt.lines, p.Stderr()); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.complaints, p.Complaints()); diff != "" {
				t.Errorf("complaints (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.lines, p.Exit().Stderr); diff != "" {
				t.Errorf("lines of the exit (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStderrIsBounded(t *testing.T) {
	p := start(t, shell(`exec >&2; echo "ERROR: the first"; i=0; while [ $i -lt 5000 ]; do echo "line $i"; i=$((i+1)); done; head -c 3000000 /dev/zero | tr '\0' x`, 0))
	within(t, 20*time.Second, "the end of a shell", p.Done())
	lines := p.Stderr()
	size := 0
	for _, l := range lines {
		size += len(l)
	}
	if len(lines) > 101 || size > 101*1024 {
		t.Errorf("kept %d lines, %d bytes", len(lines), size)
	}
	if last := lines[len(lines)-2]; last != "line 4999" {
		t.Errorf("the last whole line is %q", last)
	}
	if diff := cmp.Diff([]string{"ERROR: the first"}, p.Complaints()); diff != "" {
		t.Errorf("complaints (-want +got):\n%s", diff)
	}
}

func TestNoDescriptorIsLeft(t *testing.T) {
	count := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collected file is closed
	all := launch.Spec{Path: qemuPath(t), Args: virt, Monitors: 3, GDB: true, QTest: true, Dump: true}
	bad, none := all, all
	bad.Args = []string{"-M", "nonsense"}
	none.Path = "/bin/no-such-qemu"
	start(t, all).Kill() // for what the runtime opens once
	before := count()
	for _, s := range []launch.Spec{all, bad, none} {
		if p, err := launch.Start(t.Context(), s); err == nil {
			p.Kill()
		}
		if after := count(); after != before {
			t.Errorf("%s %q: %d descriptors before, %d afterwards", s.Path, s.Args, before, after)
		}
	}
}
