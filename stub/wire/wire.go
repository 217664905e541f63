// SPDX-License-Identifier: Apache-2.0

// Package wire is the vocabulary of the packet dialect (QEMU's MCD patch series of 2023): framing, request names, their
// arguments and limits. It does no I/O. The stub dispatches by its table, the client builds requests from it, and the
// hostile-input specs and the shell are generated from it.
package wire

// Limits and names of the transport.
const (
	MaxPayload   = 1023 // bytes of payload towards the stub; a longer packet is dropped without an answer
	ClientBuffer = 4096 // receive buffer of the published client, and so the longest reply it can take
	Padding      = 1024 // the published client pads every send to this many bytes with NULs
	DefaultPort  = 1235 // of -mcd default

	Ack         = '+'
	Nack        = '-'
	Start       = '$'
	End         = '#'
	LastPacket  = '|' // behind End: the message is complete
	MorePackets = '~' // behind End: more packets of this message follow
	Separator   = ';' // between arguments
)

// Words of replies.
const (
	Handshake = "shaking your hand"
	Success   = "success"
	Failure   = "error"
)

// AppendPacket appends the packet with the given payload to dst.
func AppendPacket(dst, payload []byte) []byte {
	dst = append(dst, Start)
	dst = append(dst, payload...)
	return append(dst, End, LastPacket)
}
