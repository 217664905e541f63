// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcdtest/stub/jsonwire"
	"mcdtest/stub/memtarget"
	"mcdtest/stub/target"
)

func memSpacesOf(p *peer) []jsonwire.MemSpace {
	p.t.Helper()
	var r jsonwire.QryMemSpacesResult
	p.do(jsonwire.QryMemSpaces, jsonwire.QryMemSpacesArgs{CoreUID: 1, NumMemSpaces: 100}, &r)
	return r.MemSpaces
}

func TestMemSpaces(t *testing.T) {
	cfg := memtarget.ARMLoop()
	cfg.Secure = true
	p := connect(t, newDialect(memtarget.New(cfg), Options{}))
	p.open(1)
	le := jsonwire.EndianLittle
	want := []jsonwire.MemSpace{
		{ID: 1, Name: "system", Type: 0x10, Endian: le}, {ID: 2, Name: "cpu-memory-0", Type: 0x20, Endian: le},
		{ID: 3, Name: "secure-memory", Type: 0x10010, Endian: le}, {ID: 4, Name: "cpu-secure-memory-0", Type: 0x10020, Endian: le},
		{ID: 5, Name: "GDB Registers", Type: 1, Endian: le},
	}
	if diff := cmp.Diff(want, memSpacesOf(p)); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
}

func TestMemSpacesOfABigEndianMachine(t *testing.T) {
	core := memtarget.ARMCore(false)
	core.AddressSpaces = []target.AddressSpace{{Name: strings.Repeat("n", 40), Root: "r"}}
	p := connect(t, newDialect(memtarget.New(memtarget.Config{Core: core, BigEndian: true}), Options{}))
	p.open(1)
	for _, s := range memSpacesOf(p) {
		if s.Endian != jsonwire.EndianBig || len(s.Name) > 31 {
			t.Errorf("%+v", s)
		}
	}
}

func TestRegisterTables(t *testing.T) {
	_, p := openLoop(t, 2)
	var groups jsonwire.QryRegGroupsResult
	p.do(jsonwire.QryRegGroups, jsonwire.QryRegGroupsArgs{CoreUID: 2, NumRegGroups: 100}, &groups)
	want := []jsonwire.RegGroup{{ID: 1, Name: "org.gnu.gdb.arm.core", Registers: 17}, {ID: 2, Name: "org.gnu.gdb.arm.vfp", Registers: 51}, {ID: 3, Name: "org.qemu.gdb.arm.sys.regs", Registers: 12}}
	if diff := cmp.Diff(want, groups.RegGroups); diff != "" {
		t.Errorf("groups (- want, + got):\n%s", diff)
	}
	total := 0
	for _, g := range groups.RegGroups {
		var regs jsonwire.QryRegMapResult
		p.do(jsonwire.QryRegMap, jsonwire.QryRegMapArgs{CoreUID: 2, RegGroupID: g.ID, NumRegs: 1000}, &regs)
		if regs.NumRegs != g.Registers {
			t.Errorf("group %d has %d registers, and %d are listed", g.ID, g.Registers, regs.NumRegs)
		}
		total += int(g.Registers)
		for _, r := range regs.RegInfo {
			if r.GroupID != g.ID || r.HWThreadID != 2 || r.Addr.MemSpaceID != 3 {
				t.Errorf("%+v in group %d of core 1", r, g.ID)
			}
		}
	}
	var all jsonwire.QryRegMapResult
	p.do(jsonwire.QryRegMap, jsonwire.QryRegMapArgs{CoreUID: 2, NumRegs: 1000}, &all)
	if int(all.NumRegs) != total {
		t.Errorf("%d registers in all groups, %d in group 0", total, all.NumRegs)
	}
	pc := jsonwire.Reg{Addr: jsonwire.Addr{Address: 15, MemSpaceID: 3}, GroupID: 1, Name: "pc", Size: 32, HWThreadID: 2}
	if diff := cmp.Diff(pc, all.RegInfo[15]); diff != "" {
		t.Errorf("pc (- want, + got):\n%s", diff)
	}
	for _, id := range []uint32{4, 1 << 31, 1<<32 - 1} {
		p.refused(2, jsonwire.ErrRegGroupID, jsonwire.QryRegMap, jsonwire.QryRegMapArgs{CoreUID: 2, RegGroupID: id, NumRegs: 1})
	}
}

func TestNoRegisterGroups(t *testing.T) {
	m := loop(t, 1)
	info := *m.Info()
	info.Cores = []target.Core{{Type: "none", AddressSpaces: info.Cores[0].AddressSpaces}}
	p := connect(t, newDialect(&onlyTarget{m, &info}, Options{}))
	p.open(1)
	p.refused(1, jsonwire.ErrNoRegGroups, jsonwire.QryRegGroups, jsonwire.QryRegGroupsArgs{CoreUID: 1})
	var r jsonwire.QryRegMapResult
	p.do(jsonwire.QryRegMap, jsonwire.QryRegMapArgs{CoreUID: 1}, &r)
	if r.NumRegs != 0 {
		t.Errorf("%+v", r)
	}
}
