// SPDX-License-Identifier: Apache-2.0

package packet

// queryGroupFirst answers `qreggroupf`.
//
//	$qreggroupf0#|   core
//	+$1!id=1.name=GPR Registers.#|
func queryGroupFirst(s *session, a *args) {
	if t := s.listFirst(a.n[0]); t != nil {
		s.registerGroup(t, 0)
	}
}

// queryGroupNext answers `qreggroupc`.
//
//	$qreggroupc1#|   handle
func queryGroupNext(s *session, a *args) {
	if t := s.listNext(); t != nil {
		s.registerGroup(t, a.n[0])
	}
}

func (s *session) registerGroup(t *tables, index uint64) {
	s.element("register groups", len(t.groups), index, func(i int) {
		s.number("id", i+1)
		s.text("name", t.groups[i])
	})
}
