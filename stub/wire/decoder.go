// SPDX-License-Identifier: Apache-2.0

package wire

import "bytes"

// Event is what the Decoder found.
type Event uint8

// Events.
const (
	NeedMore  Event = iota // all bytes are consumed and nothing is complete
	Packet                 // Payload holds the payload of a well-formed packet
	AckByte                // '+' between packets
	NackByte               // '-' between packets
	BadEnd                 // neither '|' nor '~' behind '#': the packet is dropped, the receiver answers '-'
	TooLong                // the payload exceeded the limit: dropped, no answer
	NULInside              // a NUL in the payload: dropped, no answer
)

// Decoder splits a byte stream into packets and acknowledgements. It keeps its state between calls, so chunks of the
// stream may be cut anywhere. Bytes between packets that mean nothing are skipped.
type Decoder struct {
	limit   int
	state   uint8
	payload []byte
}

const (
	idle uint8 = iota
	inPayload
	behindEnd
)

// NewDecoder makes a Decoder for payloads of at most limit bytes; limit 0 means none.
func NewDecoder(limit int) *Decoder { return &Decoder{limit: limit} }

// Next consumes bytes of b up to and with the one that completes an event, and returns how many.
func (d *Decoder) Next(b []byte) (n int, ev Event) {
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch d.state {
		case idle:
			switch c {
			case Start:
				d.state = inPayload
				d.payload = d.payload[:0]
			case Ack:
				return i + 1, AckByte
			case Nack:
				return i + 1, NackByte
			}
		case inPayload:
			switch {
			case c == End:
				d.state = behindEnd
			case c == 0:
				d.state = idle
				return i + 1, NULInside
			case d.limit > 0 && len(d.payload) >= d.limit:
				d.state = idle
				return i + 1, TooLong
			default:
				run := d.run(b[i:])
				d.payload = append(d.payload, run...)
				i += len(run) - 1
			}
		case behindEnd:
			d.state = idle
			if c == LastPacket || c == MorePackets {
				return i + 1, Packet
			}
			return i + 1, BadEnd
		}
	}
	return len(b), NeedMore
}

// run is what a payload goes on with, up to what has a meaning of its own and no more than there is room for.
func (d *Decoder) run(b []byte) []byte {
	if d.limit > 0 {
		b = b[:min(len(b), d.limit-len(d.payload))]
	}
	if end := bytes.IndexByte(b, End); end >= 0 {
		b = b[:end]
	}
	if null := bytes.IndexByte(b, 0); null >= 0 {
		b = b[:null]
	}
	return b
}

// Payload is that of the last Packet event; it is valid until the next call of Next.
func (d *Decoder) Payload() []byte { return d.payload }

// Inside reports whether the stream stands within a packet.
func (d *Decoder) Inside() bool { return d.state != idle }
