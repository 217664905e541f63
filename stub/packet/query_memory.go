// SPDX-License-Identifier: Apache-2.0

package packet

import "math"

// queryMemoryFirst answers `qmemoryf`.
//
//	$qmemoryf0#|   core
//	+$1!name=Non Secure.id=1.type=34.bpm=8.i=1.e=1.min=0.max=18446744073709551615.sao=0.#|
func queryMemoryFirst(s *session, a *args) {
	if t := s.listFirst(a.n[0]); t != nil {
		s.memorySpace(t, 0)
	}
}

// queryMemoryNext answers `qmemoryc`.
//
//	$qmemoryc1#|   handle
func queryMemoryNext(s *session, a *args) {
	if t := s.listNext(); t != nil {
		s.memorySpace(t, a.n[0])
	}
}

func (s *session) memorySpace(t *tables, index uint64) {
	endian := 1
	if s.info.BigEndian {
		endian = 2
	}
	s.element("memory spaces", len(t.spaces), index, func(i int) {
		s.text("name", t.spaces[i].name)
		s.number("id", i+1)
		s.number("type", t.spaces[i].kind)
		s.number("bpm", 8)
		s.number("i", 1)
		s.number("e", endian)
		s.number("min", 0)
		s.address("max", math.MaxUint64)
		s.number("sao", 0)
	})
}
