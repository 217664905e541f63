// SPDX-License-Identifier: Apache-2.0

// Package published holds the recordings of the published stub (QEMU 7.2.22 with the v5 series of 2023) and plays the client's half
// of one against another stub. What the published stub answered is what is expected, apart from the differences that the
// specification names; they are spelled out in differences.go, and a replay says which of them it met. It imports wire and
// transcript only, and talks to the connection that it is given.
package published

import (
	"bytes"
	"embed"
	"fmt"
	"strings"

	"mcdtest/harness/transcript"
	"mcdtest/stub/wire"
)

//go:embed recordings
var recordings embed.FS

// Names of the recordings.
const (
	Client  = "published-client.txt"  // two sessions of the real client
	Control = "published-control.txt" // go, step, break, triggers, state
	Framing = "published-framing.txt" // acknowledgements, ends, limits, NULs, numbers; ends with kill
	Tables  = "published-tables.txt"  // lists, registers, memory, triggers
)

// The guest of Control, Framing and Tables: code at CodeAddr, where the core starts, and a counter that it increments. Client has no
// guest.
const (
	CodeAddr    = 0x40200000
	CounterAddr = 0x40210000
)

// Code is the guest's: eight instructions and the address of the counter, in the order of memory.
var Code = []byte{
	0x00, 0x00, 0xa0, 0xe3, // mov r0,#0
	0x14, 0x10, 0x9f, 0xe5, // ldr r1,=counter
	0x00, 0x20, 0xa0, 0xe3, // mov r2,#0
	0x01, 0x00, 0x80, 0xe2, // loop: add r0,r0,#1
	0x00, 0x00, 0x81, 0xe5, // str r0,[r1]
	0x00, 0x30, 0x91, 0xe5, // ldr r3,[r1]
	0x03, 0x20, 0x82, 0xe0, // add r2,r2,r3
	0xfa, 0xff, 0xff, 0xea, // b loop
	0x00, 0x00, 0x21, 0x40,
}

// Recording is one conversation with one QEMU.
type Recording struct {
	Name        string
	QEMU        []string // the command line; PORT and loop.elf stand for what was different each time
	Connections []Connection
}

// Connection is what one client said and heard.
type Connection struct {
	Exchanges []Exchange
}

// Exchange is a chunk that the client sent, and all that came back before it sent the next one.
type Exchange struct {
	Line int    // of the chunk, in the recording
	Note string // the comment above it
	Sent []byte
	Want []Token
}

// Token is a piece of a stub's stream.
type Token struct {
	Kind    byte // '+', '-', '$', or 'E' for the end of the connection
	Payload string
}

const closed = 'E'

func (t Token) String() string {
	switch t.Kind {
	case wire.Start:
		return "$" + t.Payload + "#|"
	case closed:
		return "(closed)"
	}
	return string(t.Kind)
}

func describe(tokens []Token) string {
	if len(tokens) == 0 {
		return "nothing"
	}
	words := make([]string, len(tokens))
	for i, t := range tokens {
		words[i] = t.String()
		if len(words[i]) > 240 {
			words[i] = fmt.Sprintf("%s… (%d bytes)", words[i][:200], len(words[i]))
		}
	}
	return strings.Join(words, " ")
}

// Load reads a recording.
func Load(name string) (*Recording, error) {
	text, err := recordings.ReadFile("recordings/" + name)
	if err != nil {
		return nil, fmt.Errorf("there is no recording %s: %w", name, err)
	}
	lines, err := transcript.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("recording %s: %w", name, err)
	}
	r := &Recording{Name: name}
	note := ""
	// What came since the last chunk of the client.
	var stream []byte
	ended := false
	exchanges := func() *[]Exchange {
		if len(r.Connections) == 0 {
			r.Connections = append(r.Connections, Connection{})
		}
		return &r.Connections[len(r.Connections)-1].Exchanges
	}
	settle := func(line int) error {
		var list []Exchange
		if n := len(r.Connections); n > 0 {
			list = r.Connections[n-1].Exchanges
		}
		if len(stream) == 0 && !ended {
			return nil // the last chunk has no answer, or it has been seen to
		}
		if len(list) == 0 {
			if len(stream) > 0 {
				return fmt.Errorf("recording %s, line %d: the stub speaks first", name, line)
			}
			return nil
		}
		var s splitter
		s.add(stream)
		if ended {
			s.tokens = append(s.tokens, Token{Kind: closed})
		}
		if s.open() || len(s.stray) > 0 {
			return fmt.Errorf("recording %s, line %d: what came before is no sequence of packets: %q", name, line, stream)
		}
		list[len(list)-1].Want = s.tokens
		stream, ended = nil, false
		return nil
	}
	for i, line := range lines {
		switch line.Kind {
		case transcript.Comment:
			switch {
			case strings.HasPrefix(line.Text, "qemu-system"):
				r.QEMU = strings.Fields(line.Text)
			case line.Text == "connection" || strings.HasPrefix(line.Text, "qemu: "):
				if err := settle(i + 1); err != nil {
					return nil, err
				}
				if line.Text == "connection" {
					r.Connections = append(r.Connections, Connection{})
				}
			case line.Text == "(connection closed by the stub)":
				ended = true
			case strings.HasPrefix(line.Text, "stderr: "):
			default:
				note = line.Text
			}
		case transcript.Sent:
			if err := settle(i + 1); err != nil {
				return nil, err
			}
			list := exchanges()
			*list = append(*list, Exchange{Line: i + 1, Note: note, Sent: line.Data})
		case transcript.Received:
			stream = append(stream, line.Data...)
		case transcript.ReceivedEOF:
			ended = true
		}
	}
	if err := settle(len(lines)); err != nil {
		return nil, err
	}
	return r, nil
}

// splitter takes a stub's stream apart, byte by byte.
type splitter struct {
	tokens []Token
	stray  []byte // bytes between packets that mean nothing
	packet []byte // the packet in progress, with its '$'
}

func (s *splitter) open() bool { return len(s.packet) > 0 }

func (s *splitter) add(p []byte) {
	for _, c := range p {
		switch {
		case len(s.packet) > 0:
			s.packet = append(s.packet, c)
			if n := len(s.packet); s.packet[n-2] == wire.End && (c == wire.LastPacket || c == wire.MorePackets) {
				s.tokens = append(s.tokens, Token{wire.Start, string(s.packet[1 : n-2])})
				s.packet = s.packet[:0]
			}
		case c == wire.Start:
			s.packet = append(s.packet, c)
		case c == wire.Ack, c == wire.Nack:
			s.tokens = append(s.tokens, Token{Kind: c})
		default:
			s.stray = append(s.stray, c)
		}
	}
}
