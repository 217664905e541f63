// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"slices"

	"mcdtest/stub/target"
)

// Faults of what a machine says of itself.

// otherInfo changes a copy of the description of a machine; the machine stays the same.
func otherInfo(change func(info *target.Info)) func(target.Target) target.Target {
	return func(t target.Target) target.Target {
		info := *t.Info()
		info.ResetClasses = slices.Clone(info.ResetClasses)
		info.Cores = slices.Clone(info.Cores)
		for i := range info.Cores {
			c := &info.Cores[i]
			c.AddressSpaces = slices.Clone(c.AddressSpaces)
			c.Groups = slices.Clone(c.Groups)
			c.Registers = slices.Clone(c.Registers)
		}
		change(&info)
		return &altered{Target: t, info: &info}
	}
}

// eachCore changes the description of each core.
func eachCore(change func(c *target.Core)) func(target.Target) target.Target {
	return otherInfo(func(info *target.Info) {
		for i := range info.Cores {
			change(&info.Cores[i])
		}
	})
}

func dropCore(info *target.Info) { info.Cores = info.Cores[:len(info.Cores)-1] }

func inventCore(info *target.Info) { info.Cores = append(info.Cores, info.Cores[0]) }

func otherType(c *target.Core) { c.Type = "max-" + c.Type }

func doublePC(c *target.Core) {
	for i, r := range c.Registers {
		if slices.Contains([]string{"pc", "eip", "rip"}, r.Name) {
			c.Registers[i].Bits *= 2
		}
	}
}

// shiftNumbers gives each register the number of the one before it.
func shiftNumbers(c *target.Core) {
	for i := len(c.Registers) - 1; i > 0; i-- {
		c.Registers[i].Number = c.Registers[i-1].Number
	}
	c.Registers = c.Registers[1:]
}

func firstGroup(c *target.Core) {
	for i := range c.Registers {
		c.Registers[i].Group = 0
	}
}

func dropLastRegister(c *target.Core) { c.Registers = c.Registers[:len(c.Registers)-1] }

func swapEndianness(info *target.Info) { info.BigEndian = !info.BigEndian }
