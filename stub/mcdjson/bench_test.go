// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"mcdtest/stub/jsonwire"
	"mcdtest/stub/memtarget"
	"mcdtest/stub/target"
)

// BenchmarkTxList is a read of memory over a unix socket, with client and dialect in one process and a machine in memory: what
// the dialect costs.
func BenchmarkTxList(b *testing.B) {
	for _, n := range []int{4, 112, 16 << 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m, p := openLoop(b, 1)
			data := make([]byte, n)
			for i := range data {
				data[i] = byte(rand.Uint32())
			}
			if err := m.WriteMemory(b.Context(), 0, target.Space{}, memtarget.LoopScratch, data); err != nil {
				b.Fatal(err)
			}
			args := oneTx(1, readTx(1, memtarget.LoopScratch, n))
			var r jsonwire.ExecuteTxListResult
			c := jsonwire.Lookup(jsonwire.ExecuteTxList)
			b.ReportAllocs()
			b.SetBytes(int64(n))
			for b.Loop() {
				p.conn.SetWriteDeadline(time.Now().Add(limit))
				p.out = jsonwire.AppendRequest(p.out[:0], c.Name, &args)
				if _, err := p.conn.Write(p.out); err != nil {
					b.Fatal(err)
				}
				var reply jsonwire.Reply
				obj, err := p.next()
				if err == nil {
					err = jsonwire.ParseReply(obj, &reply)
				}
				if err != nil {
					b.Fatal(err)
				}
				if status, err := c.DecodeReturn(reply.Return, &r); err != nil || status != 0 {
					b.Fatal(status, err)
				}
			}
		})
	}
}
