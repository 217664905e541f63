// SPDX-License-Identifier: Apache-2.0

package memtarget

import (
	"bytes"
	"context"

	"mcdtest/stub/target"
)

const pageSize = 4096

// memory is sparse: a page that was never written reads as zeros. It is the same for both worlds; which regions are
// seen depends on who looks.
type memory struct {
	regions []Region
	pages   map[uint64]*[pageSize]byte
}

// mapped reports whether every address of the n bytes from addr on is seen, and whether all of it can be written.
func (m *memory) mapped(addr, n uint64, secure bool) (mapped, writable bool) {
	writable = true
	for n > 0 {
		r := m.region(addr, secure)
		if r == nil {
			return false, false
		}
		if r.ReadOnly {
			writable = false
		}
		rest := r.Size - (addr - r.Start)
		if rest >= n {
			return true, writable
		}
		addr += rest
		n -= rest
		if addr == 0 {
			return false, false
		}
	}
	return true, writable
}

func (m *memory) region(addr uint64, secure bool) *Region {
	for i := range m.regions {
		r := &m.regions[i]
		if addr >= r.Start && addr-r.Start < r.Size && (secure || !r.Secure) {
			return r
		}
	}
	return nil
}

func (m *memory) get(addr uint64, p []byte) {
	for len(p) > 0 {
		offset := addr % pageSize
		n := min(pageSize-offset, uint64(len(p)))
		if page := m.pages[addr/pageSize]; page != nil {
			copy(p[:n], page[offset:])
		} else {
			clear(p[:n])
		}
		addr += n
		p = p[n:]
	}
}

func (m *memory) put(addr uint64, p []byte) {
	for len(p) > 0 {
		page := m.pages[addr/pageSize]
		if page == nil {
			if m.pages == nil {
				m.pages = make(map[uint64]*[pageSize]byte)
			}
			page = new([pageSize]byte)
			m.pages[addr/pageSize] = page
		}
		n := copy(page[addr%pageSize:], p)
		addr += uint64(n)
		p = p[n:]
	}
}

// secureSpace is the index of the secure address space, or -1.
func (m *Machine) secureSpace() int {
	for i, as := range m.cfg.Core.AddressSpaces {
		if as.Secure {
			return i
		}
	}
	return -1
}

// view says whether an access through the space sees secure memory. What a core sees depends on the world that it is
// in, whichever logical space is named; the other world's logical space is out of reach.
func (m *Machine) view(core int, space target.Space) (secure bool, err error) {
	spaces := m.cfg.Core.AddressSpaces
	if space.AddressSpace < 0 || space.AddressSpace >= len(spaces) {
		return false, target.ErrNoSpace
	}
	secure = spaces[space.AddressSpace].Secure
	if space.Physical {
		return secure, nil
	}
	if secure && !m.cores[core].secure {
		return false, target.ErrUnreachable
	}
	return m.cores[core].secure, nil
}

// ReadMemory implements target.Target.
func (m *Machine) ReadMemory(_ context.Context, core int, space target.Space, addr uint64, p []byte) error {
	m.lock()
	defer m.mu.Unlock()
	_, err := m.access(core, space, addr, p)
	if err != nil {
		return target.Errorf(err, "read %d bytes of memory at %#x of core %d", len(p), addr, core)
	}
	m.memory.get(addr, p)
	return nil
}

// WriteMemory implements target.Target.
func (m *Machine) WriteMemory(_ context.Context, core int, space target.Space, addr uint64, p []byte) error {
	m.lock()
	defer m.mu.Unlock()
	writable, err := m.access(core, space, addr, p)
	if err == nil && !writable {
		have := make([]byte, len(p))
		m.memory.get(addr, have)
		if bytes.Equal(have, p) {
			return nil
		}
		err = target.ErrNotTaken
	}
	if err != nil {
		return target.Errorf(err, "write %d bytes of memory at %#x of core %d", len(p), addr, core)
	}
	m.memory.put(addr, p)
	return nil
}

// WriteRAM implements target.RAMWriter.
func (m *Machine) WriteRAM(_ context.Context, core int, space target.Space, addr uint64, p []byte) (done bool, err error) {
	m.lock()
	defer m.mu.Unlock()
	if writable, err := m.access(core, space, addr, p); err != nil || !writable {
		return false, nil
	}
	m.memory.put(addr, p)
	return true, nil
}

func (m *Machine) access(core int, space target.Space, addr uint64, p []byte) (writable bool, err error) {
	if err := m.check(core, false); err != nil {
		return false, err
	}
	secure, err := m.view(core, space)
	if err != nil {
		return false, err
	}
	mapped, writable := m.memory.mapped(addr, uint64(len(p)), secure)
	if !mapped {
		return false, target.ErrUnmapped
	}
	return writable, nil
}

// SetSecure puts a core into the secure or the normal world, as the guest's monitor code would.
func (m *Machine) SetSecure(core int, secure bool) {
	m.lock()
	defer m.mu.Unlock()
	m.cores[core].secure = secure
}
