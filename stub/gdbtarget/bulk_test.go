// SPDX-License-Identifier: Apache-2.0

package gdbtarget_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"testing"

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
