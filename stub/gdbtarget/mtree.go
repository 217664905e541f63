// SPDX-License-Identifier: Apache-2.0

package gdbtarget

import (
	"strconv"
	"strings"
)

// memoryKind is what stands behind a range of addresses.
type memoryKind uint8

const (
	nothing memoryKind = iota
	ram
	rom    // also what is read as such (romd): reads have no side effects, and a write does not take or is a command
	device // i/o
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

// covers reports whether every byte of n from addr on is mapped, and the kind that is least like RAM of what it has seen.
func (v *flatView) covers(addr uint64, n int) (mapped bool, kind memoryKind) {
	for n > 0 {
		r, ok := v.at(addr)
		if !ok {
			return false, kind
		}
		kind = max(kind, r.kind)
		left := r.last - addr // bytes behind addr in this range
		if uint64(n-1) <= left {
			return true, kind
		}
		n -= int(left) + 1
		if r.last == ^uint64(0) {
			return false, kind
		}
		addr = r.last + 1
	}
	return true, kind
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
		if name, root, ok := parseAddressSpace(line); ok {
			all = append(all, addressSpaceView{name: name, root: root, view: view})
			continue
		}
		first, last, kind, name, ok := parseRange(line)
		if !ok {
			continue
		}
		r := memoryRange{first: first, last: last}
		switch kind {
		case "ram", "nv-ram":
			r.kind = ram
		case "rom", "romd", "nv-rom", "nv-romd":
			r.kind = rom
		default: // i/o, ramd, container leftovers
			r.kind = device
		}
		// Where in its region the range begins belongs to its identity.
		name, offset := parseRegion(name)
		r.region = name + "@" + strconv.FormatUint(first-offset, 16)
		view.ranges = append(view.ranges, r)
	}
	return all
}

// parseAddressSpace reads ` AS "cpu-memory-0", root: system`. What a root is an alias of is left out.
func parseAddressSpace(line string) (name, root string, ok bool) {
	rest, ok := strings.CutPrefix(strings.TrimLeft(line, " "), `AS "`)
	if !ok {
		return "", "", false
	}
	if name, root, ok = strings.Cut(rest, `", root: `); !ok {
		return "", "", false
	}
	root, _, _ = strings.Cut(root, ", alias ")
	return name, root, true
}

// parseRange reads `  0000000040000000-0000000040ffffff (prio 0, ram): mach-virt.ram`.
func parseRange(line string) (first, last uint64, kind, region string, ok bool) {
	const digits = 16
	line = strings.TrimLeft(line, " ")
	if len(line) < 2*digits+1 || line[digits] != '-' {
		return 0, 0, "", "", false
	}
	first, err1 := strconv.ParseUint(line[:digits], 16, 64)
	last, err2 := strconv.ParseUint(line[digits+1:2*digits+1], 16, 64)
	rest, prio := strings.CutPrefix(line[2*digits+1:], " (prio ")
	_, rest, comma := strings.Cut(rest, ", ")
	kind, region, ok = strings.Cut(rest, "): ")
	return first, last, kind, region, ok && prio && comma && err1 == nil && err2 == nil
}

// parseRegion reads what a range is part of: its name, and behind an "@" where the range begins in it, if that is not its start.
func parseRegion(text string) (name string, offset uint64) {
	text, _, _ = strings.Cut(text, " owner:")
	text = strings.TrimSuffix(text, " KVM")
	if at := strings.LastIndex(text, " @"); at >= 0 && len(text) == at+2+16 {
		if n, err := strconv.ParseUint(text[at+2:], 16, 64); err == nil {
			return text[:at], n
		}
	}
	return text, 0
}
