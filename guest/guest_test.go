// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// each runs f for every program that exists.
func each(t *testing.T, f func(t *testing.T, i *Image)) {
	t.Helper()
	if len(Architectures()) != len(architectures) {
		t.Fatalf("images exist for %v, registers are described for %v", Architectures(), architectureNames())
	}
	for _, arch := range Architectures() {
		for _, v := range Variants(arch) {
			t.Run(arch+"/"+string(v), func(t *testing.T) {
				i, err := Lookup(arch, v)
				if err != nil {
					t.Fatal(err)
				}
				f(t, i)
			})
		}
	}
}

func TestEveryVariantExists(t *testing.T) {
	for _, arch := range architectureNames() {
		if diff := cmp.Diff([]Variant{Loop, SMP, MMU}, Variants(arch)); diff != "" {
			t.Errorf("variants of %s: - want, + got\n%s", arch, diff)
		}
	}
}

func TestLabelsFollowEachOther(t *testing.T) {
	each(t, func(t *testing.T, i *Image) {
		if diff := cmp.Diff([]string{"loop", "after_load", "increment", "store", "after_store", "branch"}, i.Labels()); diff != "" {
			t.Fatalf("labels: - want, + got\n%s", diff)
		}
		last := i.Addr("loop") - 1
		for _, l := range append(i.Labels(), "loop_end") {
			if i.Addr(l) <= last {
				t.Errorf("%s at %#x is not behind the label before it at %#x", l, i.Addr(l), last)
			}
			last = i.Addr(l)
		}
		for alias, label := range map[string]string{"load": "loop", "patch_site": "after_load"} {
			if i.Addr(alias) != i.Addr(label) {
				t.Errorf("%s at %#x, want %s at %#x", alias, i.Addr(alias), label, i.Addr(label))
			}
		}
	})
}

func TestVariables(t *testing.T) {
	each(t, func(t *testing.T, i *Image) {
		counter, stride := i.Addr("counter"), i.Addr("slot_stride")
		if counter%64 != 0 || stride < 8 || stride%4 != 0 {
			t.Errorf("counter at %#x with a stride of %d", counter, stride)
		}
		if got := (i.Addr("counter_end") - counter) / stride; got != MaxCores {
			t.Errorf("%d slots, want %d", got, MaxCores)
		}
		if got := i.Addr("untouched"); got < counter+4 || got+4 > counter+stride {
			t.Errorf("untouched at %#x is not between the first two slots", got)
		}
		scratch := i.Addr("scratch")
		if scratch%4096 != 0 || i.Addr("scratch_second") != scratch+4096 || i.Addr("scratch_end") != scratch+8192 {
			t.Errorf("scratch %#x, %#x to %#x is not two pages", scratch, i.Addr("scratch_second"), i.Addr("scratch_end"))
		}
		if _, err := i.Data(scratch, 8192); err != nil {
			t.Errorf("scratch is not loaded: %v", err)
		}
		if _, err := i.Data(i.Addr("unmapped"), 1); err == nil {
			t.Errorf("something is loaded at unmapped, %#x", i.Addr("unmapped"))
		}
		pattern, err := i.Object("pattern")
		if err != nil || len(pattern) != 256 || pattern[0] != 0 || pattern[255] != 255 {
			t.Errorf("pattern is % x, %v", pattern, err)
		}
	})
}

func TestPatchesFit(t *testing.T) {
	each(t, func(t *testing.T, i *Image) {
		site, err := i.Data(i.Addr("patch_site"), int(i.Addr("increment")-i.Addr("patch_site")))
		if err != nil {
			t.Fatal(err)
		}
		nop, err := i.Object("patch_nop")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(site, nop) {
			t.Errorf("patch_site holds % x, patch_nop % x", site, nop)
		}
		increment, err := i.Data(i.Addr("increment"), int(i.Addr("store")-i.Addr("increment")))
		if err != nil {
			t.Fatal(err)
		}
		patch, err := i.Object("patch_increment_by_two")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(patch, increment) {
			t.Errorf("patch_increment_by_two is % x, the loop increments by % x", patch, increment)
		}
		if len(patch) != len(nop) {
			t.Errorf("patch_increment_by_two has %d bytes, patch_site %d", len(patch), len(nop))
		}
	})
}

func TestPhys(t *testing.T) {
	each(t, func(t *testing.T, i *Image) {
		base, size := i.RAM()
		for _, name := range []string{"loop", "counter", "scratch", "scratch_second"} {
			want := i.Addr(name + "_phys")
			got, err := i.Phys(i.Addr(name))
			if err != nil || got != want {
				t.Errorf("Phys(%s) = %#x, %v; want %#x", name, got, err, want)
			}
			if got < base || got >= base+size {
				t.Errorf("%s_phys, %#x, is not in the RAM at %#x+%#x", name, got, base, size)
			}
			if moved := want != i.Addr(name); moved != (i.Variant == MMU) {
				t.Errorf("%s is at %#x and at %#x physically", name, i.Addr(name), want)
			}
		}
		start, err := i.Phys(i.Addr("start"))
		if err != nil || start != i.Addr("start") {
			t.Errorf("Phys(start) = %#x, %v; want %#x", start, err, i.Addr("start"))
		}
		if got, err := i.Phys(i.Addr("unmapped")); err == nil {
			t.Errorf("Phys(unmapped) = %#x", got)
		}
		adjacent := i.Addr("scratch_second_phys") == i.Addr("scratch_phys")+4096
		if adjacent == (i.Variant == MMU) {
			t.Errorf("pages of scratch at %#x and %#x physically", i.Addr("scratch_phys"), i.Addr("scratch_second_phys"))
		}
	})
}

func TestSymbolAt(t *testing.T) {
	i, err := Lookup("arm", Loop)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		addr   uint64
		name   string
		offset uint64
	}{
		{i.Addr("start"), "start", 0},
		{i.Addr("load"), "loop", 0},
		{i.Addr("patch_site"), "after_load", 0},
		{i.Addr("store") + 1, "store", 1},
		{i.Addr("counter"), "counter", 0},
		{i.Addr("pattern"), "pattern", 0},
		{i.Addr("pattern") + 255, "pattern", 255},
		{i.Addr("scratch") + 4095, "scratch", 4095},
		{i.Addr("scratch_end") - 1, "scratch_second", 4095},
	} {
		name, offset, ok := i.SymbolAt(c.addr)
		if name != c.name || offset != c.offset || !ok {
			t.Errorf("SymbolAt(%#x) = %q, %d, %v; want %q, %d", c.addr, name, offset, ok, c.name, c.offset)
		}
	}
	for _, addr := range []uint64{0, i.Addr("slot_stride"), i.Addr("scratch_end"), i.Addr("start") - 1, 1<<64 - 1} {
		if name, _, ok := i.SymbolAt(addr); ok {
			t.Errorf("SymbolAt(%#x) = %q, want none", addr, name)
		}
	}
}

func TestData(t *testing.T) {
	i, err := Lookup("arm", Loop)
	if err != nil {
		t.Fatal(err)
	}
	pattern := i.Addr("pattern")
	got, err := i.Data(pattern+5, 3)
	if err != nil || !bytes.Equal(got, []byte{5, 6, 7}) {
		t.Errorf("Data(pattern+5, 3) = % x, %v", got, err)
	}
	for _, c := range []struct {
		addr uint64
		n    int
	}{{i.Addr("scratch") + 8190, 3}, {i.Addr("unmapped"), 1}, {pattern, -1}, {1<<64 - 1, 2}, {pattern, 1 << 62}} {
		if got, err := i.Data(c.addr, c.n); err == nil {
			t.Errorf("Data(%#x, %d) = % x, want an error", c.addr, c.n, got)
		}
	}
}

func TestErrorsSayWhatExists(t *testing.T) {
	i, err := Lookup("arm", Loop)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	patched := func(offset int, b byte) []byte {
		data := slices.Clone(i.ELF)
		data[offset] = b
		return data
	}
	lookup := func(arch string, v Variant) error { _, err := Lookup(arch, v); return err }
	open := func(path string) error { _, err := Open(path); return err }
	symbol := func(name string) error { _, err := i.Symbol(name); return err }
	object := func(name string) error { _, err := i.Object(name); return err }
	for _, c := range []struct {
		name string
		err  error
		want []string
	}{
		{"architecture", lookup("arm64", Loop), []string{`"arm64"`, "arm"}},
		{"variant", lookup("arm", "fast"), []string{`"fast"`, "arm", "loop, smp, mmu"}},
		{"path in the name", lookup("../elf/arm", Loop), []string{`"../elf/arm"`}},
		{"symbol", symbol("conter"), []string{`"conter"`, "counter", "arm loop"}},
		{"not an object", object("start"), []string{"start", "size"}},
		{"no object", object("patch_nob"), []string{"patch_nop"}},
		{"missing file", open(filepath.Join(folder, "none")), []string{"none", "no such file"}},
		{"folder", open(folder), []string{folder, "is a directory"}},
		{"not an ELF", open(file("text", []byte("#!/bin/sh"))), []string{"text", "not an ELF", "#!/b"}},
		{"empty", open(file("empty", nil)), []string{"empty", "not an ELF"}},
		{"cut", open(file("cut", i.ELF[:40])), []string{"cut", "damaged"}},
		{"segments cut", open(file("segments", i.ELF[:len(i.ELF)/3])), []string{"segments", "damaged"}},
		{"wrong machine", open(file("mips", patched(18, 8))), []string{"mips", "EM_MIPS", "arm"}},
		{"object file", open(file("object", patched(16, 1))), []string{"object", "ET_REL"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.err == nil {
				t.Fatal("no error")
			}
			for _, w := range c.want {
				if !strings.Contains(c.err.Error(), w) {
					t.Errorf("%q does not say %q", c.err, w)
				}
			}
		})
	}
	defer func() {
		if got, want := recover(), symbol("conter").Error(); got != want {
			t.Errorf("Addr panicked with %v, want %q", got, want)
		}
	}()
	i.Addr("conter")
}

func TestOpen(t *testing.T) {
	i, err := Lookup("arm", SMP)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "own.elf")
	if err := os.WriteFile(path, i.ELF, 0o600); err != nil {
		t.Fatal(err)
	}
	own, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if own.Arch != "arm" || own.Variant != "" || own.Addr("counter") != i.Addr("counter") {
		t.Errorf("Open gives %q, %q, counter at %#x", own.Arch, own.Variant, own.Addr("counter"))
	}
	want := []string{"-M", "virt", "-cpu", "cortex-a15", "-m", "16M", "-smp", "2", "-kernel", path}
	if diff := cmp.Diff(want, own.QEMUArgs(path, 2)); diff != "" {
		t.Errorf("QEMUArgs: - want, + got\n%s", diff)
	}
}

func TestRegistersAreDistinct(t *testing.T) {
	each(t, func(t *testing.T, i *Image) {
		registers := append(i.FreeRegisters(), i.PCRegister(), i.StackPointer(), i.ValueRegister(), i.SlotRegister(),
			i.PassesRegister(), i.CoreRegister())
		seen := map[string]bool{}
		for _, r := range registers {
			if r.Name == "" || r.Bits != 32 && r.Bits != 64 || seen[r.Name] {
				t.Errorf("register %+v is incomplete or has two uses", r)
			}
			seen[r.Name] = true
		}
	})
}
