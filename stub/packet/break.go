// SPDX-License-Identifier: Apache-2.0

package packet

import "mcdtest/stub/target"

// stop answers `b`: it stops all cores, whatever its arguments say.
//
//	$b0;0#|   (global; core)
//	+
func stop(s *session, _ *args) {
	s.acknowledge()
	s.mistake(target.AllCores, s.target.Stop(s.ctx, target.AllCores))
}
