// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/rand"
	"debug/elf"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mcdtest/cmd/mcdtest/internal/story"
	"mcdtest/guest"
)

// patched is a guest program with other bytes at a symbol, in a file.
func patched(t *testing.T, image *guest.Image, symbol string, with []byte) string {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(image.ELF))
	if err != nil {
		t.Fatal(err)
	}
	data := slices.Clone(image.ELF)
	addr := image.Addr(symbol)
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && addr >= p.Vaddr && addr < p.Vaddr+p.Filesz {
			copy(data[p.Off+addr-p.Vaddr:], with)
		}
	}
	if bytes.Equal(data, image.ELF) {
		t.Fatalf("nothing to patch at %s", symbol)
	}
	path := filepath.Join(t.TempDir(), "patched.elf")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A program that counts by two breaks one claim of the scenario, and everybody who looks is told which.
func TestRunFails(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	image, err := guest.Lookup("arm", guest.Loop)
	if err != nil {
		t.Fatal(err)
	}
	byTwo, err := image.Object("patch_increment_by_two")
	if err != nil {
		t.Fatal(err)
	}
	program := patched(t, image, "patch_site", byTwo)

	r := mcdtest(t, nil, "run", "--guest", program, "--packets", "none")
	if r.status != statusFailed || r.errors != "" {
		t.Errorf("exit status %d, %q", r.status, r.errors)
	}
	for _, want := range []string{
		"10 hits make exactly 10 increments", "FAILED\n     10 hits of the breakpoint took the variable from ", "which is 20 increments",
		"FAILED  arm: 4 of 8 steps hold",
	} {
		if !strings.Contains(r.out, want) {
			t.Errorf("want %q in:\n%s", want, r.out)
		}
	}
	if strings.Contains(r.out, "single steps") {
		t.Errorf("played on after a failure:\n%s", r.out)
	}

	r = mcdtest(t, nil, "run", "--guest", program, "--json")
	var run struct {
		OK    bool
		Steps []struct {
			OK    bool
			Error string
		}
	}
	if err := json.Unmarshal([]byte(r.out), &run); err != nil {
		t.Fatalf("%v: %s", err, r.out)
	}
	if r.status != statusFailed || run.OK || len(run.Steps) != 5 || run.Steps[4].OK || !strings.Contains(run.Steps[4].Error, "20 increments") {
		t.Errorf("exit status %d, %+v", r.status, run)
	}
}

func TestVerdict(t *testing.T) {
	good := &story.Run{Planned: 1, Steps: []story.Step{{}}}
	bad := &story.Run{Planned: 1, Steps: []story.Step{{Err: errors.New("no")}}}
	short := &story.Run{Planned: 2, Steps: []story.Step{{}}}
	crashed := &story.Run{Planned: 1, Steps: []story.Step{{}}, Err: errors.New("QEMU ended")}
	missing := &story.Run{Planned: 1, Err: errors.New("no QEMU")}
	for _, tt := range []struct {
		runs []*story.Run
		want error
	}{
		{[]*story.Run{good, good}, nil},
		{[]*story.Run{good, bad}, failed(statusFailed)},
		{[]*story.Run{short, good}, failed(statusFailed)},
		{[]*story.Run{crashed}, failed(statusFailed)},
		{[]*story.Run{bad, missing, good}, failed(statusCannotRun)},
	} {
		if got := verdict(tt.runs); got != tt.want {
			t.Errorf("%v: want %v, got %v", tt.runs, tt.want, got)
		}
	}
}

// Ctrl-C while QEMU does not answer: the command ends at once, and QEMU with it.
func TestRunInterrupted(t *testing.T) {
	t.Parallel()
	qemu := filepath.Join(t.TempDir(), "qemu-system-arm")
	text := "#!/bin/sh\ncase \"$*\" in\n*-help*) echo 'QEMU emulator version 99.0.0' ;;\n*) exec sleep 60 ;;\nesac\n"
	if err := os.WriteFile(qemu, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	mark := rand.Text()
	cmd := command(t.Context(), mark, "run", "--qemu", qemu)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "QEMU to be started", func() (bool, string) {
		list := strings.Join(marked(mark), ", ")
		return strings.Contains(list, "sleep 60"), list
	})
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status != statusInterrupts+int(syscall.SIGINT) || errs.String() != "mcdtest run: interrupted\n" {
		t.Errorf("exit status %d, %q", status, errs.String())
	}
	noneLeft(t, mark)
}
