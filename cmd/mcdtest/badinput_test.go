// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBadInput: each mistake gives one clear sentence that says what was tried and what to do, an exit status other than
// 0, and leaves no process and no file behind (mcdtest checks that).
func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	script := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	noQEMU := script("hello", "echo hello\n")
	dies := script("qemu-system-arm", `case "$*" in
*-help*) echo "QEMU emulator version 99.0.0" ;;
*) echo "cannot find my firmware" >&2; exit 3 ;;
esac
`)
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte("text"), 0o755); err != nil {
		t.Fatal(err)
	}
	none := []string{"PATH=" + filepath.Join(dir, "none"), "MCDTEST_QEMU="}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	silent := endpointThat(t, func(net.Conn) {})
	breaksOff := endpointThat(t, func(c net.Conn) {
		c.Read(make([]byte, 1))
		c.Write([]byte("+$qemu-sys"))
		c.Close()
	})
	closes := endpointThat(t, func(c net.Conn) {
		c.Read(make([]byte, 1))
		c.Close()
	})
	hangsUp := endpointThat(t, func(c net.Conn) { c.Close() })
	long := "unix:" + filepath.Join(dir, strings.Repeat("long", 40))

	tests := []struct {
		name   string
		env    []string
		args   []string
		status int
		want   []string // parts of the sentence
		qemu   bool     // needs one
	}{
		{name: "no QEMU", env: none, args: []string{"run"}, status: 2, want: []string{"no qemu-system-arm in PATH", "apt-get install", "MCDTEST_QEMU"}},
		{name: "no QEMU for an architecture", env: none, args: []string{"run", "--arch", "riscv64"}, status: 2, want: []string{"qemu-system-riscv64", "qemu-system-misc"}},
		{name: "no such file", args: []string{"run", "--qemu", "/none/qemu-system-arm"}, status: 2, want: []string{"/none/qemu-system-arm", "no such file", "name a QEMU"}},
		{name: "an empty folder", args: []string{"run", "--qemu", t.TempDir()}, status: 2, want: []string{"no qemu-system-arm in the folder", "name the folder"}},
		{name: "a QEMU that is none", args: []string{"run", "--qemu", noQEMU}, status: 2, want: []string{"not a QEMU system emulator", "hello", "name a qemu-system"}},
		{name: "a file that is no program", args: []string{"run", "--qemu", plain}, status: 2, want: []string{plain, "not executable"}},
		{name: "a QEMU that dies at once", args: []string{"run", "--qemu", dies}, status: 2, want: []string{"exit status 3", "cannot find my firmware"}},
		{name: "a QEMU for something else", args: []string{"run", "--qemu", dies, "--arch", "riscv64"}, status: 2, want: []string{"is for arm", "riscv64"}},
		{name: "an architecture that is not known", args: []string{"run", "--arch", "vax"}, status: 2, want: []string{"--arch=vax", "arm, aarch64"}},
		{name: "no core", args: []string{"run", "--cores", "0"}, status: 2, want: []string{"--cores=0", "1 to 8"}},
		{name: "too many cores", args: []string{"run", "--cores", "9"}, status: 2, want: []string{"--cores=9", "1 to 8"}},
		{name: "cores that are no number", args: []string{"run", "--cores", "two"}, status: 2, want: []string{"--cores", "two"}},
		{name: "cores that do not count", args: []string{"run", "--cores", "2", "--variant", "mmu"}, status: 2, want: []string{"--variant=mmu", "only one core"}},
		{name: "no guest", args: []string{"run", "--guest", "/none/x.elf"}, status: 2, want: []string{"/none/x.elf", "no such file", "name an ELF file"}},
		{name: "a guest that is none", args: []string{"run", "--guest", plain}, status: 2, want: []string{plain, "not an ELF file", "link"}},
		{name: "a guest that is a folder", args: []string{"run", "--guest", dir}, status: 2, want: []string{dir, "directory"}},
		{name: "a guest for all", args: []string{"run", "--guest", plain, "--arch", "all"}, status: 2, want: []string{"drop --arch all"}},
		{name: "a native endpoint that is none", qemu: true, args: []string{"run", "--endpoint", "native"}, status: 2, want: []string{"has no option -mcd"}},
		{name: "an endpoint of no kind", args: []string{"run", "--endpoint", "some"}, status: 2, want: []string{"--endpoint", "native"}},
		{name: "an unknown flag", args: []string{"run", "--fast-please"}, status: 2, want: []string{"unknown flag --fast-please"}},
		{name: "an unknown command", args: []string{"walk"}, status: 2, want: []string{"walk"}},

		{name: "serve: nothing to serve", args: []string{"serve"}, status: 2, want: []string{"say which QEMU"}},
		{name: "serve: both", args: []string{"serve", "--gdb", "h:1", "--qmp", "h:2", "--", "qemu-system-arm"}, status: 2, want: []string{"not both"}},
		{name: "serve: half of an address", args: []string{"serve", "--gdb", "h:1"}, status: 2, want: []string{"both --gdb and --qmp"}},
		{name: "serve: a port in use", args: []string{"serve", "--listen", taken.Addr().String(), "--", "qemu-system-arm"}, status: 2, want: []string{taken.Addr().String(), "in use", "another port"}},
		{name: "serve: a path that is too long", args: []string{"serve", "--listen", long, "--", "qemu-system-arm"}, status: 2, want: []string{"at most 107", "shorter"}},
		{name: "serve: no address", args: []string{"serve", "--listen", "here", "--", "qemu-system-arm"}, status: 2, want: []string{"here", "HOST:PORT or unix:PATH"}},
		{name: "serve: no QEMU", args: []string{"serve", "--listen", "127.0.0.1:0", "--", "/none/qemu-system-arm"}, status: 2, want: []string{"/none/qemu-system-arm"}},
		{name: "serve: a QEMU that is none", args: []string{"serve", "--listen", "127.0.0.1:0", "--", noQEMU}, status: 2, want: []string{"is it a QEMU"}},
		{name: "serve: a file that is no program", args: []string{"serve", "--listen", "127.0.0.1:0", "--", garbage}, status: 2, want: []string{garbage, "not a program for this machine"}},
		{name: "serve: two gdbstubs", args: []string{"serve", "--listen", "127.0.0.1:0", "--", "qemu-system-arm", "-s"}, status: 2, want: []string{"-s", "one gdbstub", "drop -s"}},
		{name: "serve: nobody to attach to", args: []string{"serve", "--listen", "127.0.0.1:0", "--gdb", "unix:" + dir + "/g", "--qmp", "unix:" + dir + "/q"}, status: 2, want: []string{dir + "/q", "is QEMU running there?"}},
		{name: "serve: attached to no QMP", args: []string{"serve", "--listen", "127.0.0.1:0", "--gdb", hangsUp, "--qmp", hangsUp}, status: 2, want: []string{"QMP", "is that a QMP monitor"}},

		{name: "send: nothing", args: []string{"send"}, status: 2, want: []string{"packet"}},
		{name: "send: no time", args: []string{"send", "--timeout", "0s", "$I#|"}, status: 2, want: []string{"--timeout=0s"}},
		{name: "send: negative times", args: []string{"send", "--timeout=-1s", "$I#|"}, status: 2, want: []string{"--timeout=-1s"}},
		{name: "send: negative quiet", args: []string{"send", "--quiet=-1s", "$I#|"}, status: 2, want: []string{"--quiet=-1s"}},
		{name: "run: more cores than the machine takes", qemu: true, args: []string{"run", "--cores", "4", "--qemu-arg=-M", "--qemu-arg=versatilepb"}, status: 2, want: []string{"max CPUs supported by machine 'versatilepb' is 1"}},
		{name: "run: a CPU that there is not", qemu: true, args: []string{"run", "--qemu-arg=-cpu", "--qemu-arg=nope"}, status: 2, want: []string{"CPU model 'nope'"}},
		{name: "sharpness: none at a time", args: []string{"sharpness", "-p", "0"}, status: 2, want: []string{"--parallel=0"}},
		{name: "send: a bad escape", args: []string{"send", `\xz`}, status: 2, want: []string{"two hex digits"}},
		{name: "send: nobody there", args: []string{"send", "--connect", "unix:" + dir + "/none", "$I#|"}, status: 2, want: []string{"no such file", "is an MCD stub listening there?"}},
		{name: "send: an endpoint that never answers", args: []string{"send", "--timeout", "100ms", "--connect", silent, "$qsystem#|"}, status: 1, want: []string{"no answer to $qsystem#| within 100ms", silent}},
		{name: "send: an endpoint that breaks off", args: []string{"send", "--connect", breaksOff, "$qsystem#|"}, status: 1, want: []string{"in the middle of a packet", "$qsystem#|"}},
		{name: "send: an endpoint that closes", args: []string{"send", "--connect", closes, "$qsystem#|"}, status: 1, want: []string{"closed the connection after $qsystem#|"}},

		{name: "play: no script", args: []string{"play", "/none/x.txt"}, status: 2, want: []string{"/none/x.txt", "no such file"}},
		{name: "play: an empty script", args: []string{"play", script("empty", "# nothing\n")}, status: 2, want: []string{"empty:1: nothing is sent"}},
		{name: "play: an unknown name is sent", qemu: true, args: []string{"play", script("sent", "> $I#|\n< +$shaking your hand#|\n> $m0;1;{nix};4#|\n")}, status: 2, want: []string{"sent:4: {nix}: no capture"}},
		{name: "play: an unknown name is expected", qemu: true, args: []string{"play", script("expected", "> $I#|\n< +${nix}#|\n")}, status: 2, want: []string{"expected:3: {nix}: no capture"}},
		{name: "play: no transcript", args: []string{"play", plain}, status: 2, want: []string{plain + ":1"}},
		{name: "shell: nobody there", args: []string{"shell", "--connect", "unix:" + dir + "/none"}, status: 2, want: []string{"is an MCD stub listening there?"}},
		{name: "shell: a path that is too long", args: []string{"shell", "--connect", long}, status: 2, want: []string{"at most 107", "shorter"}},
		{name: "send: a path that is too long", args: []string{"send", "--connect", long, "$I#|"}, status: 2, want: []string{"at most 107", "shorter"}},
		{name: "serve: attached by a path that is too long", args: []string{"serve", "--listen", "127.0.0.1:0", "--gdb", long, "--qmp", long}, status: 2, want: []string{"QMP", "at most 107", "shorter"}},
		{name: "qemu-shim: no folder", args: []string{"qemu-shim"}, status: 2, want: []string{"--install"}},
		{name: "qemu-shim: a folder that is a file", args: []string{"qemu-shim", "--install", plain}, status: 2, want: []string{plain}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.qemu {
				needQEMU(t, "arm")
			}
			r := mcdtest(t, tt.env, tt.args...)
			if r.status != tt.status {
				t.Errorf("want exit status %d, got %d", tt.status, r.status)
			}
			sentence, hint, _ := strings.Cut(r.errors, "\nTry: mcdtest")
			if strings.Contains(hint, "\n\n") || strings.Count(strings.TrimSuffix(sentence, "\n"), "\n") > 0 {
				t.Errorf("want one sentence, got:\n%s", r.errors)
			}
			if !strings.HasPrefix(sentence, "mcdtest") {
				t.Errorf("it does not say who speaks: %s", r.errors)
			}
			for _, part := range tt.want {
				if !strings.Contains(sentence, part) {
					t.Errorf("want %q in it, got: %s", part, r.errors)
				}
			}
		})
	}
}

// endpointThat listens, and hands every connection to f. It returns the address.
func endpointThat(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go f(c)
		}
	}()
	return l.Addr().String()
}
