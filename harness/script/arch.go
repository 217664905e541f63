// SPDX-License-Identifier: Apache-2.0

package script

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// arch is what scripts want to know of an architecture: the size of a word, and the numbers that QEMU's target
// descriptions give to the registers that the guest programs use.
type arch struct {
	wordBytes                     int
	pc, value, slot, passes, core uint64
}

// arches is keyed by the names that QEMU's programs have.
var arches = map[string]arch{
	"arm":     {4, 15, 0, 1, 2, 3},     // pc, r0, r1, r2, r3
	"aarch64": {8, 32, 0, 1, 2, 3},     // pc, x0, x1, x2, x3
	"riscv32": {4, 32, 10, 11, 12, 13}, // pc, a0, a1, a2, a3
	"riscv64": {8, 32, 10, 11, 12, 13},
	"i386":    {4, 8, 0, 3, 1, 2},  // eip, eax, ebx, ecx, edx
	"x86_64":  {8, 16, 0, 1, 2, 3}, // rip, rax, rbx, rcx, rdx
}

// ForArch sets WordBytes and ByteOrder, and adds the numbers of registers to Symbols: reg.pc, and for the registers of
// the guest programs' loop reg.value, reg.slot, reg.passes and reg.core.
func (e *Env) ForArch(name string) error {
	a, ok := arches[name]
	if !ok {
		return fmt.Errorf("scripts know no architecture %q: there are %s", name, strings.Join(slices.Sorted(maps.Keys(arches)), ", "))
	}
	e.WordBytes, e.ByteOrder = a.wordBytes, binary.LittleEndian
	registers := map[string]uint64{"reg.pc": a.pc, "reg.value": a.value, "reg.slot": a.slot, "reg.passes": a.passes, "reg.core": a.core}
	symbols := e.Symbols
	e.Symbols = func(name string) (uint64, error) {
		if v, ok := registers[name]; ok {
			return v, nil
		}
		if symbols == nil {
			return 0, fmt.Errorf("no symbol %q: there are %s", name, strings.Join(slices.Sorted(maps.Keys(registers)), ", "))
		}
		return symbols(name)
	}
	return nil
}
