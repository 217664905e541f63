// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	. "github.com/onsi/gomega"

	"mcdtest/harness/debugger"
)

func registerSpec(name string, s Spec, body func(ctx context.Context, r *Rig, d debugger.Debugger)) bool {
	s.Subject, s.Name = "registers", name
	s.Body = func(ctx context.Context, r *Rig) {
		d := r.Debugger(ctx)
		r.ToLoop(ctx, d)
		body(ctx, r, d)
	}
	return register(s)
}

// hmpRegister reads a register through the monitor's own `print $name`, which knows a few by name.
func (r *Rig) core0(ctx context.Context, d debugger.Debugger) debugger.Core {
	cores, err := d.Cores(ctx)
	Expect(err).NotTo(HaveOccurred())
	return cores[0]
}

// absentRegisters are registers that QEMU's target description lists although the CPU does not have them.
func absentRegister(arch, name string) bool {
	return arch == "riscv64" && (name == "pmpcfg1" || name == "pmpcfg3") // a 64-bit RISC-V has only the even ones
}

var _ = registerSpec("each register of each group reads as many bytes as its size says", Spec{Fast: true},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		core := r.core0(ctx, d)
		Expect(core.Registers).NotTo(BeEmpty())
		seen := make(map[int]int)
		for _, reg := range core.Registers {
			seen[reg.Group]++
			p, err := d.ReadRegister(ctx, 0, reg.ID)
			if absentRegister(r.Arch, reg.Name) {
				continue
			}
			Expect(err).NotTo(HaveOccurred(), "%s (%d)", reg.Name, reg.ID)
			Expect(p).To(HaveLen(reg.Bytes()), "%s (%d)", reg.Name, reg.ID)
		}
		for _, g := range core.Groups {
			Expect(seen).To(HaveKey(g.ID), "group %s has registers", g.Name)
		}
	})

var _ = registerSpec("a register that does not exist is refused, and the next read works", Spec{Fast: true},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		used := make(map[int]bool)
		last := 0
		for _, reg := range r.core0(ctx, d).Registers {
			used[reg.ID] = true
			last = max(last, reg.ID)
		}
		for _, id := range []int{last + 1, last + 1000, 1 << 20} {
			_, err := d.ReadRegister(ctx, 0, id)
			Expect(err).To(MatchError(debugger.ErrRefused), "read of register %d", id)
			Expect(d.WriteRegister(ctx, 0, id, []byte{0, 0, 0, 0})).To(MatchError(debugger.ErrRefused), "write of register %d", id)
		}
		Expect(debugger.PC(ctx, d, 0)).To(Equal(r.Guest().Addr("loop")))
	})

var _ = registerSpec("a free register takes every pattern, and only it changes", Spec{Fast: true},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		free := r.Guest().FreeRegisters()
		Expect(free).NotTo(BeEmpty())
		snapshot := func(but string) map[string]string {
			values := make(map[string]string)
			for _, f := range free {
				if f.Name == but {
					continue
				}
				reg, err := d.FindRegister(ctx, 0, f.Name)
				Expect(err).NotTo(HaveOccurred())
				p, err := d.ReadRegister(ctx, 0, reg.ID)
				Expect(err).NotTo(HaveOccurred())
				values[f.Name] = fmt.Sprintf("%x", p)
			}
			return values
		}
		for i, f := range free {
			reg, err := d.FindRegister(ctx, 0, f.Name)
			Expect(err).NotTo(HaveOccurred())
			Expect(reg.Bits).To(Equal(f.Bits), "size of %s", f.Name)
			before := snapshot(f.Name)
			for rotate := range 4 {
				p := pattern(reg.Bytes(), byte(0x11*(i+1)))
				p = append(p[rotate:], p[:rotate]...)
				Expect(d.WriteRegister(ctx, 0, reg.ID, p)).To(Succeed(), f.Name)
				got, err := d.ReadRegister(ctx, 0, reg.ID)
				Expect(err).NotTo(HaveOccurred())
				Expect(got).To(Equal(p), "%s after a write", f.Name)
			}
			Expect(snapshot(f.Name)).To(Equal(before), "the others after writes of %s", f.Name)
		}
	})

var _ = registerSpec("a write is taken whole or refused, for every register", Spec{Labels: []string{"ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		taken := 0
		for _, reg := range r.core0(ctx, d).Registers {
			if absentRegister(r.Arch, reg.Name) {
				continue
			}
			old, err := d.ReadRegister(ctx, 0, reg.ID)
			Expect(err).NotTo(HaveOccurred(), reg.Name)
			p := bytes.Clone(old)
			for i := range p {
				p[i] ^= 0x54
			}
			err = d.WriteRegister(ctx, 0, reg.ID, p)
			if err != nil {
				Expect(err).To(MatchError(debugger.ErrRefused), reg.Name)
				continue
			}
			now, err := d.ReadRegister(ctx, 0, reg.ID)
			Expect(err).NotTo(HaveOccurred(), reg.Name)
			if !counts(reg.Name) {
				Expect(now).To(Equal(p), "%s: the write was said to have succeeded", reg.Name)
			}
			taken++
			Expect(d.WriteRegister(ctx, 0, reg.ID, old)).To(Or(Succeed(), MatchError(debugger.ErrRefused)), reg.Name)
		}
		Expect(taken).To(BeNumerically(">=", 8), "writable registers")
	})

// counts tells registers that change by themselves.
func counts(name string) bool {
	return slices.ContainsFunc([]string{"cycle", "instret", "time", "CNT", "PMCCNTR"}, func(s string) bool { return strings.Contains(name, s) })
}

var _ = registerSpec("a write of the wrong size is refused and changes nothing", Spec{Labels: []string{"ours"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		reg, err := d.FindRegister(ctx, 0, r.Guest().FreeRegisters()[0].Name)
		Expect(err).NotTo(HaveOccurred())
		old, err := d.ReadRegister(ctx, 0, reg.ID)
		Expect(err).NotTo(HaveOccurred())
		for _, n := range []int{1, reg.Bytes() - 1, reg.Bytes() + 1, 2 * reg.Bytes()} {
			Expect(d.WriteRegister(ctx, 0, reg.ID, pattern(n, 0x77))).To(MatchError(debugger.ErrRefused), "%d bytes for %s", n, reg.Name)
		}
		Expect(d.ReadRegister(ctx, 0, reg.ID)).To(Equal(old))
	})

var _ = registerSpec("pc says where the core goes on", Spec{Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		before := r.Counter(ctx)
		// Two of the loop's instructions are passed over, and the store is made again.
		for range 3 {
			Expect(debugger.SetPC(ctx, d, 0, r.Guest().Addr("branch"))).To(Succeed())
			Expect(d.Step(ctx, 0)).To(Succeed())
			Expect(debugger.PC(ctx, d, 0)).To(Equal(r.Guest().Addr("loop")))
		}
		Expect(r.Counter(ctx)).To(Equal(before), "the counter, as qtest sees it: no store was executed")
	})

var _ = registerSpec("the core goes on with what was written", Spec{Fast: true, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		value := r.Guest().ValueRegister()
		for _, v := range []uint64{0x1234, 0x7ffffff0, 0} {
			store := r.exec("store")
			Expect(d.Insert(ctx, 0, store)).To(Succeed())
			Expect(debugger.Continue(ctx, d, 0)).To(Succeed())
			r.expectHit(ctx, d, 0, store)
			Expect(d.Remove(ctx, 0, store)).To(Succeed())
			Expect(debugger.SetRegisterValue(ctx, d, 0, value.Name, v)).To(Succeed())
			Expect(d.Step(ctx, 0)).To(Succeed())
			Expect(r.Counter(ctx)).To(BeEquivalentTo(v), "what the store of %s stored, as qtest sees it", value.Name)
		}
	})

var _ = registerSpec("a register holds what the program computed", Spec{Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		value, slot := r.Guest().ValueRegister(), r.Guest().SlotRegister()
		Expect(debugger.RegisterValue(ctx, d, 0, slot.Name)).To(Equal(r.Guest().Addr("counter")), "the address of the variable in %s", slot.Name)
		for range 3 {
			Expect(d.Step(ctx, 0)).To(Succeed()) // the load
			Expect(debugger.PC(ctx, d, 0)).To(Equal(r.Guest().Addr("after_load")))
			got, err := debugger.RegisterValue(ctx, d, 0, value.Name)
			Expect(err).NotTo(HaveOccurred())
			Expect(uint32(got)).To(Equal(r.Counter(ctx)), "what was loaded into %s, and what qtest sees", value.Name)
			loop := r.exec("loop")
			Expect(d.Insert(ctx, 0, loop)).To(Succeed())
			Expect(d.Go(ctx, 0)).To(Succeed())
			r.expectHit(ctx, d, 0, loop)
			Expect(d.Remove(ctx, 0, loop)).To(Succeed())
		}
	})

var _ = registerSpec("reading registers while the core runs does not stop it", Spec{Fast: true, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, d debugger.Debugger) {
		Expect(d.Go(ctx, 0)).To(Succeed())
		for range 20 {
			pc, err := debugger.PC(ctx, d, 0)
			Expect(err).NotTo(HaveOccurred())
			Expect(pc).NotTo(BeZero())
		}
		r.ExpectRunState(ctx, "running")
		r.ExpectGrowth(ctx, 0)
		s, err := d.State(ctx, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(s.Status).To(Equal(debugger.Running), "%v", s)
	})
