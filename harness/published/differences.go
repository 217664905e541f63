// SPDX-License-Identifier: Apache-2.0

package published

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"strings"

	"mcdtest/stub/wire"
)

// Difference is a way in which ours differs from the published stub on purpose.
type Difference struct {
	Name string
	Why  string // where the specification says so
	// apply turns what the published stub answered into what ours has to answer, and reports whether it changed anything.
	apply func(h *history, e *Exchange) bool
}

// history is what the rules know of the conversation so far.
type history struct {
	payloads  []string          // of the packets in the exchange at hand
	payload   string            // if there is exactly one
	replies   map[string]string // by payload of a request: what the published stub last replied to it
	control   byte              // the last of C, c and b
	ran       bool              // there was a C
	running   bool              // as far as one can tell without the answers: after C, until b, c or a stop that was reported
	nulInside bool              // the chunk before had a NUL inside a packet
	pcWritten bool              // since the core stopped by b
	stepped   bool              // a global step has stepped ours
	stepTold  bool              // and ours has told so
}

func newHistory() *history { return &history{replies: make(map[string]string)} }

// begin looks at the next exchange.
func (h *history) begin(e *Exchange) {
	h.payload, h.payloads = "", nil
	d := wire.NewDecoder(wire.MaxPayload)
	for b := e.Sent; len(b) > 0; {
		n, ev := d.Next(b)
		b = b[n:]
		if ev == wire.Packet {
			h.payloads = append(h.payloads, string(d.Payload()))
		}
	}
	if len(h.payloads) == 1 {
		h.payload = h.payloads[0]
	}
	switch {
	case strings.HasPrefix(h.payload, wire.Go):
		h.control, h.ran, h.running, h.pcWritten = 'C', true, true, false
	case strings.HasPrefix(h.payload, wire.Step) && !h.running:
		h.control = 'c'
		h.stepped = h.stepped || strings.HasPrefix(h.payload, wire.Step+"1;")
	case strings.HasPrefix(h.payload, wire.Break):
		if h.running {
			h.control, h.running = 'b', false
		}
	case strings.HasPrefix(h.payload, wire.WriteRegister+"0;15;"):
		h.pcWritten = true
	}
}

// finish notes what the published stub answered to the exchange.
func (h *history) finish(e *Exchange) {
	packet := -1
	for _, t := range e.Want {
		switch {
		case t.Kind == wire.Ack:
			packet++
		case t.Kind == wire.Start && packet >= 0 && packet < len(h.payloads):
			h.replies[h.payloads[packet]] = t.Payload
			if strings.HasPrefix(h.payloads[packet], wire.QueryState) {
				h.running = strings.Contains(t.Payload, "state=running")
			}
		}
	}
	d := wire.NewDecoder(wire.MaxPayload)
	for b := e.Sent; len(b) > 0; {
		n, ev := d.Next(b)
		b = b[n:]
		h.nulInside = ev == wire.NULInside || h.nulInside && ev != wire.Packet
	}
}

// reply replaces the payload of the only packet of an answer.
func reply(e *Exchange, change func(string) string) bool {
	for i, t := range e.Want {
		if t.Kind == wire.Start {
			e.Want[i].Payload = change(t.Payload)
			return e.Want[i].Payload != t.Payload
		}
	}
	return false
}

// replies sets it.
func replies(e *Exchange, payload string) bool {
	return reply(e, func(string) string { return payload })
}

func (h *history) is(request string) bool { return strings.HasPrefix(h.payload, request) }

var typeField = regexp.MustCompile(`type=\d+`)
var stopField = regexp.MustCompile(`stop_str=[^.]*`)

// Differences are all of them, in the order in which they are applied.
var Differences = []Difference{
	{
		"stop by b", "section 5: ours is type 0 with `stopped because of break`",
		func(h *history, e *Exchange) bool {
			if !h.is(wire.QueryState) || h.control != 'b' {
				return false
			}
			return reply(e, func(p string) string {
				if !strings.Contains(p, "stop_str=stopped") {
					return p
				}
				return stopField.ReplaceAllString(typeField.ReplaceAllString(p, "type=0"), "stop_str=stopped because of break")
			})
		},
	},
	{
		"spelling of the strings", "section 5: ours says `because`, and numbers where published prints source text",
		func(h *history, e *Exchange) bool {
			return h.is(wire.QueryState) && reply(e, func(p string) string {
				_, address, _ := strings.Cut(p, "address=")
				address, _, _ = strings.Cut(address, ".")
				return strings.NewReplacer("beacuse", "because", "cpu->cpu_index", "0", "cpu->watchpoint_hit->hitaddr", address).Replace(p)
			})
		},
	},
	{
		"global step", "section 3: global=1 does nothing in the published stub; ours steps every core",
		func(h *history, e *Exchange) bool {
			// From then on ours is one instruction further in the loop, at "add r0,r0,#1" the first time.
			switch {
			case !h.stepped:
				return false
			case h.is(wire.QueryState) && !h.stepTold:
				h.stepTold = true
				return reply(e, func(p string) string {
					return strings.Replace(p, "stop_str=.info_str=.", "stop_str=stopped because of single step.info_str=cpu 0 in debug state.", 1)
				})
			case h.is(wire.ReadRegister+"0;15") && h.control == 'c' && !h.ran:
				return reply(e, func(p string) string { return strings.Replace(p, "0c002040", "10002040", 1) })
			case h.is(wire.ReadRegister + "0;0"):
				return reply(e, func(p string) string { return strings.Replace(p, "00000000", "01000000", 1) })
			}
			return false
		},
	},
	{
		"no null strings", "section 5: published prints `(null)`, ours nothing",
		func(h *history, e *Exchange) bool {
			return h.is(wire.QueryState) && reply(e, func(p string) string { return strings.Replace(p, "(null)", "", 1) })
		},
	},
	{
		"end of a memory space", "section 3: `max=-1` is a signed print of 2^64-1",
		func(h *history, e *Exchange) bool {
			return h.is("qmemory") && reply(e, func(p string) string {
				return strings.Replace(p, "max=-1.", fmt.Sprintf("max=%d.", uint64(math.MaxUint64)), 1)
			})
		},
	},
	{
		"reset classes", "section 3: only classes that work are listed",
		func(h *history, e *Exchange) bool {
			switch {
			case h.is(wire.QueryResetFirst):
				return reply(e, func(p string) string { return strings.Replace(p, "1!", "0!", 1) })
			case h.is(wire.QueryResetNext):
				return replies(e, wire.Failure)
			}
			return false
		},
	},
	{
		"numbers", "section 4: ours takes decimal digits and nothing else",
		func(h *history, e *Exchange) bool {
			r, rest := wire.Match([]byte(h.payload))
			if r == nil || len(r.Args) == 0 || r.Args[0].Kind == wire.Data || r.Args[0].Optional {
				return false
			}
			first, _, _ := bytes.Cut(rest, []byte{wire.Separator})
			if len(first) > 0 && strings.Trim(string(first), "0123456789") == "" {
				return false
			}
			return replies(e, "")
		},
	},
	{
		"cores that do not exist", "section 4: ours answers `error` to semantic mistakes",
		func(h *history, e *Exchange) bool {
			core, ok := strings.CutPrefix(h.payload, wire.QueryState)
			return ok && core != "" && core != "0" && strings.Trim(core, "0123456789") == "" && len(core) < 20 && replies(e, wire.Failure)
		},
	},
	{
		"registers that do not exist", "section 4: the empty packet; published answers some numbers of the gaps",
		func(h *history, e *Exchange) bool { return h.is(wire.ReadRegister+"0;16") && replies(e, "") },
	},
	{
		"writes to unmapped memory", "section 4: ours is `error`",
		func(h *history, e *Exchange) bool {
			return (h.is(wire.WriteMemory+"0;1;4026531840;") || h.is(wire.WriteMemory+"0;2;4026531840;")) && replies(e, wire.Failure)
		},
	},
	{
		"packets behind a NUL", "section 2: NULs between packets are skipped",
		func(h *history, e *Exchange) bool {
			// Published: the chunk ends at its first NUL. What ours answers to the packets behind it is what published
			// answers to the same packets elsewhere in the recording.
			nul := bytes.IndexByte(e.Sent, 0)
			if nul < 0 || h.nulInside {
				return false
			}
			d := wire.NewDecoder(wire.MaxPayload)
			if _, ev := d.Next(e.Sent[:nul]); ev != wire.Packet {
				return false
			}
			changed := false
			for b := e.Sent[nul:]; len(b) > 0; {
				n, ev := d.Next(b)
				b = b[n:]
				if ev == wire.Packet {
					e.Want = append(e.Want, Token{Kind: wire.Ack})
					if p, ok := h.replies[string(d.Payload())]; ok {
						e.Want = append(e.Want, Token{wire.Start, p})
					}
					changed = true
				}
			}
			return changed
		},
	},
	{
		"a NUL inside a packet", "section 2: it drops that packet",
		func(h *history, e *Exchange) bool {
			if !h.nulInside || bytes.IndexByte(e.Sent, wire.Start) >= 0 || len(e.Want) == 0 {
				return false
			}
			e.Want = nil
			return true
		},
	},
}

// varies reports whether the answer is different each time: what a core that runs freely leaves behind.
func (h *history) varies() bool {
	switch {
	case h.is(wire.ReadRegister + "0;15"):
		return h.running || h.control == 'b' && !h.pcWritten
	case h.is(fmt.Sprintf("%s0;1;%d;4", wire.ReadMemory, CounterAddr)):
		return h.ran
	}
	return false
}
