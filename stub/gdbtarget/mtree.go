// SPDX-License-Identifier: Apache-2.0

package gdbtarget

import (
	"regexp"
	"strconv"
	"strings"
)

// memoryKind is what stands behind a range of addresses.
type memoryKind uint8

const (
	nothing memoryKind = iota
	ram                // also RAM that is read as ROM (romd) and ROM: reads have no side effects
	device             // i/o
)

// memoryRange is one line of a flat view.
type memoryRange struct {
	first, last uint64 // inclusive
	kind        memoryKind
	region      string // its name and offset, so that equal strings mean the same memory
}

// flatView is what one or more address spaces see.
type flatView struct {
	ranges []memoryRange
}

// at finds the range that holds an address.
func (v *flatView) at(addr uint64) (memoryRange, bool) {
	if v != nil {
		for _, r := range v.ranges {
			if r.first <= addr && addr <= r.last {
				return r, true
			}
		}
	}
	return memoryRange{}, false
}

// covers reports whether every byte of n from addr on is mapped, and whether any of it is a device.
func (v *flatView) covers(addr uint64, n int) (mapped, hasDevice bool) {
	for n > 0 {
		r, ok := v.at(addr)
		if !ok {
			return false, hasDevice
		}
		hasDevice = hasDevice || r.kind == device
		left := r.last - addr // bytes behind addr in this range
		if uint64(n-1) <= left {
			return true, hasDevice
		}
		n -= int(left) + 1
		if r.last == ^uint64(0) {
			return false, hasDevice
		}
		addr = r.last + 1
	}
	return true, hasDevice
}

// same reports whether both views have the same memory at n bytes from addr on.
func (v *flatView) same(w *flatView, addr uint64, n int) bool {
	for n > 0 {
		a, okA := v.at(addr)
		b, okB := w.at(addr)
		if !okA || !okB || a.kind != b.kind || a.region != b.region {
			return false
		}
		left := min(a.last, b.last) - addr
		if uint64(n-1) <= left {
			return true
		}
		n -= int(left) + 1
		addr += left + 1
	}
	return true
}

// addressSpaceView is an address space with the view that it has.
type addressSpaceView struct {
	name, root string
	view       *flatView
}

var (
	asLine    = regexp.MustCompile(`^\s*AS "([^"]*)", root: (.*)$`)
	rangeLine = regexp.MustCompile(`^\s*([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, ([^)]*)\): (.*)$`)
	// QEMU prints ranges of a region that does not start at its beginning as "name @offset".
	offsetSuffix = regexp.MustCompile(`^(.*?)(?: @([0-9a-f]{16}))?(?: KVM| owner:.*)*$`)
)

// parseMtree reads HMP `info mtree -f`.
func parseMtree(text string) []addressSpaceView {
	var all []addressSpaceView
	var view *flatView
	for _, line := range strings.Split(strings.ReplaceAll(text, "\r", ""), "\n") {
		if strings.HasPrefix(line, "FlatView #") {
			view = &flatView{}
			continue
		}
		if view == nil {
			continue
		}
		if m := asLine.FindStringSubmatch(line); m != nil {
			root := m[2]
			if i := strings.Index(root, ", alias "); i >= 0 {
				root = root[:i]
			}
			all = append(all, addressSpaceView{name: m[1], root: root, view: view})
			continue
		}
		m := rangeLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		first, err1 := strconv.ParseUint(m[1], 16, 64)
		last, err2 := strconv.ParseUint(m[2], 16, 64)
		if err1 != nil || err2 != nil {
			continue
		}
		r := memoryRange{first: first, last: last}
		switch m[3] {
		case "ram", "rom", "romd", "nv-ram", "nv-rom", "nv-romd":
			r.kind = ram
		default: // i/o, ramd, container leftovers
			r.kind = device
		}
		// Where in its region the range begins belongs to its identity.
		name := m[4]
		offset := uint64(0)
		if s := offsetSuffix.FindStringSubmatch(name); s != nil {
			name = s[1]
			if s[2] != "" {
				offset, _ = strconv.ParseUint(s[2], 16, 64)
			}
		}
		r.region = name + "@" + strconv.FormatUint(first-offset, 16)
		view.ranges = append(view.ranges, r)
	}
	return all
}
