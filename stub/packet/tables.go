// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"strings"

	"mcdtest/stub/target"
)

// Bits of a memory space's type.
const (
	typeRegisters = 1
	typeProgram   = 2
	typePhysical  = 16
	typeLogical   = 32
)

// tables are what opening a core builds: the elements of its lists. Ids of spaces and groups are indices plus one.
type tables struct {
	spaces    []space
	groups    []string
	registers []register
}

type space struct {
	name string
	kind int
	in   target.Space // where its memory is; for a space with typeProgram
}

type register struct {
	number, bits int
	name         string
	group, space int // ids
}

// Features of 32-bit ARM's target description.
const (
	armFeature       = "org.gnu.gdb.arm."
	armSystemFeature = "org.qemu.gdb.arm.sys.regs"
)

// newTables names everything as the published stub does on 32-bit ARM, the only architecture that it knows, and plainly elsewhere.
func newTables(info *target.Info, core *target.Core) *tables {
	arm := false
	for _, g := range core.Groups {
		arm = arm || strings.HasPrefix(g.Name, armFeature)
	}
	t := new(tables)
	t.addMemory(core, arm)
	if arm {
		t.addARMRegisters(core)
	} else {
		t.addRegisters(core)
	}
	return t
}

func (t *tables) addMemory(core *target.Core, arm bool) {
	names := [2][2]string{{"Logical", "Physical"}, {"Secure Logical", "Secure Physical"}}
	if arm {
		names = [2][2]string{{"Non Secure", "Physical (Non Secure)"}, {"Secure", "Physical (Secure)"}}
	}
	// One address space of either world; the protocol has no words for a third (say, x86's system management mode).
	for world, secure := range []bool{false, true} {
		for i, as := range core.AddressSpaces {
			if as.Secure == secure {
				t.spaces = append(t.spaces,
					space{names[world][0], typeLogical | typeProgram, target.Space{AddressSpace: i}},
					space{names[world][1], typePhysical | typeProgram, target.Space{AddressSpace: i, Physical: true}})
				break
			}
		}
	}
}

// addSpace adds a space of registers and returns its id.
func (t *tables) addSpace(name string) int {
	t.spaces = append(t.spaces, space{name: name, kind: typeRegisters})
	return len(t.spaces)
}

func (t *tables) addARMRegisters(core *target.Core) {
	general, system := t.addSpace("GPR Registers"), t.addSpace("CP15 Registers")
	t.groups = []string{"GPR Registers", "CP15 Registers"}
	for _, r := range core.Registers {
		group, space := 1, general
		if core.Groups[r.Group].Name == armSystemFeature {
			group, space = 2, system
		}
		t.registers = append(t.registers, register{r.Number, r.Bits, value(r.Name), group, space})
	}
}

func (t *tables) addRegisters(core *target.Core) {
	id := t.addSpace("Registers")
	for _, g := range core.Groups {
		t.groups = append(t.groups, value(g.Name[strings.LastIndexByte(g.Name, '.')+1:]))
	}
	for _, r := range core.Registers {
		t.registers = append(t.registers, register{r.Number, r.Bits, value(r.Name), r.Group + 1, id})
	}
}

// space finds a memory space by its id. Registers' spaces hold no memory.
func (t *tables) space(id uint64) (target.Space, error) {
	if id < 1 || id > uint64(len(t.spaces)) || t.spaces[id-1].kind&typeProgram == 0 {
		return target.Space{}, target.ErrNoSpace
	}
	return t.spaces[id-1].in, nil
}

// value replaces what the value of a field cannot hold.
func value(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '.' || r == '=' || r == '#' || r < ' ' || r > '~' {
			return '_'
		}
		return r
	}, s)
}
