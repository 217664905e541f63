// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"bytes"
	"net"
	"slices"
	"sync"

	"mcdtest/stub/wire"
)

// Faults of framing and of connections in the packet dialect.

var (
	missingAck = answers(func(l *packetLink, ev wire.Event, raw []byte) []byte {
		if ev == wire.AckByte {
			return nil
		}
		return raw
	})

	doubleAck = answers(func(l *packetLink, ev wire.Event, raw []byte) []byte {
		if ev == wire.AckByte {
			return []byte{wire.Ack, wire.Ack}
		}
		return raw
	})

	// ackLate sends an acknowledgement behind the reply, if there is to be one.
	ackLate = packets(func() packetHooks {
		late := false
		return packetHooks{back: func(l *packetLink, ev wire.Event, raw []byte) []byte {
			switch {
			case ev == wire.AckByte && hasReply(l.now):
				late = true
				return nil
			case ev == wire.Packet && late:
				late = false
				return append(slices.Clone(raw), wire.Ack)
			}
			return raw
		}}
	})

	// replyToAll answers requests without a reply by an empty packet.
	replyToAll = answers(func(l *packetLink, ev wire.Event, raw []byte) []byte {
		if ev == wire.AckByte && !hasReply(l.now) {
			return append(slices.Clone(raw), packet("")...)
		}
		return raw
	})

	nackIgnored = items(func(l *packetLink, ev wire.Event, raw []byte) []byte {
		if ev == wire.NackByte {
			return nil
		}
		return raw
	})

	ackKeepsPacket = items(func(l *packetLink, ev wire.Event, raw []byte) []byte {
		if ev == wire.AckByte {
			return nil
		}
		return raw
	})

	// nackOlder answers a nack with the reply before the last one.
	nackOlder = packets(func() packetHooks {
		var last, older []byte
		return packetHooks{
			item: func(l *packetLink, ev wire.Event, raw []byte) []byte {
				if ev == wire.NackByte && older != nil {
					l.local.put(older)
					return nil
				}
				return raw
			},
			back: func(_ *packetLink, ev wire.Event, raw []byte) []byte {
				if ev == wire.Packet {
					last, older = slices.Clone(raw), last
				}
				return raw
			},
		}
	})

	badEndAcked = answers(func(l *packetLink, ev wire.Event, raw []byte) []byte {
		if ev == wire.NackByte {
			return []byte{wire.Ack}
		}
		return raw
	})

	badEndTaken = items(func(l *packetLink, ev wire.Event, raw []byte) []byte {
		if ev == wire.BadEnd {
			raw[len(raw)-1] = wire.LastPacket
		}
		return raw
	})

	moreRefused = items(func(l *packetLink, ev wire.Event, raw []byte) []byte {
		if ev == wire.Packet && raw[len(raw)-1] == wire.MorePackets {
			raw[len(raw)-1] = 'x'
		}
		return raw
	})

	// nulEndsChunk is what the published stub does.
	nulEndsChunk = chunks(func(p []byte) []byte {
		if i := bytes.IndexByte(p, 0); i >= 0 {
			return p[:i]
		}
		return p
	})

	nulSkipped = chunks(func(p []byte) []byte { return bytes.ReplaceAll(p, []byte{0}, nil) })

	// longTaken cuts packets that are too long.
	longTaken = items(func(l *packetLink, ev wire.Event, raw []byte) []byte {
		if ev == wire.Packet {
			if payload := payloadOf(raw); len(payload) > wire.MaxPayload {
				return packet(payload[:wire.MaxPayload])
			}
		}
		return raw
	})

	// dollarStarts takes a '$' inside a packet for the start of one.
	dollarStarts = items(func(l *packetLink, ev wire.Event, raw []byte) []byte {
		if ev == wire.Packet {
			return raw[bytes.LastIndexByte(raw, wire.Start):]
		}
		return raw
	})

	// junkAnswered answers bytes between packets with a nack.
	junkAnswered = items(func(l *packetLink, ev wire.Event, raw []byte) []byte {
		if ev == wire.Packet && raw[0] != wire.Start && raw[0] != 0 {
			l.local.put([]byte{wire.Nack})
		}
		return raw
	})

	// onePerChunk loses what stands behind the first packet of a chunk.
	onePerChunk = chunks(func(p []byte) []byte {
		d := wire.NewDecoder(0)
		for i := 0; i < len(p); {
			n, ev := d.Next(p[i:])
			if i += n; ev == wire.Packet {
				return p[:i]
			}
		}
		return p
	})

	// wholeChunks loses a packet that does not come in one piece.
	wholeChunks = chunks(func(p []byte) []byte {
		d := wire.NewDecoder(0)
		end := 0
		for i := 0; i < len(p); {
			n, ev := d.Next(p[i:])
			if i += n; ev != wire.NeedMore || !d.Inside() {
				end = i
			}
		}
		return p[:end]
	})

	exactNames = requests(func(payload string) string {
		if r, rest := wire.Match([]byte(payload)); r != nil && len(r.Args) == 0 && len(rest) > 0 {
			return ""
		}
		return payload
	})

	errorForUnknown = answers(func(l *packetLink, ev wire.Event, raw []byte) []byte {
		if ev == wire.Packet && payloadOf(raw) == "" {
			if r, _ := wire.Match([]byte(l.now)); r == nil {
				return packet(wire.Failure)
			}
		}
		return raw
	})

	// replyEnd ends replies with a byte that is no end mark.
	replyEnd = answers(func(l *packetLink, ev wire.Event, raw []byte) []byte {
		if ev == wire.Packet {
			raw[len(raw)-1] = '}'
		}
		return raw
	})
)

// hasReply reports whether a reply is due to a payload, as far as that can be told from its name.
func hasReply(payload string) bool {
	r, _ := wire.Match([]byte(payload))
	return r == nil || r.Reply != wire.NoReply
}

// chunks is for faults that change what is written in one go.
func chunks(f func(p []byte) []byte) func() ConnWrapper {
	return packets(func() packetHooks { return packetHooks{chunk: f} })
}

// atEnd is for faults that say something when the client hangs up.
func atEnd(payload string) func() ConnWrapper {
	return packets(func() packetHooks {
		return packetHooks{farewell: func(*packetLink) []byte { return packet(payload) }}
	})
}

// leftover is what a connection leaves behind for the next one.
type leftover struct {
	mu    sync.Mutex
	bytes []byte
}

func (l *leftover) set(p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes = slices.Clone(p)
}

func (l *leftover) get() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes
}

// keptForNext sends the last reply of a connection to a client of the next one that begins with a nack.
func keptForNext() ConnWrapper {
	var last leftover
	return func(c net.Conn) net.Conn {
		asked := false
		return packets(func() packetHooks {
			return packetHooks{
				item: func(l *packetLink, ev wire.Event, raw []byte) []byte {
					if ev == wire.NackByte && !asked {
						l.local.put(last.get())
						return nil
					}
					asked = true
					return raw
				},
				back: func(_ *packetLink, ev wire.Event, raw []byte) []byte {
					if ev == wire.Packet {
						last.set(raw)
					}
					return raw
				},
			}
		})()(c)
	}
}

// beginningForNext puts the packet that a client has begun in front of what the next one sends.
func beginningForNext() ConnWrapper {
	var begun leftover
	return func(c net.Conn) net.Conn {
		d := wire.NewDecoder(wire.MaxPayload)
		start := begun.get()
		begun.set(nil)
		var open []byte // what has been written of the packet in progress
		follow := func(p []byte) {
			for len(p) > 0 {
				n, ev := d.Next(p)
				open = append(open, p[:n]...)
				p = p[n:]
				if ev != wire.NeedMore || !d.Inside() {
					open = nil
				}
			}
		}
		return packets(func() packetHooks {
			return packetHooks{
				chunk: func(p []byte) []byte {
					p = append(start, p...)
					start = nil
					follow(p)
					return p
				},
				farewell: func(*packetLink) []byte {
					begun.set(open)
					return nil
				},
			}
		})()(c)
	}
}

// secondServed answers a second client at once, as far as it asks for the system.
func secondServed() ConnWrapper {
	var mu sync.Mutex
	open := 0
	return func(c net.Conn) net.Conn {
		mu.Lock()
		second := open > 0
		open++
		mu.Unlock()
		return packets(func() packetHooks {
			return packetHooks{
				item: func(l *packetLink, ev wire.Event, raw []byte) []byte {
					mu.Lock()
					defer mu.Unlock()
					if second && open > 1 && ev == wire.Packet && payloadOf(raw) == wire.QuerySystem {
						l.local.put(append([]byte{wire.Ack}, packet("qemu-system")...))
						return nil
					}
					return raw
				},
				farewell: func(*packetLink) []byte {
					mu.Lock()
					defer mu.Unlock()
					open--
					return nil
				},
			}
		})()(c)
	}
}

// hangsUp closes the connection when a reply says no.
func hangsUp() ConnWrapper {
	return func(c net.Conn) net.Conn {
		return answers(func(l *packetLink, ev wire.Event, raw []byte) []byte {
			if ev == wire.Packet {
				if p := payloadOf(raw); p == "" || p == wire.Failure {
					c.Close()
				}
			}
			return raw
		})()(c)
	}
}

// fallsSilent says nothing more after it has said no.
func fallsSilent() ConnWrapper {
	return func(c net.Conn) net.Conn {
		silent := false
		return answers(func(l *packetLink, ev wire.Event, raw []byte) []byte {
			if silent {
				return nil
			}
			silent = ev == wire.Packet && payloadOf(raw) == wire.Failure
			return raw
		})()(c)
	}
}
