// SPDX-License-Identifier: Apache-2.0

package packet

import "mcdtest/stub/target"

// kill answers `k`: it ends the machine, and the connection with it.
//
//	$k#|
//	+
func kill(s *session, _ *args) {
	killer, ok := s.target.(target.Killer)
	switch {
	case !s.opts.AllowKill:
		s.mistake(target.AllCores, target.Errorf(errNoKill, "end the machine"))
		return
	case !ok:
		s.mistake(target.AllCores, target.Errorf(target.ErrUnsupported, "end the machine"))
		return
	}
	s.acknowledge()
	if err := killer.Kill(s.ctx); err != nil {
		s.mistake(target.AllCores, err)
		return
	}
	s.over = true
}
