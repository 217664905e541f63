// SPDX-License-Identifier: Apache-2.0

package memtarget

import (
	"fmt"

	"mcdtest/stub/target"
)

// RISCV64 is a rv64 hart as QEMU describes it, with a few of its CSRs and 16 MiB of RAM at 0x80000000. Its instructions do
// nothing. It is there for what is different about it: groups, register numbers with gaps, and one address space.
func RISCV64() Config {
	c := target.Core{
		Type:          "rv64-riscv-cpu",
		AddressSpaces: []target.AddressSpace{{Name: "cpu-memory-0", Root: "system"}},
	}
	group := func(name string) { c.Groups = append(c.Groups, target.RegisterGroup{Name: name}) }
	add := func(number int, name string, bits int) {
		c.Registers = append(c.Registers, target.Register{Number: number, Name: name, Bits: bits, Group: len(c.Groups) - 1})
	}
	group("org.gnu.gdb.riscv.cpu")
	for i, name := range []string{
		"zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "fp", "s1", "a0", "a1", "a2", "a3", "a4", "a5",
		"a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6", "pc",
	} {
		add(i, name, 64)
	}
	group("org.gnu.gdb.riscv.fpu")
	for i := range 32 {
		add(33+i, fmt.Sprintf("ft%d", i), 64)
	}
	group("org.gnu.gdb.riscv.virtual")
	add(65, "priv", 64)
	group("org.gnu.gdb.riscv.csr")
	add(66+0x001, "fflags", 64)
	add(66+0x100, "sstatus", 64)
	add(66+0x300, "mstatus", 64)
	add(66+0xf14, "mhartid", 64)
	return Config{
		Arch: "riscv64", Core: c, Entry: 0x1000,
		Memory: []Region{
			{Start: 0x1000, Size: 0xf000, ReadOnly: true},
			{Start: 0x80000000, Size: 16 << 20},
		},
	}
}
