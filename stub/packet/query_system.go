// SPDX-License-Identifier: Apache-2.0

package packet

// querySystem answers `qsystem`.
//
//	$qsystem#|
//	+$qemu-system#|
func querySystem(s *session, _ *args) { s.reply("qemu-system") }
