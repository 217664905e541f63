// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"mcdtest/harness/launch"
)

// Dialect is how a client and an endpoint speak with each other.
type Dialect string

// Dialects.
const (
	Packet Dialect = "packet" // the packets of the 2023 series
	JSON   Dialect = "json"   // the objects of the 2025 series
)

// Build is a QEMU binary and what it can do.
type Build struct {
	Path    string
	Arch    string // as the program's name has it: "arm", "x86_64"
	Version string // "7.2.22"
	Package string // what the distributor adds to the version: "Debian 1:7.2+dfsg-7"; may be empty

	// MCD is the dialect of the build's own -mcd; empty if it has none. Speaks tells of a second one.
	MCD      Dialect
	dialects []Dialect

	sandbox bool // -sandbox is supported

	mu      sync.Mutex
	details *details // of the first look inside
}

// Speaks reports whether the build's own -mcd understands the dialect.
func (b *Build) Speaks(d Dialect) bool { return slices.Contains(b.dialects, d) }

// Program is the name that the binary has in messages.
func (b *Build) Program() string { return filepath.Base(b.Path) }

func (b *Build) String() string { return fmt.Sprintf("%s (QEMU %s, %s)", b.Path, b.Version, b.Arch) }

const (
	probeTimeout = 10 * time.Second
	probeOutput  = 1 << 20 // bytes; the -help of QEMU 7.2 has 40 KB
)

// probed holds the result for a binary as it was. A binary that is built anew is probed anew.
var probed struct {
	sync.Mutex
	builds map[probeKey]*probe
}

type probeKey struct {
	path  string
	mtime time.Time
	size  int64
}

type probe struct {
	sync.Mutex
	build *Build
}

// Probe finds out about a QEMU binary. It runs it once, for about 15 ms. If it has -mcd, two more QEMUs are asked which
// dialects that speaks. Results are kept as long as the file does not change.
func Probe(ctx context.Context, path string) (*Build, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("probe QEMU %s: %w; name a QEMU binary", path, errors.Unwrap(err))
	}
	key := probeKey{path, fi.ModTime(), fi.Size()}
	probed.Lock()
	if probed.builds == nil {
		probed.builds = make(map[probeKey]*probe)
	}
	p := probed.builds[key]
	if p == nil {
		p = new(probe)
		probed.builds[key] = p
	}
	probed.Unlock()

	p.Lock() // others that want the same binary wait for this run instead of making their own
	defer p.Unlock()
	if p.build != nil {
		return p.build, nil
	}
	b, err := probeBinary(ctx, path)
	if err != nil {
		return nil, err
	}
	p.build = b
	return b, nil
}

func probeBinary(ctx context.Context, path string) (*Build, error) {
	b := &Build{Path: path, Arch: archOfName(path), sandbox: true}
	// A build without seccomp refuses -sandbox before it comes to -help.
	text, exit, err := output(ctx, path, append(slices.Clone(launch.Sandbox), "-help")...)
	if err != nil {
		return nil, err
	}
	if exit.Status > 0 {
		b.sandbox = false
		if text, exit, err = output(ctx, path, "-help"); err != nil {
			return nil, err
		}
	}
	if err := b.parseHelp(text, exit); err != nil {
		return nil, err
	}
	if b.Arch == "" {
		// A name that says nothing. QEMU itself knows.
		d, err := b.look(ctx)
		if err != nil {
			return nil, err
		}
		b.Arch = d.arch
	}
	if b.MCD != "" {
		if err := b.learnDialects(ctx); err != nil {
			return nil, err
		}
	}
	return b, nil
}

var (
	versionLine = regexp.MustCompile(`^QEMU emulator version (\d+\.\d+(?:\.\d+)?)(?: \((.*)\))?`)
	mcdLine     = regexp.MustCompile(`(?m)^-mcd\b`)
)

// parseHelp reads what -help says. Its first line is that of -version.
func (b *Build) parseHelp(text []byte, exit *launch.Exit) error {
	version := versionLine.FindSubmatch(text)
	if version == nil {
		first, _, _ := bytes.Cut(text, []byte("\n"))
		return fmt.Errorf("probe QEMU %s: it is not a QEMU system emulator: %q was to print its version and options, but its output begins with %.100q (%v); name a qemu-system-…",
			b.Path, b.Path+" -help", first, exit)
	}
	b.Version, b.Package = string(version[1]), string(version[2])
	if mcdLine.Match(text) {
		b.MCD = Packet // as it is specified; learnDialects knows better if it succeeds
		b.dialects = []Dialect{Packet}
	}
	return nil
}

// output runs the binary to its end, for probeTimeout at most, and returns what it printed to stdout.
func output(ctx context.Context, path string, args ...string) ([]byte, *launch.Exit, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	out := &limitedBuffer{limit: probeOutput}
	p, err := launch.Start(ctx, launch.Spec{Path: path, Args: args, Stdout: out})
	if err != nil {
		return nil, nil, err
	}
	select {
	case <-p.Done():
		return out.b, p.Exit(), nil
	case <-ctx.Done():
		p.Kill()
		return nil, nil, fmt.Errorf("probe QEMU %s: %q does not end, having printed %.100q: %w; if it is no QEMU, name a qemu-system-…",
			path, strings.Join(append([]string{path}, args...), " "), out.b, ctx.Err())
	}
}

// limitedBuffer keeps what is written to it. Its writer gets an error when it is full.
type limitedBuffer struct {
	b     []byte
	limit int
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if len(b.b)+len(p) > b.limit {
		return 0, fmt.Errorf("more than %d bytes", b.limit)
	}
	b.b = append(b.b, p...)
	return len(p), nil
}
