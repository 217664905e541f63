// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// labels are the instructions of the loop in program order. Other names of the same addresses are aliases.
var labels = []string{"loop", "after_load", "increment", "store", "after_store", "branch"}

type symbol struct {
	name     string
	addr     uint64
	size     uint64
	absolute bool // a number, not the address of something in the image
}

type segment struct {
	addr, phys, size uint64 // size in memory; what the file does not hold is zero
	file             []byte
}

func readSymbols(f *elf.File) ([]symbol, error) {
	raw, err := f.Symbols()
	if err != nil {
		if errors.Is(err, elf.ErrNoSymbols) {
			return nil, errors.New("no symbol table: link the program without stripping it")
		}
		return nil, fmt.Errorf("read the symbol table: %w", err)
	}
	var symbols []symbol
	for _, s := range raw {
		kind := elf.ST_TYPE(s.Info)
		if s.Name == "" || strings.HasPrefix(s.Name, "$") || s.Section == elf.SHN_UNDEF ||
			kind == elf.STT_FILE || kind == elf.STT_SECTION {
			continue
		}
		symbols = append(symbols, symbol{s.Name, s.Value, s.Size, s.Section == elf.SHN_ABS})
	}
	slices.SortStableFunc(symbols, func(a, b symbol) int {
		return cmp.Or(cmp.Compare(a.addr, b.addr), cmp.Compare(preference(a), preference(b)))
	})
	return symbols, nil
}

// preference orders the names of one address: a label of the loop, then what has a size, then the rest; the end of
// something is the last choice, because something else often begins there.
func preference(s symbol) int {
	switch {
	case slices.Contains(labels, s.name):
		return 0
	case s.size > 0:
		return 1
	case strings.HasSuffix(s.name, "_end"):
		return 3
	}
	return 2
}

func readSegments(f *elf.File, data []byte) ([]segment, error) {
	var segments []segment
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD || p.Memsz == 0 {
			continue
		}
		if size := uint64(len(data)); p.Off > size || p.Filesz > size-p.Off || p.Filesz > p.Memsz {
			return nil, fmt.Errorf("damaged ELF file: the segment at %#x lies outside the file; link it again", p.Vaddr)
		}
		segments = append(segments, segment{p.Vaddr, p.Paddr, p.Memsz, data[p.Off : p.Off+p.Filesz]})
	}
	if len(segments) == 0 {
		return nil, errors.New("nothing to load: the ELF file has no PT_LOAD segment; link it, an object file cannot be started")
	}
	return segments, nil
}

// find is the symbol of a name, or an error that lists names like it.
func (i *Image) find(name string) (symbol, error) {
	for _, s := range i.symbols {
		if s.name == name {
			return s, nil
		}
	}
	near := make([]string, 0, len(i.symbols))
	for _, s := range i.symbols {
		near = append(near, s.name)
	}
	slices.SortStableFunc(near, func(a, b string) int { return cmp.Compare(distance(a, name), distance(b, name)) })
	if len(near) == 0 {
		return symbol{}, fmt.Errorf("no symbol %q in %v: it has no symbols", name, i)
	}
	return symbol{}, fmt.Errorf("no symbol %q in %v: the nearest are %s", name, i, strings.Join(near[:min(len(near), 5)], ", "))
}

// distance is the number of letters to insert, delete or replace to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// String names the program in messages: "the arm smp program".
func (i *Image) String() string {
	if i.Variant == "" {
		return "the " + i.Arch + " program"
	}
	return fmt.Sprintf("the %s %s program", i.Arch, i.Variant)
}

// Symbol is the value of a symbol: a logical address, or a number for an absolute symbol such as slot_stride.
// The error lists the nearest names.
func (i *Image) Symbol(name string) (uint64, error) {
	s, err := i.find(name)
	return s.addr, err
}

// Addr is Symbol for tests, which cannot go on without it: it panics with Symbol's error.
func (i *Image) Addr(name string) uint64 {
	addr, err := i.Symbol(name)
	if err != nil {
		panic(err.Error())
	}
	return addr
}

// Labels lists the labels of the loop in program order, one for each instruction: single steps walk them in turn.
func (i *Image) Labels() []string {
	var have []string
	for _, l := range labels {
		if _, err := i.find(l); err == nil {
			have = append(have, l)
		}
	}
	return have
}

// SymbolAt names a logical address: the last symbol at or before it in the same segment, and how far behind it.
func (i *Image) SymbolAt(addr uint64) (name string, offset uint64, ok bool) {
	seg, ok := i.segment(addr, 1)
	if !ok {
		return "", 0, false
	}
	best := -1
	for k, s := range i.symbols {
		if s.absolute || s.addr < seg.addr || s.addr > addr || best >= 0 && s.addr == i.symbols[best].addr {
			continue
		}
		best = k
	}
	if best < 0 {
		return "", 0, false
	}
	return i.symbols[best].name, addr - i.symbols[best].addr, true
}

// segment finds the segment that holds n bytes from addr on.
func (i *Image) segment(addr, n uint64) (segment, bool) {
	for _, s := range i.segments {
		if addr >= s.addr && addr-s.addr < s.size && n <= s.size-(addr-s.addr) {
			return s, true
		}
	}
	return segment{}, false
}

// Data is what memory holds at a logical address after loading, before the program runs.
func (i *Image) Data(addr uint64, n int) ([]byte, error) {
	s, ok := i.segment(addr, uint64(max(n, 0)))
	if !ok || n < 0 {
		return nil, fmt.Errorf("%v has no %d bytes at %#x", i, n, addr)
	}
	data := make([]byte, n)
	if off := addr - s.addr; off < uint64(len(s.file)) {
		copy(data, s.file[off:])
	}
	return data, nil
}

// Object is the bytes of a symbol that has a size, such as patch_nop.
func (i *Image) Object(name string) ([]byte, error) {
	s, err := i.find(name)
	if err != nil {
		return nil, err
	}
	if s.size == 0 || s.absolute {
		return nil, fmt.Errorf("symbol %q of %v is not an object with a size", name, i)
	}
	return i.Data(s.addr, int(s.size))
}

// Phys is the physical address of a logical one while the loop runs. Neighbouring pages need not be neighbours in
// physical memory, so a range that crosses a page boundary has to be asked for page by page.
func (i *Image) Phys(addr uint64) (uint64, error) {
	s, ok := i.segment(addr, 1)
	if !ok {
		return 0, fmt.Errorf("%v has nothing at %#x", i, addr)
	}
	offset := addr - s.addr
	if swap, err := i.find("scratch_swap"); err == nil {
		if scratch, err := i.find("scratch"); err == nil && scratch.addr == s.addr {
			offset ^= swap.addr // the tables exchange its two pages
		}
	}
	return s.phys + offset, nil
}
