// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mcdtest/harness/result"
)

// isPage makes sure that a file is a whole page.
func isPage(t *testing.T, path string, parts ...string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil || !bytes.HasSuffix(text, []byte("</html>\n")) {
		t.Errorf("%s is no page: %v", path, err)
	}
	for _, part := range parts {
		if !bytes.Contains(text, []byte(part)) {
			t.Errorf("%s lacks %q", path, part)
		}
	}
}

// Each of these says what is wrong with which file, and leaves no page.
func TestReportOfBadFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole.jsonl")
	r := result.Result{
		Header: result.Header{Planned: 1, Build: result.Build{Label: "a build"}},
		Specs:  []result.Spec{{ID: "arm packet memory: it is", Subject: "memory", Outcome: result.Passed}},
		Footer: &result.Footer{Complete: true},
	}
	if err := r.Write(whole); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(dir, "page.html")
	for _, c := range []struct {
		name string
		text []byte
		says string
	}{
		{"damaged.jsonl", slices.Concat(text[:len(text)/2], []byte("\x00\n"), text[len(text)/2:]), "it is damaged: line "},
		{"newer.jsonl", []byte(`{"header":{"format":99}}` + "\n"), "of a newer format (99)"},
		{"empty.jsonl", nil, "it is empty"},
		{"other.json", []byte(`{"a": 1}`), "not a result file"},
		{"newer.json", []byte(`{"format": 99, "findings": []}`), "in format 99"},
		{"damaged.json", []byte(`{"format": 1, "findings": 7}`), "damaged comparison"},
		{"cut.json", []byte("{\n  \"format\": 1,\n  \"findings\": ["), "cut.json is a damaged comparison, or was cut short: "},
		{"torn.json", []byte(`{"format": 1, "findings": [`), "not a result file"},
	} {
		path := filepath.Join(dir, c.name)
		if err := os.WriteFile(path, c.text, 0o666); err != nil {
			t.Fatal(err)
		}
		got := mcdtest(t, nil, "report", path, "-o", page)
		if got.status != statusCannotRun || !strings.Contains(got.errors, c.says) || !strings.Contains(got.errors, path) {
			t.Errorf("%s: exit status %d\n%s", c.name, got.status, got.errors)
		}
		if _, err := os.Stat(page); err == nil {
			t.Fatalf("%s: there is a page", c.name)
		}
	}
	if got := mcdtest(t, nil, "report", whole, "-o", filepath.Join(whole, "page.html")); got.status != statusCannotRun || !strings.Contains(got.errors, "write the report") {
		t.Errorf("a place that is none: exit status %d\n%s", got.status, got.errors)
	}

	// One that was cut short is shown as far as it goes.
	cut := filepath.Join(dir, "cut.jsonl")
	if err := os.WriteFile(cut, text[:len(text)-5], 0o666); err != nil {
		t.Fatal(err)
	}
	got := mcdtest(t, nil, "report", cut, "-o", page)
	if got.status != 0 || !strings.Contains(got.errors, "the run is incomplete: the file was cut short") {
		t.Errorf("cut short: exit status %d\n%s", got.status, got.errors)
	}
	isPage(t, page, "nothing failed, but the run is incomplete")
}

// What is no file, such as a device, is written to and stays what it is.
func TestReportToAPipe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	results, pipe := filepath.Join(dir, "results.jsonl"), filepath.Join(dir, "pipe")
	if err := (&result.Result{Footer: &result.Footer{Complete: true}}).Write(results); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	// Open for both, so that it is not waited for.
	file, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	first := make(chan string)
	go func() {
		text := make([]byte, len("<!DOCTYPE html>"))
		io.ReadFull(file, text)
		first <- string(text)
		io.Copy(io.Discard, file)
	}()
	got := mcdtest(t, nil, "report", results, "-o", pipe)
	if got.status != 0 {
		t.Errorf("exit status %d\n%s", got.status, got.errors)
	}
	if text := <-first; text != "<!DOCTYPE html>" {
		t.Errorf("read %q", text)
	}
	if fi, err := os.Lstat(pipe); err != nil || fi.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("it is a pipe no longer: %v, %v", fi, err)
	}
}

// onSmallDisk runs the command with {disk} in its arguments standing for a folder of 64 KiB, whose files are in keep
// afterwards.
func onSmallDisk(t *testing.T, keep string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	disk, mark := t.TempDir(), rand.Text()
	if exec.CommandContext(ctx, "unshare", "--mount", "--map-root-user", "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk).Run() != nil {
		t.Skip("a small disk cannot be mounted here")
	}
	const script = `mount -t tmpfs -o size=64k tmpfs "$DISK" || exit 99
(exec -a mcdtest "$PROGRAM" "$@")
status=$?
cp -r "$DISK/." "$KEEP" || exit 99
exit $status`
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "{disk}", disk)
	}
	cmd := exec.CommandContext(ctx, "unshare", append([]string{"--mount", "--map-root-user", "bash", "-c", script, "bash"}, args...)...)
	cmd.Env = append(os.Environ(), marker+"="+mark, "DISK="+disk, "KEEP="+keep, "PROGRAM="+os.Args[0], noRaceExit[0])
	cmd.Dir = t.TempDir()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	noneLeft(t, mark)
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// A disk that is full in the middle of a run ends it; what was written before can be read.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	qemu := needQEMU(t, "arm")
	const full = "no space left on device"
	for _, c := range []struct {
		name, results string
		args          []string
	}{
		{"suite", "results.jsonl", []string{"suite", "--specs", "arm packet memory: (a |an |unm)", "--record", "-p", "1", "--out", "{disk}/results.jsonl"}},
		{"gate", "saved.jsonl", []string{"gate", "--base", qemu, "--head", qemu, "--specs", "arm packet memory: (a |an |unm)", "-p", "1", "--save", "{disk}/saved.jsonl"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			keep := t.TempDir()
			got := onSmallDisk(t, keep, c.args...)
			if got.status != statusCannotRun || strings.Count(got.errors, full) != 1 || !strings.Contains(got.errors, "what was finished before is in it") {
				t.Errorf("exit status %d\n%s%s", got.status, got.out, got.errors)
			}
			r := openResult(t, filepath.Join(keep, c.results))
			if len(r.Specs) == 0 || !strings.Contains(r.Incomplete(), "its disk was full") {
				t.Errorf("%d specs, incomplete because %q", len(r.Specs), r.Incomplete())
			}
			page := filepath.Join(keep, "page.html")
			if got := mcdtest(t, nil, "report", filepath.Join(keep, c.results), "-o", page); got.status != 0 {
				t.Errorf("report: exit status %d\n%s", got.status, got.errors)
			}
			isPage(t, page, "incomplete")
		})
	}
	t.Run("artifacts", func(t *testing.T) {
		t.Parallel()
		keep := t.TempDir()
		got := onSmallDisk(t, keep, "suite", "--specs", "arm packet memory: (a |an )", "--fault", slowFault, "--artifacts", "{disk}/failures")
		if got.status != statusCannotRun || !strings.Contains(got.errors, "failures could not be written: ") || !strings.Contains(got.errors, full) {
			t.Errorf("exit status %d\n%s%s", got.status, got.out, got.errors)
		}
		scripts, _ := filepath.Glob(filepath.Join(keep, "failures", "*.txt"))
		for _, s := range scripts {
			if text, err := os.ReadFile(s); err != nil || !bytes.HasSuffix(text, []byte("\n")) {
				t.Errorf("%s is cut short: %v", s, err)
			}
		}
		if len(scripts) == 0 {
			t.Error("the first script had room")
		}
	})
}

// A summary that could not be written is no success.
func TestFullStandardOutput(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	for _, args := range [][]string{{"version"}, {"suite", "--list", "--arch", "arm"}} {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		cmd := command(ctx, rand.Text(), args...)
		var errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = full, &errs
		cmd.Run()
		if status := cmd.ProcessState.ExitCode(); status != statusCannotRun || !strings.Contains(errs.String(), "standard output: no space left on device") {
			t.Errorf("%v: exit status %d\n%s", args, status, errs.String())
		}
	}
}
