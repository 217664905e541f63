// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"strconv"
	"strings"

	"mcdtest/stub/wire"
)

// Faults of lists, arguments and replies in the packet dialect.

// Requests by what their replies are.
var (
	reads         = []string{wire.ReadMemory, wire.ReadRegister}
	registerLists = []string{wire.QueryRegFirst, wire.QueryRegNext}
	spaceLists    = []string{wire.QueryMemoryFirst, wire.QueryMemoryNext}
	groupLists    = []string{wire.QueryGroupFirst, wire.QueryGroupNext}
	anyList       = []string{
		wire.QueryRegFirst, wire.QueryRegNext, wire.QueryMemoryFirst, wire.QueryMemoryNext, wire.QueryGroupFirst, wire.QueryGroupNext,
		wire.QueryResetFirst, wire.QueryResetNext,
	}
)

// digits is for faults that change the digits of what was read.
func digits(names []string, edit func(digits string) string) func() ConnWrapper {
	return replies(names, func(_, payload string) string {
		if payload == "" || payload == wire.Failure {
			return payload
		}
		return edit(payload)
	})
}

// word is for faults that put one word of a reply for another.
func word(names []string, is, told string) func() ConnWrapper {
	return replies(names, func(_, payload string) string {
		if payload == is {
			return told
		}
		return payload
	})
}

// repeatsElement gives an element of the list of registers in place of the next one, too.
var repeatsElement = packets(func() packetHooks {
	const index = 20
	asked, sent := wire.QueryRegNext+strconv.Itoa(index), wire.QueryRegNext+strconv.Itoa(index-1)
	changed := false // the request that is under way
	return packetHooks{
		item: func(_ *packetLink, ev wire.Event, raw []byte) []byte {
			if ev == wire.Packet && payloadOf(raw) == asked {
				changed = true
				return packet(sent)
			}
			return raw
		},
		back: func(l *packetLink, ev wire.Event, raw []byte) []byte {
			if ev != wire.Packet || !changed || l.now != sent {
				return raw
			}
			changed = false
			if _, element, ok := strings.Cut(payloadOf(raw), "!"); ok {
				return packet(strconv.Itoa(index+1) + "!" + element)
			}
			return raw
		},
	}
})

func isNumber(kind wire.Kind) bool { return kind != wire.Data }

// leading takes the digits that a number begins with.
func leading(kind wire.Kind, field string) string {
	if !isNumber(kind) {
		return field
	}
	n := 0
	for n < len(field) && field[n] >= '0' && field[n] <= '9' {
		n++
	}
	if n == 0 {
		return field
	}
	return field[:n]
}

// signed takes a number with a sign as strtoul does.
func signed(kind wire.Kind, field string) string {
	if !isNumber(kind) || len(field) < 2 {
		return field
	}
	n, err := strconv.ParseUint(field[1:], 10, 64)
	switch {
	case err == nil && field[0] == '+':
		return field[1:]
	case err == nil && field[0] == '-':
		return strconv.FormatUint(-n, 10)
	}
	return field
}

func hexadecimal(kind wire.Kind, field string) string {
	if !isNumber(kind) {
		return field
	}
	if digits, ok := strings.CutPrefix(strings.ToLower(field), "0x"); ok {
		if n, err := strconv.ParseUint(digits, 16, 64); err == nil {
			return strconv.FormatUint(n, 10)
		}
	}
	return field
}

// saturates takes numbers above 2^64-1 for that.
func saturates(kind wire.Kind, field string) string {
	if !isNumber(kind) {
		return field
	}
	_, err := strconv.ParseUint(field, 10, 64)
	if e, ok := err.(*strconv.NumError); ok && e.Err == strconv.ErrRange {
		return strconv.FormatUint(1<<64-1, 10)
	}
	return field
}

func emptyIsZero(kind wire.Kind, field string) string {
	if isNumber(kind) && field == "" {
		return "0"
	}
	return field
}

// narrow takes numbers modulo 2^32.
func narrow(kind wire.Kind, field string) string {
	if !isNumber(kind) || kind == wire.Address {
		return field
	}
	if n, err := strconv.ParseUint(field, 10, 64); err == nil && n > 1<<32-1 {
		return strconv.FormatUint(n&(1<<32-1), 10)
	}
	return field
}

// missingIsZero puts in arguments that are missing at the end.
func missingIsZero(payload string) string {
	r, rest := wire.Match([]byte(payload))
	if r == nil {
		return payload
	}
	needed := 0
	for _, a := range r.Args {
		if !a.Optional && a.Kind != wire.Data {
			needed++
		}
	}
	fields := strings.Split(string(rest), string(wire.Separator))
	if len(rest) == 0 {
		fields = nil
	}
	for len(fields) < needed {
		fields = append(fields, "0")
	}
	return r.Name + strings.Join(fields, string(wire.Separator))
}

// crashesOnCore ends QEMU when a core is named that no machine of the suite has.
func crashesOnCore(payload string) string {
	const cores = 16
	r, rest := wire.Match([]byte(payload))
	if r == nil {
		return payload
	}
	fields := strings.Split(string(rest), string(wire.Separator))
	for i, a := range r.Args {
		if a.Kind != wire.Core || i >= len(fields) {
			continue
		}
		if n, err := strconv.ParseUint(fields[i], 10, 64); err == nil && n >= cores {
			return wire.Kill
		}
	}
	return payload
}

// dataShort takes the data of a write for what they are, whatever the byte count says.
func dataShort(payload string) string {
	r, rest := wire.Match([]byte(payload))
	if r == nil || r.Name != wire.WriteMemory && r.Name != wire.WriteRegister {
		return payload
	}
	fields := strings.Split(string(rest), string(wire.Separator))
	last := len(r.Args) - 1
	if len(fields) <= last {
		return payload
	}
	count, err := strconv.ParseUint(fields[last-1], 10, 64)
	if n := uint64(len(fields[last])); err == nil && n > 0 && n%2 == 0 && n < 2*count {
		fields[last-1] = strconv.FormatUint(n/2, 10)
		return r.Name + strings.Join(fields, string(wire.Separator))
	}
	return payload
}

// stopKept tells the reason of a stop whenever the core stands.
var stopKept = packets(func() packetHooks {
	last := make(map[string]string) // by request
	return packetHooks{back: func(l *packetLink, ev wire.Event, raw []byte) []byte {
		if ev != wire.Packet || !strings.HasPrefix(l.now, wire.QueryState) {
			return raw
		}
		payload := payloadOf(raw)
		switch {
		case strings.Contains(payload, ".stop_str=s"):
			last[l.now] = payload
		case strings.HasPrefix(payload, "state=debug") && last[l.now] != "":
			return packet(last[l.now])
		}
		return raw
	}}
})
