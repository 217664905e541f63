// SPDX-License-Identifier: Apache-2.0

package packet

import "mcdtest/stub/target"

// closeCore answers `d`.
//
//	$d0#|
//	+
func closeCore(s *session, a *args) {
	core, err := s.core(a.n[0])
	if err != nil {
		s.mistake(noCore, target.Errorf(err, "close core %d", a.n[0]))
		return
	}
	if s.opened[core] == nil {
		s.mistake(core, target.Errorf(errNotOpen, "close core %d", core))
		return
	}
	s.opened[core] = nil
}
