// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"fmt"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"mcdtest/harness/debugger"
)

func breakpointSpec(name string, s Spec, body func(ctx context.Context, r *Rig, d debugger.Debugger)) bool {
	s.Subject, s.Name = "breakpoints", name
	s.Body = func(ctx context.Context, r *Rig) {
		d := r.Debugger(ctx)
		r.ToLoop(ctx, d)
		body(ctx, r, d)
	}
	return register(s)
}

// exec is a breakpoint at a label of the guest.
func (r *Rig) exec(label string) debugger.Trigger {
	return debugger.Trigger{Type: debugger.Exec, Addr: r.Guest().Addr(label)}
}

// expectHit waits until core 0 stands at a breakpoint, and checks where and why.
func (r *Rig) expectHit(ctx context.Context, d debugger.Debugger, core int, tr debugger.Trigger) {
	ginkgo.GinkgoHelper()
	s, err := d.WaitStopped(ctx, core)
	Expect(err).NotTo(HaveOccurred())
	Expect(s.Status).To(Equal(debugger.Debug), "core %d at the %v: %v", core, tr, s)
	Expect(s.Reason).To(Equal(debugger.Breakpoint), "core %d at the %v: %v", core, tr, s)
	Expect(debugger.PC(ctx, d, core)).To(Equal(tr.Addr), "pc of core %d at the %v", core, tr)
}

var _ = breakpointSpec("it stops before the instruction, at every label of the loop", Spec{Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		for _, label := range r.Guest().Labels() {
			tr := r.exec(label)
			Expect(d.Insert(ctx, 0, tr)).To(Succeed())
			Expect(debugger.Continue(ctx, d, 0)).To(Succeed())
			r.expectHit(ctx, d, 0, tr)
			r.ExpectRunState(ctx, stopped...)
			r.ExpectNoGrowth(ctx, 0)
			Expect(d.Remove(ctx, 0, tr)).To(Succeed())
		}
	})

var _ = breakpointSpec("N hits make N passes", Spec{Fast: true, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		tr := r.exec("loop")
		Expect(d.Insert(ctx, 0, tr)).To(Succeed())
		for _, n := range []uint32{1, 7} {
			before := r.Counter(ctx)
			for range n {
				Expect(debugger.Continue(ctx, d, 0)).To(Succeed())
				r.expectHit(ctx, d, 0, tr)
			}
			Expect(r.Counter(ctx)-before).To(Equal(n), "increments in %d passes, as qtest sees them", n)
		}
	})

var _ = breakpointSpec("going from it without a step stops again at once and executes nothing", Spec{Fast: true, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		tr := r.exec("store")
		Expect(d.Insert(ctx, 0, tr)).To(Succeed())
		Expect(d.Go(ctx, 0)).To(Succeed())
		r.expectHit(ctx, d, 0, tr)
		before := r.Counter(ctx)
		for range 3 {
			Expect(d.Go(ctx, 0)).To(Succeed())
			r.expectHit(ctx, d, 0, tr)
			Expect(r.Counter(ctx)).To(Equal(before), "the counter, as qtest sees it")
		}
	})

var _ = breakpointSpec("removed, it stops nothing any more; inserted again, it does", Spec{Fast: true, Labels: []string{"observer", "ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		tr := r.exec("increment")
		for range 3 {
			Expect(d.Insert(ctx, 0, tr)).To(Succeed())
			Expect(debugger.Continue(ctx, d, 0)).To(Succeed())
			r.expectHit(ctx, d, 0, tr)
			Expect(d.Remove(ctx, 0, tr)).To(Succeed())
			Expect(d.Go(ctx, 0)).To(Succeed())
			r.ExpectGrowth(ctx, 0)
			r.ExpectRunState(ctx, "running")
			Expect(d.Stop(ctx, 0)).To(Succeed())
		}
	})

var _ = breakpointSpec("the same one twice needs two removals", Spec{Dialects: packetOnly, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		tr := r.exec("increment")
		Expect(d.Insert(ctx, 0, tr)).To(Succeed())
		Expect(d.Insert(ctx, 0, tr)).To(Succeed())
		Expect(d.Remove(ctx, 0, tr)).To(Succeed())
		Expect(debugger.Continue(ctx, d, 0)).To(Succeed())
		r.expectHit(ctx, d, 0, tr)
		Expect(d.Remove(ctx, 0, tr)).To(Succeed())
		Expect(d.Remove(ctx, 0, tr)).To(MatchError(debugger.ErrRefused), "a third removal")
		Expect(d.Go(ctx, 0)).To(Succeed())
		r.ExpectGrowth(ctx, 0)
	})

var _ = breakpointSpec("removing one that is not there is refused", Spec{Fast: true},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		Expect(d.Remove(ctx, 0, r.exec("store"))).To(MatchError(debugger.ErrRefused))
		// A watchpoint at the address is not the breakpoint there.
		Expect(d.Insert(ctx, 0, debugger.Trigger{Type: debugger.Write, Addr: r.Guest().Addr("counter")})).To(Succeed())
		Expect(d.Remove(ctx, 0, r.exec("counter"))).To(MatchError(debugger.ErrRefused))
		Expect(d.Remove(ctx, 0, debugger.Trigger{Type: debugger.Read, Addr: r.Guest().Addr("counter")})).To(MatchError(debugger.ErrRefused))
	})

var _ = breakpointSpec("several stop in the order of the program", Spec{},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		labels := r.Guest().Labels()
		for _, label := range labels {
			Expect(d.Insert(ctx, 0, r.exec(label))).To(Succeed())
		}
		for i := range 2 * len(labels) {
			Expect(debugger.Continue(ctx, d, 0)).To(Succeed())
			r.expectHit(ctx, d, 0, r.exec(labels[(i+1)%len(labels)]))
		}
	})

var _ = breakpointSpec("as many as there are said to be can be inserted, and one of them is hit", Spec{},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		base := r.Guest().Addr("scratch")
		for i := range 15 {
			Expect(d.Insert(ctx, 0, debugger.Trigger{Type: debugger.Exec, Addr: base + 8*uint64(i)})).To(Succeed(), "breakpoint %d", i)
		}
		tr := r.exec("branch")
		Expect(d.Insert(ctx, 0, tr)).To(Succeed())
		Expect(debugger.Continue(ctx, d, 0)).To(Succeed())
		r.expectHit(ctx, d, 0, tr)
		for i := range 15 {
			Expect(d.Remove(ctx, 0, debugger.Trigger{Type: debugger.Exec, Addr: base + 8*uint64(i)})).To(Succeed(), "breakpoint %d", i)
		}
		Expect(d.Remove(ctx, 0, tr)).To(Succeed())
		Expect(d.Go(ctx, 0)).To(Succeed())
		r.ExpectGrowth(ctx, 0)
	})

var _ = breakpointSpec("the seventeenth of a core is refused", Spec{Labels: []string{"ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		base := r.Guest().Addr("scratch")
		at := func(i int) debugger.Trigger { return debugger.Trigger{Type: debugger.Exec, Addr: base + 8*uint64(i)} }
		for i := range 16 {
			Expect(d.Insert(ctx, 0, at(i))).To(Succeed(), "breakpoint %d", i)
		}
		Expect(d.Insert(ctx, 0, at(16))).To(MatchError(debugger.ErrRefused))
		Expect(d.Remove(ctx, 0, at(3))).To(Succeed())
		Expect(d.Insert(ctx, 0, at(16))).To(Succeed(), "after a removal")
	})

var _ = breakpointSpec("code that is stepped through with breakpoints on it is executed once", Spec{Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		labels := r.Guest().Labels()
		for _, label := range labels {
			Expect(d.Insert(ctx, 0, r.exec(label))).To(Succeed())
		}
		before := r.Counter(ctx)
		for pass := range 2 {
			for i := range labels {
				Expect(d.Step(ctx, 0)).To(Succeed())
				next := labels[(i+1)%len(labels)]
				Expect(debugger.PC(ctx, d, 0)).To(Equal(r.Guest().Addr(next)), "pass %d, a step to %s", pass, next)
			}
		}
		Expect(r.Counter(ctx)-before).To(BeEquivalentTo(2), "increments in two passes of steps, as qtest sees them")
	})

var _ = breakpointSpec("it is inserted and removed while the core runs", Spec{Fast: true, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		Expect(d.Go(ctx, 0)).To(Succeed())
		r.ExpectGrowth(ctx, 0)
		elsewhere := r.exec("start")
		Expect(d.Insert(ctx, 0, elsewhere)).To(Succeed())
		r.ExpectRunState(ctx, "running")
		r.ExpectGrowth(ctx, 0)
		Expect(d.Remove(ctx, 0, elsewhere)).To(Succeed())
		r.ExpectGrowth(ctx, 0)
		tr := r.exec("after_store")
		Expect(d.Insert(ctx, 0, tr)).To(Succeed())
		r.expectHit(ctx, d, 0, tr)
	})

var _ = breakpointSpec("what memory holds under it is the program", Spec{Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		addr := r.Guest().Addr("loop")
		want, err := r.Guest().Data(addr, 16)
		Expect(err).NotTo(HaveOccurred())
		for _, label := range r.Guest().Labels() {
			Expect(d.Insert(ctx, 0, r.exec(label))).To(Succeed())
		}
		for _, s := range bothSpaces(ctx, d) {
			at := addr
			if s.suffix != "" {
				at = r.Guest().Addr("loop_phys")
			}
			got, err := d.ReadMemory(ctx, 0, s.ID, at, len(want))
			Expect(err).NotTo(HaveOccurred())
			Expect(got).To(Equal(want), fmt.Sprintf("code with breakpoints on it in %s", s.Name))
		}
	})

var _ = breakpointSpec("QMP cont runs into it, too", Spec{Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		tr := r.exec("store")
		Expect(d.Insert(ctx, 0, tr)).To(Succeed())
		Expect(r.QMP().Execute(ctx, "cont", nil, nil)).To(Succeed())
		// The stub hears of it later than we do, and until then says that the core stands as it did.
		_, err := debugger.WaitFor(ctx, d, 0, "stopped at the breakpoint", func(s debugger.State) bool { return s.Reason == debugger.Breakpoint })
		Expect(err).NotTo(HaveOccurred())
		Expect(debugger.PC(ctx, d, 0)).To(Equal(tr.Addr))
	})
