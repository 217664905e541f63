// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"bytes"
	"net"
	"strconv"
	"strings"

	"mcdtest/stub/wire"
)

// packetLink follows a connection in the packet dialect, so that a fault can change whole items of it: packets,
// acknowledgements, nacks. What no hook changes goes through byte by byte as it came.
type packetLink struct {
	hooks packetHooks
	local *mailbox

	client *wire.Decoder // of what the client writes; packets of any length
	raw    []byte        // of the client's item in progress, if a hook wants whole items
	stub   *wire.Decoder // of what is sent to the stub, as it sees that
	came   *wire.Decoder // of what comes from the stub
	back   []byte        // of the stub's item in progress

	asked []string // payloads that the stub has not acknowledged yet
	now   string   // the payload that it acknowledged last: replies are to this one
}

// packetHooks are the ways in which a fault gets hold of a connection. All may be nil.
type packetHooks struct {
	// chunk changes what the client writes in one go.
	chunk func(p []byte) []byte
	// item changes an item of the client's. raw has what stands in front of it, too.
	item func(l *packetLink, ev wire.Event, raw []byte) []byte
	// back changes an item of the stub's.
	back func(l *packetLink, ev wire.Event, raw []byte) []byte
	// farewell gives what is sent before the client closes.
	farewell func(l *packetLink) []byte
}

// packets makes connections with hooks. make is called once for every connection.
func packets(make func() packetHooks) func() ConnWrapper {
	return func() ConnWrapper {
		return func(c net.Conn) net.Conn {
			l := &packetLink{
				hooks: make(), local: new(mailbox),
				client: wire.NewDecoder(0), stub: wire.NewDecoder(wire.MaxPayload), came: wire.NewDecoder(0),
			}
			return &conn{Conn: c, stream: l, local: l.local}
		}
	}
}

func (l *packetLink) up(p []byte) []byte {
	if l.hooks.chunk != nil {
		p = l.hooks.chunk(bytes.Clone(p))
	}
	if l.hooks.item != nil {
		p = l.items(p)
	}
	// Follow what the stub sees, to know what its replies are to.
	for rest := p; len(rest) > 0; {
		n, ev := l.stub.Next(rest)
		rest = rest[n:]
		if ev == wire.Packet {
			l.asked = append(l.asked, string(l.stub.Payload()))
		}
	}
	return p
}

// items has the hook change what the client writes. An item in progress waits until it is complete.
func (l *packetLink) items(p []byte) []byte {
	var out []byte
	for len(p) > 0 {
		n, ev := l.client.Next(p)
		l.raw = append(l.raw, p[:n]...)
		p = p[n:]
		switch {
		case ev != wire.NeedMore:
			out = append(out, l.hooks.item(l, ev, l.raw)...)
			l.raw = nil
		case !l.client.Inside():
			out = append(out, l.raw...)
			l.raw = nil
		}
	}
	return out
}

func (l *packetLink) down(p []byte) []byte {
	var out []byte
	for len(p) > 0 {
		n, ev := l.came.Next(p)
		l.back = append(l.back, p[:n]...)
		p = p[n:]
		if ev == wire.NeedMore {
			continue
		}
		if ev == wire.AckByte && len(l.asked) > 0 {
			l.now, l.asked = l.asked[0], l.asked[1:]
		}
		if l.hooks.back != nil {
			out = append(out, l.hooks.back(l, ev, l.back)...)
		} else {
			out = append(out, l.back...)
		}
		l.back = nil
	}
	return out
}

func (l *packetLink) rest() []byte {
	p := l.back
	l.back = nil
	return p
}

func (l *packetLink) farewell() []byte {
	if l.hooks.farewell == nil {
		return nil
	}
	return l.hooks.farewell(l)
}

// payloadOf is what is in a packet; raw may have something in front of it.
func payloadOf(raw []byte) string {
	start := bytes.IndexByte(raw, wire.Start)
	return string(raw[start+1 : len(raw)-2])
}

// packet frames a payload.
func packet(payload string) []byte { return wire.AppendPacket(nil, []byte(payload)) }

// items is for faults that change items of the client's.
func items(f func(l *packetLink, ev wire.Event, raw []byte) []byte) func() ConnWrapper {
	return packets(func() packetHooks { return packetHooks{item: f} })
}

// answers is for faults that change items of the stub's.
func answers(f func(l *packetLink, ev wire.Event, raw []byte) []byte) func() ConnWrapper {
	return packets(func() packetHooks { return packetHooks{back: f} })
}

// requests is for faults that change well-framed requests.
func requests(edit func(payload string) string) func() ConnWrapper {
	return items(func(_ *packetLink, ev wire.Event, raw []byte) []byte {
		if ev != wire.Packet {
			return raw
		}
		is := payloadOf(raw)
		if to := edit(is); to != is {
			return packet(to)
		}
		return raw
	})
}

// replies is for faults that change the replies to requests whose names begin with one of the names.
func replies(names []string, edit func(request, payload string) string) func() ConnWrapper {
	return answers(func(l *packetLink, ev wire.Event, raw []byte) []byte {
		if ev != wire.Packet {
			return raw
		}
		r, _ := wire.Match([]byte(l.now))
		if r == nil {
			return raw
		}
		for _, name := range names {
			if r.Name != name {
				continue
			}
			is := payloadOf(raw)
			if to := edit(l.now, is); to != is {
				return packet(to)
			}
		}
		return raw
	})
}

// field is for faults that change a field of a structured reply.
func field(names []string, key string, edit func(value string) string) func() ConnWrapper {
	return replies(names, func(_, payload string) string {
		fields := strings.Split(payload, ".")
		for i, f := range fields {
			handle, pair, ok := strings.Cut(f, "!")
			if !ok {
				handle, pair = "", f
			} else {
				handle += "!"
			}
			if k, v, ok := strings.Cut(pair, "="); ok && k == key {
				fields[i] = handle + k + "=" + edit(v)
			}
		}
		return strings.Join(fields, ".")
	})
}

// to is for a field that always has the same value.
func to(value string) func(string) string { return func(string) string { return value } }

// plus is for a number that is off.
func plus(n int) func(string) string {
	return func(v string) string {
		i, err := strconv.Atoi(v)
		if err != nil {
			return v
		}
		return strconv.Itoa(i + n)
	}
}

// handles is for faults that change the handle of the next element of a list. index is that of the element in the reply.
func handles(names []string, edit func(index, handle int) int) func() ConnWrapper {
	return replies(names, func(request, payload string) string {
		text, element, ok := strings.Cut(payload, "!")
		handle, err := strconv.Atoi(text)
		if !ok || err != nil {
			return payload
		}
		index := 0
		if r, rest := wire.Match([]byte(request)); strings.HasSuffix(r.Name, "c") {
			index, _ = strconv.Atoi(string(rest)) // the stub has taken it for a number
		}
		return strconv.Itoa(edit(index, handle)) + "!" + element
	})
}

// arguments is for faults that take arguments for something else than they are.
func arguments(edit func(kind wire.Kind, field string) string) func() ConnWrapper {
	return requests(func(payload string) string {
		r, rest := wire.Match([]byte(payload))
		if r == nil || len(r.Args) == 0 {
			return payload
		}
		fields := strings.Split(string(rest), string(wire.Separator))
		for i := range fields {
			if i < len(r.Args) {
				fields[i] = edit(r.Args[i].Kind, fields[i])
			}
		}
		return r.Name + strings.Join(fields, string(wire.Separator))
	})
}
