// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"strings"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"mcdtest/harness/rawclient"
)

// The bytes of these specs are written by hand, not by the package that the stub frames with.

func framingSpec(name string, s Spec, body func(ctx context.Context, r *Rig, c *rawclient.Client)) bool {
	s.Subject, s.Name, s.Dialects = "framing", name, packetOnly
	s.Labels = append(s.Labels, "wire")
	s.Body = func(ctx context.Context, r *Rig) {
		c := r.Packets(ctx)
		body(ctx, r, c)
		// Whatever happened, the next good request is answered, here and on a new connection.
		say(ctx, c, "$qsystem#|", "+$qsystem-reply")
		Expect(c.Close()).To(Succeed())
		say(ctx, r.Packets(ctx), "$qsystem#|", "+$qsystem-reply")
	}
	return register(s)
}

// systemReply is the reply to qsystem; it needs nothing to be open.
const systemReply = "$qemu-system#|"

// say sends bytes and expects bytes, where $qsystem-reply stands for the reply to qsystem.
func say(ctx context.Context, c *rawclient.Client, send, want string) {
	ginkgo.GinkgoHelper()
	Expect(c.Send(ctx, []byte(send))).To(Succeed())
	Expect(c.Expect(ctx, []byte(strings.ReplaceAll(want, "$qsystem-reply", systemReply)))).To(Succeed(), "after %.200q", send)
}

// nothing makes sure that a chunk is not answered: the answer to a request behind it comes first.
func nothing(ctx context.Context, c *rawclient.Client, send string) {
	ginkgo.GinkgoHelper()
	Expect(c.Send(ctx, []byte(send))).To(Succeed())
	say(ctx, c, "$qsystem#|", "+$qsystem-reply")
}

var _ = framingSpec("a request is acknowledged and answered", Spec{}, func(ctx context.Context, _ *Rig, c *rawclient.Client) {
	say(ctx, c, "$I#|", "+$shaking your hand#|")
	say(ctx, c, "$qsystem#|", "+$qemu-system#|")
})

var _ = framingSpec("a nack makes the stub send its last packet again, as often as asked", Spec{Fast: true}, func(ctx context.Context, _ *Rig, c *rawclient.Client) {
	say(ctx, c, "$qsystem#|", "+$qsystem-reply")
	for range 3 {
		say(ctx, c, "-", "$qsystem-reply")
	}
	say(ctx, c, "--", "$qsystem-reply$qsystem-reply")
	// It is the last one, not the first.
	say(ctx, c, "$I#|", "+$shaking your hand#|")
	say(ctx, c, "-", "$shaking your hand#|")
})

var _ = framingSpec("an ack, and a new packet, discard the kept packet", Spec{Fast: true}, func(ctx context.Context, _ *Rig, c *rawclient.Client) {
	say(ctx, c, "$qsystem#|", "+$qsystem-reply")
	nothing(ctx, c, "+-")
	say(ctx, c, "+", "")
	nothing(ctx, c, "--")
	nothing(ctx, c, "$qsystem-")        // '-' inside a packet is data: the packet goes on until "$qsystem#|" ends it
	say(ctx, c, "$qstate#x", "-")       // a bad packet discards it as well
	nothing(ctx, c, "-")                // so there is nothing to send again
	say(ctx, c, "-+", "$qsystem-reply") // a nack in front of an ack still counts
	nothing(ctx, c, "-")
})

var _ = framingSpec("bytes between packets are skipped", Spec{Fast: true}, func(ctx context.Context, _ *Rig, c *rawclient.Client) {
	say(ctx, c, "xyz\r\n #|~$qsystem#|", "+$qsystem-reply")
	say(ctx, c, "\xff\x80\x01\x7f$qsystem#|", "+$qsystem-reply")
	say(ctx, c, strings.Repeat("z", 5000)+"$qsystem#|", "+$qsystem-reply")
})

var _ = framingSpec("a packet may come byte by byte", Spec{}, func(ctx context.Context, _ *Rig, c *rawclient.Client) {
	Expect(c.SendBytewise(ctx, []byte("$qsystem#|"))).To(Succeed())
	Expect(c.Expect(ctx, []byte("+"+systemReply))).To(Succeed())
})

var _ = framingSpec("a packet may come in two chunks, cut anywhere", Spec{}, func(ctx context.Context, _ *Rig, c *rawclient.Client) {
	const packet = "$qsystem#|"
	for cut := 1; cut < len(packet); cut++ {
		Expect(c.Send(ctx, []byte(packet[:cut]))).To(Succeed())
		say(ctx, c, packet[cut:], "+$qsystem-reply")
	}
})

var _ = framingSpec("several packets in a chunk are answered in order", Spec{}, func(ctx context.Context, _ *Rig, c *rawclient.Client) {
	say(ctx, c, "$I#|$qsystem#|$zz#|$qsystem#|", "+$shaking your hand#|+$qsystem-reply+$#|+$qsystem-reply")
	n := 50
	say(ctx, c, strings.Repeat("$qsystem#|", n), strings.Repeat("+$qsystem-reply", n))
	// Cut in the middle of one of them.
	Expect(c.Send(ctx, []byte("$qsystem#|$qsys"))).To(Succeed())
	Expect(c.Expect(ctx, []byte("+"+systemReply))).To(Succeed())
	say(ctx, c, "tem#|", "+$qsystem-reply")
})

var _ = framingSpec("NULs between packets are skipped, as the published client pads with them", Spec{Fast: true, Labels: []string{"ours"}},
	func(ctx context.Context, _ *Rig, c *rawclient.Client) {
		say(ctx, c, "$qsystem#|"+strings.Repeat("\x00", 1014), "+$qsystem-reply")
		say(ctx, c, "\x00\x00$qsystem#|\x00$I#|\x00", "+$qsystem-reply+$shaking your hand#|")
	})

var _ = framingSpec("a NUL inside a packet drops it", Spec{Fast: true, Labels: []string{"ours"}}, func(ctx context.Context, _ *Rig, c *rawclient.Client) {
	nothing(ctx, c, "$qsys\x00tem#|")
	nothing(ctx, c, "$\x00")
	nothing(ctx, c, "$qsystem\x00#|")
})

var _ = framingSpec("either end mark ends a packet", Spec{}, func(ctx context.Context, _ *Rig, c *rawclient.Client) {
	say(ctx, c, "$qsystem#~", "+$qsystem-reply")
	say(ctx, c, "$qsystem#|", "+$qsystem-reply")
})

var _ = framingSpec("any other end mark is answered with a nack, and the packet is dropped", Spec{Fast: true}, func(ctx context.Context, _ *Rig, c *rawclient.Client) {
	for _, end := range []string{"x", "#", "$", "+", "-", " ", "0", "\n", "\xff", "}"} {
		say(ctx, c, "$qsystem#"+end, "-")
		say(ctx, c, "$qsystem#|", "+$qsystem-reply")
	}
	say(ctx, c, "$C1;0#x", "-")
})

var _ = framingSpec("a payload of 1,023 bytes is taken, a longer one is dropped without an answer", Spec{Fast: true}, func(ctx context.Context, _ *Rig, c *rawclient.Client) {
	for _, n := range []int{1, 1022, 1023} {
		say(ctx, c, "$"+strings.Repeat("x", n)+"#|", "+$#|")
		say(ctx, c, "$qsystem"+strings.Repeat("x", max(0, n-7))+"#|", "+$qsystem-reply")
	}
	for _, n := range []int{1024, 1025, 1100, 4096, 70000} {
		nothing(ctx, c, "$"+strings.Repeat("x", n)+"#|")
	}
	// The rest of an over-long packet is between packets, so a '$' in it starts one.
	say(ctx, c, "$"+strings.Repeat("x", 1024)+"$qsystem#|", "+$qsystem-reply")
})

var _ = framingSpec("a dollar inside a packet is data", Spec{Fast: true}, func(ctx context.Context, _ *Rig, c *rawclient.Client) {
	say(ctx, c, "$qs$qsystem#|", "+$#|")
	say(ctx, c, "$$qsystem#|", "+$#|")
	say(ctx, c, "$qsystem$#|", "+$qsystem-reply")
})

var _ = framingSpec("unknown requests and the empty one get the empty packet", Spec{}, func(ctx context.Context, _ *Rig, c *rawclient.Client) {
	for _, payload := range []string{"", "x", "z1;2;3", "q", "qfoo", "QSYSTEM", "qreset", "qmemory", "qreg", "qreggroup", "qsyste", "\x01", "\xff", " I", "|", "~"} {
		say(ctx, c, "$"+payload+"#|", "+$#|")
	}
})

var _ = framingSpec("only the start of a payload has to match", Spec{}, func(ctx context.Context, _ *Rig, c *rawclient.Client) {
	say(ctx, c, "$qsystemX#|", "+$qsystem-reply")
	say(ctx, c, "$I123#|", "+$shaking your hand#|")
	say(ctx, c, "$qsystem;1;2#|", "+$qsystem-reply")
})

var _ = framingSpec("a request without a reply gets its acknowledgement and nothing else", Spec{Fast: true}, func(ctx context.Context, _ *Rig, c *rawclient.Client) {
	say(ctx, c, "$I#|", "+$shaking your hand#|")
	for _, payload := range []string{"i0", "b0;0", "d0"} {
		say(ctx, c, "$"+payload+"#|$qsystem#|", "++$qsystem-reply")
	}
})
