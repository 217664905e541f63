// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"errors"

	"mcdtest/stub/target"
)

// step answers `c`: one instruction of one core. As in the published stub a global step does nothing, and neither does a step
// of a core that runs.
//
//	$c0;0#|   global; core
//	+
func step(s *session, a *args) {
	core, all, err := s.runControl(a)
	if err != nil {
		s.mistake(core, target.Errorf(err, "step, global %d, core %d", a.n[0], a.n[1]))
		return
	}
	if all {
		return
	}
	s.acknowledge()
	if err := s.target.Step(s.ctx, core); !errors.Is(err, target.ErrRunning) {
		s.mistake(core, err)
	}
}
