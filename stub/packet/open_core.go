// SPDX-License-Identifier: Apache-2.0

package packet

import "mcdtest/stub/target"

// openCore answers `i`: it builds the tables of the core.
//
//	$i0#|
//	+
func openCore(s *session, a *args) {
	core, err := s.core(a.n[0])
	if err != nil {
		s.mistake(noCore, target.Errorf(err, "open core %d", a.n[0]))
		return
	}
	s.opened[core] = s.tablesOf(core)
}
