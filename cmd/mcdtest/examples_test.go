// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mcdtest/cmd/mcdtest/internal/term"
)

// example is a command line that people are told to type.
type example struct{ where, line string }

// examples are those of every command's help, and of the README.
func examples(t *testing.T) []example {
	t.Helper()
	var list []example
	con := &console{in: strings.NewReader(""), out: io.Discard, err: io.Discard, style: term.Style{}}
	var cli commands
	parser, err := newParser(&cli, con, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range parser.Model.Children {
		_, text, ok := strings.Cut(c.Detail, "Examples:\n")
		if !ok {
			continue
		}
		for line := range strings.Lines(text) {
			list = append(list, example{"mcdtest " + c.Name + " --help", strings.TrimSpace(line)})
		}
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^    ((?:[A-Z_]+=\S+ |echo .*\| *)*(?:bin/)?mcdtest .*)$`).FindAllSubmatch(readme, -1) {
		list = append(list, example{"README.md", string(m[1])})
	}
	if len(list) < 20 {
		t.Fatalf("only %d examples found", len(list))
	}
	return list
}

// argumentsOf are what the shell makes of an example, from the name of the command on.
func argumentsOf(t *testing.T, line string) []string {
	t.Helper()
	line = strings.ReplaceAll(line, "bin/mcdtest ", "mcdtest ")
	cmd := exec.Command("sh", "-c", `mcdtest() { printf '%s\n' "$@"; }; qemu() { :; }; `+line)
	cmd.Dir = t.TempDir()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// TestExamplesParse: what people are told to type is understood.
func TestExamplesParse(t *testing.T) {
	for _, e := range examples(t) {
		if !strings.Contains(e.line, "mcdtest ") {
			continue // of something that mcdtest has made
		}
		line := regexp.MustCompile(`\s+#.*$`).ReplaceAllString(e.line, "")
		var cli commands
		con := &console{in: strings.NewReader(""), out: io.Discard, err: io.Discard, style: term.Style{}}
		parser, err := newParser(&cli, con, func(int) {})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(argumentsOf(t, line)); err != nil {
			t.Errorf("%s: %s: %v", e.where, e.line, err)
		}
	}
}

// TestExamplesRun: those that need nothing but a QEMU do what they are meant to.
func TestExamplesRun(t *testing.T) {
	t.Parallel()
	for _, arch := range []string{"arm", "riscv64", "x86_64"} {
		needQEMU(t, arch)
	}
	bin := t.TempDir()
	if err := os.Symlink(absolute(t, os.Args[0]), filepath.Join(bin, "mcdtest")); err != nil {
		t.Fatal(err)
	}
	ran := make(map[string]bool)
	for _, e := range examples(t) {
		if ran[e.line] || !runnable.MatchString(e.line) || unrunnable.MatchString(e.line) {
			continue
		}
		ran[e.line] = true
		t.Run(e.line, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			mark := rand.Text()
			cmd := exec.CommandContext(ctx, "sh", "-c", e.line)
			cmd.Env = append(os.Environ(), marker+"="+mark, "PATH="+bin+":"+os.Getenv("PATH"))
			cmd.Dir = t.TempDir()
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Run(); err != nil {
				t.Errorf("%s: %s: %v\n%s", e.where, e.line, err, out.String())
			}
			noneLeft(t, mark)
		})
	}
	if len(ran) < 10 {
		t.Errorf("only %d examples were run", len(ran))
	}
}

var (
	runnable = regexp.MustCompile(`\bmcdtest (run|send|shell|doctor|version)\b`)
	// What needs a build, a server or a file of the user's own.
	unrunnable = regexp.MustCompile(`--connect|~/|--qemu|--guest|\.txt|PATH=`)
)

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
