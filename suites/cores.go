// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"fmt"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"mcdtest/guest"
	"mcdtest/harness"
	"mcdtest/harness/debugger"
)

// coresSpec registers a spec for machines with 2 and with 4 cores, each of which counts in its own slot. The cores have
// all come to the loop when the body begins, and stand.
func coresSpec(name string, s Spec, body func(ctx context.Context, r *Rig, d debugger.Debugger, cores []int)) bool {
	for _, n := range []int{2, 4} {
		s := s
		s.Subject, s.Name = "cores", fmt.Sprintf("of %d: %s", n, name)
		s.Cores, s.Variant, s.Labels = n, guest.SMP, append([]string{"smp", "observer"}, s.Labels...)
		s.Fast = s.Fast && n == 2
		s.Body = func(ctx context.Context, r *Rig) {
			d := r.Debugger(ctx)
			var cores []int
			for i := range n {
				cores = append(cores, i)
			}
			Expect(d.Go(ctx, debugger.AllCores)).To(Succeed())
			r.expectGrowthOf(ctx, cores...)
			Expect(d.Stop(ctx, debugger.AllCores)).To(Succeed())
			for _, c := range cores {
				_, err := d.WaitStopped(ctx, c)
				Expect(err).NotTo(HaveOccurred())
			}
			body(ctx, r, d, cores)
		}
		register(s)
	}
	return true
}

func (r *Rig) expectGrowthOf(ctx context.Context, cores ...int) {
	ginkgo.GinkgoHelper()
	for _, c := range cores {
		r.ExpectGrowth(ctx, c)
	}
}

func (r *Rig) expectNoGrowthOf(ctx context.Context, cores ...int) {
	ginkgo.GinkgoHelper()
	for _, c := range cores {
		r.ExpectNoGrowth(ctx, c)
	}
}

// others are all cores but one.
func others(cores []int, but int) []int {
	var list []int
	for _, c := range cores {
		if c != but {
			list = append(list, c)
		}
	}
	return list
}

func expectRunning(ctx context.Context, d debugger.Debugger, running bool, cores ...int) {
	ginkgo.GinkgoHelper()
	for _, c := range cores {
		s, err := d.State(ctx, c)
		Expect(err).NotTo(HaveOccurred())
		Expect(s.Status == debugger.Running).To(Equal(running), "core %d: %v", c, s)
	}
}

var _ = coresSpec("they are listed, each with its tables", Spec{},
	func(ctx context.Context, r *Rig, d debugger.Debugger, cores []int) {
		list, err := d.Cores(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(list).To(HaveLen(len(cores)))
		for i, c := range list {
			Expect(c.Type).To(Equal(list[0].Type))
			Expect(c.Registers).To(HaveLen(len(list[0].Registers)), "registers of core %d", i)
			_, err := c.Logical(false)
			Expect(err).NotTo(HaveOccurred())
		}
	})

var _ = coresSpec("going with one leaves the others where they are", Spec{Fast: true, Labels: []string{"ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger, cores []int) {
		for _, c := range cores {
			Expect(d.Go(ctx, c)).To(Succeed())
			r.expectGrowthOf(ctx, c)
			expectRunning(ctx, d, true, c)
			r.expectNoGrowthOf(ctx, others(cores, c)...)
			expectRunning(ctx, d, false, others(cores, c)...)
			r.ExpectRunState(ctx, "running")
			Expect(d.Stop(ctx, c)).To(Succeed())
			_, err := d.WaitStopped(ctx, c)
			Expect(err).NotTo(HaveOccurred())
			r.expectNoGrowthOf(ctx, cores...)
			r.ExpectRunState(ctx, stopped...)
		}
	})

var _ = coresSpec("stopping one lets the others run on", Spec{Fast: true, Labels: []string{"ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger, cores []int) {
		Expect(d.Go(ctx, debugger.AllCores)).To(Succeed())
		for _, c := range cores {
			Expect(d.Stop(ctx, c)).To(Succeed())
			_, err := d.WaitStopped(ctx, c)
			Expect(err).NotTo(HaveOccurred())
			r.expectNoGrowthOf(ctx, c)
			r.expectGrowthOf(ctx, others(cores, c)...)
			expectRunning(ctx, d, true, others(cores, c)...)
			Expect(d.Go(ctx, c)).To(Succeed())
			r.expectGrowthOf(ctx, cores...)
		}
	})

var _ = coresSpec("global go and stop act on all", Spec{Fast: true},
	func(ctx context.Context, r *Rig, d debugger.Debugger, cores []int) {
		for range 3 {
			Expect(d.Go(ctx, debugger.AllCores)).To(Succeed())
			r.expectGrowthOf(ctx, cores...)
			expectRunning(ctx, d, true, cores...)
			Expect(d.Stop(ctx, debugger.AllCores)).To(Succeed())
			for _, c := range cores {
				_, err := d.WaitStopped(ctx, c)
				Expect(err).NotTo(HaveOccurred())
			}
			r.expectNoGrowthOf(ctx, cores...)
			r.ExpectRunState(ctx, stopped...)
		}
	})

// toLabel runs every core to a label, one after the other.
func (r *Rig) toLabel(ctx context.Context, d debugger.Debugger, cores []int, label string) {
	ginkgo.GinkgoHelper()
	for _, c := range cores {
		tr := r.exec(label)
		Expect(d.Insert(ctx, c, tr)).To(Succeed())
		Expect(debugger.Continue(ctx, d, c)).To(Succeed())
		r.expectHit(ctx, d, c, tr)
		Expect(d.Remove(ctx, c, tr)).To(Succeed())
	}
}

var _ = coresSpec("stepping one moves it alone", Spec{},
	func(ctx context.Context, r *Rig, d debugger.Debugger, cores []int) {
		r.toLabel(ctx, d, cores, "loop")
		labels := r.Guest().Labels()
		for _, c := range cores {
			var before []uint64
			for _, o := range cores {
				pc, err := debugger.PC(ctx, d, o)
				Expect(err).NotTo(HaveOccurred())
				before = append(before, pc)
			}
			for i := range labels {
				Expect(d.Step(ctx, c)).To(Succeed())
				for _, o := range others(cores, c) {
					Expect(debugger.PC(ctx, d, o)).To(Equal(before[o]), "pc of core %d after step %d of core %d", o, i, c)
				}
				Expect(debugger.PC(ctx, d, c)).To(Equal(r.Guest().Addr(labels[(i+1)%len(labels)])), "step %d of core %d", i, c)
				_, err := debugger.PC(ctx, d, others(cores, c)[0]) // so that the next stop has a core to mistake for this one
				Expect(err).NotTo(HaveOccurred())
			}
		}
	})

var _ = coresSpec("a global step steps each once", Spec{Labels: []string{"ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger, cores []int) {
		r.toLabel(ctx, d, cores, "loop")
		for _, label := range []string{"after_load", "increment", "store"} {
			Expect(d.Step(ctx, debugger.AllCores)).To(Succeed())
			for _, c := range cores {
				Expect(debugger.PC(ctx, d, c)).To(Equal(r.Guest().Addr(label)), "core %d", c)
			}
		}
	})

var _ = coresSpec("one is stepped while the others run", Spec{Labels: []string{"ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger, cores []int) {
		last := cores[len(cores)-1]
		r.toLabel(ctx, d, []int{last}, "loop")
		for _, o := range others(cores, last) {
			Expect(d.Go(ctx, o)).To(Succeed())
		}
		r.expectGrowthOf(ctx, others(cores, last)...)
		for _, label := range []string{"after_load", "increment", "store", "after_store"} {
			Expect(d.Step(ctx, last)).To(Succeed())
			Expect(debugger.PC(ctx, d, last)).To(Equal(r.Guest().Addr(label)))
		}
		expectRunning(ctx, d, true, others(cores, last)...)
		r.expectGrowthOf(ctx, others(cores, last)...)
	})

var _ = coresSpec("a breakpoint that one hits is reported on it and on no other", Spec{Fast: true},
	func(ctx context.Context, r *Rig, d debugger.Debugger, cores []int) {
		for _, c := range cores {
			tr := r.exec("store")
			Expect(d.Insert(ctx, c, tr)).To(Succeed())
			Expect(d.Go(ctx, debugger.AllCores)).To(Succeed())
			r.expectHit(ctx, d, c, tr)
			for _, o := range others(cores, c) {
				s, err := d.State(ctx, o)
				Expect(err).NotTo(HaveOccurred())
				Expect(s.Reason).NotTo(BeElementOf(debugger.Breakpoint, debugger.Watchpoint), "core %d when core %d hit its breakpoint: %v", o, c, s)
			}
			Expect(d.Remove(ctx, c, tr)).To(Succeed())
			Expect(d.Stop(ctx, debugger.AllCores)).To(Succeed())
		}
	})

var _ = coresSpec("a breakpoint of one does not stop another", Spec{Fast: true, Labels: []string{"ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger, cores []int) {
		mine, other := cores[len(cores)-1], 0
		r.toLabel(ctx, d, []int{other, mine}, "loop")
		tr := r.exec("store")
		Expect(d.Insert(ctx, mine, tr)).To(Succeed())
		Expect(d.Go(ctx, other)).To(Succeed())
		r.expectGrowthOf(ctx, other)
		expectRunning(ctx, d, true, other)
		Expect(debugger.PC(ctx, d, mine)).To(Equal(r.Guest().Addr("loop")), "pc of core %d, which was not to go", mine)
		Expect(d.Stop(ctx, other)).To(Succeed())
		r.toLabel(ctx, d, []int{other}, "loop") // and not where the other one is to stop
		Expect(debugger.Continue(ctx, d, mine)).To(Succeed())
		r.expectHit(ctx, d, mine, tr)
	})

var _ = coresSpec("a watchpoint stops the one that has it, at its own slot", Spec{Labels: []string{"ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger, cores []int) {
		last := cores[len(cores)-1]
		slot := r.Guest().Addr("counter") + uint64(last)*r.Guest().Addr("slot_stride")
		tr := debugger.Trigger{Type: debugger.Write, Addr: slot}
		// On a core that does not touch the address it never fires, although another one does.
		Expect(d.Insert(ctx, 0, tr)).To(Succeed())
		Expect(d.Go(ctx, debugger.AllCores)).To(Succeed())
		r.expectGrowthOf(ctx, last, 0)
		expectRunning(ctx, d, true, cores...)
		Expect(d.Remove(ctx, 0, tr)).To(Succeed())
		Expect(d.Insert(ctx, last, tr)).To(Succeed())
		r.expectWatch(ctx, d, last, tr, "after_store")
	})

var _ = coresSpec("each has registers of its own", Spec{},
	func(ctx context.Context, r *Rig, d debugger.Debugger, cores []int) {
		number, slot := r.Guest().CoreRegister(), r.Guest().SlotRegister()
		for _, c := range cores {
			Expect(debugger.RegisterValue(ctx, d, c, number.Name)).To(BeEquivalentTo(c), "%s of core %d holds its number", number.Name, c)
			Expect(debugger.RegisterValue(ctx, d, c, slot.Name)).To(Equal(r.Guest().Addr("counter")+uint64(c)*r.Guest().Addr("slot_stride")), "%s of core %d", slot.Name, c)
		}
		free := r.Guest().FreeRegisters()[0]
		for _, c := range cores {
			Expect(debugger.SetRegisterValue(ctx, d, c, free.Name, uint64(0x100+c))).To(Succeed())
		}
		for _, c := range cores {
			Expect(debugger.RegisterValue(ctx, d, c, free.Name)).To(BeEquivalentTo(0x100+c), "%s of core %d", free.Name, c)
		}
	})

var _ = coresSpec("QMP stop and cont are seen by all", Spec{},
	func(ctx context.Context, r *Rig, d debugger.Debugger, cores []int) {
		Expect(d.Go(ctx, debugger.AllCores)).To(Succeed())
		r.ExpectRunState(ctx, "running") // a go has no reply, and the stop is not to come before it
		Expect(r.QMP().Execute(ctx, "stop", nil, nil)).To(Succeed())
		for _, c := range cores {
			_, err := d.WaitStopped(ctx, c)
			Expect(err).NotTo(HaveOccurred())
		}
		Expect(r.QMP().Execute(ctx, "cont", nil, nil)).To(Succeed())
		for _, c := range cores {
			_, err := debugger.WaitFor(ctx, d, c, "running", func(s debugger.State) bool { return s.Status == debugger.Running })
			Expect(err).NotTo(HaveOccurred())
		}
		r.expectGrowthOf(ctx, cores...)
	})

var _ = coresSpec("a core beyond the last is refused", Spec{Fast: true, Labels: []string{"ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger, cores []int) {
		if r.Dialect != harness.Packet {
			ginkgo.Skip("not applicable: a core that does not exist cannot be opened, which the objects' specs check")
		}
		c := r.second(ctx)
		for _, n := range []int{len(cores), len(cores) + 1, 1000} {
			_, err := c.State(ctx, n)
			Expect(err).To(MatchError(debugger.ErrRefused), "state of core %d", n)
			Expect(c.Go(ctx, false, n)).To(Succeed())
			Expect(c.InsertTrigger(ctx, n, 1, 0)).To(MatchError(debugger.ErrRefused))
		}
		r.expectNoGrowthOf(ctx, cores...)
	})
