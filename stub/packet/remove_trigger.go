// SPDX-License-Identifier: Apache-2.0

package packet

import "mcdtest/stub/target"

// removeTrigger answers `T`: it takes one insertion back.
//
//	$T0;1;1075838988#|   core; type; address (; trigger id)
//	+$success#|
func removeTrigger(s *session, a *args) {
	core, trigger, err := s.trigger(a)
	if err != nil {
		s.refuse(target.Errorf(err, "remove trigger of type %d at %#x of core %d", a.n[1], a.n[2], a.n[0]))
		return
	}
	s.acknowledge()
	s.status(s.target.RemoveTrigger(s.ctx, core, trigger))
}
