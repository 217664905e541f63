// SPDX-License-Identifier: Apache-2.0

package script

import (
	"bytes"

	"mcdtest/harness/transcript"
	"mcdtest/stub/wire"
)

// lines cuts received bytes as a script would have them: a packet, with the acknowledgement in front of it, is a line, or
// in the JSON dialect a line is a line.
func (p *player) lines(data []byte) []string {
	var list []string
	for _, part := range p.script.cut(data) {
		list = append(list, transcript.Escape(part))
	}
	return list
}

func (s *Script) cut(data []byte) [][]byte {
	var parts [][]byte
	if s.json {
		for len(data) > 0 {
			text, size, complete := jsonLine(data)
			if !complete {
				size = len(data)
			}
			if len(text) > 0 {
				parts = append(parts, text)
			}
			data = data[size:]
		}
		return parts
	}
	d := wire.NewDecoder(0)
	start, pos := 0, 0
	for pos < len(data) {
		n, ev := d.Next(data[pos:])
		pos += n
		if ev == wire.Packet {
			parts = append(parts, data[start:pos])
			start = pos
		}
	}
	if start < len(data) {
		parts = append(parts, data[start:])
	}
	return parts
}

// jsonLine is the first line of data without its end, and how long it is with it.
func jsonLine(data []byte) (text []byte, size int, complete bool) {
	i := bytes.IndexByte(data, '\n')
	if i < 0 {
		return bytes.TrimRight(data, "\r"), 0, false
	}
	return bytes.TrimRight(data[:i], "\r"), i + 1, true
}

// tally counts the messages of an answer: acknowledgements of either kind and packets, or lines.
type tally struct{ acks, packets, lines int }

func (t tally) fewer(than tally) bool {
	return t.acks < than.acks || t.packets < than.packets || t.lines < than.lines
}

func (t tally) less(n tally) tally {
	return tally{max(0, t.acks-n.acks), max(0, t.packets-n.packets), max(0, t.lines-n.lines)}
}

// count counts what has been received.
func count(data []byte, json bool) (n tally) {
	if json {
		return tally{lines: bytes.Count(data, []byte("\n"))}
	}
	d := wire.NewDecoder(0)
	for len(data) > 0 {
		used, ev := d.Next(data)
		data = data[used:]
		switch ev {
		case wire.AckByte, wire.NackByte:
			n.acks++
		case wire.Packet:
			n.packets++
		}
	}
	return n
}

// expectedTally counts what an exchange expects.
func expectedTally(x *exchange, json bool) tally {
	if json {
		return tally{lines: len(x.expects)}
	}
	var want []byte
	for _, l := range x.expects {
		for _, t := range l.tokens {
			if t.literal == nil {
				want = append(want, 'x') // whatever it is, it is within a packet
			}
			want = append(want, t.literal...)
		}
	}
	return count(want, false)
}

// due counts what the protocol has as answer to bytes that are sent.
func due(sent []byte, json bool) (n tally) {
	if json {
		if len(bytes.TrimSpace(sent)) > 0 {
			n.lines = 1
		}
		return n
	}
	d := wire.NewDecoder(wire.MaxPayload)
	for len(sent) > 0 {
		used, ev := d.Next(sent)
		sent = sent[used:]
		switch ev {
		case wire.BadEnd:
			n.acks++
		case wire.Packet:
			n.acks++
			if r, _ := wire.Match(d.Payload()); r == nil || r.Reply != wire.NoReply {
				n.packets++
			}
		}
	}
	return n
}

func show(p []byte) string {
	const most = 60
	if len(p) > most {
		return transcript.Escape(p[:most]) + "…"
	}
	if len(p) == 0 {
		return "nothing"
	}
	return transcript.Escape(p)
}
