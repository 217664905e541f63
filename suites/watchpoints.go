// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"mcdtest/harness/debugger"
)

func watchpointSpec(name string, s Spec, body func(ctx context.Context, r *Rig, d debugger.Debugger)) bool {
	s.Subject, s.Name = "watchpoints", name
	s.Body = func(ctx context.Context, r *Rig) {
		d := r.Debugger(ctx)
		r.ToLoop(ctx, d)
		body(ctx, r, d)
	}
	return register(s)
}

func (r *Rig) watch(kind debugger.TriggerType, symbol string) debugger.Trigger {
	return debugger.Trigger{Type: kind, Addr: r.Guest().Addr(symbol)}
}

// expectWatch waits until a core stands behind an access, and checks which and where.
func (r *Rig) expectWatch(ctx context.Context, d debugger.Debugger, core int, tr debugger.Trigger, label string) {
	ginkgo.GinkgoHelper()
	s, err := d.WaitStopped(ctx, core)
	Expect(err).NotTo(HaveOccurred())
	Expect(s.Status).To(Equal(debugger.Debug), "core %d at the %v: %v", core, tr, s)
	Expect(s.Reason).To(Equal(debugger.Watchpoint), "core %d at the %v: %v", core, tr, s)
	Expect(s.Trigger).To(Equal(tr.Type), "core %d at the %v: %v", core, tr, s)
	Expect(s.Addr).To(Equal(tr.Addr), "core %d at the %v: %v", core, tr, s)
	Expect(debugger.PC(ctx, d, core)).To(Equal(r.Guest().Addr(label)), "pc of core %d at the %v, to be %s", core, tr, label)
}

// watchStops says where each kind stops in turn, when the core goes on from the loop head.
var watchStops = []struct {
	kind   debugger.TriggerType
	labels []string
}{
	{debugger.Read, []string{"after_load"}},
	{debugger.Write, []string{"after_store"}},
	{debugger.Access, []string{"after_load", "after_store"}},
}

var _ = watchpointSpec("each kind stops behind its access, with its type and address", Spec{Fast: true, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		for _, w := range watchStops {
			Expect(debugger.SetPC(ctx, d, 0, r.Guest().Addr("loop"))).To(Succeed())
			tr := r.watch(w.kind, "counter")
			Expect(d.Insert(ctx, 0, tr)).To(Succeed())
			for range 3 {
				for _, label := range w.labels {
					before := r.Counter(ctx)
					Expect(d.Go(ctx, 0)).To(Succeed())
					r.expectWatch(ctx, d, 0, tr, label)
					r.ExpectRunState(ctx, stopped...)
					if label == "after_store" {
						Expect(r.Counter(ctx)-before).To(BeEquivalentTo(1), "the store is done, as qtest sees it")
					}
				}
			}
			Expect(d.Remove(ctx, 0, tr)).To(Succeed())
		}
	})

var _ = watchpointSpec("removed, it stops nothing any more; inserted again, it does", Spec{Labels: []string{"observer", "ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		tr := r.watch(debugger.Write, "counter")
		for range 3 {
			Expect(d.Insert(ctx, 0, tr)).To(Succeed())
			Expect(d.Go(ctx, 0)).To(Succeed())
			r.expectWatch(ctx, d, 0, tr, "after_store")
			Expect(d.Remove(ctx, 0, tr)).To(Succeed())
			Expect(d.Go(ctx, 0)).To(Succeed())
			r.ExpectGrowth(ctx, 0)
			Expect(d.Stop(ctx, 0)).To(Succeed())
		}
	})

var _ = watchpointSpec("it does not stop when another address is touched", Spec{Labels: []string{"observer", "ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		for _, tr := range []debugger.Trigger{
			r.watch(debugger.Access, "untouched"),
			{Type: debugger.Access, Addr: r.Guest().Addr("counter") + 4},
			{Type: debugger.Access, Addr: r.Guest().Addr("counter") - 4},
		} {
			Expect(d.Insert(ctx, 0, tr)).To(Succeed())
			Expect(d.Go(ctx, 0)).To(Succeed())
			r.ExpectGrowth(ctx, 0)
			r.ExpectRunState(ctx, "running")
			Expect(d.Stop(ctx, 0)).To(Succeed())
			Expect(d.Remove(ctx, 0, tr)).To(Succeed())
		}
	})

var _ = watchpointSpec("a store does not stop at a read watchpoint, nor a load at a write watchpoint", Spec{Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		Expect(d.Step(ctx, 0)).To(Succeed()) // behind the load
		read := r.watch(debugger.Read, "counter")
		Expect(d.Insert(ctx, 0, read)).To(Succeed())
		before := r.Counter(ctx)
		Expect(d.Go(ctx, 0)).To(Succeed())
		r.expectWatch(ctx, d, 0, read, "after_load")
		Expect(r.Counter(ctx)-before).To(BeEquivalentTo(1), "the store on the way was not stopped")
		Expect(d.Remove(ctx, 0, read)).To(Succeed())
		write := r.watch(debugger.Write, "counter")
		Expect(d.Insert(ctx, 0, write)).To(Succeed())
		Expect(d.Go(ctx, 0)).To(Succeed())
		r.expectWatch(ctx, d, 0, write, "after_store")
	})

var _ = watchpointSpec("it stands beside a breakpoint", Spec{},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		watch, exec := r.watch(debugger.Write, "counter"), r.exec("loop")
		Expect(d.Insert(ctx, 0, watch)).To(Succeed())
		Expect(d.Insert(ctx, 0, exec)).To(Succeed())
		for range 3 {
			Expect(debugger.Continue(ctx, d, 0)).To(Succeed())
			r.expectWatch(ctx, d, 0, watch, "after_store")
			Expect(debugger.Continue(ctx, d, 0)).To(Succeed())
			r.expectHit(ctx, d, 0, exec)
		}
	})

var _ = watchpointSpec("an access that is stepped stops at it as well", Spec{Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		Expect(debugger.SetPC(ctx, d, 0, r.Guest().Addr("store"))).To(Succeed())
		tr := r.watch(debugger.Write, "counter")
		Expect(d.Insert(ctx, 0, tr)).To(Succeed())
		Expect(d.Step(ctx, 0)).To(Succeed())
		Expect(debugger.PC(ctx, d, 0)).To(Equal(r.Guest().Addr("after_store")))
		// The step is complete either way; a stub may call it a step or a watchpoint.
		s, err := d.WaitStopped(ctx, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(s.Status).To(Equal(debugger.Debug))
	})

var _ = watchpointSpec("sixteen can be inserted, and one of them is hit", Spec{},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		base := r.Guest().Addr("scratch")
		at := func(i int) debugger.Trigger {
			return debugger.Trigger{Type: debugger.Read + debugger.TriggerType(i%3), Addr: base + 8*uint64(i)}
		}
		for i := range 15 {
			Expect(d.Insert(ctx, 0, at(i))).To(Succeed(), "watchpoint %d", i)
		}
		tr := r.watch(debugger.Write, "counter")
		Expect(d.Insert(ctx, 0, tr)).To(Succeed())
		Expect(d.Go(ctx, 0)).To(Succeed())
		r.expectWatch(ctx, d, 0, tr, "after_store")
		for i := range 15 {
			Expect(d.Remove(ctx, 0, at(i))).To(Succeed(), "watchpoint %d", i)
		}
		Expect(d.Remove(ctx, 0, tr)).To(Succeed())
		Expect(d.Go(ctx, 0)).To(Succeed())
		r.ExpectGrowth(ctx, 0)
	})

var _ = watchpointSpec("it is inserted while the core runs, and hit", Spec{Fast: true},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		Expect(d.Go(ctx, 0)).To(Succeed())
		r.ExpectGrowth(ctx, 0)
		tr := r.watch(debugger.Read, "counter")
		Expect(d.Insert(ctx, 0, tr)).To(Succeed())
		r.expectWatch(ctx, d, 0, tr, "after_load")
	})

var _ = watchpointSpec("reading and writing the watched variable through MCD stops nothing", Spec{Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		tr := r.watch(debugger.Access, "untouched")
		Expect(d.Insert(ctx, 0, tr)).To(Succeed())
		Expect(d.Go(ctx, 0)).To(Succeed())
		for _, s := range bothSpaces(ctx, d) {
			addr := tr.Addr
			if s.suffix != "" {
				p, err := r.Guest().Phys(tr.Addr)
				Expect(err).NotTo(HaveOccurred())
				addr = p
			}
			Expect(d.WriteMemory(ctx, 0, s.ID, addr, []byte{1, 2, 3, 4})).To(Succeed())
			_, err := d.ReadMemory(ctx, 0, s.ID, addr, 4)
			Expect(err).NotTo(HaveOccurred())
		}
		r.ExpectRunState(ctx, "running")
		r.ExpectGrowth(ctx, 0)
		s, err := d.State(ctx, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(s.Status).To(Equal(debugger.Running), "%v", s)
	})
