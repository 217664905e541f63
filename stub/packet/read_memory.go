// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"slices"

	"mcdtest/stub/target"
)

const hexDigits = "0123456789abcdef"

// readMemory answers `m`.
//
//	$m0;1;1075904512;4#|   core; memory space id; address; byte count
//	+$1d29a406#|
func readMemory(s *session, a *args) {
	core, t, err := s.openCore(a.n[0])
	addr, count := a.n[2], a.n[3]
	var in target.Space
	if err == nil {
		in, err = t.space(a.n[1])
	}
	if err == nil && count > uint64(s.opts.MaxRead) {
		err = errTooMuch
	}
	if err != nil {
		s.refuse(target.Errorf(err, "read %d bytes of memory space %d at %#x of core %d", count, a.n[1], addr, a.n[0]))
		return
	}
	if count == 0 {
		s.reply("")
		return
	}
	s.hold()
	s.begin()
	start, n := len(s.out), int(count)
	// The bytes are read into the second half of their digits' place, which the digits then overwrite from the front: digit
	// 2i+1 never lies behind byte i.
	s.out = slices.Grow(s.out, 2*n+2)[:start+2*n]
	digits := s.out[start:]
	data := digits[n:]
	err = s.target.ReadMemory(s.ctx, core, in, addr, data)
	s.release()
	if err != nil {
		s.out = s.out[:s.kept]
		s.refuse(err)
		return
	}
	for i, b := range data {
		digits[2*i], digits[2*i+1] = hexDigits[b>>4], hexDigits[b&15]
	}
	s.end()
}
