// SPDX-License-Identifier: Apache-2.0

package gdbtarget_test

import (
	"fmt"
	"testing"

	"mcdtest/guest"
	"mcdtest/stub/target"
)

// QEMU answers a step now and then that it has not made, the more often the sooner steps of several cores follow each other.
func TestEveryStepIsMade(t *testing.T) {
	eachArch(t, rigConfig{variant: guest.SMP, cores: 2}, func(t *testing.T, r *rig) {
		ctx := deadline(t)
		must(t, r.Go(ctx, target.AllCores))
		for core := range 2 {
			addr := r.guest.Addr("counter_phys") + uint64(core)*r.guest.Addr("slot_stride")
			until(t, fmt.Sprintf("core %d counts", core), func() (bool, string) { n := r.hmpWord(t, addr); return n != 0, "0" })
		}
		must(t, r.Stop(ctx, target.AllCores))
		loop := r.guest.Labels()
		at := func(core int) int {
			pc := r.pc(t, core)
			for i, label := range loop {
				if pc == r.guest.Addr(label) {
					return i
				}
			}
			return -1
		}
		for core := range 2 {
			for range 100 {
				if at(core) == 0 {
					break
				}
				must(t, r.Step(ctx, core))
			}
		}
		for round := range 60 {
			for range len(loop) {
				must(t, r.Step(ctx, target.AllCores))
			}
			for core := range 2 {
				if i := at(core); i != 0 {
					t.Fatalf("round %d: core %d is %d steps behind its last round, or elsewhere (%d)", round, core, len(loop)-i, i)
				}
			}
		}
	})
}
