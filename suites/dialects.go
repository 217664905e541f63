// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"slices"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"mcdtest/harness"
	"mcdtest/harness/debugger"
	"mcdtest/stub/jsonwire"
)

// An endpoint that speaks both dialects has one machine behind them: what a client of one has done is what a client of the other
// finds. The case's dialect is that of the client that comes first.

func dialectSpec(name string, s Spec, body func(ctx context.Context, r *Rig)) bool {
	s.Subject, s.Name, s.NoStart = "dialects", name, true
	s.Labels = append(s.Labels, "ours")
	s.Body = func(ctx context.Context, r *Rig) {
		cfg := r.Spec.Config()
		cfg.AnyDialect = true
		r.StartMachine(ctx, cfg)
		body(ctx, r)
	}
	return register(s)
}

// other is the dialect that is not the case's.
func (r *Rig) other() harness.Dialect {
	if r.Dialect == harness.JSON {
		return harness.Packet
	}
	return harness.JSON
}

// next drops the connection of whoever was there, without a word, and opens a session in a dialect.
func (r *Rig) next(ctx context.Context, dialect harness.Dialect) debugger.Debugger {
	ginkgo.GinkgoHelper()
	r.hangUp()
	var d debugger.Debugger
	if dialect == harness.JSON {
		d = debugger.NewJSON(r.Objects(ctx))
	} else {
		d = debugger.NewPacket(r.Packets(ctx))
	}
	Expect(d.Open(ctx)).To(Succeed())
	return d
}

// hitUntold lets core 0 run into a trigger, and asks for no state, so that the hit is still to be told. That QMP tells of it does not
// mean that the endpoint knows it; to ask for a register does.
func (r *Rig) hitUntold(ctx context.Context, d debugger.Debugger, tr debugger.Trigger) {
	ginkgo.GinkgoHelper()
	_, err := r.RunState(ctx) // what was before is not among the events that come after the answer
	Expect(err).NotTo(HaveOccurred())
	events, err := r.QMP().Events(ctx)
	Expect(err).NotTo(HaveOccurred())
	Expect(d.Insert(ctx, 0, tr)).To(Succeed())
	Expect(d.Go(ctx, 0)).To(Succeed())
	for _, event := range []string{"RESUME", "STOP"} {
		Eventually(events).WithContext(ctx).WithTimeout(growTimeout).Should(Receive(HaveField("Event", event)), "QMP's event when the core runs into the %v", tr)
	}
	r.ExpectRunState(ctx, "debug")
	Expect(debugger.PC(ctx, d, 0)).To(And(BeNumerically(">=", r.Guest().Addr("loop")), BeNumerically("<", r.Guest().Addr("loop_end"))))
}

// expectReason makes sure what a client is told of the stop of core 0, and that it is told once. The JSON dialect tells triggers by
// their id and nothing else, so that of the other client's trigger has to be looked up.
func (r *Rig) expectReason(ctx context.Context, d debugger.Debugger, want debugger.Trigger) {
	ginkgo.GinkgoHelper()
	o, isJSON := d.(*debugger.JSON)
	if !isJSON {
		s, err := d.State(ctx, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect([]any{s.Status, s.Trigger}).To(Equal([]any{debugger.Debug, want.Type}), "%v", s)
		if want.Type > debugger.Exec {
			Expect(s.Addr).To(Equal(want.Addr), "%v", s)
		}
	} else {
		uid := o.CoreUIDs()[0]
		s, err := o.Client().QryState(ctx, uid)
		Expect(err).NotTo(HaveOccurred())
		Expect([]any{s.State, s.Event}).To(Equal([]any{jsonwire.CoreStateDebug, jsonwire.CoreEventTriggerChange}), "%+v", s)
		t, err := o.Client().QryTrig(ctx, uid, s.TrigID)
		Expect(err).NotTo(HaveOccurred())
		Expect(t.SimpleCore).NotTo(BeNil())
		Expect([]any{t.SimpleCore.Type, t.SimpleCore.AddrStart.Address}).To(Equal([]any{trigTypes[want.Type-debugger.Exec], want.Addr}))
		state, err := o.Client().QryTrigState(ctx, uid, s.TrigID)
		Expect(err).NotTo(HaveOccurred())
		Expect(state.Captured).To(BeTrue(), "captured of the trigger that stopped the core")
	}
	expectToldBefore(ctx, d)
}

// expectNoTrigger makes sure that core 0 stands, and that no trigger is told as the reason.
func expectNoTrigger(ctx context.Context, d debugger.Debugger) {
	ginkgo.GinkgoHelper()
	if o, ok := d.(*debugger.JSON); ok {
		s, err := o.Client().QryState(ctx, o.CoreUIDs()[0])
		Expect(err).NotTo(HaveOccurred())
		Expect([]any{s.State, s.Event & jsonwire.CoreEventTriggerChange, s.TrigID}).To(Equal([]any{jsonwire.CoreStateDebug, jsonwire.CoreEventNone, uint32(0)}), "%+v", s)
		return
	}
	s, err := d.State(ctx, 0)
	Expect(err).NotTo(HaveOccurred())
	Expect(s.Standing()).To(BeTrue(), "%v", s)
	Expect(s.Trigger).To(BeZero(), "%v", s)
}

// expectStopTold makes sure that a stop by a client is told, once.
func expectStopTold(ctx context.Context, d debugger.Debugger) {
	ginkgo.GinkgoHelper()
	if o, ok := d.(*debugger.JSON); ok {
		s, err := o.Client().QryState(ctx, o.CoreUIDs()[0])
		Expect(err).NotTo(HaveOccurred())
		Expect([]any{s.State, s.Event, s.TrigID}).To(Equal([]any{jsonwire.CoreStateDebug, jsonwire.CoreEventStopped, uint32(0)}), "%+v", s)
	} else {
		s, err := d.State(ctx, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect([]any{s.Status, s.Reason}).To(Equal([]any{debugger.Debug, debugger.Stopped}), "%v", s)
	}
	expectToldBefore(ctx, d)
}

// expectToldBefore makes sure that core 0 stands, and that no reason is told.
func expectToldBefore(ctx context.Context, d debugger.Debugger) {
	ginkgo.GinkgoHelper()
	s, err := d.State(ctx, 0)
	Expect(err).NotTo(HaveOccurred())
	Expect(s.Standing()).To(BeTrue(), "%v", s)
	Expect([]any{s.Reason, s.Trigger}).To(Equal([]any{debugger.NoReason, debugger.TriggerType(0)}), "a stop that has been told: %v", s)
	if o, ok := d.(*debugger.JSON); ok {
		s, err := o.Client().QryState(ctx, o.CoreUIDs()[0])
		Expect(err).NotTo(HaveOccurred())
		Expect([]any{s.Event, s.TrigID}).To(Equal([]any{jsonwire.CoreEventNone, uint32(0)}), "a stop that has been told: %+v", s)
	}
}

var _ = dialectSpec("what a client of one writes, a client of the other reads", Spec{Fast: true, Labels: []string{"observer"}}, func(ctx context.Context, r *Rig) {
	scratch := r.Guest().Addr("scratch")
	write := func(d debugger.Debugger, p []byte, pc uint64) {
		ginkgo.GinkgoHelper()
		cores, err := d.Cores(ctx)
		Expect(err).NotTo(HaveOccurred())
		space, err := cores[0].Logical(false)
		Expect(err).NotTo(HaveOccurred())
		Expect(d.WriteMemory(ctx, 0, space.ID, scratch, p)).To(Succeed())
		Expect(debugger.SetPC(ctx, d, 0, pc)).To(Succeed())
	}
	read := func(d debugger.Debugger, p []byte, pc uint64) {
		ginkgo.GinkgoHelper()
		cores, err := d.Cores(ctx)
		Expect(err).NotTo(HaveOccurred())
		for _, find := range []func(bool) (debugger.Space, error){cores[0].Logical, cores[0].Physical} {
			space, err := find(false)
			Expect(err).NotTo(HaveOccurred())
			Expect(d.ReadMemory(ctx, 0, space.ID, scratch, len(p))).To(Equal(p), "memory in space %s", space.Name)
		}
		Expect(debugger.PC(ctx, d, 0)).To(Equal(pc))
	}
	d := r.next(ctx, r.Dialect)
	r.ToLoop(ctx, d)
	for i, dialect := range []harness.Dialect{r.other(), r.Dialect, r.other()} {
		p := []byte{byte(i) + 1, 0x80, 0xff, byte(^i), 0x24}
		pc := r.Guest().Addr(r.Guest().Labels()[i+1])
		write(d, p, pc)
		d = r.next(ctx, dialect)
		read(d, p, pc)
		Expect(r.Observe(ctx, scratch, len(p))).To(Equal(p), "as qtest sees it")
	}
})

var _ = dialectSpec("a core that one lets run is stopped by the other, and told to whoever asks first", Spec{Fast: true, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig) {
		d := r.next(ctx, r.Dialect)
		r.ToLoop(ctx, d)
		for i, dialect := range []harness.Dialect{r.other(), r.Dialect, r.other(), r.Dialect} {
			Expect(d.Go(ctx, debugger.AllCores)).To(Succeed())
			r.ExpectGrowth(ctx, 0)
			d = r.next(ctx, dialect)
			s, err := d.State(ctx, 0)
			Expect(err).NotTo(HaveOccurred())
			Expect(s.Status).To(Equal(debugger.Running), "%v", s)
			Expect(d.Stop(ctx, debugger.AllCores)).To(Succeed()) // which asks for no state, so the stop is still to be told
			r.ExpectRunState(ctx, stopped...)
			r.ExpectNoGrowth(ctx, 0)
			if i%2 == 1 { // told to the client of the other dialect, otherwise to the one that has stopped it
				d = r.next(ctx, r.other())
			}
			expectStopTold(ctx, d)
			d = r.next(ctx, r.other())
			expectToldBefore(ctx, d)
			d = r.next(ctx, r.Dialect)
			expectToldBefore(ctx, d)
		}
	})

var _ = dialectSpec("a hit that nobody was told of is told to the next client, whatever it speaks", Spec{Fast: true, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig) {
		d := r.next(ctx, r.Dialect)
		for _, tr := range []debugger.Trigger{r.exec("store"), r.watch(debugger.Read, "counter"), r.watch(debugger.Write, "counter"), r.watch(debugger.Access, "counter")} {
			r.ToLoop(ctx, d)
			r.hitUntold(ctx, d, tr)
			d = r.next(ctx, r.other())
			if r.Dialect == harness.JSON {
				// The trigger is gone with its client, and refused to be taken back.
				r.expectReason(ctx, d, tr)
				Expect(d.Remove(ctx, 0, tr)).To(MatchError(debugger.ErrRefused), "%v of a client that has left", tr)
			} else {
				r.expectReason(ctx, d, tr)
				o := d.(*debugger.JSON)
				Expect(o.Client().RemoveTrigSet(ctx, o.CoreUIDs()[0])).To(Succeed())
			}
			r.expectRunsOn(ctx, d)
			d = r.next(ctx, r.Dialect)
		}
	})

var _ = dialectSpec("triggers that a packet client leaves behind are in the set of a JSON client, which can remove them", Spec{Dialects: packetOnly, Fast: true, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig) {
		d := r.next(ctx, harness.Packet)
		r.ToLoop(ctx, d)
		store, start, watch := r.exec("store"), r.exec("start"), r.watch(debugger.Write, "counter")
		for _, tr := range []debugger.Trigger{store, store, start, watch} {
			Expect(d.Insert(ctx, 0, tr)).To(Succeed())
		}

		o := r.objectSeat(ctx)
		ids := func() map[debugger.Trigger][]uint32 {
			set, err := o.c.QryTrigSet(ctx, o.uids[0], 0, 100)
			Expect(err).NotTo(HaveOccurred())
			found := make(map[debugger.Trigger][]uint32)
			for _, id := range set.TrigIDs {
				got, err := o.c.QryTrig(ctx, o.uids[0], id)
				Expect(err).NotTo(HaveOccurred())
				Expect(got.SimpleCore).NotTo(BeNil())
				Expect([]any{got.SimpleCore.Action, got.SimpleCore.AddrStart.MemSpaceID}).To(Equal([]any{jsonwire.TrigActionDebug, o.logical()}), "%+v", got.SimpleCore)
				tr := debugger.Trigger{Type: debugger.TriggerType(slices.Index(trigTypes, got.SimpleCore.Type)) + debugger.Exec, Addr: got.SimpleCore.AddrStart.Address}
				found[tr] = append(found[tr], id)
				o.expectTrigger(ctx, id, false, "that has not been hit")
			}
			return found
		}
		found := ids()
		for tr, n := range map[debugger.Trigger]int{store: 2, start: 1, watch: 1} {
			Expect(found[tr]).To(HaveLen(n), "ids of the %v among %v", tr, found)
		}
		Expect(found).To(HaveLen(3))
		state, err := o.c.QryTrigSetState(ctx, o.uids[0])
		Expect(err).NotTo(HaveOccurred())
		Expect(state.Active).To(BeTrue())

		// Its own has an id beside them and goes with it; what it removes of the others' is gone.
		own := o.create(ctx, o.simple(jsonwire.TrigTypeIP, "load"))
		for _, list := range found {
			Expect(list).NotTo(ContainElement(own))
		}
		Expect(o.c.RemoveTrig(ctx, o.uids[0], found[store][0])).To(Succeed())
		o.gone(ctx, found[store][0])
		Expect(o.c.RemoveTrig(ctx, o.uids[0], found[watch][0])).To(Succeed())
		Expect(o.c.Run(ctx, o.uids[0], false)).To(Succeed())
		o.stopsWith(ctx, 0, own)
		Expect(o.c.RemoveTrig(ctx, o.uids[0], own)).To(Succeed())
		Expect(o.c.Run(ctx, o.uids[0], false)).To(Succeed())
		o.stopsWith(ctx, 0, found[store][1])
		o.expectTrigger(ctx, found[store][1], true, "after its hit")
		o.create(ctx, o.simple(jsonwire.TrigTypeIP, "load"))

		d = r.next(ctx, harness.Packet)
		Expect(d.Remove(ctx, 0, watch)).To(MatchError(debugger.ErrRefused), "the watchpoint that the JSON client has removed")
		Expect(d.Remove(ctx, 0, r.exec("load"))).To(MatchError(debugger.ErrRefused), "the breakpoint that the JSON client had")
		Expect(d.Remove(ctx, 0, store)).To(Succeed())
		Expect(d.Remove(ctx, 0, store)).To(MatchError(debugger.ErrRefused), "the second of two, of which the JSON client has removed one")

		o = r.objectSeat(ctx)
		Expect(ids()).To(And(HaveLen(1), HaveKey(start)))
		Expect(o.c.RemoveTrigSet(ctx, o.uids[0])).To(Succeed())
		r.expectRunsOn(ctx, o.d)
		d = r.next(ctx, harness.Packet)
		Expect(d.Remove(ctx, 0, start)).To(MatchError(debugger.ErrRefused), "what was in the set that the JSON client has removed")
	})

var _ = dialectSpec("a reset by one is a reset for the other", Spec{Fast: true, Labels: []string{"observer"}}, func(ctx context.Context, r *Rig) {
	d := r.next(ctx, r.Dialect)
	start, err := debugger.PC(ctx, d, 0)
	Expect(err).NotTo(HaveOccurred())
	for _, dialect := range []harness.Dialect{r.Dialect, r.other()} {
		r.ToLoop(ctx, d)
		r.hitUntold(ctx, d, r.exec("after_store"))
		Expect(r.Counter(ctx)).NotTo(BeZero())
		d = r.next(ctx, dialect)
		Expect(d.Reset(ctx, 0)).To(Succeed())
		d = r.next(ctx, r.other())
		Expect(debugger.PC(ctx, d, 0)).To(Equal(start))
		expectNoTrigger(ctx, d)
		Expect(r.Counter(ctx)).To(BeZero(), "the variable: the program was loaded anew")
		r.ExpectNoGrowth(ctx, 0)
		d = r.next(ctx, r.Dialect)
		expectNoTrigger(ctx, d)
		if r.Dialect == harness.Packet { // whose triggers stay
			Expect(d.Remove(ctx, 0, r.exec("after_store"))).To(Succeed())
		}
	}
})

var _ = dialectSpec("what one has opened is not open for the other, and what one closes leaves the machine to the other", Spec{Fast: true, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig) {
		d := r.next(ctx, r.Dialect)
		r.ToLoop(ctx, d)
		Expect(d.Insert(ctx, 0, r.exec("store"))).To(Succeed())
		r.hangUp()
		if r.Dialect == harness.Packet {
			_, err := r.Objects(ctx).QryState(ctx, 1)
			Expect(err).To(MatchError(debugger.ErrRefused), "the state of a core, without a server")
		} else {
			_, err := r.Packets(ctx).Spaces(ctx, 0)
			Expect(err).To(MatchError(debugger.ErrRefused), "the memory spaces of a core that is not open")
		}
		d = r.next(ctx, r.other())
		Expect(d.Close(ctx)).To(Succeed())
		if r.other() == harness.Packet {
			// Triggers of all are gone, and the machine runs.
			r.ExpectRunState(ctx, "running")
		}
		o := r.next(ctx, harness.JSON).(*debugger.JSON)
		set, err := o.Client().QryTrigSet(ctx, o.CoreUIDs()[0], 0, 0)
		Expect(err).NotTo(HaveOccurred())
		if r.Dialect == harness.JSON {
			Expect(set.NumTrigs).To(BeZero())
			r.ExpectGrowth(ctx, 0)
			return
		}
		// The JSON client has left everything as the packet client had it.
		Expect(set.NumTrigs).To(BeEquivalentTo(1))
		r.ExpectRunState(ctx, "debug")
		r.ExpectNoGrowth(ctx, 0)
		Expect(debugger.PC(ctx, o, 0)).To(Equal(r.Guest().Addr("loop")))
	})
