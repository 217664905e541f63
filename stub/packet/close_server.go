// SPDX-License-Identifier: Apache-2.0

package packet

import "mcdtest/stub/target"

// closeServer answers `D`: it removes every trigger, lets the machine run and closes the cores that are open.
//
//	$D#|
//	+
func closeServer(s *session, _ *args) {
	s.acknowledge()
	clear(s.opened)
	s.queryCore = 0
	err := s.target.RemoveTriggers(s.ctx, target.AllCores)
	if err == nil {
		err = s.target.Go(s.ctx, target.AllCores)
	}
	s.mistake(target.AllCores, err)
}
