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

// complete reports whether received bytes have as many acknowledgements and packets, or lines, as an exchange expects.
func (p *player) complete(data []byte, x *exchange) bool {
	if p.script.json {
		return bytes.Count(data, []byte("\n")) >= len(x.expects)
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
	return !fewer(count(data), count(want))
}

func fewer(a, b [2]int) bool { return a[0] < b[0] || a[1] < b[1] }

// count counts acknowledgements, of either kind, and packets.
func count(data []byte) (n [2]int) {
	d := wire.NewDecoder(0)
	for len(data) > 0 {
		used, ev := d.Next(data)
		data = data[used:]
		switch ev {
		case wire.AckByte, wire.NackByte:
			n[0]++
		case wire.Packet:
			n[1]++
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
