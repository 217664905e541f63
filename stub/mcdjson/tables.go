// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"mcdtest/stub/jsonwire"
	"mcdtest/stub/target"
)

// tables are the lists of one core as the dialect gives them. They do not change.
type tables struct {
	spaces  []jsonwire.MemSpace
	groups  []jsonwire.RegGroup
	all     []jsonwire.Reg
	byGroup [][]jsonwire.Reg
}

func newTables(info *target.Info, core int) *tables {
	desc := &info.Cores[core]
	t := &tables{byGroup: make([][]jsonwire.Reg, len(desc.Groups))}
	t.spaces = memSpaces(desc, info.BigEndian)
	registers := registerSpace(desc)
	for i, g := range desc.Groups {
		t.groups = append(t.groups, jsonwire.RegGroup{ID: uint32(i) + 1, Name: jsonwire.Cut(g.Name, jsonwire.MaxRegisterName)})
	}
	for _, r := range desc.Registers {
		reg := jsonwire.Reg{
			Addr:       jsonwire.Addr{Address: uint64(r.Number), MemSpaceID: registers},
			GroupID:    uint32(r.Group) + 1,
			Name:       jsonwire.Cut(r.Name, jsonwire.MaxRegisterName),
			Size:       uint32(r.Bits),
			Type:       jsonwire.RegTypeSimple,
			HWThreadID: uint32(core) + 1,
		}
		t.all = append(t.all, reg)
		if r.Group >= 0 && r.Group < len(t.groups) {
			t.byGroup[r.Group] = append(t.byGroup[r.Group], reg)
			t.groups[r.Group].Registers++
		}
	}
	return t
}
