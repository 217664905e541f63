// SPDX-License-Identifier: Apache-2.0

package gdbtarget

import (
	"testing"

	"mcdtest/stub/target"
)

// The mode of a 32-bit core is no exception level, and a CPU with a secure address space has EL3.
func TestEndsQEMU(t *testing.T) {
	cpsr := target.Register{Name: "cpsr", Bits: 32}
	spaces := map[string][]target.AddressSpace{
		"one world": {{Name: "cpu-memory-0"}},
		"tags":      {{Name: "cpu-memory-0"}, {Name: "cpu-tag-memory-0"}},
		"secure":    {{Name: "cpu-memory-0"}, {Name: "cpu-secure-memory-0", Secure: true}},
	}
	for _, tt := range []struct {
		arch, first, spaces string
		mode                byte
		ends                bool
	}{
		{"aarch64", "x0", "one world", 0xcd, true}, // EL3h
		{"aarch64", "x0", "one world", 0xdf, true},
		{"aarch64", "x0", "tags", 0xcd, true},
		{"aarch64", "x0", "secure", 0xcd, false},
		{"aarch64", "x0", "one world", 0xc5, false}, // EL1h
		{"aarch64", "r0", "one world", 0xdf, false}, // System
		{"arm", "r0", "one world", 0xdf, false},
	} {
		m := &Target{info: target.Info{Arch: tt.arch, Cores: []target.Core{{
			AddressSpaces: spaces[tt.spaces], Registers: []target.Register{{Name: tt.first, Bits: 64}},
		}}}}
		if why := m.endsQEMU(0, cpsr, []byte{tt.mode, 3, 0, 0}); (why != "") != tt.ends {
			t.Errorf("%s, %s, mode %#x: %q", tt.arch, tt.spaces, tt.mode, why)
		}
	}
}
