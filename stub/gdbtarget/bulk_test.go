// SPDX-License-Identifier: Apache-2.0

package gdbtarget_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mcdtest/guest"
	"mcdtest/stub/target"
)

// bulkBytes is as much as a write has that goes through qtest at any rate.
const bulkBytes = 16 << 10

// writesSeen counts the M packets that the gdbstub is sent.
type writesSeen struct {
	net.Conn
	n *atomic.Int32
}

func (w writesSeen) Write(p []byte) (int, error) {
	w.n.Add(int32(bytes.Count(p, []byte("$M"))))
	return w.Conn.Write(p)
}

func countWrites(n *atomic.Int32) func(net.Conn, *os.Process) net.Conn {
	return func(c net.Conn, _ *os.Process) net.Conn { return writesSeen{c, n} }
}

func pattern(n int, first byte) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = first + byte(i*7>>3)
	}
	return p
}

// A large write of RAM goes through qtest, one that can be told as pieces from fewer bytes on; without qtest the gdbstub has it.
func TestBulkWrites(t *testing.T) {
	for _, noQTest := range []bool{false, true} {
		var writes atomic.Int32
		r := startQEMU(t, rigConfig{arch: "riscv64", cores: 2, variant: guest.SMP, noQTest: noQTest, gdb: countWrites(&writes)})
		ctx := deadline(t)
		base := behindTheProgram(t, r)
		for core := range 2 {
			for i, n := range []int{bulkBytes - 1, bulkBytes, bulkBytes + 4097} {
				p, back := pattern(n, byte(i)), make([]byte, n)
				writes.Store(0)
				must(t, r.WriteMemory(ctx, core, logical, base, p))
				must(t, r.ReadMemory(ctx, core, physical, base, back))
				if !bytes.Equal(back, p) {
					t.Errorf("core %d: %d bytes do not read back", core, n)
				}
				if byGDB, want := writes.Load() > 0, noQTest || n < bulkBytes; byGDB != want {
					t.Errorf("%d bytes through the gdbstub: %v, want %v", n, byGDB, want)
				}
			}
			for i, n := range []int{4095, 4096, 10_000} {
				p, back := pattern(n, byte(8+i)), make([]byte, n)
				done, err := r.WriteRAM(ctx, core, logical, base, p)
				must(t, err)
				if want := !noQTest && n >= 4096; done != want {
					t.Errorf("%d bytes at once: %v, want %v", n, done, want)
				}
				must(t, r.ReadMemory(ctx, core, logical, base, back))
				if bytes.Equal(back, p) != done {
					t.Errorf("core %d: done is %v, and %d bytes were written: %v", core, done, n, !done)
				}
			}
		}
		must(t, r.Go(ctx, 1))
		if done, err := r.WriteRAM(ctx, 0, logical, base, make([]byte, bulkBytes)); done || err != nil {
			t.Errorf("while a core runs: %v, %v", done, err)
		}
		if s := r.runState(t); s != "running" {
			t.Errorf("the machine is %s afterwards", s)
		}
		if done, err := r.WriteRAM(ctx, 2, logical, base, make([]byte, bulkBytes)); done || err != nil {
			t.Errorf("no such core: %v, %v", done, err)
		}
	}
}

// What is no RAM, or no RAM all through, is left to the gdbstub, with its errors, and nothing of it is written.
func TestBulkWritesOfWhatIsNoRAM(t *testing.T) {
	r := startQEMU(t, rigConfig{arch: "arm"})
	ctx := deadline(t)
	r.atLoop(t)
	ram, size := r.guest.RAM()
	for name, test := range map[string]struct {
		addr uint64
		want error
	}{
		"the end of RAM":      {ram + size - bulkBytes/2, target.ErrUnmapped},
		"flash":               {0, nil}, // as a debugger's write to ROM does
		"nothing":             {0x0b00_0000, target.ErrUnmapped},
		"the end of all":      {1<<32 - bulkBytes/2, target.ErrUnmapped},
		"from device to hole": {0x0900_0000, target.ErrUnmapped}, // the UART has a page
	} {
		before, p := make([]byte, bulkBytes/2), pattern(bulkBytes, 1)
		inRAM := test.addr >= ram && test.addr < ram+size
		if inRAM {
			must(t, r.ReadMemory(ctx, 0, logical, test.addr, before))
		}
		if done, err := r.WriteRAM(ctx, 0, logical, test.addr, p); done || err != nil {
			t.Errorf("%s as RAM: %v, %v", name, done, err)
		}
		if err := r.WriteMemory(ctx, 0, logical, test.addr, p); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		if inRAM {
			after := make([]byte, len(before))
			must(t, r.ReadMemory(ctx, 0, logical, test.addr, after))
			if !bytes.Equal(after, before) {
				t.Errorf("%s: it was written in part", name)
			}
		}
	}
}

// Where addresses are translated, the bytes go to where the core has them; a range that is several pieces is left to the gdbstub.
func TestBulkWritesAreTranslated(t *testing.T) {
	var writes atomic.Int32
	eachArch(t, rigConfig{variant: guest.MMU, gdb: countWrites(&writes)}, func(t *testing.T, r *rig) {
		ctx := deadline(t)
		r.atLoop(t)
		scratch := r.guest.Addr("scratch")
		for _, page := range []uint64{scratch, scratch + 4096} { // which the tables exchange
			p, back := pattern(4096, byte(page>>12)), make([]byte, 4096)
			if done, err := r.WriteRAM(ctx, 0, logical, page, p); !done || err != nil {
				t.Errorf("a page: %v, %v", done, err)
			}
			phys, err := r.guest.Phys(page)
			must(t, err)
			if phys == page {
				t.Errorf("%#x is not translated", page)
			}
			must(t, r.qtest.Read(ctx, phys, back))
			if !bytes.Equal(back, p) {
				t.Errorf("%#x is not where the core has it", page)
			}
		}
		if done, err := r.WriteRAM(ctx, 0, logical, scratch, make([]byte, 8192)); done || err != nil {
			t.Errorf("two pieces: %v, %v", done, err)
		}
		// Loop, variables and scratch in one write that changes the latter alone.
		all, back := make([]byte, bulkBytes), make([]byte, bulkBytes)
		must(t, r.ReadMemory(ctx, 0, logical, scratch-8192, all))
		if bytes.Count(all[8192:], []byte{0}) == 8192 {
			t.Error("the two pieces were written")
		}
		copy(all[8192:], pattern(8192, 99))
		must(t, r.WriteMemory(ctx, 0, logical, scratch-8192, all))
		must(t, r.ReadMemory(ctx, 0, logical, scratch-8192, back))
		if !bytes.Equal(back, all) {
			t.Error("four pages do not read back")
		}
	})
}

// A translation is that of the core that is written to.
func TestBulkWritesOfSeveralCores(t *testing.T) {
	r := startQEMU(t, rigConfig{arch: "arm", variant: guest.MMU, cores: 2})
	ctx := deadline(t)
	r.atLoop(t)
	scratch := r.guest.Addr("scratch") // core 1 is off, and does not translate
	phys, err := r.guest.Phys(scratch)
	must(t, err)
	for i, at := range []uint64{scratch, phys, scratch, phys} {
		p, back := pattern(4096, byte(i)), make([]byte, 4096)
		if done, err := r.WriteRAM(ctx, i%2, logical, at, p); !done || err != nil {
			t.Errorf("core %d: %v, %v", i%2, done, err)
		}
		must(t, r.qtest.Read(ctx, phys, back))
		if !bytes.Equal(back, p) {
			t.Errorf("core %d: not where it has %#x", i%2, at)
		}
	}
}

// A request that ends while its write is made leaves it whole, or not made.
func TestBulkWritesThatAreGivenUp(t *testing.T) {
	r := startQEMU(t, rigConfig{arch: "arm"})
	ctx := deadline(t)
	base := behindTheProgram(t, r)
	zeros, p, back := make([]byte, 2<<20), bytes.Repeat([]byte{0x55}, 2<<20), make([]byte, 2<<20)
	for i := range 12 {
		must(t, r.WriteMemory(ctx, 0, logical, base, zeros))
		short, cancel := context.WithCancel(ctx)
		timer := time.AfterFunc(time.Duration(i)*4*time.Millisecond, cancel)
		err := r.WriteMemory(short, 0, logical, base, p)
		timer.Stop()
		cancel()
		must(t, r.ReadMemory(ctx, 0, logical, base, back))
		want := p
		if err != nil {
			want = zeros
		}
		if !bytes.Equal(back, want) {
			t.Errorf("%d of %d bytes are written, and the error is %v", bytes.Count(back, p[:1]), len(p), err)
		}
	}
}

// Where the connection to qtest ends in the middle, the gdbstub writes the whole.
func TestBulkWritesWhoseQTestEnds(t *testing.T) {
	p, back := bytes.Repeat([]byte{0x55}, 1<<20), make([]byte, 1<<20)
	for chunk := range 4 {
		chunks := int32(4*chunk + 1)
		var seen atomic.Int32
		r := startQEMU(t, rigConfig{arch: "arm", tap: func(c net.Conn, _ *os.Process) net.Conn {
			return before{c, "b64write ", func() {
				if seen.Add(1) == chunks {
					c.Close()
				}
			}}
		}})
		ctx := deadline(t)
		base := behindTheProgram(t, r)
		must(t, r.WriteMemory(ctx, 0, logical, base, p))
		must(t, r.ReadMemory(ctx, 0, logical, base, back))
		if !bytes.Equal(back, p) {
			t.Errorf("chunk %d: %d of %d bytes are written", chunks, bytes.Count(back, p[:1]), len(p))
		}
		if seen.Load() != chunks {
			t.Errorf("qtest was sent %d chunks, not %d", seen.Load(), chunks)
		}
	}
}

// What QEMU refuses in the middle is put back.
func TestBulkWritesThatQEMURefuses(t *testing.T) {
	var left atomic.Int32
	r := startQEMU(t, rigConfig{arch: "arm", tap: func(c net.Conn, _ *os.Process) net.Conn { return spoiler{c, &left} }})
	ctx := deadline(t)
	base := behindTheProgram(t, r)
	old, back := pattern(1<<20, 7), make([]byte, 1<<20)
	must(t, r.WriteMemory(ctx, 0, logical, base, old))
	left.Store(4)
	if err := r.WriteMemory(ctx, 0, logical, base, pattern(1<<20, 9)); err == nil || !strings.Contains(err.Error(), "no-such-command") {
		t.Errorf("the error is %v", err)
	}
	must(t, r.ReadMemory(ctx, 0, logical, base, back))
	if !bytes.Equal(back, old) {
		t.Error("what was there is not there any more")
	}
}

// spoiler makes one of the next large writes that qtest is sent something that QEMU does not know.
type spoiler struct {
	net.Conn
	left *atomic.Int32
}

func (s spoiler) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("b64write")) && s.left.Add(-1) == 0 {
		if _, err := s.Conn.Write([]byte("no-such-command\n")); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	return s.Conn.Write(p)
}

// A write that QEMU has not done when it is given up does not come behind a later one.
func TestBulkWritesThatComeLate(t *testing.T) {
	var armed atomic.Bool
	r := startQEMU(t, rigConfig{arch: "arm", tap: stopsAt(t, "b64write ", &armed)})
	ctx := deadline(t)
	base := behindTheProgram(t, r)
	armed.Store(true)
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := r.WriteMemory(short, 0, logical, base, pattern(bulkBytes, 1)); err == nil {
		t.Fatal("a QEMU that stands has written")
	}
	timer := time.AfterFunc(50*time.Millisecond, func() { r.proc.Signal(syscall.SIGCONT) })
	defer timer.Stop()
	p, back := bytes.Repeat([]byte{0x99}, 16), make([]byte, 16)
	must(t, r.WriteMemory(ctx, 0, logical, base+32, p))
	must(t, r.qtest.Read(ctx, base+32, back)) // behind everything that qtest was asked before
	if !bytes.Equal(back, p) {
		t.Error("what was written is gone")
	}
}

// A translation that comes late is not that of another range.
func TestBulkWritesAfterALateTranslation(t *testing.T) {
	r := startQEMU(t, rigConfig{arch: "arm"})
	ctx := deadline(t)
	first := behindTheProgram(t, r)
	first += 4096 - first%4096
	second := first + 0x8000
	done, err := r.WriteRAM(ctx, 0, logical, first, pattern(4096, 1)) // the monitor knows its core from now on
	if !done || err != nil {
		t.Fatal(done, err)
	}
	for i := range byte(3) {
		stopQEMU(t, r.proc)
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		if done, err := r.WriteRAM(short, 0, logical, first, pattern(4096, 2)); done || err == nil {
			t.Errorf("a QEMU that stands: %v, %v", done, err)
		}
		cancel()
		timer := time.AfterFunc(20*time.Millisecond, func() { r.proc.Signal(syscall.SIGCONT) })
		p, back := pattern(4096, 70+i), make([]byte, 4096)
		if done, err := r.WriteRAM(ctx, 0, logical, second, p); err != nil {
			t.Errorf("when it goes on: %v, %v", done, err)
		} else if !done {
			must(t, r.WriteMemory(ctx, 0, logical, second, p))
		}
		timer.Stop()
		must(t, r.ReadMemory(ctx, 0, physical, second, back))
		if !bytes.Equal(back, p) {
			t.Errorf("what was written to %#x is not there", second)
		}
	}
}

// x86's chipset makes RAM of what was ROM, and the other way, while the memory tree is known.
func TestBulkWritesWhereRAMComesAndGoes(t *testing.T) {
	r := startQEMU(t, rigConfig{arch: "x86_64", args: []string{"-M", "pc", "-device", "VGA"}})
	ctx := deadline(t)
	out := func(lines ...string) {
		for _, line := range lines {
			if text, err := r.qmp.HMP(ctx, -1, line); err != nil || text != "" {
				t.Fatalf("%s: %q, %v", line, text, err)
			}
		}
	}
	learn := func() { _ = r.ReadMemory(ctx, 0, physical, 0x7000_0000_0000, make([]byte, 4)) } // which is nowhere in it
	back := make([]byte, bulkBytes)
	for i, attributes := range []string{"0x3333", "0x0000", "0x3333"} { // of 0xd0000: RAM, option ROM
		out("o /w 0xcf8 0x8000005c", "o /w 0xcfc "+attributes)
		if i == 0 {
			learn()
		}
		p := pattern(bulkBytes, byte(50*i))
		must(t, r.WriteMemory(ctx, 0, logical, 0xd0000, p))
		must(t, r.ReadMemory(ctx, 0, logical, 0xd0000, back))
		if !bytes.Equal(back, p) {
			t.Errorf("attributes %s: it does not read back", attributes)
		}
	}
	// System management memory is open while the tree is read, and closed for all but a core in that mode afterwards.
	out("o /w 0xcf8 0x80000070", "o /w 0xcfc 0x004a0000")
	learn()
	must(t, r.WriteMemory(ctx, 0, physical, 0xa0000, bytes.Repeat([]byte{0xff}, bulkBytes)))
	must(t, r.WriteMemory(ctx, 0, physical, 0x38000, []byte{0xeb, 0xfe})) // where the mode begins: jmp .
	out("o /w 0xcf8 0x80000070", "o /w 0xcfc 0x000a0000")
	out("o /w 0xcf8 0x80000b58", "o /w 0xcfc 0x02000000", "o /b 0xb2 1")
	must(t, r.Go(ctx, 0))
	until(t, "the core is in system management mode", func() (bool, string) {
		text, err := r.qmp.HMP(ctx, 0, "info registers")
		must(t, err)
		return strings.Contains(text, "SMM=1"), text
	})
	must(t, r.Stop(ctx, 0))
	must(t, r.WriteMemory(ctx, 0, logical, 0xa0000, make([]byte, bulkBytes)))
	must(t, r.ReadMemory(ctx, 0, logical, 0xa0000, back))
	if !bytes.Equal(back, make([]byte, bulkBytes)) {
		t.Errorf("system management memory is %x… as the core sees it", back[:4])
	}
}

// Code that is written in bulk is what the core executes afterwards.
func TestBulkWritesOfCode(t *testing.T) {
	r := startQEMU(t, rigConfig{arch: "arm"})
	ctx := deadline(t)
	r.atLoop(t)
	must(t, r.Go(ctx, 0))
	first := r.counter(t)
	until(t, "the loop counts", func() (bool, string) { n := r.counter(t); return n != first, "" })
	must(t, r.Stop(ctx, 0))
	loop := r.guest.Addr("loop")
	p := make([]byte, bulkBytes)
	must(t, r.ReadMemory(ctx, 0, logical, loop, p))
	copy(p, []byte{0xfe, 0xff, 0xff, 0xea}) // b .
	must(t, r.WriteMemory(ctx, 0, logical, loop, p))
	must(t, r.Go(ctx, 0))
	var seen uint64
	until(t, "the core stands at its new instruction", func() (bool, string) {
		must(t, r.Stop(ctx, 0))
		seen = r.pc(t, 0)
		must(t, r.Go(ctx, 0))
		return seen == loop, ""
	})
	must(t, r.Stop(ctx, 0))
	count := r.counter(t)
	must(t, r.Step(ctx, 0))
	if pc := r.pc(t, 0); pc != loop || r.counter(t) != count {
		t.Errorf("pc is %#x, and the loop still counts: %v", pc, r.counter(t) != count)
	}
}
