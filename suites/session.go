// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/gomega"

	"mcdtest/harness/debugger"
)

func sessionSpec(name string, s Spec, body func(ctx context.Context, r *Rig)) bool {
	s.Subject, s.Name, s.Body = "session", name, body
	return register(s)
}

var _ = sessionSpec("it opens, closes and opens again", Spec{Fast: true}, func(ctx context.Context, r *Rig) {
	for range 3 {
		d := r.Debugger(ctx)
		_, err := debugger.PC(ctx, d, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(d.Close(ctx)).To(Succeed())
	}
})

var _ = sessionSpec("D removes every trigger and lets the machine run", Spec{Fast: true, Dialects: packetOnly, Labels: []string{"observer", "ours"}},
	func(ctx context.Context, r *Rig) {
		d := r.Debugger(ctx)
		r.ToLoop(ctx, d)
		Expect(d.Insert(ctx, 0, r.exec("store"))).To(Succeed())
		Expect(d.Insert(ctx, 0, r.watch(debugger.Access, "counter"))).To(Succeed())
		Expect(d.Close(ctx)).To(Succeed())
		r.ExpectRunState(ctx, "running")
		r.ExpectGrowth(ctx, 0)
		c := r.second(ctx)
		Expect(c.RemoveTrigger(ctx, 0, 1, r.Guest().Addr("store"))).To(MatchError(debugger.ErrRefused), "the breakpoint is gone")
		r.ExpectGrowth(ctx, 0)
	})

var _ = sessionSpec("a disconnect without D leaves the machine and its triggers as they are", Spec{Fast: true, Dialects: packetOnly, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig) {
		d := r.Debugger(ctx)
		r.ToLoop(ctx, d)
		Expect(d.Insert(ctx, 0, r.exec("store"))).To(Succeed())
		c := r.second(ctx)
		r.ExpectRunState(ctx, "debug")
		s, err := c.State(ctx, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(s.Name).To(Equal("debug"))
		Expect(c.Go(ctx, false, 0)).To(Succeed())
		d = r.reopen(ctx)
		_, err = d.WaitStopped(ctx, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(debugger.PC(ctx, d, 0)).To(Equal(r.Guest().Addr("store")))
		r.ExpectRunState(ctx, "debug")
	})

var _ = sessionSpec("a client that vanishes while the core runs leaves it running", Spec{Dialects: packetOnly, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig) {
		d := r.Debugger(ctx)
		r.ToLoop(ctx, d)
		Expect(d.Go(ctx, 0)).To(Succeed())
		d = r.reopen(ctx)
		r.ExpectGrowth(ctx, 0)
		r.ExpectRunState(ctx, "running")
		Expect(d.Stop(ctx, 0)).To(Succeed())
		_, err := d.WaitStopped(ctx, 0)
		Expect(err).NotTo(HaveOccurred())
	})

// reopen drops every connection and opens a session on a new one.
func (r *Rig) reopen(ctx context.Context) debugger.Debugger {
	r.hangUp()
	return r.Debugger(ctx)
}

var _ = sessionSpec("a client that ends in the middle of a packet does not disturb the next", Spec{Fast: true, Dialects: packetOnly, Labels: []string{"wire", "ours"}},
	func(ctx context.Context, r *Rig) {
		for _, half := range []string{"$", "$qsys", "$qsystem#", "$M0;1;1075838976;4;0000", "$C1;0", "$C1;0#"} {
			c := r.Packets(ctx)
			Expect(c.Send(ctx, []byte("$qsystem#|"))).To(Succeed())
			Expect(c.Expect(ctx, []byte("+"+systemReply))).To(Succeed())
			Expect(c.Send(ctx, []byte(half))).To(Succeed())
			r.hangUp()
			c = r.Packets(ctx)
			say(ctx, c, "$qsystem#|", "+$qsystem-reply")
			r.hangUp()
		}
		r.ExpectRunState(ctx, "prelaunch")
	})

var _ = sessionSpec("the kept packet belongs to the connection", Spec{Fast: true, Dialects: packetOnly, Labels: []string{"wire", "ours"}},
	func(ctx context.Context, r *Rig) {
		c := r.Packets(ctx)
		say(ctx, c, "$qsystem#|", "+$qsystem-reply")
		r.hangUp()
		c = r.Packets(ctx)
		nothing(ctx, c, "-")
	})

var _ = sessionSpec("a second client waits until the first has left", Spec{Fast: true, Dialects: packetOnly}, func(ctx context.Context, r *Rig) {
	first := r.Packets(ctx)
	say(ctx, first, "$qsystem#|", "+$qsystem-reply")
	second := r.Packets(ctx)
	Expect(second.Send(ctx, []byte("$qsystem#|"))).To(Succeed())
	Expect(second.ExpectSilence(ctx, 50*time.Millisecond)).To(Succeed(), "while the first is served")
	say(ctx, first, "$qsystem#|", "+$qsystem-reply")
	Expect(first.Close()).To(Succeed())
	Expect(second.Expect(ctx, []byte("+"+systemReply))).To(Succeed(), "after the first has left")
})

var _ = sessionSpec("opening and closing twice, and in the wrong order, harms nothing", Spec{Dialects: packetOnly, Labels: []string{"ours"}},
	func(ctx context.Context, r *Rig) {
		c := r.Packets(ctx)
		for _, payload := range []string{"d0", "i0", "i0", "d0", "d0", "i0"} {
			Expect(c.Do(ctx, payload)).To(BeNil(), payload)
		}
		for range 2 {
			Expect(c.OpenServer(ctx)).To(Equal("shaking your hand"))
		}
		Expect(c.OpenCore(ctx, 0)).To(Succeed())
		var p [4]byte
		Expect(c.ReadMemory(ctx, 0, 1, r.Guest().Addr("loop"), p[:])).To(Succeed())
		for range 2 {
			Expect(c.CloseServer(ctx)).To(Succeed())
		}
		r.ExpectRunState(ctx, "running")
		cores, err := c.Cores(ctx)
		Expect(err).NotTo(HaveOccurred(), "qcores after D")
		Expect(cores.Count).To(Equal(r.Machine.Cores()))
	})

var _ = sessionSpec("many clients in a row are served", Spec{Labels: []string{"ours"}}, func(ctx context.Context, r *Rig) {
	for i := range 40 {
		d := r.Session(ctx)
		Expect(d.Open(ctx)).To(Succeed(), fmt.Sprintf("client %d", i))
		r.hangUp()
	}
})

var _ = sessionSpec("a client that never reads does not stop the machine, and later ones are served", Spec{Fast: true, Dialects: packetOnly, Labels: []string{"observer", "ours"}},
	func(ctx context.Context, r *Rig) {
		d := r.Debugger(ctx)
		r.ToLoop(ctx, d)
		Expect(d.Go(ctx, 0)).To(Succeed())
		r.hangUp()
		conn := r.Connect(ctx)
		flood := []byte("$qcores#|$qtrigger#|$qsystem#|")
		for range 2000 {
			if conn.SetWriteDeadline(time.Now().Add(100*time.Millisecond)) != nil {
				break
			}
			if _, err := conn.Write(flood); err != nil {
				break // the stub has stopped to read, as it may
			}
		}
		r.ExpectGrowth(ctx, 0)
		r.ExpectRunState(ctx, "running")
		r.hangUp()
		d = r.Debugger(ctx)
		Expect(d.Stop(ctx, 0)).To(Succeed())
	})

var _ = sessionSpec("what a session's first client set up the next one finds", Spec{Dialects: packetOnly, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig) {
		d := r.Debugger(ctx)
		r.ToLoop(ctx, d)
		Expect(debugger.SetRegisterValue(ctx, d, 0, r.Guest().FreeRegisters()[0].Name, 0x1234)).To(Succeed())
		d = r.reopen(ctx)
		Expect(debugger.RegisterValue(ctx, d, 0, r.Guest().FreeRegisters()[0].Name)).To(BeEquivalentTo(0x1234))
		Expect(debugger.PC(ctx, d, 0)).To(Equal(r.Guest().Addr("loop")))
	})
