// SPDX-License-Identifier: Apache-2.0

package packet

// queryRegFirst answers `qregf`.
//
//	$qregf0#|   core
//	+$1!id=0.name=r0.size=32.reggroupid=1.memspaceid=5.type=0.thread=0.opcode=0.#|
func queryRegFirst(s *session, a *args) {
	if t := s.listFirst(a.n[0]); t != nil {
		s.registerInfo(t, 0)
	}
}

// queryRegNext answers `qregc`.
//
//	$qregc1#|   handle
func queryRegNext(s *session, a *args) {
	if t := s.listNext(); t != nil {
		s.registerInfo(t, a.n[0])
	}
}

func (s *session) registerInfo(t *tables, index uint64) {
	s.element("registers", len(t.registers), index, func(i int) {
		r := &t.registers[i]
		s.number("id", r.number)
		s.text("name", r.name)
		s.number("size", r.bits)
		s.number("reggroupid", r.group)
		s.number("memspaceid", r.space)
		s.number("type", 0)
		s.number("thread", 0)
		s.number("opcode", 0)
	})
}
