// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"mcdtest/stub/target"
	"mcdtest/stub/wire"
)

// writeMemory answers `M`, where gather leaves it alone.
//
//	$M0;1;1075904512;4;00f020e3#|   core; memory space id; address; byte count; data
//	+$success#|
func writeMemory(s *session, a *args) {
	core, in, err := s.writePlace(a)
	count := a.n[3]
	if err == nil {
		var ok bool
		if s.scratch, ok = parseData(s.scratch[:0], a.data, count); !ok {
			err = errData
		}
	}
	if err != nil {
		s.refuse(target.Errorf(err, "write %d bytes to memory space %d at %#x of core %d", count, a.n[1], a.n[2], a.n[0]))
		return
	}
	if count == 0 {
		s.status(nil)
		return
	}
	s.acknowledge()
	s.status(s.target.WriteMemory(s.ctx, core, in, a.n[2], s.scratch))
}

// writePlace checks where an `M` is to write.
func (s *session) writePlace(a *args) (core int, in target.Space, err error) {
	core, t, err := s.openCore(a.n[0])
	if err == nil {
		in, err = t.space(a.n[1])
	}
	return core, in, err
}

// writes are `M` requests that came together and continue each other, each of which is well-formed. Their data are in
// session.scratch.
type writes struct {
	core  int
	space target.Space
	addr  uint64 // of the first
	sizes []int
}

// gather keeps an `M` for settle, so that those that continue it can be written together with it. It returns false, and has done
// nothing, if the payload is anything else or has a mistake.
func (s *session) gather(payload []byte) bool {
	if s.ram == nil || len(payload) == 0 || payload[0] != wire.WriteMemory[0] {
		return false
	}
	r, rest := wire.Match(payload)
	if r == nil || r.Name != wire.WriteMemory {
		return false
	}
	a, ok := parseArgs(r.Args, rest)
	if !ok || a.n[3] == 0 {
		return false
	}
	core, in, err := s.writePlace(&a)
	if err != nil {
		return false
	}
	w := &s.writes
	if len(w.sizes) > 0 && (core != w.core || in != w.space || a.n[2] != w.addr+uint64(len(s.scratch))) {
		return false
	}
	had := len(s.scratch)
	if len(w.sizes) == 0 {
		had = 0
	}
	data, ok := parseData(s.scratch[:had], a.data, a.n[3])
	if !ok {
		return false
	}
	if had == 0 {
		w.core, w.space, w.addr = core, in, a.n[2]
	}
	s.scratch = data
	w.sizes = append(w.sizes, len(data)-had)
	s.watchdog.packets.Add(1)
	return true
}

// settle answers what gather has kept, as if each request had been answered when it came.
func (s *session) settle() {
	w := &s.writes
	sizes, addr, data := w.sizes, w.addr, s.scratch
	w.sizes = w.sizes[:0]
	together := false
	for i, n := range sizes {
		if s.unsent != nil {
			return // the client has gone
		}
		s.kept = -1
		s.reuse()
		s.out = append(s.out, wire.Ack)
		if !together {
			s.acknowledge()
		}
		if i == 0 && len(sizes) > 1 && s.unsent == nil {
			// If this fails they are written one by one, to know which one it is that cannot be written.
			done, err := s.ram.WriteRAM(s.ctx, w.core, w.space, addr, data)
			together = done && err == nil
		}
		var err error
		if !together {
			err = s.target.WriteMemory(s.ctx, w.core, w.space, addr, data[:n])
		}
		s.status(err)
		if s.full() {
			s.unsent = s.flush()
		}
		addr, data = addr+uint64(n), data[n:]
		s.watchdog.packets.Add(1)
	}
}
