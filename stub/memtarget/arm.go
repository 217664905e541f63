// SPDX-License-Identifier: Apache-2.0

package memtarget

import (
	"encoding/binary"
	"fmt"

	"mcdtest/stub/target"
)

// Numbers of ARM registers.
const (
	armLR   = 14
	armPC   = 15
	armCPSR = 25
)

const armSystemFeature = "org.qemu.gdb.arm.sys.regs"

// Descriptions and layouts are the same for every ARM machine, so they are made once: a fuzzer makes many machines.
var (
	armCores   = [2]target.Core{describeARM(false), describeARM(true)}
	armLayouts = make(map[*target.Register]*layout)
)

func init() {
	for i := range armCores {
		l := layoutOf(&armCores[i])
		armLayouts[&armCores[i].Registers[0]] = l
	}
}

// ARMCore describes a cortex-a15 as QEMU does, with a few of its system registers. secure is EL3 (`-M virt,secure=on`).
// The result is shared and must not be modified.
func ARMCore(secure bool) target.Core {
	if secure {
		return armCores[1]
	}
	return armCores[0]
}

func describeARM(secure bool) target.Core {
	c := target.Core{
		Type:          "cortex-a15-arm-cpu",
		AddressSpaces: []target.AddressSpace{{Name: "cpu-memory-0", Root: "system"}},
	}
	if secure {
		c.AddressSpaces = append(c.AddressSpaces,
			target.AddressSpace{Name: "cpu-secure-memory-0", Root: "secure-memory", Secure: true})
	}
	group := func(name string) { c.Groups = append(c.Groups, target.RegisterGroup{Name: name}) }
	add := func(number int, name string, bits int) {
		c.Registers = append(c.Registers, target.Register{Number: number, Name: name, Bits: bits, Group: len(c.Groups) - 1})
	}
	group("org.gnu.gdb.arm.core")
	for i := range 13 {
		add(i, fmt.Sprintf("r%d", i), 32)
	}
	add(13, "sp", 32)
	add(armLR, "lr", 32)
	add(armPC, "pc", 32)
	add(armCPSR, "cpsr", 32)
	group("org.gnu.gdb.arm.vfp")
	for i := range 32 {
		add(26+i, fmt.Sprintf("d%d", i), 64)
	}
	for i := range 16 {
		add(58+i, fmt.Sprintf("q%d", i), 128)
	}
	add(74, "fpscr", 32)
	add(75, "fpsid", 32)
	add(76, "fpexc", 32)
	group(armSystemFeature)
	for i, name := range []string{"MAIR0", "MAIR1", "CNTP_CTL", "PAR", "MIDR", "CTR", "DUMMY", "SCTLR", "TTBCR", "DUMMY"} {
		add(77+i, name, 32)
	}
	add(87, "TTBR0", 64)
	add(88, "TTBR1", 64)
	if secure {
		add(89, "SCTLR_S", 32)
		add(90, "TTBR0_S", 64)
	}
	return c
}

// Addresses of ARMLoop. They are those of the guest in the recordings of the published stub.
const (
	LoopStart   = 0x40200000 // mov r0,#0; first instruction
	LoopHead    = 0x4020000c // add r0,r0,#1
	LoopStore   = 0x40200010 // str r0,[r1]
	LoopLoad    = 0x40200014 // ldr r3,[r1]
	LoopSum     = 0x40200018 // add r2,r2,r3
	LoopBranch  = 0x4020001c // b loop
	LoopCounter = 0x40210000 // the variable
	LoopScratch = 0x40220000 // 8 KiB that the loop never touches

	RAMStart    = 0x40000000
	RAMSize     = 16 << 20
	SecureStart = 0x0e000000 // secure RAM, if the machine has a secure world
	SecureSize  = 16 << 20
	Unmapped    = 0xf0000000 // nothing is there
)

var armLoop = []uint32{
	0xe3a00000, // mov r0,#0
	0xe59f1014, // ldr r1,=counter
	0xe3a02000, // mov r2,#0
	0xe2800001, // loop: add r0,r0,#1
	0xe5810000, // str r0,[r1]
	0xe5913000, // ldr r3,[r1]
	0xe0822003, // add r2,r2,r3
	0xeafffffa, // b loop
	LoopCounter,
}

// ARMLoop is a cortex-a15 with 16 MiB of RAM, flash at 0 and a program that increments a variable.
func ARMLoop() Config {
	var code []byte
	for _, w := range armLoop {
		code = binary.LittleEndian.AppendUint32(code, w)
	}
	return Config{
		Memory: []Region{
			{Start: 0, Size: 0x08000000, ReadOnly: true},
			{Start: RAMStart, Size: RAMSize},
			{Start: SecureStart, Size: SecureSize, Secure: true},
		},
		Images: []Image{{Addr: LoopStart, Data: code}, {Addr: LoopCounter, Data: make([]byte, 4)}},
		Entry:  LoopStart,
		Reset:  map[int]uint64{armCPSR: 0x400001d3},
	}
}

// Exception vectors.
const (
	vectorUndefined = 0x04
	vectorPrefetch  = 0x0c
	vectorData      = 0x10
)

// Flags in the cpsr.
const (
	flagN = 1 << 31
	flagZ = 1 << 30
	flagC = 1 << 29
	flagV = 1 << 28
)

// executeARM executes what small test programs need: mov, and, orr, add, sub and cmp with an immediate or a register, ldr and
// str of a word at an immediate offset, b, bl and nop, each with its condition. The rest is undefined.
func executeARM(c *CPU) {
	pc := c.PC() - 4
	word, ok := c.Fetch(pc)
	if !ok {
		c.SetPC(vectorPrefetch)
		return
	}
	if !armCondition(word>>28, uint32(c.Register(armCPSR))) {
		return
	}
	read := func(n uint32) uint32 {
		if n == armPC {
			return uint32(pc + 8)
		}
		return uint32(c.Register(int(n)))
	}
	rn, rd := word>>16&15, word>>12&15
	switch {
	case word&0x0fffffff == 0x0320f000: // nop
	case word&0x0e000000 == 0x0a000000: // b, bl
		if word&0x01000000 != 0 {
			c.SetRegister(armLR, pc+4)
		}
		offset := int32(word<<8) >> 6
		c.SetPC(uint64(uint32(pc) + 8 + uint32(offset)))
	case word&0x0f200000 == 0x05000000 && word&0x00400000 == 0: // ldr, str
		addr := read(rn)
		if offset := word & 0xfff; word&0x00800000 != 0 {
			addr += offset
		} else {
			addr -= offset
		}
		if word&0x00100000 == 0 {
			if !c.Store(uint64(addr), read(rd)) {
				c.SetPC(vectorData)
			}
			return
		}
		v, ok := c.Load(uint64(addr))
		if !ok {
			c.SetPC(vectorData)
			return
		}
		c.SetRegister(int(rd), uint64(v))
	case word&0x0c000000 == 0:
		var operand uint32
		switch {
		case word&0x02000000 != 0:
			imm, rotate := word&0xff, word>>8&15*2
			operand = imm>>rotate | imm<<(32-rotate)
		case word&0xff0 == 0: // a register that is not shifted
			operand = read(word & 15)
		default:
			c.SetPC(vectorUndefined)
			return
		}
		armALU(c, word, read(rn), operand, int(rd))
	default:
		c.SetPC(vectorUndefined)
	}
}

func armALU(c *CPU, word, a, b uint32, rd int) {
	cpsr := uint32(c.Register(armCPSR))
	carry, overflow := cpsr&flagC, cpsr&flagV
	var v uint32
	opcode := word >> 21 & 15
	switch opcode {
	case 0: // and
		v = a & b
	case 2, 10: // sub, cmp
		v = a - b
		carry, overflow = 0, 0
		if a >= b {
			carry = flagC
		}
		if (a^b)&(a^v)>>31 != 0 {
			overflow = flagV
		}
	case 4: // add
		v = a + b
		carry, overflow = 0, 0
		if v < a {
			carry = flagC
		}
		if ^(a^b)&(a^v)>>31 != 0 {
			overflow = flagV
		}
	case 12: // orr
		v = a | b
	case 13: // mov
		v = b
	default:
		c.SetPC(vectorUndefined)
		return
	}
	if word&0x00100000 != 0 {
		cpsr = cpsr&^(flagN|flagZ|flagC|flagV) | v&flagN | carry | overflow
		if v == 0 {
			cpsr |= flagZ
		}
		c.SetRegister(armCPSR, uint64(cpsr))
	}
	if opcode != 10 {
		c.SetRegister(rd, uint64(v))
	}
}

func armCondition(cond, cpsr uint32) bool {
	n, z, c, v := cpsr&flagN != 0, cpsr&flagZ != 0, cpsr&flagC != 0, cpsr&flagV != 0
	var ok bool
	switch cond >> 1 {
	case 0:
		ok = z
	case 1:
		ok = c
	case 2:
		ok = n
	case 3:
		ok = v
	case 4:
		ok = c && !z
	case 5:
		ok = n == v
	case 6:
		ok = !z && n == v
	case 7:
		return cond == 14
	}
	return ok == (cond&1 == 0)
}
