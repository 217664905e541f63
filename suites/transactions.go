// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bytes"
	"context"
	"fmt"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"mcdtest/harness/debugger"
	"mcdtest/harness/jsonclient"
	"mcdtest/stub/jsonwire"
)

func transactionSpec(name string, s Spec, body func(ctx context.Context, r *Rig, o *objectSeat)) bool {
	s.Subject, s.Name, s.Dialects = "transactions", name, jsonOnly
	s.Body = func(ctx context.Context, r *Rig) {
		o := r.objectSeat(ctx)
		r.ToLoop(ctx, o.d)
		body(ctx, r, o)
		// Whatever was refused, the next list is carried out.
		p := pattern(16, 0x99)
		r.put(ctx, r.Guest().Addr("scratch_phys"), p)
		Expect(o.transact(ctx, o.read(o.physical(), r.Guest().Addr("scratch_phys"), 16))).To(Equal([][]byte{p}))
	}
	return register(s)
}

func (o *objectSeat) physical() uint32 { return o.space(jsonwire.MemIsPhysical) }
func (o *objectSeat) logical() uint32  { return o.space(jsonwire.MemIsLogical) }

// read is a transaction as the real client sends it: an entry of data for every byte that is to be read.
func (o *objectSeat) read(space uint32, addr uint64, n int) jsonwire.Tx {
	return jsonwire.Tx{
		Addr: jsonwire.Addr{Address: addr, MemSpaceID: space}, AccessType: jsonwire.TxRead, Data: make([]byte, n), NumBytes: uint32(n),
	}
}

func (o *objectSeat) write(space uint32, addr uint64, p []byte) jsonwire.Tx {
	return jsonwire.Tx{
		Addr: jsonwire.Addr{Address: addr, MemSpaceID: space}, AccessType: jsonwire.TxWrite, Data: p, NumBytes: uint32(len(p)),
	}
}

// transact carries transactions out, all of which are to succeed, and returns their data.
func (o *objectSeat) transact(ctx context.Context, tx ...jsonwire.Tx) [][]byte {
	ginkgo.GinkgoHelper()
	list, err := o.c.ExecuteTxList(ctx, o.uids[0], tx...)
	Expect(o.c.Explain(ctx, err, o.uids[0])).NotTo(HaveOccurred())
	Expect([]uint32{list.NumTx, list.NumTxOK}).To(Equal([]uint32{uint32(len(tx)), uint32(len(tx))}), "num-tx and num-tx-ok")
	Expect(list.Tx).To(HaveLen(len(tx)))
	var data [][]byte
	for i, got := range list.Tx {
		want := tx[i]
		want.NumBytesOK = want.NumBytes
		want.Data = got.Data
		Expect(got).To(Equal(want), "transaction %d comes back as it was sent, but for data and num-bytes-ok", i)
		Expect(got.Data).To(HaveLen(int(want.NumBytes)), "data of transaction %d", i)
		data = append(data, got.Data)
	}
	return data
}

// fails makes sure that a list ends with status 3 and a code.
func (o *objectSeat) fails(ctx context.Context, code jsonwire.ErrorCode, what string, tx ...jsonwire.Tx) {
	ginkgo.GinkgoHelper()
	_, err := o.c.ExecuteTxList(ctx, o.uids[0], tx...)
	o.refused(ctx, err, o.uids[0], code, "%s", what)
}

var _ = transactionSpec("reads and writes of several spaces are carried out in order", Spec{Fast: true, Labels: []string{"observer"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	g := r.Guest()
	logical, physical := g.Addr("scratch"), g.Addr("scratch_phys")
	first, second := pattern(8, 1), pattern(8, 2)
	r.put(ctx, physical, pattern(32, 3))
	free, err := o.d.FindRegister(ctx, 0, g.FreeRegisters()[0].Name)
	Expect(err).NotTo(HaveOccurred())
	value := pattern(free.Bytes(), 4)
	registers := o.space(jsonwire.MemIsRegisters)
	got := o.transact(ctx,
		o.read(o.physical(), physical, 8),
		o.write(o.logical(), logical, first),
		o.read(o.physical(), physical, 16),
		o.write(o.physical(), physical+4, second),
		o.read(o.logical(), logical, 16),
		o.write(registers, uint64(free.ID), value),
		o.read(registers, uint64(free.ID), free.Bytes()),
		o.read(o.logical(), g.Addr("loop"), 4),
	)
	old := pattern(32, 3)
	code, err := g.Data(g.Addr("loop"), 4)
	Expect(err).NotTo(HaveOccurred())
	after := append(bytes.Clone(first[:4]), append(bytes.Clone(second), old[12:16]...)...)
	Expect(got).To(Equal([][]byte{old[:8], first, append(bytes.Clone(first), old[8:16]...), second, after, value, value, code}))
	Expect(r.Observe(ctx, physical, 16)).To(Equal(after), "as qtest sees it")
})

var _ = transactionSpec("a list stops at the first transaction that fails", Spec{Fast: true, Labels: []string{"observer"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	g := r.Guest()
	scratch := g.Addr("scratch_phys")
	bad := map[string]struct {
		tx   jsonwire.Tx
		code jsonwire.ErrorCode
	}{
		"a read of nothing":  {o.read(o.physical(), g.Addr("unmapped_phys"), 4), jsonwire.ErrTxListRead},
		"a write to nothing": {o.write(o.physical(), g.Addr("unmapped_phys"), []byte{1, 2, 3, 4}), jsonwire.ErrTxListWrite},
		"an access type":     {jsonwire.Tx{Addr: jsonwire.Addr{Address: scratch, MemSpaceID: o.physical()}, AccessType: jsonwire.TxReadWrite, Data: make([]byte, 4), NumBytes: 4}, jsonwire.ErrTxListTx},
		"an access width":    {jsonwire.Tx{Addr: jsonwire.Addr{Address: scratch, MemSpaceID: o.physical()}, AccessType: jsonwire.TxRead, AccessWidth: 3, Data: make([]byte, 4), NumBytes: 4}, jsonwire.ErrTxListTx},
	}
	for what, b := range bad {
		for _, place := range []int{0, 1, 4, 7} {
			before := pattern(64, 0x33)
			r.put(ctx, scratch, before)
			var list []jsonwire.Tx
			want := bytes.Clone(before)
			for i := range 8 {
				if i == place {
					list = append(list, b.tx)
					continue
				}
				p := []byte{0xa0 + byte(i), 0xb0 + byte(i), 0xc0 + byte(i), 0xd0 + byte(i)}
				list = append(list, o.write(o.physical(), scratch+uint64(8*i), p))
				if i < place {
					copy(want[8*i:], p)
				}
			}
			o.fails(ctx, b.code, fmt.Sprintf("%s in place %d", what, place), list...)
			Expect(r.Observe(ctx, scratch, 64)).To(Equal(want), "memory after a list with %s in place %d, as qtest sees it", what, place)
		}
	}
})

var _ = transactionSpec("an access width divides the number of bytes", Spec{}, func(ctx context.Context, r *Rig, o *objectSeat) {
	scratch := r.Guest().Addr("scratch")
	want := pattern(256, 0x5c)
	r.put(ctx, r.Guest().Addr("scratch_phys"), want)
	for _, c := range []struct{ n, width int }{{1, 1}, {2, 1}, {2, 2}, {4, 4}, {8, 4}, {8, 8}, {16, 8}, {112, 112}, {112, 16}, {12, 3}, {15, 5}, {200, 100}, {255, 255}, {7, 0}, {5, 5}} {
		tx := o.read(o.logical(), scratch, c.n)
		tx.AccessWidth = uint8(c.width)
		Expect(o.transact(ctx, tx)).To(Equal([][]byte{want[:c.n]}), "%d bytes with an access-width of %d", c.n, c.width)
	}
	for _, c := range []struct{ n, width int }{{1, 2}, {3, 2}, {4, 3}, {4, 8}, {112, 100}, {7, 4}, {15, 255}, {16, 5}} {
		read := o.read(o.logical(), scratch, c.n)
		read.AccessWidth = uint8(c.width)
		o.fails(ctx, jsonwire.ErrTxListTx, fmt.Sprintf("a read of %d bytes with an access-width of %d", c.n, c.width), read)
		write := o.write(o.logical(), scratch, pattern(c.n, 0xee))
		write.AccessWidth = uint8(c.width)
		o.fails(ctx, jsonwire.ErrTxListTx, fmt.Sprintf("a write of %d bytes with an access-width of %d", c.n, c.width), write)
	}
	Expect(r.Observe(ctx, r.Guest().Addr("scratch_phys"), 256)).To(Equal(want), "nothing was written, as qtest sees it")
})

var _ = transactionSpec("access types other than read and write are refused", Spec{}, func(ctx context.Context, r *Rig, o *objectSeat) {
	scratch := r.Guest().Addr("scratch_phys")
	want := pattern(8, 0x77)
	r.put(ctx, scratch, want)
	for _, typ := range []jsonwire.AccessType{0, jsonwire.TxReadWrite, jsonwire.TxWriteRead, 5, 1 << 31, 1<<32 - 1} {
		tx := o.write(o.physical(), scratch, []byte{1, 2, 3, 4, 5, 6, 7, 8})
		tx.AccessType = typ
		o.fails(ctx, jsonwire.ErrTxListTx, fmt.Sprintf("access-type %d", typ), tx)
	}
	Expect(r.Observe(ctx, scratch, 8)).To(Equal(want), "nothing was written, as qtest sees it")
})

var _ = transactionSpec("16 KiB are read and written in one transaction, and in many", Spec{Fast: true, Labels: []string{"observer"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	// The program has two pages of its own; what lies behind them is RAM that nothing uses.
	addr := r.Guest().Addr("scratch_phys") + 0x10000
	const n = 16 << 10
	p := pattern(n, 0x21)
	got := o.transact(ctx, o.write(o.physical(), addr, p), o.read(o.physical(), addr, n))
	Expect(bytes.Equal(got[1], p)).To(BeTrue(), "16 KiB come back")
	Expect(bytes.Equal(r.Observe(ctx, addr, n), p)).To(BeTrue(), "16 KiB as qtest sees them")
	var list []jsonwire.Tx
	for i := 0; i < n; i += 64 {
		list = append(list, o.read(o.physical(), addr+uint64(i), 64))
	}
	Expect(bytes.Equal(bytes.Join(o.transact(ctx, list...), nil), p)).To(BeTrue(), "16 KiB in %d transactions", len(list))
	for i := range list {
		list[i] = o.write(o.physical(), addr+uint64(64*i), p[n-64*(i+1):n-64*i])
	}
	o.transact(ctx, list...)
	for i := 0; i < n; i += 64 {
		Expect(r.Observe(ctx, addr+uint64(i), 64)).To(Equal(p[n-i-64:n-i]), "block at %d, as qtest sees it", i)
	}
})

var _ = transactionSpec("counts beyond the arrays are refused, and nothing is carried out", Spec{Fast: true, Labels: []string{"hostile", "observer", "ours"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	scratch := r.Guest().Addr("scratch_phys")
	want := pattern(8, 0x42)
	r.put(ctx, scratch, want)
	send := func(numTx, numBytes uint64, data string, entries int) map[string]string {
		tx := fmt.Sprintf(`{"addr":{"address":%d,"mem-space-id":%d,"addr-space-id":0,"addr-space-type":0},"access-type":2,"options":0,"access-width":0,"core-mode":0,"data":[%s],"num-bytes":%d,"num-bytes-ok":0}`,
			scratch, o.physical(), data, numBytes)
		list := ""
		for i := range entries {
			if i > 0 {
				list += ","
			}
			list += tx
		}
		got := make(map[string]string)
		for k, v := range o.raw(ctx, fmt.Sprintf(`{"execute":"mcd-execute-txlist","arguments":{"core-uid":%d,"txlist":{"tx":[%s],"num-tx":%d,"num-tx-ok":0}}}`, o.uids[0], list, numTx)) {
			got[k] = string(v)
		}
		return got
	}
	for _, c := range []struct {
		numTx, numBytes uint64
		data            string
		entries         int
	}{
		{2, 4, "1,2,3,4", 1}, {1, 4, "1,2,3,4", 0}, {1000, 4, "1,2,3,4", 3}, {1<<32 - 1, 4, "1,2,3,4", 1}, {1 << 31, 4, "1,2,3,4", 2},
		{1, 5, "1,2,3,4", 1}, {1, 4, "", 1}, {1, 1 << 31, "1,2,3,4", 1}, {1, 1<<32 - 1, "1,2,3,4", 1}, {2, 5, "1,2,3,4", 2},
	} {
		Expect(send(c.numTx, c.numBytes, c.data, c.entries)).To(Equal(map[string]string{"return-status": "3"}), "num-tx %d of %d, num-bytes %d of [%s]", c.numTx, c.entries, c.numBytes, c.data)
		info, err := o.c.QryErrorInfo(ctx, o.uids[0])
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Code).NotTo(BeZero())
		Expect(r.Observe(ctx, scratch, 8)).To(Equal(want), "memory after num-tx %d of %d, num-bytes %d of [%s], as qtest sees it", c.numTx, c.entries, c.numBytes, c.data)
	}
	// Numbers that are smaller than the arrays are what counts.
	Expect(send(1, 2, "9,8,7,6", 3)["return-status"]).To(Equal("0"))
	Expect(r.Observe(ctx, scratch, 8)).To(Equal(append([]byte{9, 8}, want[2:]...)), "two bytes of one transaction, as qtest sees them")
	Expect(send(0, 4, "1,2,3,4", 2)["return-status"]).To(Equal("0"), "no transaction at all")
	Expect(r.Observe(ctx, scratch, 8)).To(Equal(append([]byte{9, 8}, want[2:]...)), "memory after a list of none, as qtest sees it")
})

var _ = transactionSpec("a register is a transaction in the last memory space", Spec{Fast: true, Labels: []string{"observer"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	space := o.spaces[len(o.spaces)-1].ID
	pc, err := o.d.FindRegister(ctx, 0, r.Guest().PCRegister().Name)
	Expect(err).NotTo(HaveOccurred())
	got := o.transact(ctx, o.read(space, uint64(pc.ID), pc.Bytes()))
	want := make([]byte, 8)
	r.order().PutUint64(want, r.Guest().Addr("loop"))
	Expect(got[0]).To(Equal(want[:pc.Bytes()]), "pc at the loop head")
	for _, n := range []int{pc.Bytes() - 1, pc.Bytes() + 1, 2 * pc.Bytes()} {
		o.fails(ctx, anyCode, fmt.Sprintf("a read of %d bytes of pc", n), o.read(space, uint64(pc.ID), n))
		o.fails(ctx, anyCode, fmt.Sprintf("a write of %d bytes of pc", n), o.write(space, uint64(pc.ID), make([]byte, n)))
	}
	last := uint64(0)
	regs, err := o.c.Regs(ctx, o.uids[0], 0)
	Expect(err).NotTo(HaveOccurred())
	for _, reg := range regs {
		last = max(last, reg.Addr.Address)
	}
	for _, number := range []uint64{last + 1, last + 1000, 1 << 31, 1 << 32, 1<<32 + uint64(pc.ID), 1<<64 - 1} {
		o.fails(ctx, anyCode, fmt.Sprintf("a read of register %d", number), o.read(space, number, pc.Bytes()))
		o.fails(ctx, anyCode, fmt.Sprintf("a write of register %d", number), o.write(space, number, make([]byte, pc.Bytes())))
	}
	Expect(debugger.PC(ctx, o.d, 0)).To(Equal(r.Guest().Addr("loop")))
})

var _ = transactionSpec("a memory space that does not exist is refused", Spec{Labels: []string{"hostile"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	for _, id := range []uint32{0, uint32(len(o.spaces)) + 1, 1000, 1 << 31, 1<<32 - 1} {
		o.fails(ctx, jsonwire.ErrMemSpaceID, fmt.Sprintf("a read in space %d", id), o.read(id, r.Guest().Addr("scratch"), 4))
		o.fails(ctx, jsonwire.ErrMemSpaceID, fmt.Sprintf("a write in space %d", id), o.write(id, r.Guest().Addr("scratch"), []byte{1, 2, 3, 4}))
	}
})

var _ = transactionSpec("every byte of a read that fails on its way is withheld", Spec{Fast: true, Labels: []string{"observer"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	base, size := r.Guest().RAM()
	end := base + size
	r.put(ctx, end-16, pattern(16, 0x10))
	Expect(o.transact(ctx, o.read(o.physical(), end-16, 16))).To(Equal([][]byte{pattern(16, 0x10)}), "the last 16 bytes of RAM")
	for _, n := range []int{17, 20, 64, 5000} {
		o.fails(ctx, jsonwire.ErrTxListRead, fmt.Sprintf("a read of %d bytes, 16 before the end of RAM", n), o.read(o.physical(), end-16, n))
		o.fails(ctx, jsonwire.ErrTxListWrite, fmt.Sprintf("a write of %d bytes, 16 before the end of RAM", n), o.write(o.physical(), end-16, pattern(n, 0x66)))
		Expect(r.Observe(ctx, end-16, 16)).To(Equal(pattern(16, 0x10)), "the last 16 bytes of RAM after a write that was refused, as qtest sees them")
	}
})

var _ = transactionSpec("the secure world is where the real client finds it", Spec{Fast: true, Archs: []string{"arm"}, Args: []string{"-M", "virt,secure=on"}, Labels: []string{"secure"}},
	func(ctx context.Context, r *Rig, o *objectSeat) {
		// The CPU is in secure state. Secure RAM begins at 0x0e000000.
		for _, c := range []struct {
			space uint32
			addr  uint64
			fine  bool
		}{{1, 0x40000000, true}, {1, 0x0e000000, false}, {2, 0x40000000, true}, {2, 0x0e000000, true}, {2, 0x0dffffc0, false}} {
			tx := o.read(c.space, c.addr, 112)
			tx.AccessWidth = 112
			if c.fine {
				o.transact(ctx, tx)
			} else {
				o.fails(ctx, jsonwire.ErrTxListRead, fmt.Sprintf("112 bytes at %#x in space %d", c.addr, c.space), tx)
			}
		}
	})

var _ = transactionSpec("memory is read and written while the core runs", Spec{Labels: []string{"observer"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	Expect(o.c.Run(ctx, o.uids[0], false)).To(Succeed())
	r.ExpectGrowth(ctx, 0)
	p := pattern(64, 0x31)
	got := o.transact(ctx, o.write(o.logical(), r.Guest().Addr("scratch"), p), o.read(o.physical(), r.Guest().Addr("scratch_phys"), 64))
	Expect(got[1]).To(Equal(p))
	Expect(r.Observe(ctx, r.Guest().Addr("scratch_phys"), 64)).To(Equal(p), "as qtest sees it")
	r.ExpectGrowth(ctx, 0)
	r.ExpectRunState(ctx, "running")
})

var _ = transactionSpec("a transaction of no bytes is fine or refused, and does nothing", Spec{Labels: []string{"hostile", "observer"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	before := r.Observe(ctx, r.Guest().Addr("scratch_phys"), 64)
	for _, tx := range []jsonwire.Tx{o.read(o.physical(), r.Guest().Addr("scratch_phys"), 0), o.write(o.physical(), r.Guest().Addr("scratch_phys"), nil)} {
		_, err := o.c.ExecuteTxList(ctx, o.uids[0], tx)
		Expect(err).To(Or(Succeed(), MatchError(jsonclient.ErrRefused)))
	}
	Expect(r.Observe(ctx, r.Guest().Addr("scratch_phys"), 64)).To(Equal(before))
})
