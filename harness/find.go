// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// QEMUVariable is the environment variable that names the QEMU under test: a binary, or a folder of binaries.
const QEMUVariable = "MCDTEST_QEMU"

// DefaultArch is the architecture that is tested if nobody asks for another.
const DefaultArch = "arm"

// Find returns the path of the QEMU for an architecture: what QEMUVariable names, otherwise qemu-system-ARCH in PATH.
// An empty arch means whichever a binary in QEMUVariable is for, otherwise DefaultArch.
func Find(arch string) (string, error) {
	if named := os.Getenv(QEMUVariable); named != "" {
		return FindIn(named, arch)
	}
	if arch == "" {
		arch = DefaultArch
	}
	program := "qemu-system-" + arch
	path, err := exec.LookPath(program)
	if err == nil {
		return path, nil
	}
	text := fmt.Sprintf("find a QEMU for %s: there is no %s in PATH; install it (on Debian: apt-get install --no-install-recommends %s), or name a binary or a folder of binaries in %s",
		arch, program, debianPackage(arch), QEMUVariable)
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if has, _ := filepath.Glob(filepath.Join(dir, "qemu-system-*")); len(has) > 0 {
			return "", &noTarget{text}
		}
	}
	return "", errors.New(text)
}

// ErrNoTarget is what the error is for an architecture that a build in the named place does not have: what would be
// tested with it is not applicable.
var ErrNoTarget = errors.New("this build has no such target")

// noTarget is an ErrNoTarget that says what there is instead.
type noTarget struct{ text string }

func (e *noTarget) Error() string        { return e.text }
func (e *noTarget) Is(target error) bool { return target == ErrNoTarget }

// FindIn is Find in a place that the user named: a binary, or a folder of binaries.
func FindIn(named, arch string) (string, error) {
	fi, err := os.Stat(named)
	if err != nil {
		return "", fmt.Errorf("find a QEMU: %s: %w; name a QEMU binary or a folder of binaries", named, errors.Unwrap(err))
	}
	// A name without a slash would be looked for in PATH when it is started.
	absolute, err := filepath.Abs(named)
	if err != nil {
		return "", fmt.Errorf("find a QEMU: %s: %w", named, err)
	}
	if !fi.IsDir() {
		if is := archOfName(named); arch != "" && is != "" && is != arch {
			return "", &noTarget{fmt.Sprintf("find a QEMU for %s: %s is for %s; name a binary for %s, or a folder that holds several", arch, named, is, arch)}
		}
		return absolute, nil
	}
	if arch == "" {
		arch = DefaultArch
	}
	path := filepath.Join(absolute, "qemu-system-"+arch)
	if _, err := os.Stat(path); err != nil {
		if to, linkErr := os.Readlink(path); linkErr == nil {
			return "", fmt.Errorf("find a QEMU for %s: %s is a link to %s, which is not there; make it anew, or name another folder", arch, path, to)
		}
		text := fmt.Sprintf("find a QEMU for %s: there is no qemu-system-%s in the folder %s, which has %s", arch, arch, named, binariesIn(named))
		if has, _ := filepath.Glob(filepath.Join(named, "qemu-system-*")); len(has) > 0 {
			return "", &noTarget{text}
		}
		return "", errors.New(text + "; name the folder that has the binaries, in a build of QEMU its build folder, or one binary")
	}
	return path, nil
}

// binariesIn lists what a folder has, as a part of a sentence.
func binariesIn(dir string) string {
	paths, _ := filepath.Glob(filepath.Join(dir, "qemu-system-*")) // fails for bad patterns only
	if len(paths) == 0 {
		return "no qemu-system-… at all"
	}
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = filepath.Base(p)
	}
	return strings.Join(names, ", ")
}

// archOfName tells the architecture from the name of a binary, or returns "" for one that does not say: "qemu-system-arm-head" may be of
// any, and no architecture's name has such a rest.
func archOfName(path string) string {
	arch, ok := strings.CutPrefix(filepath.Base(path), "qemu-system-")
	if !ok || strings.ContainsAny(arch, "-. ") {
		return ""
	}
	return arch
}

// debianPackage is the package that holds the QEMU for an architecture.
func debianPackage(arch string) string {
	switch arch {
	case "arm", "aarch64":
		return "qemu-system-arm"
	case "i386", "x86_64":
		return "qemu-system-x86"
	case "mips", "mipsel", "mips64", "mips64el":
		return "qemu-system-mips"
	case "ppc", "ppc64":
		return "qemu-system-ppc"
	case "sparc", "sparc64":
		return "qemu-system-sparc"
	}
	return "qemu-system-misc"
}
