// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcdtest/guest"
	"mcdtest/harness/fakeqemu"
	"mcdtest/harness/rawclient"
	"mcdtest/harness/result"
	"mcdtest/stub"
	"mcdtest/stub/memtarget"
	"mcdtest/stub/target"
)

// badVariable makes this program a QEMU with -mcd that does badWrite when memory is written: the real QEMU, which the variable
// names, for everything but -mcd, and a machine in memory behind that.
const (
	badVariable = "MCDTEST_TEST_BAD"
	badWrite    = "MCDTEST_TEST_BAD_WRITE" // "crash" or "slow"
)

func badMain() int {
	return fakeqemu.Main(os.Getenv(badVariable), func(l net.Listener) {
		image, err := guest.Lookup("arm", guest.Loop)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		base, size := image.RAM()
		var m target.Target = memtarget.New(memtarget.Config{Memory: []memtarget.Region{{Start: base, Size: size}}, Entry: image.Addr("start")})
		switch os.Getenv(badWrite) {
		case "crash":
			m = crashing{m}
		case "slow":
			m = slow{m}
		}
		_ = stub.NewServer(m, stub.Options{RequestTimeout: time.Minute}).Serve(context.Background(), l)
	})
}

// badQEMU is a folder with such a QEMU.
func badQEMU(t *testing.T, write string) string {
	t.Helper()
	real := needQEMU(t, "arm")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\n%s='%s' %s=%s exec '%s' \"$@\"\n", badVariable, real, badWrite, write, self)
	if err := os.WriteFile(filepath.Join(dir, "qemu-system-arm"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

type crashing struct{ target.Target }

func (crashing) WriteMemory(context.Context, int, target.Space, uint64, []byte) error {
	fmt.Fprintln(os.Stderr, "ERROR:../mcdstub.c:42:handle_write_mem: assertion failed: (len > 0)")
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // SIGABRT would have the Go runtime print its goroutines
	select {}
}

// slow takes longer than a client waits, but not for ever.
type slow struct{ target.Target }

func (s slow) WriteMemory(ctx context.Context, core int, in target.Space, addr uint64, p []byte) error {
	late := time.NewTimer(rawclient.DefaultTimeout + time.Second)
	defer late.Stop()
	select {
	case <-late.C:
	case <-ctx.Done():
	}
	return s.Target.WriteMemory(ctx, core, in, addr, p)
}

// A QEMU that ends in the middle of a spec is named first, with its signal, its last words and the packets before; and the
// script that is written down ends it again.
func TestCrashOfQEMU(t *testing.T) {
	t.Parallel()
	dir := badQEMU(t, "crash")
	env := append(slices.Clone(noRaceExit), "MCDTEST_QEMU="+dir)
	saved, kept := filepath.Join(dir, "result.jsonl"), filepath.Join(dir, "kept")
	got := mcdtest(t, env, "suite", "--arch", "arm", "--dialect", "packet", "--specs", "packet memory: a write changes what it names", "--out", saved, "--artifacts", kept)
	if got.status != 1 {
		t.Fatalf("exit status %d\n%s%s", got.status, got.out, got.errors)
	}
	ended := regexp.MustCompile(`QEMU ended: .* was ended by SIGKILL, having printed "ERROR:\.\./mcdstub\.c:42:handle_write_mem: assertion failed`)
	r := openResult(t, saved)
	if len(r.Specs) != 1 || r.Specs[0].Failure == "" || r.Specs[0].Evidence == nil {
		t.Fatalf("no evidence of a failed spec: %+v", r.Specs)
	}
	failure, ev := r.Specs[0].Failure, r.Specs[0].Evidence
	if at := ended.FindStringIndex(failure); at == nil || at[0] != 0 {
		t.Errorf("the failure does not begin with the end of QEMU:\n%s", failure)
	}
	if !ended.MatchString(got.out+got.errors) || len(ev.Machines) != 1 || !strings.Contains(ev.Machines[0].Exit, "SIGKILL") || !strings.Contains(ev.Machines[0].Transcript, "> $M0;") {
		t.Errorf("the end of QEMU, or the packets before it, are missing:\n%s%s\n%+v", got.out, got.errors, ev)
	}
	scripts, _ := filepath.Glob(filepath.Join(kept, "*.txt"))
	if len(scripts) != 1 || !strings.HasSuffix(ev.Reproduce, " "+scripts[0]) {
		t.Fatalf("scripts %v; to reproduce: %s", scripts, ev.Reproduce)
	}
	again := mcdtest(t, env, strings.Fields(ev.Reproduce)[1:]...)
	if says := again.out + again.errors; again.status != 1 || !strings.Contains(says, "was ended by SIGKILL") || !strings.Contains(says, "assertion failed") {
		t.Errorf("%s: exit status %d\n%s", ev.Reproduce, again.status, says)
	}
}

// An endpoint that answers when nobody waits any more is told from one that never answers.
func TestSlowEndpoint(t *testing.T) {
	t.Parallel()
	env := append(slices.Clone(noRaceExit), "MCDTEST_QEMU="+badQEMU(t, "slow"))
	got := mcdtest(t, env, "suite", "--arch", "arm", "--dialect", "packet", "--specs", "packet memory: a write changes what it names", "--json")
	if got.status != statusFailed {
		t.Fatalf("exit status %d\n%s%s", got.status, got.out, got.errors)
	}
	r, err := result.Read(strings.NewReader(got.out))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Specs) != 1 || !strings.HasPrefix(r.Specs[0].Failure, "the endpoint is slow: its answer came ") {
		t.Errorf("the failure does not begin with how slow it is: %+v", r.Specs)
	}
}

// An endpoint that falls silent while QEMU's monitor answers is named first, too.
func TestHangOfTheEndpoint(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	got := mcdtest(t, noRaceExit, "suite", "--arch", "arm", "--dialect", "packet", "--specs", "hostile: m .*in every state", "--fault", "falls-silent", "--json")
	if got.status != statusFailed {
		t.Fatalf("exit status %d\n%s%s", got.status, got.out, got.errors)
	}
	r, err := result.Read(strings.NewReader(got.out))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Specs) != 1 || !strings.HasPrefix(r.Specs[0].Failure, "the endpoint hangs: ") || r.Specs[0].Evidence == nil || r.Specs[0].Evidence.Crash == "" {
		t.Errorf("the failure does not begin with the hang: %+v", r.Specs)
	}
}
