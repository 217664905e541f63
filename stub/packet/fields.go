// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"fmt"
	"strconv"

	"mcdtest/stub/target"
)

// A structured reply is a run of key=value. pairs. text and number append one; a value that comes from the machine has to go
// through the function value before.
func (s *session) text(key, value string) {
	s.out = append(s.out, key...)
	s.out = append(s.out, '=')
	s.out = append(s.out, value...)
	s.out = append(s.out, '.')
}

func (s *session) number(key string, n int) { s.address(key, uint64(n)) }

func (s *session) address(key string, n uint64) {
	s.out = append(s.out, key...)
	s.out = append(s.out, '=')
	s.out = strconv.AppendUint(s.out, n, 10)
	s.out = append(s.out, '.')
}

// element answers a query of a list with n elements by the one at the given index: the handle of the next element, 0 if there is
// none, and what appendElement appends.
func (s *session) element(list string, n int, index uint64, appendElement func(i int)) {
	if index >= uint64(n) {
		s.refuse(fmt.Errorf("element %d of the list of %s: %w: there are %d", index, list, errHandle, n))
		return
	}
	next := index + 1
	if next == uint64(n) {
		next = 0
	}
	s.begin()
	s.out = strconv.AppendUint(s.out, next, 10)
	s.out = append(s.out, '!')
	appendElement(int(index))
	s.end()
}

// listFirst makes a core the one that q…c asks about, and returns its tables. It answers `error` and returns nil if it is not open.
func (s *session) listFirst(core uint64) *tables {
	index, t, err := s.openCore(core)
	if err != nil {
		s.refuse(target.Errorf(err, "list of core %d", core))
		return nil
	}
	s.queryCore = index
	return t
}

// listNext returns the tables of the core of the last q…f. It answers `error` and returns nil if that is not open.
func (s *session) listNext() *tables {
	_, t, err := s.openCore(uint64(s.queryCore))
	if err != nil {
		s.refuse(target.Errorf(err, "list of core %d", s.queryCore))
	}
	return t
}
