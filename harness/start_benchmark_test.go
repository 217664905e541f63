// SPDX-License-Identifier: Apache-2.0

package harness_test

import (
	"fmt"
	"io"
	"math/bits"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mcdtest/guest"
	"mcdtest/harness"
	"mcdtest/harness/launch"
)

// BenchmarkStart compares, side by side, a fresh Machine from fork to its first register over MCD with a bare QEMU from
// fork to the first register of its gdbstub. "ratio" is the quotient of the medians.
func BenchmarkStart(b *testing.B) {
	build := probe(b, qemuPath(b, "arm"))
	image, err := guest.Lookup("arm", guest.Loop)
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "guest.elf")
	if err := os.WriteFile(path, image.ELF, 0o600); err != nil {
		b.Fatal(err)
	}
	bareSpec := launch.Spec{
		Path: build.Path, GDB: true,
		Args: append([]string{"-nodefaults", "-display", "none", "-S"}, image.QEMUArgs(path, 1)...),
	}
	pc := fmt.Sprintf("%08x", bits.ReverseBytes32(uint32(image.Addr("start"))))
	var bare, machine []time.Duration
	for b.Loop() {
		began := time.Now()
		p, err := launch.Start(b.Context(), bareSpec)
		if err != nil {
			b.Fatal(err)
		}
		// QEMU 7.2 answers "p" only when the target description has been asked for.
		gdb(b, p.GDB(), "qXfer:features:read:target.xml:0,ffb")
		if r := gdb(b, p.GDB(), "pf"); !strings.Contains(r, pc) {
			b.Fatalf("gdbstub: pc is %q, want %s", r, pc)
		}
		bare = append(bare, time.Since(began))
		p.Kill()

		began = time.Now()
		m, err := harness.Start(b.Context(), harness.Config{Build: build, Guest: image, Endpoint: harness.Stub})
		if err != nil {
			b.Fatal(err)
		}
		conn, err := m.Dial(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		ask(b, conn, "$i0#|", "+")
		if r := ask(b, conn, "$p0;15#|", "#|"); !strings.Contains(r, pc) {
			b.Fatalf("MCD: pc is %q, want %s", r, pc)
		}
		machine = append(machine, time.Since(began))
		conn.Close()
		if err := m.Close(); err != nil {
			b.Fatal(err)
		}
	}
	slices.Sort(bare)
	slices.Sort(machine)
	mb, mm := bare[len(bare)/2], machine[len(machine)/2]
	b.ReportMetric(float64(mb.Microseconds()), "µs/bare")
	b.ReportMetric(float64(mm.Microseconds()), "µs/machine")
	b.ReportMetric(float64(mm)/float64(mb), "ratio")
	b.ReportMetric(0, "ns/op")
}

// gdb sends a packet to a gdbstub and returns the reply.
func gdb(b *testing.B, conn net.Conn, payload string) string {
	var sum byte
	for i := range len(payload) {
		sum += payload[i]
	}
	if _, err := fmt.Fprintf(conn, "+$%s#%02x", payload, sum); err != nil {
		b.Fatal(err)
	}
	var got []byte
	for buf := make([]byte, 8192); len(got) < 3 || got[len(got)-3] != '#'; {
		n, err := conn.Read(buf)
		if err != nil && err != io.EOF {
			b.Fatal(err)
		}
		got = append(got, buf[:n]...)
	}
	return string(got)
}
