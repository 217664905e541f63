// SPDX-License-Identifier: Apache-2.0

package packet

import "mcdtest/stub/target"

// writeRegister answers `P`. The byte count must be the register's size; a write that the machine ignores is `error`.
//
//	$P0;4;4;efbeadde#|   core; register; byte count; data
//	+$success#|
func writeRegister(s *session, a *args) {
	core, number, count := a.n[0], a.n[1], a.n[2]
	index, t, err := s.openCore(core)
	if err == nil {
		if r := t.register(number); r == nil {
			err = target.ErrNoRegister
		} else if count != uint64((r.bits+7)/8) {
			err = target.ErrSize
		}
	}
	ok := false
	if err == nil {
		if s.scratch, ok = parseData(s.scratch[:0], a.data, count); !ok {
			err = errData
		}
	}
	if err != nil {
		s.refuse(target.Errorf(err, "write %d bytes to register %d of core %d", count, number, core))
		return
	}
	s.acknowledge()
	s.status(s.target.WriteRegister(s.ctx, index, int(number), s.scratch))
}
