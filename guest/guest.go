// SPDX-License-Identifier: Apache-2.0

// Package guest holds tiny bare-metal programs for the machines that QEMU emulates, and looks up their symbols.
//
// Each program increments a variable in a loop, and every instruction of the loop has a label; README.md describes them.
// The sources are in src, scripts/build-guests makes the images in elf, and those are embedded. The package imports
// nothing of this module, starts nothing and touches no file but the one that Open is given.
package guest

import (
	"bytes"
	"debug/elf"
	"embed"
	"fmt"
	"os"
	"slices"
	"strings"
)

//go:embed elf/*.elf
var images embed.FS

// MaxCores is the number of slots that a program has, and so the number of cores that may run it.
const MaxCores = 8

// Variant is one of the forms in which a program exists for an architecture.
type Variant string

// Variants.
const (
	Loop Variant = "loop" // one core runs the loop, the others never start or wait for ever
	SMP  Variant = "smp"  // every core runs the loop on its own slot
	MMU  Variant = "mmu"  // as Loop, with address translation on: logical and physical addresses differ
)

var variants = []Variant{Loop, SMP, MMU}

// Image is a program for one architecture. Its methods may be called from several goroutines.
type Image struct {
	Arch    string // as QEMU's program names have it: "arm", "x86_64"
	Variant Variant
	ELF     []byte // the file; not to be modified

	arch     *architecture
	segments []segment
	symbols  []symbol // by address, the preferred name of an address first
}

// Architectures lists the architectures that have programs.
func Architectures() []string {
	var names []string
	for _, a := range architectures {
		if len(Variants(a.name)) > 0 {
			names = append(names, a.name)
		}
	}
	return names
}

// Variants lists the variants that exist for an architecture.
func Variants(arch string) []Variant {
	var found []Variant
	for _, v := range variants {
		if _, err := images.ReadFile(imageName(arch, v)); err == nil {
			found = append(found, v)
		}
	}
	return found
}

func imageName(arch string, v Variant) string { return fmt.Sprintf("elf/%s-%s.elf", arch, v) }

// Lookup finds the program for an architecture in one of its variants.
func Lookup(arch string, v Variant) (*Image, error) {
	data, err := images.ReadFile(imageName(arch, v))
	if err != nil {
		if have := Variants(arch); len(have) > 0 {
			return nil, fmt.Errorf("no guest program %q for %s: it has %s", v, arch, join(have))
		}
		return nil, fmt.Errorf("no guest program for architecture %q: there are programs for %s", arch, join(Architectures()))
	}
	i, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("guest program %s of %s: %w", v, arch, err)
	}
	if i.Arch != arch {
		return nil, fmt.Errorf("guest program %s of %s is made for %s; run scripts/build-guests", v, arch, i.Arch)
	}
	i.Variant = v
	return i, nil
}

// Open reads a program of the user's own. It has no Variant, and only the labels and symbols that its author gave it.
func Open(path string) (*Image, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read guest program: %w; name an ELF file, or none for the loop that comes with mcdtest", err)
	}
	i, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("guest program %s: %w", path, err)
	}
	return i, nil
}

func parse(data []byte) (*Image, error) {
	if !bytes.HasPrefix(data, []byte(elf.ELFMAG)) {
		return nil, fmt.Errorf("not an ELF file, as it begins with %q; link the program with ld.lld or ld", data[:min(len(data), 4)])
	}
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("damaged ELF file: %w; link it again", err)
	}
	if f.Type != elf.ET_EXEC {
		return nil, fmt.Errorf("an ELF file of type %v; only a linked, static program (ET_EXEC) can be started", f.Type)
	}
	k := slices.IndexFunc(architectures, func(a architecture) bool {
		return a.machine == f.Machine && a.class == f.Class && f.Data == elf.ELFDATA2LSB
	})
	if k < 0 {
		return nil, fmt.Errorf("an ELF file for %v, %v, %v; known are little-endian programs for %s",
			f.Machine, f.Class, f.Data, join(architectureNames()))
	}
	i := &Image{ELF: data, Arch: architectures[k].name, arch: &architectures[k]}
	if i.segments, err = readSegments(f, data); err != nil {
		return nil, err
	}
	if i.symbols, err = readSymbols(f); err != nil {
		return nil, err
	}
	return i, nil
}

func join[T ~string](names []T) string {
	s := make([]string, len(names))
	for i, n := range names {
		s[i] = string(n)
	}
	return strings.Join(s, ", ")
}
