// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/hex"
	"errors"

	"mcdtest/stub/target"
)

// readRegister answers `p`. A register that does not exist is the empty packet.
//
//	$p0;15#|   core; register
//	+$0c002040#|
func readRegister(s *session, a *args) {
	core, t, err := s.openCore(a.n[0])
	if err != nil {
		s.refuse(target.Errorf(err, "read register %d of core %d", a.n[1], a.n[0]))
		return
	}
	if t.register(a.n[1]) == nil {
		s.reply("")
		return
	}
	s.hold()
	s.scratch, err = s.target.ReadRegister(s.ctx, core, int(a.n[1]), s.scratch[:0])
	s.release()
	switch {
	case errors.Is(err, target.ErrNoRegister):
		s.reply("")
	case err != nil:
		s.refuse(err)
	default:
		s.begin()
		s.out = hex.AppendEncode(s.out, s.scratch)
		s.end()
	}
}

// register finds a register by its number.
func (t *tables) register(number uint64) *register {
	// Numbers equal indices for the first registers of every architecture, which are the ones asked for most.
	if number < uint64(len(t.registers)) && uint64(t.registers[number].number) == number {
		return &t.registers[number]
	}
	for i := range t.registers {
		if uint64(t.registers[i].number) == number {
			return &t.registers[i]
		}
	}
	return nil
}
