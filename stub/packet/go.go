// SPDX-License-Identifier: Apache-2.0

package packet

import "mcdtest/stub/target"

// resume answers `C`: it lets one core, or with global=1 all cores, run.
//
//	$C0;0#|   global; core
//	+
func resume(s *session, a *args) {
	core, all, err := s.runControl(a)
	if err != nil {
		s.mistake(core, target.Errorf(err, "go, global %d, core %d", a.n[0], a.n[1]))
		return
	}
	s.acknowledge()
	which := core
	if all {
		which = target.AllCores
	}
	s.mistake(core, s.target.Go(s.ctx, which))
}

// runControl checks the arguments global and core. The core is noCore if it does not exist.
func (s *session) runControl(a *args) (core int, all bool, err error) {
	core, err = s.core(a.n[1])
	if err != nil {
		return noCore, false, err
	}
	if a.n[0] > 1 {
		return core, false, errGlobal
	}
	return core, a.n[0] == 1, nil
}
