// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"mcdtest/guest"
	"mcdtest/harness"
	"mcdtest/harness/debugger"
)

func memorySpec(name string, s Spec, body func(ctx context.Context, r *Rig)) bool {
	s.Subject, s.Name, s.Body = "memory", name, body
	return register(s)
}

// memorySpaces are the non-secure spaces of core 0 with addresses of the guest in them.
type memorySpace struct {
	debugger.Space
	suffix string // of the guest's symbols: "" or "_phys"
}

func (s memorySpace) addr(r *Rig, symbol string) uint64 { return r.Guest().Addr(symbol + s.suffix) }

// phys is where the bus has an address of the space.
func (s memorySpace) phys(r *Rig, addr uint64) uint64 {
	if s.suffix != "" {
		return addr
	}
	p, err := r.Guest().Phys(addr)
	Expect(err).NotTo(HaveOccurred())
	return p
}

func bothSpaces(ctx context.Context, d debugger.Debugger) []memorySpace {
	ginkgo.GinkgoHelper()
	cores, err := d.Cores(ctx)
	Expect(err).NotTo(HaveOccurred())
	logical, err := cores[0].Logical(false)
	Expect(err).NotTo(HaveOccurred())
	physical, err := cores[0].Physical(false)
	Expect(err).NotTo(HaveOccurred())
	return []memorySpace{{logical, ""}, {physical, "_phys"}}
}

// pattern fills n bytes so that no two neighbours, words or halves are equal, and that two seeds differ everywhere.
func pattern(n int, seed byte) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*7) ^ byte(i>>8) ^ seed
	}
	return p
}

// put writes the scratch area behind MCD's back.
func (r *Rig) put(ctx context.Context, addr uint64, p []byte) {
	ginkgo.GinkgoHelper()
	Expect(r.QTest().Write(ctx, addr, p)).To(Succeed())
}

// expectSame compares long blocks without printing them.
func expectSame(got, want []byte, how string) {
	ginkgo.GinkgoHelper()
	Expect(got).To(HaveLen(len(want)), how)
	for i := range want {
		if got[i] != want[i] {
			ginkgo.Fail(fmt.Sprintf("byte %d of %d is %#02x %s, not %#02x", i, len(want), got[i], how, want[i]))
		}
	}
}

// accessSizes are numbers of bytes: small ones, odd ones, those around a page and one that needs several requests of
// every protocol below.
var accessSizes = []int{1, 2, 3, 4, 5, 7, 8, 15, 16, 31, 64, 255, 480}

var _ = memorySpec("a read gives what is there, whatever its length and alignment", Spec{Fast: true, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig) {
		d := r.Debugger(ctx)
		r.ToLoop(ctx, d) // with address translation on, if the guest has it
		want := pattern(1024, 0x5a)
		for _, s := range bothSpaces(ctx, d) {
			scratch := s.addr(r, "scratch")
			r.put(ctx, s.phys(r, scratch), want)
			for _, n := range accessSizes {
				for _, offset := range []int{0, 1, 2, 3, 5} {
					got, err := d.ReadMemory(ctx, 0, s.ID, scratch+uint64(offset), n)
					Expect(err).NotTo(HaveOccurred())
					Expect(got).To(Equal(want[offset:offset+n]), "%d bytes at scratch+%d in %s", n, offset, s.Name)
				}
			}
		}
	})

var _ = memorySpec("a write changes what it names and nothing beside it", Spec{Fast: true, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig) {
		d := r.Debugger(ctx)
		r.ToLoop(ctx, d)
		for i, s := range bothSpaces(ctx, d) {
			scratch := s.addr(r, "scratch")
			for _, n := range accessSizes {
				for _, offset := range []int{4, 5, 6, 7} {
					before := pattern(600, byte(i+1))
					r.put(ctx, s.phys(r, scratch), before)
					p := pattern(n, 0xc3)
					Expect(d.WriteMemory(ctx, 0, s.ID, scratch+uint64(offset), p)).To(Succeed(), "%d bytes at scratch+%d in %s", n, offset, s.Name)
					want := bytes.Clone(before)
					copy(want[offset:], p)
					Expect(r.Observe(ctx, s.phys(r, scratch), len(want))).To(Equal(want), "%d bytes at scratch+%d in %s, as qtest sees them", n, offset, s.Name)
				}
			}
		}
	})

var _ = memorySpec("a variable is in the byte order of the machine", Spec{Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig) {
		d := r.Debugger(ctx)
		r.ToLoop(ctx, d)
		for _, s := range bothSpaces(ctx, d) {
			want := []byte{0x11, 0x22, 0x33, 0x44}
			r.put(ctx, s.phys(r, s.addr(r, "scratch")), want)
			got, err := d.ReadMemory(ctx, 0, s.ID, s.addr(r, "scratch"), 4)
			Expect(err).NotTo(HaveOccurred())
			Expect(r.order().Uint32(got)).To(Equal(binary.LittleEndian.Uint32(want)), s.Name)
		}
	})

var _ = memorySpec("an access across a page end is whole", Spec{Variant: guest.MMU, Fast: true, Labels: []string{"observer", "mmu", "ours"}},
	func(ctx context.Context, r *Rig) {
		d := r.Debugger(ctx)
		r.ToLoop(ctx, d)
		s := bothSpaces(ctx, d)[0]
		end := r.Guest().Addr("scratch") + 4096
		for _, before := range []uint64{1, 2, 3, 100} {
			n := int(before) + 60
			p := pattern(n, byte(before))
			Expect(d.WriteMemory(ctx, 0, s.ID, end-before, p)).To(Succeed())
			first := r.Observe(ctx, s.phys(r, end-before), int(before))
			second := r.Observe(ctx, s.phys(r, end), n-int(before))
			Expect(append(first, second...)).To(Equal(p), "%d bytes from %d before the page end, as qtest sees them", n, before)
			got, err := d.ReadMemory(ctx, 0, s.ID, end-before, n)
			Expect(err).NotTo(HaveOccurred())
			Expect(got).To(Equal(p))
		}
	})

var _ = memorySpec("unmapped memory is refused, and the next access works", Spec{Fast: true, Labels: []string{"ours"}},
	func(ctx context.Context, r *Rig) {
		d := r.Debugger(ctx)
		r.ToLoop(ctx, d)
		for _, s := range bothSpaces(ctx, d) {
			bad := s.addr(r, "unmapped")
			_, err := d.ReadMemory(ctx, 0, s.ID, bad, 4)
			Expect(err).To(MatchError(debugger.ErrRefused), "read of %#x in %s", bad, s.Name)
			Expect(d.WriteMemory(ctx, 0, s.ID, bad, []byte{1, 2, 3, 4})).To(MatchError(debugger.ErrRefused), "write of %#x in %s", bad, s.Name)
			_, err = d.ReadMemory(ctx, 0, s.ID, s.addr(r, "counter"), 4)
			Expect(err).NotTo(HaveOccurred())
		}
	})

var _ = memorySpec("memory is live while the core runs, and reading it does not stop it", Spec{Fast: true, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig) {
		d := r.Debugger(ctx)
		r.ToLoop(ctx, d)
		Expect(d.Go(ctx, 0)).To(Succeed())
		r.ExpectGrowth(ctx, 0)
		r.ExpectRunState(ctx, "running") // behind it, the event of the go has come
		events, err := r.QMP().Events(ctx)
		Expect(err).NotTo(HaveOccurred())
		for _, s := range bothSpaces(ctx, d) {
			read := func() uint32 {
				p, err := d.ReadMemory(ctx, 0, s.ID, s.addr(r, "counter"), 4)
				Expect(err).NotTo(HaveOccurred())
				return r.order().Uint32(p)
			}
			first := read()
			Eventually(read).WithContext(ctx).WithTimeout(growTimeout).ShouldNot(Equal(first), "the counter as MCD reads it in %s", s.Name)
		}
		r.ExpectRunState(ctx, "running")
		// A round trip on the same monitor: events of a stop would have come before its answer.
		select {
		case ev := <-events:
			ginkgo.Fail(fmt.Sprintf("the machine was disturbed: QMP reported %s", ev.Event))
		default:
		}
		// A write takes at once, too; it may hold the machine for a moment.
		for _, s := range bothSpaces(ctx, d) {
			Expect(d.WriteMemory(ctx, 0, s.ID, s.addr(r, "scratch"), []byte(s.Name))).To(Succeed())
			Expect(r.Observe(ctx, s.phys(r, s.addr(r, "scratch")), len(s.Name))).To(Equal([]byte(s.Name)))
		}
		r.ExpectGrowth(ctx, 0)
		r.ExpectRunState(ctx, "running")
	})

var _ = memorySpec("code that is patched is what the core executes", Spec{Fast: true, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig) {
		d := r.Debugger(ctx)
		r.ToLoop(ctx, d)
		two, err := r.Guest().Object("patch_increment_by_two")
		Expect(err).NotTo(HaveOccurred())
		nop, err := r.Guest().Object("patch_nop")
		Expect(err).NotTo(HaveOccurred())
		loop := debugger.Trigger{Type: debugger.Exec, Addr: r.Guest().Addr("loop")}
		Expect(d.Insert(ctx, 0, loop)).To(Succeed())
		bothSpaces := bothSpaces(ctx, d)
		for _, s := range bothSpaces {
			for _, c := range []struct {
				code []byte
				step uint32
			}{{two, 2}, {nop, 1}} {
				addr := r.Guest().Addr("patch_site")
				if s.suffix != "" {
					addr = bothSpaces[0].phys(r, addr)
				}
				Expect(d.WriteMemory(ctx, 0, s.ID, addr, c.code)).To(Succeed())
				before := r.Counter(ctx)
				for range 3 {
					Expect(debugger.Continue(ctx, d, 0)).To(Succeed())
					_, err := d.WaitStopped(ctx, 0)
					Expect(err).NotTo(HaveOccurred())
				}
				Expect(r.Counter(ctx)-before).To(Equal(3*c.step), "increments in three passes after a patch through %s", s.Name)
			}
		}
	})

var _ = memorySpec("long blocks come and go, up to the last byte of RAM", Spec{Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig) {
		d := r.Debugger(ctx)
		s := bothSpaces(ctx, d)[1]
		base, size := r.Guest().RAM()
		n := 1 << 20
		if r.Dialect == harness.JSON {
			n = 1 << 18 // a byte is up to four characters there, in the request and in the answer, and all of them are recorded
		}
		addr := base + size - uint64(n) // nothing of the program is there
		p := pattern(n, 0x1d)
		// The pattern repeats itself after 64 KiB; the number of each page tells them apart.
		for page := 0; page < n; page += 4096 {
			binary.LittleEndian.PutUint32(p[page:], uint32(page))
		}
		Expect(d.WriteMemory(ctx, 0, s.ID, addr, p)).To(Succeed())
		expectSame(r.Observe(ctx, addr, n), p, "as qtest sees it")
		got, err := d.ReadMemory(ctx, 0, s.ID, addr, n)
		Expect(err).NotTo(HaveOccurred())
		expectSame(got, p, "as it is read")
		// One byte more is not there.
		_, err = d.ReadMemory(ctx, 0, s.ID, base+size-3, 4)
		Expect(err).To(MatchError(debugger.ErrRefused), "a read of four bytes, three before the end of RAM")
		got, err = d.ReadMemory(ctx, 0, s.ID, base+size-3, 3)
		Expect(err).NotTo(HaveOccurred())
		Expect(got).To(Equal(p[n-3:]), "the last three bytes of RAM")
	})
