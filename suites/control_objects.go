// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"fmt"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"mcdtest/guest"
	"mcdtest/harness/debugger"
	"mcdtest/stub/jsonwire"
)

// Run control and reset in words that only the JSON dialect has: numbers of steps, cores that take no part in global commands,
// events, vectors.

func controlSpec(subject, name string, s Spec, body func(ctx context.Context, r *Rig, o *objectSeat)) bool {
	s.Subject, s.Name, s.Dialects = subject, name, jsonOnly
	s.Body = func(ctx context.Context, r *Rig) { body(ctx, r, r.objectSeat(ctx)) }
	return register(s)
}

// twoRunning brings both cores of an smp program into their loops and stops them.
func (o *objectSeat) twoRunning(ctx context.Context, r *Rig) {
	ginkgo.GinkgoHelper()
	Expect(o.c.Run(ctx, o.uids[0], true)).To(Succeed())
	r.expectGrowthOf(ctx, 0, 1)
	Expect(o.c.Stop(ctx, o.uids[0], true)).To(Succeed())
	r.expectNoGrowthOf(ctx, 0, 1)
}

var _ = controlSpec("run control", "a step takes as many instructions as it is told, and is done when it is answered", Spec{Fast: true, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, o *objectSeat) {
		r.ToLoop(ctx, o.d)
		labels := r.Guest().Labels()
		at := 0
		for _, n := range []int{1, 2, 3, 0, 5, 6, 7, 12, 60, 100} {
			before := r.Counter(ctx)
			Expect(o.c.Step(ctx, o.uids[0], false, jsonwire.StepInstructions, uint32(n))).To(Succeed(), "%d steps", n)
			grown := 0
			for range n {
				if at = (at + 1) % len(labels); labels[at] == "after_store" {
					grown++
				}
			}
			Expect(debugger.PC(ctx, o.d, 0)).To(Equal(r.Guest().Addr(labels[at])), "pc after %d steps, to be %s", n, labels[at])
			Expect(r.Counter(ctx)-before).To(BeEquivalentTo(grown), "increments in %d steps, as qtest sees them", n)
			r.ExpectRunState(ctx, stopped...)
		}
	})

var _ = controlSpec("run control", "other kinds of steps, and a step while it runs, are refused", Spec{Fast: true, Labels: []string{"hostile", "observer"}},
	func(ctx context.Context, r *Rig, o *objectSeat) {
		r.ToLoop(ctx, o.d)
		for _, typ := range []jsonwire.StepType{0, 3, 1 << 31, 1<<32 - 1} {
			err := o.c.Step(ctx, o.uids[0], false, typ, 1)
			o.refused(ctx, err, o.uids[0], anyCode, "step-type %d", uint32(typ))
		}
		o.refused(ctx, o.c.Step(ctx, o.uids[0], false, jsonwire.StepCycles, 1), o.uids[0], anyCode, "a step of cycles")
		Expect(debugger.PC(ctx, o.d, 0)).To(Equal(r.Guest().Addr("loop")), "pc after steps that were refused")
		Expect(o.c.Run(ctx, o.uids[0], false)).To(Succeed())
		r.ExpectGrowth(ctx, 0)
		o.refused(ctx, o.c.Step(ctx, o.uids[0], false, jsonwire.StepInstructions, 1), o.uids[0], anyCode, "a step of a core that runs")
		r.ExpectGrowth(ctx, 0)
		r.ExpectRunState(ctx, "running")
	})

var _ = controlSpec("run control", "a stop is told once, with its event", Spec{Fast: true, Labels: []string{"ours"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	r.ToLoop(ctx, o.d)
	told := func(how string) {
		ginkgo.GinkgoHelper()
		s := o.awaitStop(ctx, 0)
		Expect([]any{s.Event, s.TrigID}).To(Equal([]any{jsonwire.CoreEventStopped, uint32(0)}), "event and trig-id %s: %+v", how, s)
		for range 2 {
			s, err := o.c.QryState(ctx, o.uids[0])
			Expect(err).NotTo(HaveOccurred())
			Expect([]any{s.State, s.Event, s.StopStr}).To(Equal([]any{jsonwire.CoreStateDebug, jsonwire.CoreEventNone, jsonwire.StopPaused}), "asked again %s: %+v", how, s)
		}
	}
	for range 2 {
		Expect(o.c.Run(ctx, o.uids[0], false)).To(Succeed())
		s, err := o.c.QryState(ctx, o.uids[0])
		Expect(err).NotTo(HaveOccurred())
		Expect([]any{s.State, s.Event, s.TrigID}).To(Equal([]any{jsonwire.CoreStateRunning, jsonwire.CoreEventNone, uint32(0)}), "while it runs: %+v", s)
		Expect(s.StopStr).NotTo(Equal(jsonwire.StopPaused))
		Expect(o.c.Stop(ctx, o.uids[0], false)).To(Succeed())
		told("after a stop")
		Expect(o.c.Step(ctx, o.uids[0], false, jsonwire.StepInstructions, 1)).To(Succeed())
		told("after a step")
		Expect(o.c.Run(ctx, o.uids[0], false)).To(Succeed())
		Expect(r.QMP().Execute(ctx, "stop", nil, nil)).To(Succeed())
		told("after a pause through QMP")
	}
})

var _ = controlSpec("cores", "of 2: a core that is not global is left alone by the others' global commands", Spec{Fast: true, Cores: 2, Variant: guest.SMP, Labels: []string{"smp", "observer", "ours"}},
	func(ctx context.Context, r *Rig, o *objectSeat) {
		o.twoRunning(ctx, r)
		Expect(o.c.SetGlobal(ctx, o.uids[1], false)).To(Succeed())
		Expect(o.c.Run(ctx, o.uids[0], true)).To(Succeed())
		r.ExpectGrowth(ctx, 0)
		r.ExpectNoGrowth(ctx, 1)
		Expect(o.c.Run(ctx, o.uids[1], false)).To(Succeed())
		r.expectGrowthOf(ctx, 0, 1)
		Expect(o.c.Stop(ctx, o.uids[0], true)).To(Succeed())
		r.ExpectNoGrowth(ctx, 0)
		r.ExpectGrowth(ctx, 1)
		Expect(o.c.Stop(ctx, o.uids[1], true)).To(Succeed(), "its own global command is for itself, too")
		r.expectNoGrowthOf(ctx, 0, 1)
		Expect(o.c.SetGlobal(ctx, o.uids[1], true)).To(Succeed())
		Expect(o.c.Run(ctx, o.uids[0], true)).To(Succeed())
		r.expectGrowthOf(ctx, 0, 1)
		Expect(o.c.Stop(ctx, o.uids[0], true)).To(Succeed())
		r.expectNoGrowthOf(ctx, 0, 1)
	})

var _ = controlSpec("cores", "of 2: a global step of several instructions takes each core as far", Spec{Cores: 2, Variant: guest.SMP, Labels: []string{"smp", "ours"}},
	func(ctx context.Context, r *Rig, o *objectSeat) {
		o.twoRunning(ctx, r)
		r.toLabel(ctx, o.d, []int{0, 1}, "loop")
		labels := r.Guest().Labels()
		at := 0
		for _, n := range []int{1, 2, 5, 6} {
			Expect(o.c.Step(ctx, o.uids[0], true, jsonwire.StepInstructions, uint32(n))).To(Succeed())
			at = (at + n) % len(labels)
			for core := range o.uids {
				Expect(debugger.PC(ctx, o.d, core)).To(Equal(r.Guest().Addr(labels[at])), "core %d after a global step of %d", core, n)
			}
		}
		// Not global, it moves one.
		Expect(o.c.Step(ctx, o.uids[1], false, jsonwire.StepInstructions, 2)).To(Succeed())
		Expect(debugger.PC(ctx, o.d, 0)).To(Equal(r.Guest().Addr(labels[at])))
		Expect(debugger.PC(ctx, o.d, 1)).To(Equal(r.Guest().Addr(labels[(at+2)%len(labels)])))
	})

var _ = controlSpec("cores", "of 2: run and stop that are not global are for one core", Spec{Cores: 2, Variant: guest.SMP, Labels: []string{"smp", "observer", "ours"}},
	func(ctx context.Context, r *Rig, o *objectSeat) {
		o.twoRunning(ctx, r)
		for core, uid := range o.uids {
			other := 1 - core
			Expect(o.c.Run(ctx, uid, false)).To(Succeed())
			r.ExpectGrowth(ctx, core)
			r.ExpectNoGrowth(ctx, other)
			for i, want := range map[int]jsonwire.CoreState{core: jsonwire.CoreStateRunning, other: jsonwire.CoreStateDebug} {
				s, err := o.c.QryState(ctx, o.uids[i])
				Expect(err).NotTo(HaveOccurred())
				Expect(s.State).To(Equal(want), "state of core %d: %+v", i, s)
			}
			Expect(o.c.Stop(ctx, uid, false)).To(Succeed())
			r.expectNoGrowthOf(ctx, 0, 1)
		}
	})

var _ = controlSpec("reset", "there is one class, and its vector is its bit", Spec{}, func(ctx context.Context, r *Rig, o *objectSeat) {
	vector, err := o.c.QryRstClasses(ctx, o.uids[0])
	Expect(err).NotTo(HaveOccurred())
	Expect(vector&1).To(BeEquivalentTo(1), "rst-class-vector %#x", vector)
	info, err := o.c.QryRstClassInfo(ctx, o.uids[0], 0)
	Expect(err).NotTo(HaveOccurred())
	Expect(info).To(Equal(jsonwire.RstInfo{ClassVector: 1, InfoStr: "System Reset"}))
	for class := 1; class < 256; class++ {
		_, err := o.c.QryRstClassInfo(ctx, o.uids[0], uint8(class))
		if class < 32 && vector>>class&1 == 1 {
			Expect(err).NotTo(HaveOccurred())
			continue
		}
		o.refused(ctx, err, o.uids[0], anyCode, "reset class %d", class)
	}
})

var _ = controlSpec("reset", "a vector with a class that does not exist is refused, and nothing is reset", Spec{Fast: true, Labels: []string{"hostile", "observer"}},
	func(ctx context.Context, r *Rig, o *objectSeat) {
		r.ToLoop(ctx, o.d)
		before := r.Counter(ctx)
		for _, vector := range []uint32{0, 2, 3, 1 << 31, 1<<31 | 1, 1<<32 - 1} {
			for _, halt := range []bool{false, true} {
				o.refused(ctx, o.c.Rst(ctx, o.uids[0], vector, halt), o.uids[0], anyCode, "mcd-rst of %#x, rst-and-halt %v", vector, halt)
			}
		}
		Expect(debugger.PC(ctx, o.d, 0)).To(Equal(r.Guest().Addr("loop")))
		Expect(r.Counter(ctx)).To(Equal(before))
		r.ExpectRunState(ctx, "debug")
	})

var _ = controlSpec("reset", "rst-and-halt leaves the cores at the reset pc, whether they ran or not", Spec{Fast: true, Labels: []string{"observer", "ours"}},
	func(ctx context.Context, r *Rig, o *objectSeat) {
		start, err := debugger.PC(ctx, o.d, 0)
		Expect(err).NotTo(HaveOccurred())
		for _, run := range []bool{false, true} {
			r.ToLoop(ctx, o.d)
			Expect(o.c.Run(ctx, o.uids[0], false)).To(Succeed())
			r.ExpectGrowth(ctx, 0)
			if !run {
				Expect(o.c.Stop(ctx, o.uids[0], false)).To(Succeed())
			}
			events, err := r.QMP().Events(ctx)
			Expect(err).NotTo(HaveOccurred())
			Expect(o.c.Rst(ctx, o.uids[0], 1, true)).To(Succeed())
			what := fmt.Sprintf("after rst-and-halt of a core that ran: %v", run)
			Eventually(events).WithContext(ctx).WithTimeout(growTimeout).Should(Receive(HaveField("Event", "RESET")), "QMP's event %s", what)
			o.awaitStop(ctx, 0)
			Expect(debugger.PC(ctx, o.d, 0)).To(Equal(start), "pc %s", what)
			r.ExpectRunState(ctx, stopped...)
			r.ExpectNoGrowth(ctx, 0)
			Expect(r.Counter(ctx)).To(BeZero(), "the variable %s: the program was loaded anew", what)
		}
		r.ToLoop(ctx, o.d)
	})

var _ = controlSpec("reset", "without rst-and-halt a core that ran runs on from the reset pc, one that stood stands there", Spec{Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, o *objectSeat) {
		start, err := debugger.PC(ctx, o.d, 0)
		Expect(err).NotTo(HaveOccurred())
		r.ToLoop(ctx, o.d)
		Expect(o.c.Rst(ctx, o.uids[0], 1, false)).To(Succeed())
		Expect(debugger.PC(ctx, o.d, 0)).To(Equal(start))
		r.ExpectNoGrowth(ctx, 0)
		r.ToLoop(ctx, o.d)
		id := o.create(ctx, o.simple(jsonwire.TrigTypeIP, "start"))
		Expect(o.c.Run(ctx, o.uids[0], false)).To(Succeed())
		r.ExpectGrowth(ctx, 0)
		Expect(o.c.Rst(ctx, o.uids[0], 1, false)).To(Succeed())
		o.stopsWith(ctx, 0, id) // it runs, and its triggers are still there
		Expect(debugger.PC(ctx, o.d, 0)).To(Equal(r.Guest().Addr("start")))
	})
