// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"time"

	. "github.com/onsi/gomega"

	"mcdtest/harness/debugger"
)

func resetSpec(name string, s Spec, body func(ctx context.Context, r *Rig, d debugger.Debugger, class int)) bool {
	s.Subject, s.Name = "reset", name
	s.Body = func(ctx context.Context, r *Rig) {
		d := r.Debugger(ctx)
		classes, err := d.ResetClasses(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(classes).NotTo(BeEmpty())
		body(ctx, r, d, classes[0].ID)
	}
	return register(s)
}

var _ = resetSpec("every class that is listed has an effect that QMP reports", Spec{Fast: true, Labels: []string{"observer", "ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger, _ int) {
		classes, err := d.ResetClasses(ctx)
		Expect(err).NotTo(HaveOccurred())
		names := make(map[string]bool)
		for _, c := range classes {
			Expect(c.Name).NotTo(BeEmpty())
			Expect(names).NotTo(HaveKey(c.Name))
			names[c.Name] = true
			first, err := debugger.PC(ctx, d, 0)
			Expect(err).NotTo(HaveOccurred())
			r.ToLoop(ctx, d)
			events, err := r.QMP().Events(ctx)
			Expect(err).NotTo(HaveOccurred())
			Expect(d.Reset(ctx, c.ID)).To(Succeed(), c.Name)
			Eventually(func() string {
				select {
				case ev := <-events:
					return ev.Event
				default:
					return ""
				}
			}).WithContext(ctx).WithTimeout(growTimeout).Should(Equal("RESET"), "QMP's event for %s", c.Name)
			Expect(debugger.PC(ctx, d, 0)).To(Equal(first), "the reset pc after %s", c.Name)
		}
	})

var _ = resetSpec("cores that stood stand at their reset pc, and start over when they go", Spec{Fast: true, Labels: []string{"observer", "ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger, class int) {
		first, err := debugger.PC(ctx, d, 0)
		Expect(err).NotTo(HaveOccurred())
		r.ToLoop(ctx, d)
		Expect(d.Go(ctx, 0)).To(Succeed())
		r.ExpectGrowth(ctx, 0)
		Expect(d.Stop(ctx, 0)).To(Succeed())
		_, err = d.WaitStopped(ctx, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(d.Reset(ctx, class)).To(Succeed())
		Expect(debugger.PC(ctx, d, 0)).To(Equal(first))
		s, err := d.State(ctx, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(s.Standing()).To(BeTrue(), "%v", s)
		r.ExpectRunState(ctx, stopped...)
		r.ExpectNoGrowth(ctx, 0)
		Expect(r.Counter(ctx)).To(BeZero(), "the program is loaded again")
		Expect(d.Go(ctx, debugger.AllCores)).To(Succeed())
		r.ExpectGrowth(ctx, 0)
	})

var _ = resetSpec("cores that ran run on from the start", Spec{Fast: true, Labels: []string{"observer", "ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger, class int) {
		r.ToLoop(ctx, d)
		// A mark that only the load at a reset removes.
		Expect(d.Go(ctx, debugger.AllCores)).To(Succeed())
		r.ExpectGrowth(ctx, 0)
		const mark = 0x40000000 // far enough from where the counter wraps
		Eventually(func() uint32 {
			n := r.Counter(ctx)
			if n < mark { // not yet, or a store that was under way has undone it
				r.put(ctx, r.Guest().Addr("counter_phys"), []byte{0, 0, 0, mark >> 24})
			}
			return n
		}).WithContext(ctx).WithTimeout(growTimeout).WithPolling(time.Millisecond).Should(BeNumerically(">", mark), "the loop counts on from the mark, as qtest sees it")
		Expect(d.Reset(ctx, class)).To(Succeed())
		Eventually(func() uint32 { return r.Counter(ctx) }).WithContext(ctx).WithTimeout(growTimeout).
			Should(And(BeNumerically(">", 0), BeNumerically("<", mark)), "the counter counts from 0 again, as qtest sees it")
		r.ExpectRunState(ctx, "running")
		s, err := d.State(ctx, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(s.Status).To(Equal(debugger.Running), "%v", s)
	})

var _ = resetSpec("triggers stay", Spec{Labels: []string{"ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger, class int) {
		r.ToLoop(ctx, d)
		tr := r.exec("store")
		Expect(d.Insert(ctx, 0, tr)).To(Succeed())
		Expect(d.Reset(ctx, class)).To(Succeed())
		Expect(d.Go(ctx, debugger.AllCores)).To(Succeed())
		r.expectHit(ctx, d, 0, tr)
		Expect(d.Remove(ctx, 0, tr)).To(Succeed())
	})

var _ = resetSpec("a class that is not listed changes nothing", Spec{Labels: []string{"observer", "ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger, _ int) {
		r.ToLoop(ctx, d)
		_ = d.Reset(ctx, 31) // told in one dialect, not in the other
		Expect(debugger.PC(ctx, d, 0)).To(Equal(r.Guest().Addr("loop")))
		r.ExpectRunState(ctx, "debug")
	})

var _ = resetSpec("what stopped a core before a reset is not told after it", Spec{Fast: true, Labels: []string{"observer", "ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger, class int) {
		for _, told := range []bool{false, true} {
			r.ToLoop(ctx, d)
			tr := r.exec("store")
			r.hitUntold(ctx, d, tr)
			if told {
				_, err := d.WaitStopped(ctx, 0)
				Expect(err).NotTo(HaveOccurred())
			}
			Expect(d.Reset(ctx, class)).To(Succeed())
			expectNoTrigger(ctx, d)
			Expect(d.Remove(ctx, 0, tr)).To(Succeed(), "triggers stay")
		}
	})
