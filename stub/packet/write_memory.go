// SPDX-License-Identifier: Apache-2.0

package packet

import "mcdtest/stub/target"

// writeMemory answers `M`.
//
//	$M0;1;1075904512;4;00f020e3#|   core; memory space id; address; byte count; data
//	+$success#|
func writeMemory(s *session, a *args) {
	core, t, err := s.openCore(a.n[0])
	addr, count := a.n[2], a.n[3]
	var in target.Space
	if err == nil {
		in, err = t.space(a.n[1])
	}
	if err == nil {
		var ok bool
		if s.scratch, ok = parseData(s.scratch[:0], a.data, count); !ok {
			err = errData
		}
	}
	if err != nil {
		s.refuse(target.Errorf(err, "write %d bytes to memory space %d at %#x of core %d", count, a.n[1], addr, a.n[0]))
		return
	}
	if count == 0 {
		s.status(nil)
		return
	}
	s.acknowledge()
	s.status(s.target.WriteMemory(s.ctx, core, in, addr, s.scratch))
}
