// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"mcdtest/stub/target"
	"mcdtest/stub/wire"
)

// breakArgs are the arguments of `b` if it has any.
var breakArgs = []wire.Arg{{Name: "global", Kind: wire.Global}, {Name: "core", Kind: wire.Core}}

// stop answers `b`: it stops one core, or with global=1 or without arguments all cores. The published stub ignores the
// arguments and always stops all.
//
//	$b0;0#|   (global; core)
//	+
func stop(s *session, a *args) {
	which := target.AllCores
	if len(a.optional) > 0 {
		given, ok := parseArgs(breakArgs, a.optional)
		if !ok {
			s.reply("")
			return
		}
		core, all, err := s.runControl(&given)
		if err != nil {
			s.mistake(core, target.Errorf(err, "stop, global %d, core %d", given.n[0], given.n[1]))
			return
		}
		if !all {
			which = core
		}
	}
	s.acknowledge()
	s.mistake(which, s.target.Stop(s.ctx, which))
}
