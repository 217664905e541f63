// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"

	"mcdtest/guest"
	"mcdtest/harness"
	"mcdtest/harness/jsonclient"
	"mcdtest/harness/rawclient"
	"mcdtest/stub/jsonwire"
	"mcdtest/stub/rsp"
)

const small = 4

// BenchmarkRead4 reads four bytes of a standing core.
func BenchmarkRead4(b *testing.B) {
	i := image(b, guest.Loop)
	addr := i.Addr("counter")
	p, g := direct(b, i, 1)
	stubless := func(g *rsp.Client) func() error {
		return func() error {
			g.QueueAddr('m', addr, small, nil)
			return exchange(g, 1, func(_ int, r []byte) error { return digits(r, small) })
		}
	}
	conn, _ := served(b, i, 1)
	ways := []way{
		each("gdbstub", stubless(g)),
		each("stub", reader(packets(b, dial(b, machine(b, harness.Config{})), 1), addr)),
		each("serve", reader(packets(b, conn, 1), addr)),
	}
	ways = append(ways, threads(b, i, stubless, func(c *rawclient.Client) func() error { return reader(c, addr) })...)
	c, _ := objects(b, dial(b, machine(b, harness.Config{Dialect: harness.JSON})))
	ways = append(ways, each("json", txReader(b, c, addr, small)))
	monitor := p.Monitors()[0]
	ways = append(ways, each("HMP", func() error {
		_, err := monitor.HMP(background, 0, fmt.Sprintf("x /1wx %#x", addr))
		return err
	}))
	if w, ok := gdb(b, i, "", fmt.Sprintf("inf.read_memory(%d, 4)", addr)); ok {
		ways = append(ways, w)
	}
	if c, ok := native(b, harness.Config{}); ok {
		ways = append(ways, each("native", reader(c, addr)))
	}
	ways = append(ways, floor(b))
	compare(b, 200, ways...)
}

func digits(reply []byte, n int) error {
	if len(reply) != 2*n {
		return fmt.Errorf("%d digits for %d bytes: %.40q", len(reply), n, reply)
	}
	return nil
}

func reader(c *rawclient.Client, addr uint64) func() error {
	var p [small]byte
	return func() error { return c.ReadMemory(background, 0, 1, addr, p[:]) }
}

// tx is a transaction of n bytes in the first memory space.
func tx(access jsonwire.AccessType, addr uint64, data []byte) jsonwire.Tx {
	return jsonwire.Tx{
		Addr: jsonwire.Addr{Address: addr, MemSpaceID: 1}, AccessType: access, AccessWidth: 1, Data: data, NumBytes: uint32(len(data)),
	}
}

// core is the number of the only core that a session of one core opened.
const core = 1

func txReader(b testing.TB, c *jsonclient.Client, addr uint64, n int) func() error {
	request := tx(jsonwire.TxRead, addr, make([]byte, n))
	return func() error {
		list, err := c.ExecuteTxList(background, core, request)
		if err == nil && (list.NumTxOK != 1 || len(list.Tx) != 1 || len(list.Tx[0].Data) != n) {
			err = fmt.Errorf("%d transactions took", list.NumTxOK)
		}
		return err
	}
}

// BenchmarkWrite4 writes four bytes of a standing core. The stub reads back what it has written, since the gdbstub
// acknowledges writes that do not take; that is part of its time.
func BenchmarkWrite4(b *testing.B) {
	i := image(b, guest.Loop)
	addr := i.Addr("scratch")
	_, g := direct(b, i, 1)
	data := []byte{1, 2, 3, 4}
	writer := func(c *rawclient.Client) func() error {
		return func() error { return c.WriteMemory(background, 0, 1, addr, data) }
	}
	conn, _ := served(b, i, 1)
	ways := []way{
		each("gdbstub", func() error {
			g.QueueAddr('M', addr, small, data)
			return exchange(g, 1, took)
		}),
		each("gdbstub, read back", func() error {
			g.QueueAddr('M', addr, small, data)
			g.QueueAddr('m', addr, small, nil)
			return exchange(g, 2, func(int, []byte) error { return nil })
		}),
		each("stub", writer(packets(b, dial(b, machine(b, harness.Config{})), 1))),
		each("serve", writer(packets(b, conn, 1))),
	}
	if w, ok := gdb(b, i, "", fmt.Sprintf("inf.write_memory(%d, b'1234')", addr)); ok {
		ways = append(ways, w)
	}
	if c, ok := native(b, harness.Config{}); ok {
		ways = append(ways, each("native", writer(c)))
	}
	compare(b, 200, ways...)
}

func took(_ int, reply []byte) error {
	if string(reply) != "OK" {
		return fmt.Errorf("gdbstub answers %q", reply)
	}
	return nil
}

const large = 1 << 20

// BenchmarkRead1MiB reads a mebibyte of RAM.
func BenchmarkRead1MiB(b *testing.B) {
	i := image(b, guest.Loop)
	base, _ := i.RAM()
	p, g := direct(b, i, 1)
	buf := make([]byte, large)
	size := min(g.PacketSize()/2, chunk)
	ways := []way{each("gdbstub", func() error { return pipelinedRead(g, base, buf, size) })}
	inProcess := packets(b, dial(b, machine(b, harness.Config{})), 1)
	conn, _ := served(b, i, 1)
	own := packets(b, conn, 1)
	one := func(c *rawclient.Client) func() error {
		return func() error { return c.ReadMemory(background, 0, 1, base, buf) }
	}
	// Requests of 2,040 bytes, the most that the published client's buffer holds, as many at once as the gdbstub is sent.
	many := func(c *rawclient.Client) func() error {
		return func() error { return manyReads(c, base, buf, 2040) }
	}
	c, _ := objects(b, dial(b, machine(b, harness.Config{Dialect: harness.JSON})))
	ways = append(ways, each("stub", one(inProcess)), each("serve", one(own)),
		each("stub, 2,040 bytes a request", many(inProcess)), each("serve, 2,040 bytes a request", many(own)),
		each("json", txReader(b, c, base, large)))
	if w, ok := gdb(b, i, "", fmt.Sprintf("inf.read_memory(%d, %d)", base, large)); ok {
		ways = append(ways, w)
	}
	monitor := p.Monitors()[0]
	ways = append(ways, each("HMP", func() error {
		_, err := monitor.HMP(background, 0, fmt.Sprintf("x /%dwx %#x", large/4, base))
		return err
	}))
	if c, ok := native(b, harness.Config{}); ok {
		ways = append(ways, each("native", one(c)))
	}
	compare(b, 1, ways...)
}

const (
	// window is how many packets of the dialect are under way at once.
	window = 128
	// inFlight is how many bytes of memory are under way at once to a gdbstub.
	inFlight = 64 << 10
	// chunk is the most bytes in a packet of the gdbstub. Newer ones take more, which is no faster, and the replies to many
	// of them at once do not fit the sockets.
	chunk = 4 << 10
)

func pipelinedRead(g *rsp.Client, addr uint64, p []byte, size int) error {
	for len(p) > 0 {
		n := min(inFlight/size, (len(p)+size-1)/size)
		for k := range n {
			g.QueueAddr('m', addr+uint64(k*size), min(size, len(p)-k*size), nil)
		}
		err := exchange(g, n, func(k int, r []byte) error {
			m := min(size, len(p)-k*size)
			if err := digits(r, m); err != nil {
				return err
			}
			_, err := hex.Decode(p[k*size:], r)
			return err
		})
		if err != nil {
			return err
		}
		done := min(n*size, len(p))
		addr, p = addr+uint64(done), p[done:]
	}
	return nil
}

func manyReads(c *rawclient.Client, addr uint64, p []byte, size int) error {
	var out []byte
	for len(p) > 0 {
		n := min(window, (len(p)+size-1)/size)
		out = out[:0]
		for k := range n {
			out = fmt.Appendf(out, "$m0;1;%d;%d#|", addr+uint64(k*size), min(size, len(p)-k*size))
		}
		if err := c.Send(background, out); err != nil {
			return err
		}
		for k := range n {
			if err := c.ExpectAck(background); err != nil {
				return err
			}
			r, err := c.ReadPacket(background)
			if err != nil {
				return err
			}
			if err := digits(r, min(size, len(p)-k*size)); err != nil {
				return err
			}
			if _, err := hex.Decode(p[k*size:], r); err != nil {
				return err
			}
		}
		done := min(n*size, len(p))
		addr, p = addr+uint64(done), p[done:]
	}
	return nil
}

// BenchmarkWrite1MiB writes a mebibyte of RAM. A packet of the dialect carries at most 490 bytes, one of the gdbstub 2,032.
func BenchmarkWrite1MiB(b *testing.B) {
	i := image(b, guest.Loop)
	base, _ := i.RAM()
	base += 4 << 20 // behind the program
	data := bytes.Repeat([]byte{0x5a, 0xa5, 1, 2, 3, 4, 5, 6}, large/8)
	_, g := direct(b, i, 1)
	direct := func(back bool) func() error {
		size := min((g.PacketSize()-32)/2, chunk)
		return func() error { return pipelinedWrite(g, base, data, size, back) }
	}
	inProcess := packets(b, dial(b, machine(b, harness.Config{})), 1)
	conn, _ := served(b, i, 1)
	own := packets(b, conn, 1)
	many := func(c *rawclient.Client) func() error {
		return func() error { return manyWrites(c, base, data) }
	}
	c, _ := objects(b, dial(b, machine(b, harness.Config{Dialect: harness.JSON})))
	request := tx(jsonwire.TxWrite, base, data)
	ways := []way{
		each("gdbstub", direct(false)), each("gdbstub, read back", direct(true)),
		each("stub", many(inProcess)), each("serve", many(own)),
		each("json", func() error {
			list, err := c.ExecuteTxList(background, core, request)
			if err == nil && list.NumTxOK != 1 {
				err = fmt.Errorf("%d transactions took", list.NumTxOK)
			}
			return err
		}),
	}
	if w, ok := gdb(b, i, fmt.Sprintf("data = bytes(%d)", large), fmt.Sprintf("inf.write_memory(%d, data)", base)); ok {
		ways = append(ways, w)
	}
	if c, ok := native(b, harness.Config{}); ok {
		ways = append(ways, each("native", many(c)))
	}
	compare(b, 1, ways...)
}

func pipelinedWrite(g *rsp.Client, addr uint64, p []byte, size int, back bool) error {
	for len(p) > 0 {
		n := min(inFlight/size, (len(p)+size-1)/size)
		replies := n
		for k := range n {
			m := min(size, len(p)-k*size)
			g.QueueAddr('M', addr+uint64(k*size), m, p[k*size:k*size+m])
			if back {
				g.QueueAddr('m', addr+uint64(k*size), m, nil)
				replies++
			}
		}
		if err := exchange(g, replies, func(int, []byte) error { return nil }); err != nil {
			return err
		}
		done := min(n*size, len(p))
		addr, p = addr+uint64(done), p[done:]
	}
	return nil
}

// writeSize is what fits a packet beside the letter and the numbers.
const writeSize = 490

func manyWrites(c *rawclient.Client, addr uint64, p []byte) error {
	var out []byte
	for len(p) > 0 {
		n := min(window, (len(p)+writeSize-1)/writeSize)
		out = out[:0]
		done := 0
		for range n {
			m := min(writeSize, len(p)-done)
			out = fmt.Appendf(out, "$M0;1;%d;%d;", addr+uint64(done), m)
			out = append(hex.AppendEncode(out, p[done:done+m]), "#|"...)
			done += m
		}
		if err := c.Send(background, out); err != nil {
			return err
		}
		for range n {
			if err := c.ExpectAck(background); err != nil {
				return err
			}
			if err := c.ExpectPacket(background, "success"); err != nil {
				return err
			}
		}
		addr, p = addr+uint64(done), p[done:]
	}
	return nil
}

// BenchmarkRead16KiB reads 16 KiB in one request of either dialect.
func BenchmarkRead16KiB(b *testing.B) {
	i := image(b, guest.Loop)
	base, _ := i.RAM()
	p := make([]byte, 16<<10)
	packet := packets(b, dial(b, machine(b, harness.Config{})), 1)
	c, _ := objects(b, dial(b, machine(b, harness.Config{Dialect: harness.JSON})))
	_, g := direct(b, i, 1)
	compare(b, 20,
		each("stub", func() error { return packet.ReadMemory(background, 0, 1, base, p) }),
		each("json", txReader(b, c, base, len(p))),
		each("gdbstub", func() error { return pipelinedRead(g, base, p, min(g.PacketSize()/2, chunk)) }),
	)
}
