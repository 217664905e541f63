// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"mcdtest/harness/debugger"
)

// What follows looks at a machine without MCD: through qtest (physical memory) and QMP (run state).

// growTimeout bounds the wait for a running loop to count on; it makes 60 million passes a second.
const growTimeout = 5 * time.Second

// order is the guest's byte order.
func (m *Machine) order() binary.ByteOrder {
	if m.Guest().BigEndian() {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// Observe reads physical memory through qtest.
func (m *Machine) Observe(ctx context.Context, addr uint64, n int) []byte {
	ginkgo.GinkgoHelper()
	p := make([]byte, n)
	Expect(m.ReadPhysical(ctx, addr, p)).To(Succeed())
	return p
}

// Counter is the loop's variable as qtest sees it.
func (m *Machine) Counter(ctx context.Context) uint32 { return m.Slot(ctx, 0) }

// Slot is the variable of one core of the smp program, as qtest sees it.
func (m *Machine) Slot(ctx context.Context, core int) uint32 {
	ginkgo.GinkgoHelper()
	addr := m.Guest().Addr("counter_phys")
	if core > 0 {
		addr += uint64(core) * m.Guest().Addr("slot_stride")
	}
	v, err := m.Uint32At(ctx, addr)
	Expect(err).NotTo(HaveOccurred())
	return v
}

// ExpectGrowth waits until the variable of a core changes.
func (m *Machine) ExpectGrowth(ctx context.Context, core int) {
	ginkgo.GinkgoHelper()
	first := m.Slot(ctx, core)
	Eventually(func() uint32 { return m.Slot(ctx, core) }).WithContext(ctx).WithTimeout(growTimeout).WithPolling(200*time.Microsecond).
		ShouldNot(Equal(first), "core %d was to count on from %d, as qtest sees it", core, first)
}

// ExpectNoGrowth makes sure that a core stands: its variable is the same before and after QEMU has answered several
// requests, in which time a loop that runs makes thousands of passes.
func (m *Machine) ExpectNoGrowth(ctx context.Context, core int) {
	ginkgo.GinkgoHelper()
	first := m.Slot(ctx, core)
	for range 5 {
		_, err := m.RunState(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(m.Slot(ctx, core)).To(Equal(first), "core %d was to stand, but counts on, as qtest sees it", core)
	}
}

// ExpectRunState waits until QMP says that the machine is in one of the run states.
func (m *Machine) ExpectRunState(ctx context.Context, states ...string) {
	ginkgo.GinkgoHelper()
	Eventually(func() (string, error) { return m.RunState(ctx) }).WithContext(ctx).WithTimeout(growTimeout).WithPolling(time.Millisecond).
		Should(BeElementOf(states), "QMP's run state")
}

// Stopped are the run states of a machine that stands.
var stopped = []string{"debug", "paused", "prelaunch"}

// ToLoop runs core 0 to the loop head with a breakpoint, and takes that out again.
func (m *Machine) ToLoop(ctx context.Context, d debugger.Debugger) {
	ginkgo.GinkgoHelper()
	tr := debugger.Trigger{Type: debugger.Exec, Addr: m.Guest().Addr("loop")}
	Expect(d.Insert(ctx, 0, tr)).To(Succeed())
	Expect(d.Go(ctx, debugger.AllCores)).To(Succeed())
	_, err := d.WaitStopped(ctx, 0)
	Expect(err).NotTo(HaveOccurred())
	Expect(debugger.PC(ctx, d, 0)).To(Equal(tr.Addr), "pc at the loop head")
	Expect(d.Remove(ctx, 0, tr)).To(Succeed())
}
