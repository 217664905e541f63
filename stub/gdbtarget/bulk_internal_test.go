// SPDX-License-Identifier: Apache-2.0

package gdbtarget

import (
	"testing"

	"mcdtest/stub/qmp"
	"mcdtest/stub/target"
)

const twoWorlds = `FlatView #0
 AS "memory", root: system
 AS "cpu-memory-0", root: system
 Root memory region: system
  0000000000000000-0000000000000fff (prio 0, rom): bios
  0000000000001000-0000000000003fff (prio 0, ram): ram
  0000000000005000-0000000000005fff (prio 0, i/o): uart

FlatView #1
 AS "cpu-secure-memory-0", root: secure
 Root memory region: secure
  0000000000000000-0000000000000fff (prio 0, rom): bios
  0000000000001000-0000000000001fff (prio 0, ram): ram
  0000000000002000-0000000000002fff (prio 0, ram): secure-ram
  0000000000003000-0000000000003fff (prio 0, ram): ram @0000000000002000
`

// Only what is the same RAM whatever the core is at is written on the bus.
func TestPlainRAM(t *testing.T) {
	both := []target.AddressSpace{{Name: "cpu-memory-0"}, {Name: "cpu-secure-memory-0", Secure: true}}
	m := &Target{mon: qmp.New(nil), viewsFresh: true, views: parseMtree(twoWorlds), info: target.Info{Cores: []target.Core{{AddressSpaces: both}, {AddressSpaces: both[:1]}}}}
	for _, tt := range []struct {
		core int
		addr uint64
		n    int
		want bool
	}{
		{0, 0x1000, 0x1000, true}, {0, 0x3000, 0x1000, true}, {0, 0x2000, 0x1000, false}, {0, 0x1fff, 2, false}, {0, 0x2fff, 2, false},
		{0, 0x0fff, 2, false}, {0, 0x5000, 1, false}, {1, 0x1000, 0x3000, true}, {1, 0x0fff, 2, false},
	} {
		if got, err := m.plainRAM(t.Context(), tt.core, tt.addr, tt.n); err != nil || got != tt.want {
			t.Errorf("core %d, %d bytes at %#x: %v, %v", tt.core, tt.n, tt.addr, got, err)
		}
	}
}

func TestTranslatesPages(t *testing.T) {
	for cpu, want := range map[string]bool{
		"cortex-a15-arm-cpu": true, "cortex-a57-arm-cpu": true, "max-arm-cpu": true, "neoverse-n1-arm-cpu": true,
		"arm926-arm-cpu": false, "arm1176-arm-cpu": false, "cortex-m3-arm-cpu": false, "cortex-r5f-arm-cpu": false, "sa1110-arm-cpu": false,
		"rv32-riscv-cpu": true, "qemu64-x86_64-cpu": true, "486-i386-cpu": true, "avr6-avr-cpu": false, "": false,
	} {
		if got := translatesPages(cpu); got != want {
			t.Errorf("%q: %v", cpu, got)
		}
	}
}
