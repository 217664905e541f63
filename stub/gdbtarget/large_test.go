// SPDX-License-Identifier: Apache-2.0

package gdbtarget_test

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// A transfer of many packets must neither lose bytes nor fill the sockets in both directions, in which case the stub and
// this package would wait for each other.
func TestLargeTransfers(t *testing.T) {
	eachArch(t, rigConfig{}, func(t *testing.T, r *rig) {
		ctx := deadline(t)
		base := behindTheProgram(t, r)
		random := rand.New(rand.NewPCG(1, 2))
		for _, n := range []int{70_000, 200_001, 1 << 20} {
			p := make([]byte, n)
			for i := range p {
				p[i] = byte(random.Uint32())
			}
			must(t, r.WriteMemory(ctx, 0, logical, base, p))
			back := make([]byte, n)
			must(t, r.ReadMemory(ctx, 0, logical, base, back))
			if !bytes.Equal(back, p) {
				t.Errorf("%d bytes do not read back", n)
			}
			clear(back)
			must(t, r.qtest.Read(ctx, base, back)) // logical is physical in this program
			if !bytes.Equal(back, p) {
				t.Errorf("%d bytes are not what qtest sees", n)
			}
		}
	})
}
