// SPDX-License-Identifier: Apache-2.0

package gdbtarget_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"mcdtest/stub/target"
)

// countedDump counts how often it is read.
type countedDump struct {
	*os.File
	reads int
}

func (d *countedDump) ReadAt(p []byte, at int64) (int, error) {
	d.reads++
	return d.File.ReadAt(p, at)
}

// dumpFile is a file that QEMU can write memory into.
func dumpFile(t testing.TB) (dump *countedDump, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "dump")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &countedDump{File: f}, path
}

const manyBytes = 200_000

// Large ranges come through the dump, which is empty afterwards; small ones do not.
func TestDump(t *testing.T) {
	eachArch(t, rigConfig{noQTest: true}, func(t *testing.T, r *rig) {
		ctx := deadline(t)
		base := behindTheProgram(t, r)
		for _, tt := range []struct {
			n     int
			write bool
			reads int
		}{{1000, false, 0}, {manyBytes, false, 1}, {1000, true, 0}, {manyBytes, true, 2}} { // a write: what was there, and what took
			r.dump.reads = 0
			p, seen := bytes.Repeat([]byte("dump"), tt.n/4), make([]byte, tt.n)
			if tt.write {
				must(t, r.WriteMemory(ctx, 0, logical, base, p))
			} else {
				must(t, r.ReadMemory(ctx, 0, logical, base, p))
			}
			must(t, r.ReadMemory(ctx, 0, physical, base, seen)) // logical is physical in this program
			if !bytes.Equal(p, seen) {
				t.Errorf("%d bytes, write %v: not what the gdbstub sees", tt.n, tt.write)
			}
			if r.dump.reads != tt.reads {
				t.Errorf("%d bytes, write %v: the dump was read %d times, not %d", tt.n, tt.write, r.dump.reads, tt.reads)
			}
			if fi, err := r.dump.Stat(); err != nil || fi.Size() != 0 {
				t.Errorf("%d bytes, write %v: the dump keeps %d bytes, %v", tt.n, tt.write, fi.Size(), err)
			}
		}
	})
}

// What QEMU wrote before it came to the end of memory is not kept.
func TestDumpOfAHole(t *testing.T) {
	r := startQEMU(t, rigConfig{arch: "arm"})
	start, size := r.guest.RAM()
	p := make([]byte, manyBytes)
	if err := r.ReadMemory(deadline(t), 0, logical, start+size-manyBytes/2, p); !errors.Is(err, target.ErrUnmapped) {
		t.Errorf("a read across the end of RAM: %v", err)
	}
	if fi, err := r.dump.Stat(); err != nil || fi.Size() != 0 {
		t.Errorf("the dump keeps %d bytes, %v", fi.Size(), err)
	}
}

// behindTheProgram is an address in RAM that the guest program does not use, at no boundary.
func behindTheProgram(t *testing.T, r *rig) uint64 {
	t.Helper()
	r.atLoop(t)
	ram, _ := r.guest.RAM()
	base, err := r.guest.Phys(r.guest.Addr("scratch"))
	must(t, err)
	return max(base, ram) + 1<<20 + 3
}

// What the dump does not give comes through the gdbstub, with its errors.
func TestDumpThatFails(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "no-such-folder", "dump")
	r := startQEMU(t, rigConfig{arch: "arm", dumpPath: nowhere})
	ctx := deadline(t)
	base := behindTheProgram(t, r)
	p, seen := bytes.Repeat([]byte("dump"), manyBytes/4), make([]byte, manyBytes)
	must(t, r.WriteMemory(ctx, 0, logical, base, p))
	must(t, r.ReadMemory(ctx, 0, logical, base, seen))
	if !bytes.Equal(seen, p) {
		t.Error("what was written is not read back")
	}
	ram, size := r.guest.RAM()
	var errs [2]error
	for i, path := range []string{nowhere, ""} {
		r := startQEMU(t, rigConfig{arch: "arm", dumpPath: path})
		errs[i] = r.ReadMemory(ctx, 0, logical, ram+size-manyBytes/2, make([]byte, manyBytes))
		if !errors.Is(errs[i], target.ErrUnmapped) {
			t.Errorf("a read past the end of RAM: %v", errs[i])
		}
	}
	if fmt.Sprint(errs[0]) != fmt.Sprint(errs[1]) {
		t.Errorf("without a dump %v, with one %v", errs[0], errs[1])
	}
}
