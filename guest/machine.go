// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"debug/elf"
	"slices"
	"strconv"
)

// Register is a register as QEMU's target description names it.
type Register struct {
	Name string
	Bits int
}

// architecture is what a program needs of QEMU, and which registers its loop uses.
type architecture struct {
	name    string
	machine elf.Machine
	class   elf.Class

	board, cpu string
	args       []string // further arguments
	ram        uint64   // physical address of the first byte of RAM

	bits                      int // width of a general register
	pc, sp                    string
	value, slot, passes, core string
	free                      []string
}

// MemoryBytes is the RAM of the machine that QEMUArgs describes.
const MemoryBytes = 16 << 20

var architectures = []architecture{
	{
		name: "arm", machine: elf.EM_ARM, class: elf.ELFCLASS32,
		board: "virt", cpu: "cortex-a15", ram: 0x40000000,
		bits: 32, pc: "pc", sp: "sp", value: "r0", slot: "r1", passes: "r2", core: "r3",
		free: numbered("r", 4, 12),
	},
	{
		name: "aarch64", machine: elf.EM_AARCH64, class: elf.ELFCLASS64,
		board: "virt", cpu: "cortex-a53", ram: 0x40000000,
		bits: 64, pc: "pc", sp: "sp", value: "x0", slot: "x1", passes: "x2", core: "x3",
		free: numbered("x", 4, 30),
	},
	{
		name: "riscv32", machine: elf.EM_RISCV, class: elf.ELFCLASS32,
		board: "virt", cpu: "rv32", args: []string{"-bios", "none"}, ram: 0x80000000,
		bits: 32, pc: "pc", sp: "sp", value: "a0", slot: "a1", passes: "a2", core: "a3",
		free: slices.Concat(numbered("a", 4, 7), numbered("s", 1, 11), numbered("t", 0, 6)),
	},
	{
		name: "riscv64", machine: elf.EM_RISCV, class: elf.ELFCLASS64,
		board: "virt", cpu: "rv64", args: []string{"-bios", "none"}, ram: 0x80000000,
		bits: 64, pc: "pc", sp: "sp", value: "a0", slot: "a1", passes: "a2", core: "a3",
		free: slices.Concat(numbered("a", 4, 7), numbered("s", 1, 11), numbered("t", 0, 6)),
	},
	{
		name: "i386", machine: elf.EM_386, class: elf.ELFCLASS32,
		board: "microvm", cpu: "qemu32", ram: 0,
		bits: 32, pc: "eip", sp: "esp", value: "eax", slot: "ebx", passes: "ecx", core: "edx",
		free: []string{"esi", "edi", "ebp"},
	},
	{
		name: "x86_64", machine: elf.EM_X86_64, class: elf.ELFCLASS64,
		board: "microvm", cpu: "qemu64", ram: 0,
		bits: 64, pc: "rip", sp: "rsp", value: "rax", slot: "rbx", passes: "rcx", core: "rdx",
		free: append([]string{"rsi", "rdi", "rbp"}, numbered("r", 8, 15)...),
	},
}

// numbered is prefix+first to prefix+last.
func numbered(prefix string, first, last int) []string {
	var names []string
	for n := first; n <= last; n++ {
		names = append(names, prefix+strconv.Itoa(n))
	}
	return names
}

func architectureNames() []string {
	names := make([]string, len(architectures))
	for i, a := range architectures {
		names[i] = a.name
	}
	return names
}

// QEMUArgs is the machine for this program with that many cores, and the program in path on it. Sockets, display and
// how to start are for the caller to add.
func (i *Image) QEMUArgs(path string, cores int) []string {
	args := []string{"-M", i.arch.board, "-cpu", i.arch.cpu, "-m", strconv.Itoa(MemoryBytes>>20) + "M",
		"-smp", strconv.Itoa(cores)}
	args = append(args, i.arch.args...)
	return append(args, "-kernel", path)
}

// Program is the name of the QEMU that runs this program.
func (i *Image) Program() string { return "qemu-system-" + i.Arch }

// Machine is the value of -M.
func (i *Image) Machine() string { return i.arch.board }

// CPU is the value of -cpu.
func (i *Image) CPU() string { return i.arch.cpu }

// BigEndian is the byte order of memory.
func (i *Image) BigEndian() bool { return false }

// RAM is the physical range of the machine's memory.
func (i *Image) RAM() (base, size uint64) { return i.arch.ram, MemoryBytes }

// PCRegister is the program counter. It holds the address of the next instruction on every architecture.
func (i *Image) PCRegister() Register { return i.register(i.arch.pc) }

// StackPointer is the stack pointer; the loop does not use it.
func (i *Image) StackPointer() Register { return i.register(i.arch.sp) }

// ValueRegister is the register that load fills, increment changes and store writes.
func (i *Image) ValueRegister() Register { return i.register(i.arch.value) }

// SlotRegister holds the logical address of the variable that this core increments.
func (i *Image) SlotRegister() Register { return i.register(i.arch.slot) }

// PassesRegister counts the passes of the loop since it was entered: a second witness beside the variable.
func (i *Image) PassesRegister() Register { return i.register(i.arch.passes) }

// CoreRegister holds the number of the core in the loop.
func (i *Image) CoreRegister() Register { return i.register(i.arch.core) }

// FreeRegisters are general registers that the loop neither reads nor writes.
func (i *Image) FreeRegisters() []Register {
	registers := make([]Register, len(i.arch.free))
	for k, name := range i.arch.free {
		registers[k] = i.register(name)
	}
	return registers
}

func (i *Image) register(name string) Register { return Register{name, i.arch.bits} }
