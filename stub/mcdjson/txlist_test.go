// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcdtest/stub/jsonwire"
	"mcdtest/stub/memtarget"
	"mcdtest/stub/target"
)

func readTx(space uint32, addr uint64, n int) jsonwire.Tx {
	return jsonwire.Tx{Addr: jsonwire.Addr{Address: addr, MemSpaceID: space}, AccessType: jsonwire.TxRead, Data: make(jsonwire.Bytes, n), NumBytes: uint32(n)}
}

func writeTx(space uint32, addr uint64, data ...byte) jsonwire.Tx {
	return jsonwire.Tx{Addr: jsonwire.Addr{Address: addr, MemSpaceID: space}, AccessType: jsonwire.TxWrite, Data: data, NumBytes: uint32(len(data))}
}

func TestTxMemory(t *testing.T) {
	m, p := openLoop(t, 1)
	for _, n := range []int{1, 2, 3, 4, 112, 4096, 16 << 10, 256 << 10} {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(rand.Uint32())
		}
		addr := uint64(memtarget.LoopScratch + 1)
		w := writeTx(2, addr, data...)
		w.Options, w.CoreMode, w.Addr.AddrSpaceID, w.Addr.AddrSpaceType = 3, 4, 5, 6
		got := p.tx(1, w)
		if !bytes.Equal(got.Data, data) {
			t.Fatalf("the data of a write of %d bytes is not echoed", n)
		}
		want := w
		want.NumBytesOK = uint32(n)
		want.Data, got.Data = nil, nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("a write of %d bytes is not echoed (- want, + got):\n%s", n, diff)
		}
		seen := make([]byte, n)
		if err := m.ReadMemory(context.Background(), 0, target.Space{}, addr, seen); err != nil || !bytes.Equal(seen, data) {
			t.Fatalf("a write of %d bytes did not arrive: %v", n, err)
		}
		for _, space := range []uint32{1, 2} {
			got := p.tx(1, readTx(space, addr, n))
			if !bytes.Equal(got.Data, data) || got.NumBytesOK != uint32(n) {
				t.Fatalf("a read of %d bytes in space %d", n, space)
			}
		}
	}
}

func TestTxRegister(t *testing.T) {
	_, p := openLoop(t, 1)
	if pc := p.register(1, 15, 3); pc != memtarget.LoopStart {
		t.Errorf("pc is %#x", pc)
	}
	p.tx(1, writeTx(3, 2, 0x78, 0x56, 0x34, 0x12))
	if r2 := p.register(1, 2, 3); r2 != 0x12345678 {
		t.Errorf("r2 is %#x", r2)
	}
	wide := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	p.tx(1, writeTx(3, 26, wide...))
	if got := p.tx(1, readTx(3, 26, 8)); !bytes.Equal(got.Data, wide) {
		t.Errorf("d0 is %v", got.Data)
	}
	for _, number := range []uint64{17, 24, 1000, 1 << 31, 1<<63 + 15, 1<<64 - 1} {
		p.refused(1, jsonwire.ErrTxListRead, jsonwire.ExecuteTxList, oneTx(1, readTx(3, number, 4)))
		p.refused(1, jsonwire.ErrTxListWrite, jsonwire.ExecuteTxList, oneTx(1, writeTx(3, number, 1, 2, 3, 4)))
	}
	for _, n := range []int{0, 3, 5, 8} {
		p.refused(1, jsonwire.ErrTxListTx, jsonwire.ExecuteTxList, oneTx(1, readTx(3, 15, n)))
		p.refused(1, jsonwire.ErrTxListTx, jsonwire.ExecuteTxList, oneTx(1, writeTx(3, 15, make([]byte, n)...)))
	}
	// A system register ignores writes; that is no success.
	p.refused(1, jsonwire.ErrTxListWrite, jsonwire.ExecuteTxList, oneTx(1, writeTx(3, 84, 1, 2, 3, 4)))
}

func TestTxFailures(t *testing.T) {
	_, p := openLoop(t, 1)
	good := readTx(2, memtarget.LoopCounter, 4)
	for _, c := range []struct {
		name   string
		code   jsonwire.ErrorCode
		change func(tx *jsonwire.Tx)
	}{
		{"access-type 0", jsonwire.ErrTxListTx, func(tx *jsonwire.Tx) { tx.AccessType = 0 }},
		{"read-write", jsonwire.ErrTxListTx, func(tx *jsonwire.Tx) { tx.AccessType = jsonwire.TxReadWrite }},
		{"write-read", jsonwire.ErrTxListTx, func(tx *jsonwire.Tx) { tx.AccessType = jsonwire.TxWriteRead }},
		{"access-type beyond", jsonwire.ErrTxListTx, func(tx *jsonwire.Tx) { tx.AccessType = 1<<32 - 1 }},
		{"access-width 3", jsonwire.ErrTxListTx, func(tx *jsonwire.Tx) { tx.AccessWidth = 3 }},
		{"access-width 8", jsonwire.ErrTxListTx, func(tx *jsonwire.Tx) { tx.AccessWidth = 8 }},
		{"access-width 255", jsonwire.ErrTxListTx, func(tx *jsonwire.Tx) { tx.AccessWidth = 255 }},
		{"space 0", jsonwire.ErrMemSpaceID, func(tx *jsonwire.Tx) { tx.Addr.MemSpaceID = 0 }},
		{"space beyond the last", jsonwire.ErrMemSpaceID, func(tx *jsonwire.Tx) { tx.Addr.MemSpaceID = 4 }},
		{"the largest space", jsonwire.ErrMemSpaceID, func(tx *jsonwire.Tx) { tx.Addr.MemSpaceID = 1<<32 - 1 }},
		{"unmapped, logical", jsonwire.ErrTxListRead, func(tx *jsonwire.Tx) { tx.Addr.Address = memtarget.Unmapped }},
		{"unmapped, physical", jsonwire.ErrTxListRead, func(tx *jsonwire.Tx) { tx.Addr = jsonwire.Addr{Address: memtarget.Unmapped, MemSpaceID: 1} }},
		{"over the end of the address space", jsonwire.ErrTxListRead, func(tx *jsonwire.Tx) { tx.Addr.Address = 1<<64 - 2 }},
		{"over the end of RAM", jsonwire.ErrTxListRead, func(tx *jsonwire.Tx) { tx.Addr.Address = memtarget.RAMStart + memtarget.RAMSize - 2 }},
		{"write to nothing", jsonwire.ErrTxListWrite, func(tx *jsonwire.Tx) { tx.Addr.Address, tx.AccessType = memtarget.Unmapped, jsonwire.TxWrite }},
		{"write to flash", jsonwire.ErrTxListWrite, func(tx *jsonwire.Tx) {
			tx.Addr.Address, tx.AccessType, tx.Data = 0, jsonwire.TxWrite, jsonwire.Bytes{1, 2, 3, 4}
		}},
		{"num-bytes one too many", jsonwire.ErrParam, func(tx *jsonwire.Tx) { tx.NumBytes = 5 }},
		{"num-bytes monstrous", jsonwire.ErrParam, func(tx *jsonwire.Tx) { tx.NumBytes = 1<<32 - 1 }},
		{"no data", jsonwire.ErrParam, func(tx *jsonwire.Tx) { tx.Data = nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.t = t
			bad := good
			bad.Data = bytes.Clone(good.Data)
			c.change(&bad)
			p.refused(1, c.code, jsonwire.ExecuteTxList, oneTx(1, bad))
			p.tx(1, good)
		})
	}
	p.t = t
	for _, n := range []uint32{2, 1 << 31, 1<<32 - 1} {
		args := oneTx(1, good)
		args.TxList.NumTx = n
		p.refused(1, jsonwire.ErrParam, jsonwire.ExecuteTxList, args)
	}
}

// Transactions are carried out in order, up to the first that fails. A list whose form is wrong is not begun.
func TestTxListOrder(t *testing.T) {
	_, p := openLoop(t, 1)
	scratch := uint64(memtarget.LoopScratch)
	value := func() byte { return p.tx(1, readTx(1, scratch, 1)).Data[0] }

	var r jsonwire.ExecuteTxListResult
	p.do(jsonwire.ExecuteTxList, oneTx(1, writeTx(2, scratch, 1), readTx(1, scratch, 1), writeTx(2, scratch, 2), readTx(2, scratch, 1), readTx(3, 15, 4)), &r)
	if tx := r.TxList.Tx; len(tx) != 5 || r.TxList.NumTxOK != 5 || tx[1].Data[0] != 1 || tx[3].Data[0] != 2 || tx[4].Data[3] != 0x40 {
		t.Errorf("a mixed list: %+v", r)
	}
	p.refused(1, jsonwire.ErrTxListRead, jsonwire.ExecuteTxList, oneTx(1, writeTx(2, scratch, 3), readTx(2, memtarget.Unmapped, 1), writeTx(2, scratch, 4)))
	if v := value(); v != 3 {
		t.Errorf("after a list that failed in the middle the byte is %d, want what was written before: 3", v)
	}
	bad := writeTx(2, scratch, 6)
	bad.NumBytes = 2
	p.refused(1, jsonwire.ErrParam, jsonwire.ExecuteTxList, oneTx(1, writeTx(2, scratch, 5), bad))
	if v := value(); v != 3 {
		t.Errorf("after a list of the wrong form the byte is %d, want it untouched: 3", v)
	}

	p.do(jsonwire.ExecuteTxList, oneTx(1), &r)
	if len(r.TxList.Tx) != 0 || r.TxList.NumTxOK != 0 {
		t.Errorf("an empty list: %+v", r)
	}
	// num-tx and num-bytes below the arrays' lengths count.
	less := readTx(2, scratch, 8)
	less.NumBytes = 4
	args := oneTx(1, less, writeTx(2, scratch, 9))
	args.TxList.NumTx = 1
	p.do(jsonwire.ExecuteTxList, args, &r)
	if len(r.TxList.Tx) != 1 || len(r.TxList.Tx[0].Data) != 4 || value() != 3 {
		t.Errorf("the first of two transactions, half of its data: %+v", r)
	}
	if got := p.tx(1, readTx(2, memtarget.Unmapped, 0)); got.NumBytesOK != 0 || len(got.Data) != 0 {
		t.Errorf("a read of nothing: %+v", got)
	}
}

// In the secure state the core sees secure memory through either logical space; the bus shows it in the secure space only.
func TestTxSecure(t *testing.T) {
	cfg := memtarget.ARMLoop()
	cfg.Secure = true
	m := memtarget.New(cfg)
	p := connect(t, newDialect(m, Options{}))
	p.open(1)
	secure := uint64(memtarget.SecureStart)
	p.refused(1, jsonwire.ErrTxListRead, jsonwire.ExecuteTxList, oneTx(1, readTx(1, secure, 112)))
	for _, space := range []uint32{2, 3, 4} {
		p.tx(1, readTx(space, secure, 112))
		p.refused(1, jsonwire.ErrTxListRead, jsonwire.ExecuteTxList, oneTx(1, readTx(space, secure-64, 112)))
	}
	m.SetSecure(0, false)
	p.tx(1, readTx(3, secure, 112))
	for _, space := range []uint32{1, 2, 4} {
		p.refused(1, jsonwire.ErrTxListRead, jsonwire.ExecuteTxList, oneTx(1, readTx(space, secure, 112)))
	}
}
