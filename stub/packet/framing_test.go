// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"strings"
	"testing"
)

const systemReply = "$qemu-system#|"

func TestFraming(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, test := range []struct{ name, send, want string }{
		{"a packet", "$qsystem#|", "+" + systemReply},
		{"more packets follow", "$qsystem#~", "+" + systemReply},
		{"two packets", "$qsystem#|$qtrig#|", "+" + systemReply + "+$#|"},
		{"bytes between packets", "xyz|#~\r\n$qsystem#|", "+" + systemReply},
		{"bad end", "$qsystem#x$qsystem#|", "-+" + systemReply},
		{"# as end", "$qsystem##|$qsystem#|", "-+" + systemReply},
		{"$ as end", "$qsystem#$qsystem#|$qsystem#|", "-+" + systemReply},
		{"NUL as end", "$qsystem#\x00$qsystem#|", "-+" + systemReply},
		{"empty", "$#|", "+$#|"},
		{"unknown", "$x#|", "+$#|"},
		{"unknown query", "$qfoo#|", "+$#|"},
		{"half a query", "$q#|$qreg#|$qregg#|", "+$#|+$#|+$#|"},
		{"wrong case", "$QSYSTEM#|", "+$#|"},
		{"only the start has to match", "$qsystemfoo#|$I123#|", "+" + systemReply + "+$shaking your hand#|"},
		{"1,022 bytes", "$" + x(1022) + "#|", "+$#|"},
		{"1,023 bytes", "$" + x(1023) + "#|", "+$#|"},
		{"1,024 bytes", "$" + x(1024) + "#|", ""},
		{"much too long", "$" + x(100000) + "#|", ""},
		{"a packet in the rest of a long one", "$" + x(1100) + "$qsystem#|", "+" + systemReply},
		{"$ as the byte that does not fit", "$" + x(1023) + "$qsystem#|", ""},
		{"padding", "$qsystem#|" + strings.Repeat("\x00", 1014), "+" + systemReply},
		{"a packet behind a NUL", "$qsystem#|\x00$qsystem#|", "+" + systemReply + "+" + systemReply},
		{"NUL in a packet", "$qsys\x00tem#|", ""},
		{"$ in a packet", "$qs$qsystem#|", "+$#|"},
		{"ack in a packet", "$qsystem+-#|", "+" + systemReply},
		{"8 bits", "$\x80\xff#|", "+$#|"},
		{"nothing to send again", "-", ""},
		{"again", "$qsystem#|--", "+" + systemReply + systemReply + systemReply},
		{"not after an ack", "$qsystem#|+-", "+" + systemReply},
		{"not after a new packet", "$qsystem#|$i0#|-", "+" + systemReply + "+"},
		{"not after a bad packet", "$qsystem#|$i0#x-", "+" + systemReply + "-"},
		{"not after a packet that is too long", "$qsystem#|$" + x(1024) + "-", "+" + systemReply},
		{"not after a packet with a NUL", "$qsystem#|$q\x00-", "+" + systemReply},
		{"again, across what means nothing", "$qsystem#|\x00xyz-", "+" + systemReply + systemReply},
		{"an empty reply again", "$x#|-", "+$#|$#|"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := NewDialect(loop(t, nil), nil, Options{})
			whole := connect(t, d)
			whole.send(test.send)
			whole.expect(test.want)
			whole.settled()

			single := connect(t, d)
			for i := range len(test.send) {
				single.send(test.send[i : i+1])
			}
			single.expect(test.want)
			single.settled()
		})
	}
}

func TestThePacketStateBelongsToTheConnection(t *testing.T) {
	d := NewDialect(loop(t, nil), nil, Options{})
	first := connect(t, d)
	first.send("$qsystem#|$qsys")
	first.expect("+" + systemReply)
	first.conn.Close()
	if err := first.ended(); err != nil {
		t.Errorf("a client that leaves within a packet: %v", err)
	}
	second := connect(t, d)
	second.send("-tem#|")
	second.settled()
}
