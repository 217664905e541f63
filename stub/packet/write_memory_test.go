// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"mcdtest/stub/memtarget"
	"mcdtest/stub/target"
	"mcdtest/stub/wire"
)

// recorder notes how memory is written.
type recorder struct {
	*memtarget.Machine
	calls  []string
	refuse error // what WriteRAM returns, as done
}

func (r *recorder) WriteRAM(ctx context.Context, core int, space target.Space, addr uint64, p []byte) (bool, error) {
	r.calls = append(r.calls, fmt.Sprintf("RAM %#x %x", addr, p))
	if r.refuse != nil {
		return true, r.refuse
	}
	return r.Machine.WriteRAM(ctx, core, space, addr, p)
}

func (r *recorder) WriteMemory(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
	r.calls = append(r.calls, fmt.Sprintf("memory %#x %x", addr, p))
	return r.Machine.WriteMemory(ctx, core, space, addr, p)
}

// Writes that come together and continue each other are made at once, and answered one by one in their order.
func TestWritesTogether(t *testing.T) {
	const (
		base = 0x70000000
		ok   = "+$success#|"
		bad  = "+$error#|"
	)
	write := func(addr, n int, digits string) string {
		return fmt.Sprintf("$M0;1;%d;%d;%s#|", base+addr, n, digits)
	}
	end := fmt.Sprintf("$M0;1;%d;2;eeee#|", uint64(1<<64-2)) // nothing is there, and nothing continues it
	for name, test := range map[string]struct {
		send, want string
		calls      []string
		refuse     error
	}{
		"one": {write(0, 2, "0102"), ok, []string{"memory 0x70000000 0102"}, nil},
		"three": {
			write(0, 2, "0102") + write(2, 1, "03") + write(3, 3, "040506"), ok + ok + ok,
			[]string{"RAM 0x70000000 010203040506"}, nil,
		},
		"two places": {
			write(0, 1, "01") + write(1, 1, "02") + write(9, 1, "03") + write(8, 1, "04"), ok + ok + ok + ok,
			[]string{"RAM 0x70000000 0102", "memory 0x70000009 03", "memory 0x70000008 04"}, nil,
		},
		"nothing there": {
			end + write(0, 1, "01") + write(1, 1, "02"), bad + ok + ok,
			[]string{"memory 0xfffffffffffffffe eeee", "RAM 0x70000000 0102"}, nil,
		},
		"the last one no RAM": {
			write(1, 1, "01") + write(2, 14, strings.Repeat("22", 14)) + write(16, 1, "03"), ok + ok + bad,
			[]string{
				"RAM 0x70000001 01" + strings.Repeat("22", 14) + "03",
				"memory 0x70000001 01", "memory 0x70000002 " + strings.Repeat("22", 14), "memory 0x70000010 03",
			}, nil,
		},
		"a mistake among them": {
			write(0, 1, "01") + write(1, 1, "02") + write(2, 2, "03") + write(2, 1, "0g") + write(2, 0, "") + write(2, 1, "03"), ok + ok + bad + bad + ok + ok,
			[]string{"RAM 0x70000000 0102", "memory 0x70000002 03"}, nil,
		},
		"another space, core": {
			write(0, 1, "01") + fmt.Sprintf("$M0;2;%d;1;02#|", base+1) + fmt.Sprintf("$M9;2;%d;1;02#|", base+2), ok + ok + bad,
			[]string{"memory 0x70000000 01", "memory 0x70000001 02"}, nil,
		},
		"a read among them": {
			write(0, 1, "01") + write(1, 1, "02") + fmt.Sprintf("$m0;1;%d;3#|", base) + write(2, 1, "03"), ok + ok + "+$0102aa#|" + ok,
			[]string{"RAM 0x70000000 0102", "memory 0x70000002 03"}, nil,
		},
		"and again": {write(0, 1, "01") + write(1, 1, "02") + "-" + write(2, 1, "03"), ok + ok + ok[1:] + ok, []string{
			"RAM 0x70000000 0102", "memory 0x70000002 03"}, nil},
		"a bad end": {write(0, 1, "01") + write(1, 1, "02") + "$M0#x" + write(2, 1, "03"), ok + ok + "-" + ok, []string{
			"RAM 0x70000000 0102", "memory 0x70000002 03"}, nil},
		"one by one in the end": {
			write(0, 1, "01") + write(1, 1, "02"), ok + ok,
			[]string{"RAM 0x70000000 0102", "memory 0x70000000 01", "memory 0x70000001 02"}, target.ErrNotTaken,
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := &recorder{refuse: test.refuse, Machine: loop(t, func(c *memtarget.Config) {
				c.Memory = append(slices.Clone(c.Memory), memtarget.Region{Start: base, Size: 16})
			})}
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			must(m.Machine.WriteMemory(t.Context(), 0, target.Space{}, base, []byte(strings.Repeat("\xaa", 16))))
			p := open(t, m, Options{})
			p.does("i0")
			p.send(test.send)
			p.expect(test.want)
			p.settled()
			if got := strings.Join(m.calls, "\n"); got != strings.Join(test.calls, "\n") {
				t.Errorf("it was written by\n%s\nand should be by\n%s", got, strings.Join(test.calls, "\n"))
			}
		})
	}
}

// chunks notes the largest piece that is written to it.
type chunks struct {
	discard
	largest int
}

func (c *chunks) Write(p []byte) (int, error) {
	c.largest = max(c.largest, len(p))
	return c.discard.Write(p)
}

// The replies to writes that come together are sent when as many have gathered as may, too.
func TestRepliesToWritesGatherWithinTheLimit(t *testing.T) {
	const limit, reply = 1000, "+$success#|"
	conn := new(chunks)
	s := newSession(NewDialect(loop(t, nil), new(target.Reports), Options{MaxPending: limit}), conn)
	s.ctx = t.Context()
	feed(t, s, []byte("$i0#|"))
	var requests []byte
	for k := range 1000 {
		requests = fmt.Appendf(requests, "$M0;1;%d;1;00#|", 1<<30+k)
	}
	feed(t, s, requests)
	if conn.largest > limit+len(reply) || conn.largest < limit {
		t.Errorf("%d bytes were sent at once, %d may gather", conn.largest, limit)
	}
}

// However a client's bytes come, and whatever is among them, the answers are the same, and so is memory.
func TestChunksMakeNoDifference(t *testing.T) {
	const base, size = 0x70000000, 64
	random := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		var b strings.Builder
		addr := uint64(base)
		for range 1 + random.IntN(25) {
			n := random.IntN(5)
			switch random.IntN(14) {
			case 0:
				fmt.Fprintf(&b, "$m0;1;%d;%d#|", addr-2, n)
			case 1:
				b.WriteByte("-+"[random.IntN(2)])
			case 2:
				b.WriteString([]string{"$M0;1#x", "$M0;1;\x00zz", "$c0#|", "$i0#|$p0;0#~", "$qstate0#|"}[n])
			case 3:
				addr = base + uint64(random.IntN(size+6))
			case 4:
				fmt.Fprintf(&b, "$M0;%d;%d;2;0g00#|", random.IntN(4), addr)
			case 5:
				addr = 1<<64 - 4
			case 6:
				b.WriteString("$M" + strings.Repeat("0", wire.MaxPayload-3+random.IntN(6)) + "#|")
			default:
				fmt.Fprintf(&b, "$M%d;%d;%d;%d;%s#%c", random.IntN(12)/11, 1+random.IntN(12)/11, addr, n,
					strings.Repeat(fmt.Sprintf("%02x", random.IntN(256)), n), "||||||||~"[random.IntN(9)])
				addr += uint64(n)
			}
		}
		serve := func(chunk int) (answers string, memory [size]byte) {
			m := loop(t, func(c *memtarget.Config) {
				c.Memory = append(slices.Clone(c.Memory), memtarget.Region{Start: base, Size: size})
			})
			conn := new(segments)
			s := newSession(NewDialect(m, new(target.Reports), Options{}), conn)
			s.ctx = t.Context()
			s.request([]byte("i0"))
			for part := range slices.Chunk([]byte(b.String()), chunk) {
				feed(t, s, part)
			}
			if err := m.ReadMemory(s.ctx, 0, target.Space{}, base, memory[:]); err != nil {
				t.Fatal(err)
			}
			return strings.Join(conn.list, ""), memory
		}
		want, wanted := serve(1)
		for _, chunk := range []int{1 << 20, 7 + random.IntN(100)} {
			if got, memory := serve(chunk); got != want || memory != wanted {
				t.Fatalf("%q\nin chunks of %d: %q\nbyte by byte:     %q\nmemory is the same: %v", b.String(), chunk, got, want, memory == wanted)
			}
		}
	}
}
