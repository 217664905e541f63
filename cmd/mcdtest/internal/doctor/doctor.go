// SPDX-License-Identifier: Apache-2.0

// Package doctor looks at what a machine has of what mcdtest needs, and knows what to do about what is missing. It runs each
// QEMU that it finds for a moment and changes nothing.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mcdtest/guest"
	"mcdtest/harness"
	"mcdtest/stub/mcdjson"
)

// Level says how a finding is.
type Level string

// Levels.
const (
	Fine   Level = "ok"
	Lack   Level = "missing" // something works less well, or not at all, without it
	Broken Level = "broken"  // it is there and does not work
	Never  Level = "no"      // no stock QEMU has it
)

// Finding is one thing that was looked at.
type Finding struct {
	Name   string `json:"name"`
	Level  Level  `json:"level"`
	Text   string `json:"text"`
	Advice string `json:"advice,omitempty"`

	// Of a QEMU.
	Build *Build `json:"build,omitempty"`
}

// Build is a QEMU that was found.
type Build struct {
	Path    string            `json:"path"`
	Arch    string            `json:"arch"`
	Version string            `json:"version"`
	MCD     []harness.Dialect `json:"mcd,omitempty"` // dialects of its own -mcd
}

// Section is a group of findings.
type Section struct {
	Name     string    `json:"name"`
	Findings []Finding `json:"findings"`
}

// Report is everything.
type Report struct {
	OK       bool      `json:"ok"` // a QEMU runs, and so can the scenario
	Sections []Section `json:"sections"`
}

// Examine looks at everything.
func Examine(ctx context.Context) *Report {
	builds, ok := qemus(ctx)
	perms, permitted := permissions()
	return &Report{OK: ok && permitted, Sections: []Section{
		{"QEMU", builds},
		{"Permissions", perms},
		{"Tools, for building only", tools()},
		{"What mcdtest's stub answers as unimplemented (0x100) in the JSON dialect", unsupported()},
	}}
}

// unsupported lists what a stock QEMU cannot do, each under the command that asks for it.
func unsupported() (findings []Finding) {
	for _, text := range mcdjson.Unsupported() {
		command, what, _ := strings.Cut(text, " ")
		findings = append(findings, Finding{Name: command, Level: Never, Text: what})
	}
	return findings
}

// qemus looks for the QEMU of each architecture that has a guest program, where mcdtest run looks.
func qemus(ctx context.Context) (findings []Finding, ok bool) {
	named := os.Getenv(harness.QEMUVariable)
	switch st, err := os.Stat(named); {
	case named == "":
		findings = append(findings, Finding{Name: harness.QEMUVariable, Level: Fine, Text: "not set: QEMUs are looked for in PATH"})
	case err != nil:
		return []Finding{{
			Name: harness.QEMUVariable, Level: Broken, Text: err.Error(),
			Advice: "set it to a QEMU or a folder of them, or unset it",
		}}, false
	default:
		what := "a QEMU"
		if st.IsDir() {
			what = "a folder of QEMUs"
		}
		findings = append(findings, Finding{Name: harness.QEMUVariable, Level: Fine, Text: named + ", " + what})
	}
	archs := guest.Architectures()
	if st, err := os.Stat(named); named != "" && err == nil && !st.IsDir() {
		archs = []string{""} // one binary: it knows what it is for
	}
	builds := make([]Finding, len(archs))
	var wg sync.WaitGroup
	for i, arch := range archs {
		wg.Go(func() { builds[i] = qemu(ctx, arch) })
	}
	wg.Wait()
	for i, f := range builds {
		// What mcdtest run takes if nobody asks for another.
		ok = ok || f.Level == Fine && (archs[i] == "" || archs[i] == harness.DefaultArch)
		findings = append(findings, f)
	}
	return append(findings, fetched()...), ok
}

// fetched lists the versions that scripts/qemu-fetch has unpacked.
func fetched() (findings []Finding) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil
	}
	dirs, _ := filepath.Glob(filepath.Join(cache, "mcdtest", "qemu", "*", "bin")) // fails for bad patterns only
	for _, dir := range dirs {
		findings = append(findings, Finding{
			Name: "fetched " + filepath.Base(filepath.Dir(dir)), Level: Fine, Text: "use it with " + harness.QEMUVariable + "=" + dir,
		})
	}
	return findings
}

const probeTimeout = 20 * time.Second

func qemu(ctx context.Context, arch string) Finding {
	name := arch
	if name == "" {
		name = "QEMU"
	}
	path, err := harness.Find(arch)
	if err != nil {
		what, advice, _ := strings.Cut(err.Error(), "; ")
		if advice == "" && errors.Is(err, harness.ErrNoTarget) {
			advice = fmt.Sprintf("build it, too (configure --target-list=%s-softmmu,…), or link a qemu-system-%s into the folder; until then nothing is tested on it", arch, arch)
		}
		return Finding{Name: name, Level: Lack, Text: strings.TrimPrefix(what, "find a QEMU for "+arch+": "), Advice: advice}
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	b, err := harness.Probe(ctx, path)
	if err != nil {
		return Finding{Name: name, Level: Broken, Text: err.Error(), Advice: fmt.Sprintf("run %s -version by hand: does it start, and are its libraries there?", path)}
	}
	f := Finding{Name: b.Arch, Level: Fine, Build: &Build{Path: b.Path, Arch: b.Arch, Version: b.Version}}
	for _, d := range []harness.Dialect{harness.Packet, harness.JSON} {
		if b.Speaks(d) {
			f.Build.MCD = append(f.Build.MCD, d)
		}
	}
	mcd := "no -mcd of its own: mcdtest's stub is put in front of it"
	if b.MCD != "" {
		mcd = fmt.Sprintf("has -mcd, dialects %v: that is what is tested", f.Build.MCD)
	}
	f.Text = fmt.Sprintf("%s  %s  %s", b.Version, b.Path, mcd)
	image, err := guest.Lookup(b.Arch, guest.Loop)
	if err != nil {
		f.Level, f.Text = Lack, f.Text+"; there is no guest program for it"
		return f
	}
	if err := runs(ctx, b, image); err != nil {
		return Finding{
			Name: b.Arch, Level: Broken, Text: fmt.Sprintf("%s  %s  does not run the guest program: %v", b.Version, b.Path, err), Build: f.Build,
			Advice: fmt.Sprintf("it needs the machine %s with the CPU %s, QMP and the gdbstub: was it built without one of them?", image.Machine(), image.CPU()),
		}
	}
	return f
}

// runs starts the guest program for a moment.
func runs(ctx context.Context, b *harness.Build, image *guest.Image) error {
	m, err := harness.Start(ctx, harness.Config{Build: b, Guest: image, Endpoint: harness.Stub})
	if err != nil {
		return err
	}
	return m.Close()
}

// permissions tries what the harness does to the system.
func permissions() (findings []Finding, ok bool) {
	ok = true
	check := func(name, fine, advice string, err error, needed bool) {
		if err == nil {
			findings = append(findings, Finding{Name: name, Level: Fine, Text: fine})
			return
		}
		findings = append(findings, Finding{Name: name, Level: Broken, Text: err.Error(), Advice: advice})
		ok = ok && !needed
	}
	check("files in memory", "guest programs need no disk", "allow memfd_create in the sandbox or container", memfd(), true)
	check("unix sockets", "QEMU is reached without ports", "allow socketpair and abstract unix sockets in the sandbox or container", sockets(), true)
	check("/proc", "descriptors can be handed to QEMU", "mount /proc", proc(), true)
	check("ports", "mcdtest serve can listen on 127.0.0.1", "allow TCP on the loopback interface in the sandbox or container; or give mcdtest serve --listen unix:PATH", loopback(), false)
	check("temporary folder", os.TempDir()+" can be written to", "set TMPDIR to a folder that can be written to", tempDir(), false)
	return findings, ok
}

func memfd() error {
	fd, err := unix.MemfdCreate("mcdtest-doctor", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	return unix.Close(fd)
}

func sockets() error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socketpair: %w", err)
	}
	return errors.Join(unix.Close(fds[0]), unix.Close(fds[1]))
}

func loopback() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	return l.Close()
}

func proc() error {
	_, err := os.Readlink("/proc/self/exe")
	return err
}

func tempDir() error {
	f, err := os.CreateTemp("", "mcdtest-doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// tools looks for what is needed to build guests and images, and for nothing else.
func tools() []Finding {
	var findings []Finding
	for _, t := range []struct {
		name   string
		any    []string
		use    string
		advice string
	}{
		{"go", []string{"go"}, "building mcdtest", "install Go 1.26 or later"},
		{"llvm-mc", []string{"llvm-mc"}, "building guest programs anew", "apt-get install --no-install-recommends llvm"},
		{"ld.lld", []string{"ld.lld"}, "building guest programs anew", "apt-get install --no-install-recommends lld"},
		{"gdb-multiarch", []string{"gdb-multiarch", "gdb"}, "comparing with gdb in benchmarks", "apt-get install --no-install-recommends gdb-multiarch"},
		{"container engine", []string{"docker", "podman", "buildah"}, "the container image", "apt-get install --no-install-recommends buildah"},
		{"browser", []string{"chromium", "google-chrome"}, "testing reports", "apt-get install --no-install-recommends chromium"},
	} {
		f := Finding{Name: t.name, Level: Lack, Text: "for " + t.use, Advice: t.advice}
		if path := first(t.any); path != "" {
			f = Finding{Name: t.name, Level: Fine, Text: path + ", for " + t.use}
		}
		findings = append(findings, f)
	}
	return findings
}

// first is the first of several programs that is there; Debian's LLVM has a version behind the names.
func first(names []string) string {
	for _, n := range names {
		if path, err := exec.LookPath(n); err == nil {
			return path
		}
		if found, _ := filepath.Glob("/usr/lib/llvm-*/bin/" + n); len(found) > 0 {
			return slices.Max(found)
		}
	}
	return ""
}
