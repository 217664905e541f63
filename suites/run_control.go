// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"

	. "github.com/onsi/gomega"

	"mcdtest/harness"
	"mcdtest/harness/debugger"
	"mcdtest/harness/rawclient"
)

func runSpec(name string, s Spec, body func(ctx context.Context, r *Rig, d debugger.Debugger)) bool {
	s.Subject, s.Name = "run control", name
	s.Body = func(ctx context.Context, r *Rig) { body(ctx, r, r.Debugger(ctx)) }
	return register(s)
}

var _ = runSpec("a machine that has not been started stands at its reset pc and executes nothing", Spec{Fast: true, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		s, err := d.State(ctx, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(s.Standing()).To(BeTrue(), "%v", s)
		if r.Dialect == harness.Packet {
			Expect(s.Status).To(Equal(debugger.Halted), "%v", s)
		}
		r.ExpectRunState(ctx, "prelaunch")
		first, err := debugger.PC(ctx, d, 0)
		Expect(err).NotTo(HaveOccurred())
		r.ExpectNoGrowth(ctx, 0)
		Expect(debugger.PC(ctx, d, 0)).To(Equal(first))
	})

var _ = runSpec("go runs, stop stops, over and over", Spec{Labels: []string{"observer", "ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		r.ToLoop(ctx, d)
		for range 5 {
			Expect(d.Go(ctx, 0)).To(Succeed())
			r.ExpectRunState(ctx, "running")
			r.ExpectGrowth(ctx, 0)
			s, err := d.State(ctx, 0)
			Expect(err).NotTo(HaveOccurred())
			Expect(s.Status).To(Equal(debugger.Running), "%v", s)
			Expect(d.Stop(ctx, 0)).To(Succeed())
			s, err = d.WaitStopped(ctx, 0)
			Expect(err).NotTo(HaveOccurred())
			Expect(s.Status).To(Equal(debugger.Debug), "%v", s)
			Expect(s.Reason).NotTo(Equal(debugger.Watchpoint), "%v", s)
			r.ExpectRunState(ctx, stopped...)
			r.ExpectNoGrowth(ctx, 0)
		}
	})

var _ = runSpec("a stop leaves the core inside the loop, and it goes on from there", Spec{Labels: []string{"observer", "ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		r.ToLoop(ctx, d)
		for range 5 {
			Expect(d.Go(ctx, 0)).To(Succeed())
			r.ExpectGrowth(ctx, 0)
			Expect(d.Stop(ctx, 0)).To(Succeed())
			pc, err := debugger.PC(ctx, d, 0)
			Expect(err).NotTo(HaveOccurred())
			Expect(pc).To(And(BeNumerically(">=", r.Guest().Addr("loop")), BeNumerically("<", r.Guest().Addr("loop_end"))))
		}
	})

var _ = runSpec("one step executes one instruction", Spec{Fast: true, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		r.ToLoop(ctx, d)
		labels := r.Guest().Labels()
		for i := range 3 * len(labels) {
			before := r.Counter(ctx)
			Expect(d.Step(ctx, 0)).To(Succeed())
			s, err := d.WaitStopped(ctx, 0)
			Expect(err).NotTo(HaveOccurred())
			Expect(s.Status).To(Equal(debugger.Debug), "%v", s)
			if r.Dialect == harness.Packet {
				Expect(s.Reason).To(Equal(debugger.Stepped), "%v", s)
			}
			next := labels[(i+1)%len(labels)]
			Expect(debugger.PC(ctx, d, 0)).To(Equal(r.Guest().Addr(next)), "step %d, to %s", i, next)
			grown := uint32(0)
			if next == "after_store" {
				grown = 1
			}
			Expect(r.Counter(ctx)-before).To(Equal(grown), "increments by the step to %s, as qtest sees them", next)
			r.ExpectRunState(ctx, stopped...)
		}
	})

var _ = runSpec("the first step from reset executes an instruction", Spec{Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		first, err := debugger.PC(ctx, d, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(d.Step(ctx, 0)).To(Succeed())
		Expect(debugger.PC(ctx, d, 0)).NotTo(Equal(first))
		r.ExpectRunState(ctx, stopped...)
	})

var _ = runSpec("go while it runs, stop while it stands and a step while it runs change nothing", Spec{Labels: []string{"observer", "ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		r.ToLoop(ctx, d)
		Expect(d.Stop(ctx, 0)).To(Succeed())
		Expect(debugger.PC(ctx, d, 0)).To(Equal(r.Guest().Addr("loop")))
		Expect(d.Go(ctx, 0)).To(Succeed())
		r.ExpectGrowth(ctx, 0)
		Expect(d.Go(ctx, 0)).To(Succeed())
		// A refused step may be told or not; what counts is that the core runs on.
		_ = d.Step(ctx, 0)
		r.ExpectRunState(ctx, "running")
		r.ExpectGrowth(ctx, 0)
		s, err := d.State(ctx, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(s.Status).To(Equal(debugger.Running), "%v", s)
		Expect(d.Stop(ctx, 0)).To(Succeed())
		_, err = d.WaitStopped(ctx, 0)
		Expect(err).NotTo(HaveOccurred())
		r.ExpectNoGrowth(ctx, 0)
	})

var _ = runSpec("a stop after a refused step is no step", Spec{Dialects: packetOnly, Labels: []string{"ours"}},
	func(ctx context.Context, r *Rig, _ debugger.Debugger) {
		c := r.second(ctx)
		Expect(c.Go(ctx, false, 0)).To(Succeed())
		Expect(c.Step(ctx, false, 0)).To(Succeed())
		Expect(c.Break(ctx, false, 0)).To(Succeed())
		s, err := c.State(ctx, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(s.Stop).NotTo(ContainSubstring("single step"))
	})

var _ = runSpec("the reason of a stop is told once", Spec{Dialects: packetOnly, Fast: true},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		r.ToLoop(ctx, d)
		c := r.second(ctx)
		first := func(what string) {
			var s rawclient.State
			var err error
			Eventually(func() (string, error) { // a step is acknowledged before it is done
				s, err = c.State(ctx, 0)
				return s.Name, err
			}).WithContext(ctx).WithTimeout(growTimeout).ShouldNot(Equal(rawclient.Running), what)
			Expect(s.Name).To(Equal("debug"), what)
			Expect(s.Stop).NotTo(BeEmpty(), what)
			for range 2 {
				s, err = c.State(ctx, 0)
				Expect(err).NotTo(HaveOccurred())
				Expect(s.Name).To(Equal("debug"), what)
				Expect([]any{s.Type, s.Address, s.Stop, s.Info}).To(Equal([]any{0, uint64(0), "", ""}), "%s, asked again", what)
			}
		}
		Expect(c.Step(ctx, false, 0)).To(Succeed())
		first("after a step")
		Expect(c.Go(ctx, false, 0)).To(Succeed())
		Expect(c.Break(ctx, false, 0)).To(Succeed())
		first("after a stop")
	})

var _ = runSpec("a pause through QMP is seen, and going on from it works", Spec{Fast: true, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		r.ToLoop(ctx, d)
		for range 3 {
			Expect(d.Go(ctx, 0)).To(Succeed())
			r.ExpectGrowth(ctx, 0)
			Expect(r.QMP().Execute(ctx, "stop", nil, nil)).To(Succeed())
			s, err := d.WaitStopped(ctx, 0)
			Expect(err).NotTo(HaveOccurred())
			if r.Dialect == harness.Packet {
				Expect(s.Status).To(Equal(debugger.Halted), "%v", s)
			}
			r.ExpectNoGrowth(ctx, 0)
		}
		Expect(d.Go(ctx, 0)).To(Succeed())
		r.ExpectGrowth(ctx, 0)
	})

var _ = runSpec("QMP cont is seen, and a stop of ours works after it", Spec{Fast: true, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		r.ToLoop(ctx, d)
		for range 3 {
			Expect(r.QMP().Execute(ctx, "cont", nil, nil)).To(Succeed())
			_, err := debugger.WaitFor(ctx, d, 0, "running", func(s debugger.State) bool { return s.Status == debugger.Running })
			Expect(err).NotTo(HaveOccurred())
			r.ExpectGrowth(ctx, 0)
			Expect(d.Stop(ctx, debugger.AllCores)).To(Succeed()) // QMP has let all of them run
			_, err = d.WaitStopped(ctx, 0)
			Expect(err).NotTo(HaveOccurred())
			r.ExpectRunState(ctx, stopped...)
			r.ExpectNoGrowth(ctx, 0)
			Expect(d.Step(ctx, 0)).To(Succeed())
		}
	})

var _ = runSpec("a machine that ran before anybody connected is found running, and can be stopped", Spec{Running: true, Fast: true, Labels: []string{"observer", "ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		r.ExpectGrowth(ctx, 0)
		s, err := d.State(ctx, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(s.Status).To(Equal(debugger.Running), "%v", s)
		Expect(d.Stop(ctx, 0)).To(Succeed())
		_, err = d.WaitStopped(ctx, 0)
		Expect(err).NotTo(HaveOccurred())
		r.ExpectNoGrowth(ctx, 0)
		Expect(d.Go(ctx, 0)).To(Succeed())
		r.ExpectGrowth(ctx, 0)
	})
