// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"mcdtest/stub/jsonwire"
	"mcdtest/stub/target"
)

// registerSpaceName is the name of the last memory space: the registers, by their GDB numbers.
const registerSpaceName = "GDB Registers"

// firstLogical is the id of the memory space that a core's accesses go through, if it has one world only.
const firstLogical = 2

// memSpaces lists the memory spaces of a core: for address space i id 2i+1 is what is on the bus and 2i+2 what the core
// sees; the last is the registers'.
func memSpaces(desc *target.Core, bigEndian bool) []jsonwire.MemSpace {
	endian := jsonwire.EndianLittle
	if bigEndian {
		endian = jsonwire.EndianBig
	}
	var list []jsonwire.MemSpace
	add := func(name string, t jsonwire.MemType) {
		list = append(list, jsonwire.MemSpace{
			ID: uint32(len(list)) + 1, Name: jsonwire.Cut(name, jsonwire.MaxRegisterName), Type: t, Endian: endian,
		})
	}
	for _, as := range desc.AddressSpaces {
		var secure jsonwire.MemType
		if as.Secure {
			secure = jsonwire.MemIsSecure
		}
		add(as.Root, jsonwire.MemIsPhysical|secure)
		add(as.Name, jsonwire.MemIsLogical|secure)
	}
	add(registerSpaceName, jsonwire.MemIsRegisters)
	return list
}

// registerSpace is the id of the registers' memory space.
func registerSpace(desc *target.Core) uint32 { return uint32(2*len(desc.AddressSpaces)) + 1 }

// spaceOf is the memory space with the given id, which is not the registers'.
func spaceOf(desc *target.Core, id uint32) (target.Space, error) {
	if id == 0 || id >= registerSpace(desc) {
		return target.Space{}, fail(jsonwire.ErrMemSpaceID, "there is no memory space %d; there are %d, from 1", id, registerSpace(desc))
	}
	return target.Space{AddressSpace: int(id-1) / 2, Physical: id%2 == 1}, nil
}

// qryMemSpaces answers mcd-qry-mem-spaces.
func qryMemSpaces(s *session, a *jsonwire.QryMemSpacesArgs, r *jsonwire.QryMemSpacesResult) error {
	c, err := s.core(a.CoreUID)
	if err != nil {
		return err
	}
	r.NumMemSpaces, r.MemSpaces, err = window(s.tablesOf(c.index).spaces, a.StartIndex, a.NumMemSpaces)
	return err
}
