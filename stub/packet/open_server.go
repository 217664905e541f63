// SPDX-License-Identifier: Apache-2.0

package packet

import "mcdtest/stub/wire"

// openServer answers `I`.
//
//	$I#|
//	+$shaking your hand#|
func openServer(s *session, _ *args) { s.reply(wire.Handshake) }
