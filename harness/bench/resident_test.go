// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"mcdtest/guest"
	"mcdtest/harness"
	"mcdtest/stub/wire"
)

// million is how many requests BenchmarkResident makes.
const million = 1_000_000

// BenchmarkResident makes a million requests of `mcdtest serve`, many at once, and reports its resident memory after the
// first thousand and after the last, and the processor time that a request takes of it: 98 of each hundred poll the state, the
// others read a register and memory. Then come reads and steps that are waited for, one at a time, and reads of a mebibyte.
func BenchmarkResident(b *testing.B) {
	i := image(b, guest.Loop)
	conn, pid := served(b, i, 1)
	c := packets(b, conn, 1)
	var requests []byte
	const batch = 100
	for k := range batch {
		switch k {
		case 33:
			requests = append(requests, "$p0;15#|"...)
		case 66:
			requests = fmt.Appendf(requests, "$m0;1;%d;4#|", i.Addr("counter"))
		default:
			requests = append(requests, "$qstate0#|"...)
		}
	}
	d := wire.NewDecoder(0)
	buf := make([]byte, 64<<10)
	run := func(n int) {
		conn.SetDeadline(time.Now().Add(5 * time.Minute))
		for range n / batch {
			if _, err := io.Copy(conn, bytes.NewReader(requests)); err != nil {
				b.Fatal(err)
			}
			for replies := 0; replies < batch; {
				n, err := conn.Read(buf)
				if err != nil {
					b.Fatal(err)
				}
				for p := buf[:n]; len(p) > 0; {
					used, event := d.Next(p)
					p = p[used:]
					if event == wire.Packet {
						replies++
					}
				}
			}
		}
	}
	cost := func(n int, run func(n int)) float64 { // microseconds of the server's processor time for each of n
		cpu := processorTime(b, pid)
		run(n)
		return (processorTime(b, pid) - cpu).Seconds() * 1e6 / float64(n)
	}
	run(1000)
	before := resident(b, pid)
	pipelined := cost(million, run)
	after := resident(b, pid)
	conn.SetDeadline(time.Time{})
	do := func(n int, once func() error) {
		if _, err := each("serve", once).run(n); err != nil {
			b.Fatal(err)
		}
	}
	read := cost(50_000, func(n int) { do(n, reader(c, i.Addr("counter"))) })
	step := cost(2000, func(n int) { do(n, stepper(c)) })
	base, _ := i.RAM()
	buf = make([]byte, large)
	do(60, func() error { return c.ReadMemory(background, 0, 1, base, buf) })
	report(b, "serve", map[string][]float64{
		"MB-at-first": {before}, "MB-after-a-million-requests": {after}, "MB-after-60-reads-of-1-MiB": {resident(b, pid)},
		"cpu-µs/pipelined-request": {pipelined}, "cpu-µs/read": {read}, "cpu-µs/step": {step},
	})
}

// BenchmarkAllocations counts what the stub allocates for a request, and the client that is in the same process with it.
func BenchmarkAllocations(b *testing.B) {
	i := image(b, guest.Loop)
	packet := packets(b, dial(b, machine(b, harness.Config{})), 1)
	object, _ := objects(b, dial(b, machine(b, harness.Config{Dialect: harness.JSON})))
	for _, w := range []struct {
		name string
		once func() error
	}{
		{"packet, 4-byte read", reader(packet, i.Addr("counter"))},
		{"packet, register", registerReader(packet)},
		{"packet, state", func() error { _, err := packet.State(background, 0); return err }},
		{"json, 4-byte read", txReader(b, object, i.Addr("counter"), small)},
	} {
		var failed error
		n := testing.AllocsPerRun(1000, func() {
			if err := w.once(); err != nil {
				failed = err
			}
		})
		if failed != nil {
			b.Fatal(failed)
		}
		report(b, w.name, map[string][]float64{"allocs/request": {n}})
	}
}

// resident is a process's resident memory in megabytes, files included.
func resident(b testing.TB, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")))
			if err != nil {
				b.Fatal(err)
			}
			return float64(kb) * 1024 / 1e6
		}
	}
	b.Fatalf("no VmRSS in the status of %d", pid)
	return 0
}

// clockTicks is USER_HZ, which is 100 on every Linux that Go runs on.
const clockTicks = 100

// processorTime is what a process has used so far.
func processorTime(b testing.TB, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var ticks time.Duration
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	return ticks * time.Second / clockTicks
}
