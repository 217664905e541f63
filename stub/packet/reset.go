// SPDX-License-Identifier: Apache-2.0

package packet

import "mcdtest/stub/target"

// reset answers `r`. Cores that stood stand at their reset pc afterwards, the others run on from there.
//
//	$r0#|   reset id
//	+
func reset(s *session, a *args) {
	for _, class := range s.info.ResetClasses {
		if uint64(class.ID) != a.n[0] {
			continue
		}
		resetter, ok := s.target.(target.Resetter)
		if !ok {
			break
		}
		s.acknowledge()
		s.mistake(target.AllCores, resetter.Reset(s.ctx, class.ID, false))
		return
	}
	s.mistake(target.AllCores, target.Errorf(target.ErrNoResetClass, "reset %d", a.n[0]))
}
