// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"fmt"
	"time"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"mcdtest/guest"
	"mcdtest/harness/debugger"
	"mcdtest/harness/jsonclient"
	"mcdtest/stub/jsonwire"
)

func triggerSpec(name string, s Spec, body func(ctx context.Context, r *Rig, o *objectSeat)) bool {
	s.Subject, s.Name, s.Dialects = "triggers", name, jsonOnly
	s.Body = func(ctx context.Context, r *Rig) {
		o := r.objectSeat(ctx)
		r.ToLoop(ctx, o.d)
		body(ctx, r, o)
	}
	return register(s)
}

// simple is a trigger that stops the core.
func (o *objectSeat) simple(typ jsonwire.TrigType, symbol string) jsonwire.TrigSimpleCore {
	return jsonwire.TrigSimpleCore{
		Type: typ, Action: jsonwire.TrigActionDebug,
		AddrStart: jsonwire.Addr{Address: o.Guest().Addr(symbol), MemSpaceID: o.logical()},
	}
}

// create makes a trigger of core 0 and returns its id.
func (o *objectSeat) create(ctx context.Context, t jsonwire.TrigSimpleCore) uint32 {
	ginkgo.GinkgoHelper()
	r, err := o.c.CreateTrig(ctx, o.uids[0], jsonwire.Trig{SimpleCore: &t})
	Expect(o.c.Explain(ctx, err, o.uids[0])).NotTo(HaveOccurred())
	Expect(r.Trig).To(Equal(jsonwire.Trig{SimpleCore: &t}), "the reply echoes every field")
	return r.TrigID
}

// expectTrigger makes sure what mcd-qry-trig-state says of a trigger of core 0.
func (o *objectSeat) expectTrigger(ctx context.Context, id uint32, captured bool, when string) {
	ginkgo.GinkgoHelper()
	s, err := o.c.QryTrigState(ctx, o.uids[0], id)
	Expect(err).NotTo(HaveOccurred(), when)
	Expect(s.Active).To(BeTrue(), "trigger %d is active %s", id, when)
	Expect(s.CapturedValid).To(BeTrue(), "captured-valid of trigger %d %s", id, when)
	Expect(s.Captured).To(Equal(captured), "captured of trigger %d %s", id, when)
}

// stopsWith waits until a core stands and makes sure that a trigger of that id is reported, once.
func (o *objectSeat) stopsWith(ctx context.Context, core int, id uint32) {
	ginkgo.GinkgoHelper()
	s := o.awaitStop(ctx, core)
	Expect([]any{s.Event, s.TrigID}).To(Equal([]any{jsonwire.CoreEventTriggerChange, id}), "event and trig-id of %+v", s)
	again, err := o.c.QryState(ctx, o.uids[core])
	Expect(err).NotTo(HaveOccurred())
	Expect([]any{again.State, again.Event, again.TrigID}).To(Equal([]any{jsonwire.CoreStateDebug, jsonwire.CoreEventNone, uint32(0)}), "the stop is told once: %+v", again)
}

// awaitStop asks for the state of a core until it stands.
func (o *objectSeat) awaitStop(ctx context.Context, core int) jsonwire.State {
	ginkgo.GinkgoHelper()
	var s jsonwire.State
	Eventually(func() (jsonwire.CoreState, error) {
		var err error
		s, err = o.c.QryState(ctx, o.uids[core])
		return s.State, err
	}).WithContext(ctx).WithTimeout(growTimeout).WithPolling(time.Millisecond).Should(Equal(jsonwire.CoreStateDebug), "state of core %d", core)
	Expect(s.StopStr).To(Equal(jsonwire.StopPaused))
	return s
}

var trigTypes = []jsonwire.TrigType{jsonwire.TrigTypeIP, jsonwire.TrigTypeRead, jsonwire.TrigTypeWrite, jsonwire.TrigTypeRW}

var _ = triggerSpec("there are all four types, and they stop the core", Spec{Fast: true}, func(ctx context.Context, r *Rig, o *objectSeat) {
	info, err := o.c.QryTrigInfo(ctx, o.uids[0])
	Expect(err).NotTo(HaveOccurred())
	Expect(info.Type).To(BeEquivalentTo(15))
	Expect(info.Action&jsonwire.TrigActionDebug).NotTo(BeZero(), "action %v", info.Action)
	Expect(info.TrigNumber).To(BeNumerically(">=", 4))
	ctrigs, err := o.c.QryCtrigs(ctx, o.uids[0], 0, 0)
	Expect(err).NotTo(HaveOccurred())
	Expect(ctrigs.NumCtrigs).To(BeZero(), "custom triggers")
})

var _ = triggerSpec("every field comes back, at once and when it is asked for", Spec{Fast: true}, func(ctx context.Context, r *Rig, o *objectSeat) {
	ids := make(map[uint32]jsonwire.TrigSimpleCore)
	for i, typ := range trigTypes {
		for _, size := range []uint64{0, 1, 4} {
			t := o.simple(typ, "untouched")
			t.ActionParam, t.Modified, t.StateMask, t.AddrRange = uint32(7*i+1), i%2 == 0, uint32(3*i), size
			t.AddrStart.AddrSpaceID, t.AddrStart.AddrSpaceType = uint32(11*i), uint32(13*i)
			id := o.create(ctx, t)
			Expect(ids).NotTo(HaveKey(id), "ids are unique")
			ids[id] = t
		}
	}
	for id, want := range ids {
		for range 2 {
			got, err := o.c.QryTrig(ctx, o.uids[0], id)
			Expect(err).NotTo(HaveOccurred())
			Expect(got).To(Equal(jsonwire.Trig{SimpleCore: &want}), "trigger %d", id)
		}
		o.expectTrigger(ctx, id, false, "that has not been hit")
	}
})

var _ = triggerSpec("a complex trigger is refused", Spec{Fast: true}, func(ctx context.Context, r *Rig, o *objectSeat) {
	t := o.simple(jsonwire.TrigTypeIP, "start")
	for what, trig := range map[string]jsonwire.TrigComplexCore{
		"without conditions":         {Type: t.Type, Action: t.Action, AddrStart: t.AddrStart},
		"with a condition on data":   {Type: t.Type, Action: t.Action, AddrStart: t.AddrStart, DataStart: 1<<63 + 1, DataMask: 1<<64 - 1, DataSize: 4},
		"with a condition on a core": {Type: t.Type, Action: t.Action, AddrStart: t.AddrStart, HWThreadID: 1},
	} {
		_, err := o.c.CreateTrig(ctx, o.uids[0], jsonwire.Trig{ComplexCore: &trig})
		o.refused(ctx, err, o.uids[0], jsonwire.ErrParam, "a complex trigger %s", what)
	}
	set, err := o.c.QryTrigSet(ctx, o.uids[0], 0, 0)
	Expect(err).NotTo(HaveOccurred())
	Expect(set.NumTrigs).To(BeZero())
})

var _ = triggerSpec("ids count from 1", Spec{Labels: []string{"ours"}}, func(ctx context.Context, r *Rig, _ *objectSeat) {
	o := r.objectSeat(ctx) // one whose core has had no trigger
	for want := uint32(1); want <= 3; want++ {
		Expect(o.create(ctx, o.simple(jsonwire.TrigTypeIP, "start"))).To(Equal(want))
	}
	Expect(o.c.RemoveTrig(ctx, o.uids[0], 2)).To(Succeed())
	id := o.create(ctx, o.simple(jsonwire.TrigTypeIP, "start"))
	Expect(id).NotTo(BeElementOf(uint32(0), uint32(1), uint32(3)), "the id of one more is not in use")
	set, err := o.c.QryTrigSet(ctx, o.uids[0], 0, 10)
	Expect(err).NotTo(HaveOccurred())
	Expect(set.TrigIDs).To(ConsistOf(uint32(1), uint32(3), id))
})

var _ = triggerSpec("a hit is told with event and id, once, and is captured", Spec{Fast: true, Labels: []string{"observer"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	for _, c := range []struct {
		typ   jsonwire.TrigType
		at    string
		stops []string
	}{
		{jsonwire.TrigTypeIP, "store", []string{"store"}},
		{jsonwire.TrigTypeRead, "counter", []string{"after_load"}},
		{jsonwire.TrigTypeWrite, "counter", []string{"after_store"}},
		{jsonwire.TrigTypeRW, "counter", []string{"after_load", "after_store"}},
	} {
		Expect(debugger.SetPC(ctx, o.d, 0, r.Guest().Addr("loop"))).To(Succeed())
		other := o.create(ctx, o.simple(jsonwire.TrigTypeIP, "start"))
		id := o.create(ctx, o.simple(c.typ, c.at))
		for pass := range 2 {
			for _, label := range c.stops {
				if c.typ == jsonwire.TrigTypeIP && pass > 0 {
					Expect(o.d.Step(ctx, 0)).To(Succeed()) // off the breakpoint
				}
				Expect(o.c.Run(ctx, o.uids[0], false)).To(Succeed())
				o.stopsWith(ctx, 0, id)
				Expect(debugger.PC(ctx, o.d, 0)).To(Equal(r.Guest().Addr(label)), "pc at trigger type %v", c.typ)
				o.expectTrigger(ctx, id, true, "after its hit")
				o.expectTrigger(ctx, other, false, "when another was hit")
				r.ExpectNoGrowth(ctx, 0)
			}
		}
		Expect(o.c.RemoveTrigSet(ctx, o.uids[0])).To(Succeed())
	}
})

var _ = triggerSpec("captured stays until the set is armed anew", Spec{Labels: []string{"ours"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	id := o.create(ctx, o.simple(jsonwire.TrigTypeIP, "store"))
	Expect(o.c.Run(ctx, o.uids[0], false)).To(Succeed())
	o.stopsWith(ctx, 0, id)
	Expect(o.d.Step(ctx, 0)).To(Succeed())
	o.expectTrigger(ctx, id, true, "after a step away from it")
	Expect(o.c.ActivateTrigSet(ctx, o.uids[0])).To(Succeed())
	o.expectTrigger(ctx, id, false, "armed anew")
	Expect(o.c.Run(ctx, o.uids[0], false)).To(Succeed())
	o.stopsWith(ctx, 0, id)
	o.expectTrigger(ctx, id, true, "hit again")
})

var _ = triggerSpec("a trigger that is removed does not hit, and is not there", Spec{Labels: []string{"observer"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	for _, typ := range trigTypes {
		at := "counter"
		if typ == jsonwire.TrigTypeIP {
			at = "store"
		}
		id := o.create(ctx, o.simple(typ, at))
		Expect(o.c.RemoveTrig(ctx, o.uids[0], id)).To(Succeed())
		o.gone(ctx, id)
		Expect(o.c.Run(ctx, o.uids[0], true)).To(Succeed())
		r.ExpectGrowth(ctx, 0)
		r.ExpectGrowth(ctx, 0)
		r.ExpectRunState(ctx, "running")
		Expect(o.c.Stop(ctx, o.uids[0], true)).To(Succeed())
	}
})

// gone makes sure that every command about a trigger is refused with 0x3201.
func (o *objectSeat) gone(ctx context.Context, id uint32) {
	ginkgo.GinkgoHelper()
	_, err := o.c.QryTrig(ctx, o.uids[0], id)
	o.refused(ctx, err, o.uids[0], jsonwire.ErrTrigAccess, "mcd-qry-trig of trigger %d", id)
	_, err = o.c.QryTrigState(ctx, o.uids[0], id)
	o.refused(ctx, err, o.uids[0], jsonwire.ErrTrigAccess, "mcd-qry-trig-state of trigger %d", id)
	o.refused(ctx, o.c.RemoveTrig(ctx, o.uids[0], id), o.uids[0], jsonwire.ErrTrigAccess, "mcd-remove-trig of trigger %d", id)
}

var _ = triggerSpec("a trigger that does not exist is refused", Spec{Labels: []string{"hostile"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	id := o.create(ctx, o.simple(jsonwire.TrigTypeIP, "start"))
	for _, unknown := range []uint32{0, id + 1, id + 1000, 1 << 31, 1<<32 - 1} {
		o.gone(ctx, unknown)
	}
	o.expectTrigger(ctx, id, false, "after queries of others")
})

var _ = triggerSpec("a set is all triggers of a core", Spec{Fast: true, Labels: []string{"observer"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	active := func() bool {
		s, err := o.c.QryTrigSetState(ctx, o.uids[0])
		Expect(err).NotTo(HaveOccurred())
		return s.Active
	}
	Expect(o.c.RemoveTrigSet(ctx, o.uids[0])).To(Succeed(), "of an empty set")
	Expect(active()).To(BeFalse(), "active, of an empty set")
	var ids []uint32
	for _, label := range r.Guest().Labels() {
		ids = append(ids, o.create(ctx, o.simple(jsonwire.TrigTypeIP, label)))
	}
	ids = append(ids, o.create(ctx, o.simple(jsonwire.TrigTypeRW, "counter")))
	set, err := o.c.QryTrigSet(ctx, o.uids[0], 0, 100)
	Expect(err).NotTo(HaveOccurred())
	Expect(set.TrigIDs).To(ConsistOf(ids))
	Expect(o.c.ActivateTrigSet(ctx, o.uids[0])).To(Succeed())
	Expect(active()).To(BeTrue())
	Expect(o.c.RemoveTrigSet(ctx, o.uids[0])).To(Succeed())
	Expect(active()).To(BeFalse(), "active, after the set was removed")
	for _, id := range ids {
		o.gone(ctx, id)
	}
	r.expectRunsOn(ctx, o.d)
})

var _ = triggerSpec("what no trigger can be is refused, and sets nothing", Spec{Fast: true, Labels: []string{"hostile", "observer"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	refused := func(what string, code jsonwire.ErrorCode, change func(t *jsonwire.TrigSimpleCore)) {
		t := o.simple(jsonwire.TrigTypeIP, "store")
		change(&t)
		_, err := o.c.CreateTrig(ctx, o.uids[0], jsonwire.Trig{SimpleCore: &t})
		if code == jsonwire.ErrNone {
			Expect(err).To(MatchError(jsonclient.ErrRefused), what)
			return
		}
		o.refused(ctx, err, o.uids[0], code, "%s", what)
	}
	for _, id := range []uint32{o.physical(), o.space(jsonwire.MemIsRegisters), 0, uint32(len(o.spaces)) + 1, 1 << 31, 1<<32 - 1} {
		refused(fmt.Sprintf("memory space %d", id), jsonwire.ErrParam, func(t *jsonwire.TrigSimpleCore) { t.AddrStart.MemSpaceID = id })
	}
	for _, typ := range []jsonwire.TrigType{0, 3, 15, 16, 1 << 31, 1<<32 - 1} {
		refused(fmt.Sprintf("type %d", uint32(typ)), jsonwire.ErrNone, func(t *jsonwire.TrigSimpleCore) { t.Type = typ })
	}
	for _, action := range []jsonwire.TrigAction{0, 2, 1 << 31} {
		refused(fmt.Sprintf("action %d", uint32(action)), jsonwire.ErrNone, func(t *jsonwire.TrigSimpleCore) { t.Action = action })
	}
	for _, size := range []uint64{4096, 1 << 32, 1<<64 - 1} {
		refused(fmt.Sprintf("range %d", size), jsonwire.ErrNone, func(t *jsonwire.TrigSimpleCore) { t.AddrRange = size })
	}
	set, err := o.c.QryTrigSet(ctx, o.uids[0], 0, 0)
	Expect(err).NotTo(HaveOccurred())
	Expect(set.NumTrigs).To(BeZero())
	r.expectRunsOn(ctx, o.d)
})

var _ = triggerSpec("exactly one kind of trigger is to be given", Spec{Labels: []string{"hostile"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	t := o.simple(jsonwire.TrigTypeIP, "store")
	simple := string(jsonwire.Append(nil, &t))
	complex := string(jsonwire.Append(nil, &jsonwire.TrigComplexCore{Type: t.Type, Action: t.Action, AddrStart: t.AddrStart}))
	for _, trig := range []string{
		`{}`, `{"trig-simple-core":` + simple + `,"trig-complex-core":` + complex + `}`, `{"trig-custom":{}}`, `{"trig-simple-core":null}`, `{"trig-simple-core":{}}`,
		`{"trig-simple-core":` + complex + `}`, `{"trig-complex-core":` + simple + `}`, simple,
	} {
		Expect(expectErrors(ctx, o.c, fmt.Sprintf(`{"execute":"mcd-create-trig","arguments":{"core-uid":%d,"trig":%s}}`, o.uids[0], trig))).To(Equal(jsonwire.GenericError), trig)
	}
	set, err := o.c.QryTrigSet(ctx, o.uids[0], 0, 0)
	Expect(err).NotTo(HaveOccurred())
	Expect(set.NumTrigs).To(BeZero())
})

var _ = triggerSpec("the same trigger may be created twice, and is there until both are removed", Spec{Labels: []string{"observer"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	first := o.create(ctx, o.simple(jsonwire.TrigTypeIP, "store"))
	second := o.create(ctx, o.simple(jsonwire.TrigTypeIP, "store"))
	Expect(first).NotTo(Equal(second))
	Expect(o.c.RemoveTrig(ctx, o.uids[0], first)).To(Succeed())
	Expect(o.c.Run(ctx, o.uids[0], false)).To(Succeed())
	o.stopsWith(ctx, 0, second)
	Expect(o.c.RemoveTrig(ctx, o.uids[0], second)).To(Succeed())
	r.expectRunsOn(ctx, o.d)
})

var _ = triggerSpec("as many as there are said to be can be created", Spec{Labels: []string{"ours"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	info, err := o.c.QryTrigInfo(ctx, o.uids[0])
	Expect(err).NotTo(HaveOccurred())
	scratch := r.Guest().Addr("scratch")
	n := uint32(0)
	for i := uint64(0); n < info.TrigNumber; i++ {
		for _, typ := range []jsonwire.TrigType{jsonwire.TrigTypeIP, jsonwire.TrigTypeWrite} {
			t := o.simple(typ, "scratch")
			t.AddrStart.Address = scratch + 8*i
			o.create(ctx, t)
			n++
		}
	}
	t := o.simple(jsonwire.TrigTypeIP, "store")
	_, err = o.c.CreateTrig(ctx, o.uids[0], jsonwire.Trig{SimpleCore: &t})
	o.refused(ctx, err, o.uids[0], jsonwire.ErrTrigCreate, "one trigger more than %d", info.TrigNumber)
	Expect(o.c.RemoveTrigSet(ctx, o.uids[0])).To(Succeed())
	id := o.create(ctx, t)
	Expect(o.c.Run(ctx, o.uids[0], false)).To(Succeed())
	o.stopsWith(ctx, 0, id)
})

var _ = register(Spec{
	Subject: "triggers", Name: "a trigger belongs to its core", Dialects: jsonOnly, Cores: 2, Variant: guest.SMP, Fast: true, Labels: []string{"smp", "observer", "ours"},
	Body: func(ctx context.Context, r *Rig) {
		o := r.objectSeat(ctx)
		Expect(o.c.Run(ctx, o.uids[0], true)).To(Succeed())
		r.expectGrowthOf(ctx, 0, 1)
		Expect(o.c.Stop(ctx, o.uids[0], true)).To(Succeed())
		id := o.create(ctx, o.simple(jsonwire.TrigTypeIP, "store")) // of core 0
		_, err := o.c.QryTrig(ctx, o.uids[1], id)
		o.refused(ctx, err, o.uids[1], jsonwire.ErrTrigAccess, "a trigger of core 0 asked for at core 1")
		set, err := o.c.QryTrigSet(ctx, o.uids[1], 0, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(set.NumTrigs).To(BeZero(), "triggers of core 1")
		// Core 1 passes the address without being stopped.
		Expect(o.c.Run(ctx, o.uids[1], false)).To(Succeed())
		r.ExpectGrowth(ctx, 1)
		s, err := o.c.QryState(ctx, o.uids[1])
		Expect(err).NotTo(HaveOccurred())
		Expect(s.State).To(Equal(jsonwire.CoreStateRunning))
		o.expectTrigger(ctx, id, false, "while core 1 passes its address")
		// Core 0 is stopped, and nothing is told of core 1.
		Expect(o.c.Run(ctx, o.uids[0], true)).To(Succeed())
		o.stopsWith(ctx, 0, id)
		s, err = o.c.QryState(ctx, o.uids[1])
		Expect(err).NotTo(HaveOccurred())
		Expect([]any{s.Event & jsonwire.CoreEventTriggerChange, s.TrigID}).To(Equal([]any{jsonwire.CoreEventNone, uint32(0)}), "state of core 1: %+v", s)
		// Removing core 1's set leaves core 0's alone.
		Expect(o.c.RemoveTrigSet(ctx, o.uids[1])).To(Succeed())
		o.expectTrigger(ctx, id, true, "after another core's set was removed")
	},
})
