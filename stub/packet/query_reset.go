// SPDX-License-Identifier: Apache-2.0

package packet

// queryResetFirst answers `qresetf`. The reset classes belong to the machine, so it has no core; clients send one all the same.
//
//	$qresetf#|
//	+$0!name=full_system_reset.id=0.#|
func queryResetFirst(s *session, _ *args) { s.resetClass(0) }

// queryResetNext answers `qresetc`.
//
//	$qresetc1#|   handle
func queryResetNext(s *session, a *args) { s.resetClass(a.n[0]) }

func (s *session) resetClass(index uint64) {
	s.element("reset classes", len(s.info.ResetClasses), index, func(i int) {
		class := s.info.ResetClasses[i]
		s.text("name", value(class.Name))
		s.number("id", class.ID)
	})
}
