// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcdtest/stub"
)

// confinement is what the kernel and the command line say of a QEMU.
func confinement(t *testing.T, pid int) (filtered bool, cmdline string) {
	t.Helper()
	read := func(name string) string {
		p, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(p)
	}
	return strings.Contains(read("status"), "\nSeccomp:\t2\n"), strings.ReplaceAll(read("cmdline"), "\x00", " ")
}

// A QEMU that the command starts may start no program, gains no rights and has no network, unless its user says otherwise.
func TestServeConfinesQEMU(t *testing.T) {
	t.Parallel()
	qemu := needQEMU(t, "arm")
	_, machine := armGuest(t)
	for name, test := range map[string]struct {
		args              []string
		filtered, network bool
	}{
		"by default": {nil, true, false},
		"its own":    {[]string{"-sandbox", "off", "-nic", "user"}, false, true},
		"netdev":     {[]string{"-netdev", "user,id=n"}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sock := filepath.Join(shortDir(t), "s")
			d := start(t, append(append([]string{"serve", "--listen", "unix:" + sock, "--", qemu}, machine...), test.args...)...)
			if !strings.HasPrefix(d.first, "MCD on") {
				t.Fatalf("%s\n%s", d.first, d.errs)
			}
			filtered, cmdline := confinement(t, d.qemu(t))
			if filtered != test.filtered || strings.Contains(cmdline, "-nic none") == test.network {
				t.Errorf("system calls filtered: %v, want %v; network: want %v: %s", filtered, test.filtered, test.network, cmdline)
			}
			d.interrupt(t)
		})
	}
}

// The same holds for the QEMU behind the shim.
func TestShimConfinesQEMU(t *testing.T) {
	t.Parallel()
	mark := rand.Text()
	qemu := shimmed(t, mark)
	_, machine := armGuest(t)
	for name, own := range map[string][]string{"by default": nil, "its own": {"-sandbox", "off", "-nic", "user"}} {
		sock := filepath.Join(shortDir(t), "s")
		cmd := qemu(append(append(machine, "-mcd", "unix:"+sock+",server=on,wait=off"), own...)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		c := conversation(t, dialling(t, sock))
		filtered, cmdline := confinement(t, cmd.Process.Pid)
		if filtered != (own == nil) || strings.Contains(cmdline, "-nic none") != (own == nil) {
			t.Errorf("%s: system calls filtered: %v: %s", name, filtered, cmdline)
		}
		if err := c.Kill(t.Context()); err != nil {
			t.Error(err)
		}
		cmd.Wait()
	}
	noneLeft(t, mark)
}

// A QEMU without seccomp is served all the same, and its user is told.
func TestAQEMUWithoutSandbox(t *testing.T) {
	t.Parallel()
	real := needQEMU(t, "arm")
	_, machine := armGuest(t)
	path := filepath.Join(t.TempDir(), "qemu-system-arm")
	script := fmt.Sprintf("#!/bin/sh\nfor a; do [ \"$a\" != -sandbox ] || { echo no seccomp >&2; exit 1; }; done\nexec %s \"$@\"\n", real)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	d := start(t, append([]string{"serve", "--listen", "unix:" + filepath.Join(shortDir(t), "s"), "--", path}, machine...)...)
	if !strings.HasPrefix(d.first, "MCD on") || !strings.Contains(d.errs.String(), "no -sandbox") {
		t.Errorf("want it served, and a word of the sandbox: %s\n%s", d.first, d.errs)
	}
	d.interrupt(t)
}

// The limits reach the server.
func TestServeLimits(t *testing.T) {
	t.Parallel()
	qemu := needQEMU(t, "arm")
	image, machine := armGuest(t)
	sock := filepath.Join(shortDir(t), "s")
	d := start(t, append([]string{"serve", "--listen", "unix:" + sock, "--max-read", "16", "--max-request", "100",
		"--idle-timeout", "300ms", "--", qemu, "-S"}, machine...)...)
	if !strings.HasPrefix(d.first, "MCD on") {
		t.Fatalf("%s\n%s", d.first, d.errs)
	}
	c := client(t, sock)
	if err := c.OpenCore(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	var p [17]byte
	ram, _ := image.RAM()
	if err := c.ReadMemory(t.Context(), 0, 1, ram, p[:16]); err != nil {
		t.Errorf("16 bytes: %v", err)
	}
	if err := c.ReadMemory(t.Context(), 0, 1, ram, p[:]); err == nil {
		t.Error("17 bytes are read although --max-read is 16")
	}
	waitFor(t, "the end of a client that is silent", func() (bool, string) {
		return strings.Contains(d.errs.String(), "no packet came for 300ms"), d.errs.String()
	})

	conn, err := net.Dial("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(conn, `{"execute":"mcd-exit","arguments":{"x":"%s"}}`, strings.Repeat("x", 100))
	reply := make([]byte, 1000)
	n, err := conn.Read(reply)
	if !strings.Contains(string(reply[:n]), "error") || !strings.Contains(string(reply[:n]), "size limit") {
		t.Errorf("an object beyond --max-request 100: %q, %v", reply[:n], err)
	}
	d.interrupt(t)
}

// --help has the limits, their defaults are those that the documents name, and what limits nothing is refused.
func TestServeDefaults(t *testing.T) {
	help := mcdtest(t, nil, "serve", "--help").out
	for _, flag := range []string{"--idle-timeout", "--request-timeout", "--write-timeout", "--conn-rate", "--max-read", "--max-request", "--max-pending", "--no-kill", "--listen"} {
		if !strings.Contains(help, flag) {
			t.Errorf("--help does not speak of %s", flag)
		}
	}
	for name, want := range map[string]string{
		"ConnRate": "100", "WriteTimeout": "10s", "MaxRead": "4194304", "MaxRequest": "8388608", "MaxPending": "65536",
	} {
		field, _ := reflect.TypeFor[serveCmd]().FieldByName(name)
		if got := field.Tag.Get("default"); got != want {
			t.Errorf("docs/security.md and docs/protocol.md have %s for %s; it is %q", want, name, got)
		}
	}
	// Each reaches the server.
	var cli commands
	parser, err := newParser(&cli, &console{out: io.Discard, err: io.Discard}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"serve", "--idle-timeout=1s", "--request-timeout=2s", "--write-timeout=3s", "--conn-rate=4",
		"--max-read=5", "--max-request=6", "--max-pending=7", "--no-kill", "--dialect=json", "--gdb=127.0.0.1:1", "--qmp=127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(stub.Options{BusyPoll: true, Dialect: stub.JSON, IdleTimeout: time.Second, RequestTimeout: 2 * time.Second, WriteTimeout: 3 * time.Second,
		ConnRate: 4, MaxRead: 5, MaxRequest: 6, MaxPending: 7}, cli.Serve.options(nil)); diff != "" {
		t.Errorf("- want, + got\n%s", diff)
	}
	for _, flag := range []string{"--write-timeout=0", "--max-read=0", "--max-request=-1", "--max-pending=0", "--conn-rate=-1", "--idle-timeout=-1s", "--request-timeout=-1s"} {
		if r := mcdtest(t, nil, "serve", flag, "--gdb", "127.0.0.1:1", "--qmp", "127.0.0.1:1"); r.status != statusCannotRun || !strings.Contains(r.errors, strings.SplitN(flag, "=", 2)[0]) {
			t.Errorf("%s: exit status %d: %s", flag, r.status, r.errors)
		}
	}
}
