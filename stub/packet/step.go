// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"errors"

	"mcdtest/stub/target"
)

// step answers `c`: one instruction of one core, or with global=1 of each core. A core that runs is left alone. The
// published stub does nothing for a global step.
//
//	$c0;0#|   global; core
//	+
func step(s *session, a *args) {
	core, all, err := s.runControl(a)
	if err != nil {
		s.mistake(core, target.Errorf(err, "step, global %d, core %d", a.n[0], a.n[1]))
		return
	}
	s.acknowledge()
	which := core
	if all {
		which = target.AllCores
	}
	if err := s.target.Step(s.ctx, which); !errors.Is(err, target.ErrRunning) {
		s.mistake(which, err)
	}
}
