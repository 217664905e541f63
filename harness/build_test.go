// SPDX-License-Identifier: Apache-2.0

package harness_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcdtest/guest"
	"mcdtest/harness"
)

func qemuPath(t testing.TB, arch string) string {
	t.Helper()
	path, err := harness.Find(arch)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func probe(t testing.TB, path string) *harness.Build {
	t.Helper()
	b, err := harness.Probe(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// matches fails the test unless err is an error whose whole text has the pattern.
func matches(t *testing.T, err error, pattern string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %q", pattern)
	} else if !regexp.MustCompile("(?s)^" + pattern + "$").MatchString(err.Error()) {
		t.Errorf("got error  %q\nwant %q", err, pattern)
	} else if strings.Contains(err.Error(), "\n") {
		t.Errorf("an error of several lines: %q", err)
	}
}

func TestFind(t *testing.T) {
	dir, empty := t.TempDir(), t.TempDir()
	for _, name := range []string{"qemu-system-arm", "qemu-system-riscv64", "my-qemu", "qemu-system-arm-head", "qemu-system-arm.orig"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Symlink("/none/qemu", in("qemu-system-x86_64")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		variable, path, arch string
		want, err            string
	}{
		{"", dir, "arm", in("qemu-system-arm"), ""},
		{"", dir, "", in("qemu-system-arm"), ""},
		{"", dir, "x86_64", "", `find a QEMU for x86_64: there is no qemu-system-x86_64 in PATH; install it \(on Debian: .* qemu-system-x86\), or name .* in MCDTEST_QEMU`},
		{dir, empty, "riscv64", in("qemu-system-riscv64"), ""},
		{dir, empty, "", in("qemu-system-arm"), ""},
		{dir, empty, "i386", "", `find a QEMU for i386: there is no qemu-system-i386 in the folder \S+, which has qemu-system-arm, qemu-system-arm-head, qemu-system-arm.orig, qemu-system-riscv64, qemu-system-x86_64`},
		{dir, empty, "x86_64", "", `find a QEMU for x86_64: \S+/qemu-system-x86_64 is a link to /none/qemu, which is not there; make it anew, or name another folder`},
		{empty, dir, "arm", "", `find a QEMU for arm: there is no qemu-system-arm in the folder \S+, which has no qemu-system-… at all; name the folder that has the binaries, .*`},
		{in("qemu-system-riscv64"), empty, "riscv64", in("qemu-system-riscv64"), ""},
		{in("qemu-system-riscv64"), empty, "", in("qemu-system-riscv64"), ""},
		{in("qemu-system-riscv64"), empty, "arm", "", `find a QEMU for arm: \S+/qemu-system-riscv64 is for riscv64; name a binary for arm, or a folder that holds several`},
		{in("my-qemu"), empty, "arm", in("my-qemu"), ""},
		{in("qemu-system-arm-head"), empty, "riscv64", in("qemu-system-arm-head"), ""},
		{in("qemu-system-arm.orig"), empty, "", in("qemu-system-arm.orig"), ""},
		{in("nothing"), dir, "arm", "", `find a QEMU: \S+/nothing: no such file or directory; name a QEMU binary or a folder of binaries`},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s in %s", tt.arch, filepath.Base(tt.variable)), func(t *testing.T) {
			t.Setenv(harness.QEMUVariable, tt.variable)
			t.Setenv("PATH", tt.path)
			got, err := harness.Find(tt.arch)
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if tt.err != "" {
				matches(t, err, tt.err)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// What is named in the present folder is what is started, and not something of the same name in PATH.
func TestFindInThePresentFolder(t *testing.T) {
	dir, path := t.TempDir(), t.TempDir()
	for folder, version := range map[string]string{dir: "1.2.3", path: "9.9.9"} {
		script := "#!/bin/sh\necho QEMU emulator version " + version + "\n"
		if err := os.WriteFile(filepath.Join(folder, "qemu-system-arm"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	t.Setenv("PATH", path+":"+os.Getenv("PATH"))
	for _, named := range []string{".", "qemu-system-arm", "./qemu-system-arm"} {
		found, err := harness.FindIn(named, "arm")
		if err != nil {
			t.Errorf("%s: %v", named, err)
			continue
		}
		if b := probe(t, found); b.Version != "1.2.3" {
			t.Errorf("%s is %s, whose version is %s", named, found, b.Version)
		}
	}
}

func TestProbe(t *testing.T) {
	b := probe(t, qemuPath(t, "arm"))
	if b.Arch != "arm" || !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(b.Version) {
		t.Errorf("got %+v", b)
	}
	if again := probe(t, b.Path); again != b {
		t.Error("a binary that has not changed was probed twice")
	}
}

func TestMachinesAndCPUs(t *testing.T) {
	for _, arch := range guest.Architectures() {
		t.Run(arch, func(t *testing.T) {
			image, err := guest.Lookup(arch, guest.Loop)
			if err != nil {
				t.Fatal(err)
			}
			b := probe(t, qemuPath(t, arch))
			machines, err := b.Machines(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(machines, func(m harness.MachineType) bool {
				return (m.Name == image.Machine() || m.Alias == image.Machine()) && m.MaxCores >= guest.MaxCores
			}) {
				t.Errorf("no %s among the machines %+v", image.Machine(), machines)
			}
			cpus, err := b.CPUs(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(cpus, image.CPU()) {
				t.Errorf("no %s among the CPUs %q", image.CPU(), cpus)
			}
			for _, c := range cpus {
				if !regexp.MustCompile(`^[\w.+-]+$`).MatchString(c) || strings.HasSuffix(c, "-cpu") {
					t.Errorf("not a CPU: %q", c)
				}
			}
		})
	}
}

// A binary whose name says nothing is asked itself.
func TestProbeForeignName(t *testing.T) {
	link := filepath.Join(t.TempDir(), "my-qemu")
	if err := os.Symlink(qemuPath(t, "riscv64"), link); err != nil {
		t.Fatal(err)
	}
	if b := probe(t, link); b.Arch != "riscv64" {
		t.Errorf("got %+v", b)
	}
}

func TestProbeErrors(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct{ name, path, says string }{
		{"nothing", filepath.Join(dir, "nothing"), `probe QEMU \S+/nothing: no such file or directory; name a QEMU binary`},
		{"a folder", dir, `start QEMU: \S+ is a folder; name the binary in it`},
		{"a text", file("text", "hello", 0o644), `start QEMU: \S+/text is not executable \(.*\)`},
		{"an executable text", file("xtext", "hello", 0o755), `start QEMU: \S+/xtext is not a program for this machine \(.*\)`},
		{"true", "/bin/true", `probe QEMU /bin/true: it is not a QEMU system emulator: .* begins with "" \(true \(pid \d+\) ended with exit status 0\); name a qemu-system-…`},
		{"cat", "/bin/cat", `probe QEMU /bin/cat: it is not a QEMU system emulator: .*`},
		{"another version line", file("img", "#!/bin/sh\necho qemu-img version 7.2.22", 0o755), `probe QEMU \S+: it is not a QEMU system emulator: .*begins with "qemu-img version 7.2.22".*`},
		{"endless output", file("yes", "#!/bin/sh\nexec yes", 0o755), `probe QEMU \S+: it is not a QEMU system emulator: .*`},
		{"no end", file("sleep", "#!/bin/sh\nexec sleep 1000", 0o755), `probe QEMU \S+: ".*/sleep -sandbox .* -help" does not end, having printed "": context deadline exceeded; if it is no QEMU, name a qemu-system-…`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			limit := 5 * time.Second
			if tt.name == "no end" {
				limit = 50 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			_, err := harness.Probe(ctx, tt.path)
			matches(t, err, tt.says)
		})
	}
}

// A build without seccomp knows no -sandbox. It is started without.
func TestProbeBuildWithoutSandbox(t *testing.T) {
	real := qemuPath(t, "arm")
	path := script(t, t.TempDir(), `case "$*" in *-sandbox*) echo "$0: -sandbox support is not enabled" >&2; exit 1;; esac; exec '`+real+`' "$@"`)
	b := probe(t, path)
	if b.Version != probe(t, real).Version {
		t.Errorf("got %+v", b)
	}
	if args := start(t, harness.Config{Build: b}).Args(); slices.Contains(args, "-sandbox") {
		t.Errorf("started with %q", args)
	}
	if args := start(t, harness.Config{Build: probe(t, real)}).Args(); !slices.Contains(args, "-sandbox") {
		t.Errorf("started with %q", args)
	}
}

func TestProbeAgainWhenTheBinaryChanges(t *testing.T) {
	dir := t.TempDir()
	path := script(t, dir, `echo "QEMU emulator version 1.2.3 (Foo 4)"`)
	first := probe(t, path)
	if first.Version != "1.2.3" || first.Package != "Foo 4" || first.MCD != "" {
		t.Errorf("got %+v", first)
	}
	script(t, dir, `echo "QEMU emulator version 11.0"; echo`)
	if second := probe(t, path); second.Version != "11.0" || second.Package != "" {
		t.Errorf("after a change: got %+v", second)
	}
}

func TestProbeMCD(t *testing.T) {
	tests := []struct {
		dialects       string
		mcd            harness.Dialect
		packet, object bool
	}{
		{"packet", harness.Packet, true, false},
		{"json", harness.JSON, false, true},
		{"packet json", harness.Packet, true, true},
		{"neither", harness.Packet, true, false}, // what the option's presence suggests
	}
	for _, tt := range tests {
		t.Run(tt.dialects, func(t *testing.T) {
			b := probe(t, fakeBuild(t, tt.dialects))
			got := []any{b.MCD, b.Speaks(harness.Packet), b.Speaks(harness.JSON)}
			if diff := cmp.Diff([]any{tt.mcd, tt.packet, tt.object}, got); diff != "" {
				t.Errorf("MCD, speaks packets, speaks JSON (-want +got):\n%s", diff)
			}
		})
	}
}

// A probe that was cut short must not be taken for a build that does not speak.
func TestProbeMCDCutShort(t *testing.T) {
	path := fakeBuild(t, "silent")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := harness.Probe(ctx, path)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkProbe(b *testing.B) {
	real := qemuPath(b, "arm")
	for i := range b.N {
		link := filepath.Join(b.TempDir(), fmt.Sprintf("%d", i), "qemu-system-arm")
		if err := os.Mkdir(filepath.Dir(link), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.Symlink(real, link); err != nil {
			b.Fatal(err)
		}
		probe(b, link)
	}
}
