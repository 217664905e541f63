// SPDX-License-Identifier: Apache-2.0

package gdbtarget_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mcdtest/guest"
	"mcdtest/stub/gdbtarget"
	"mcdtest/stub/rsp"
)

// gate keeps what is written to the gdbstub until it is open.
type gate struct {
	net.Conn
	mu   sync.Mutex
	shut bool
	kept []byte
}

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		g.kept = append(g.kept, p...)
		return len(p), nil
	}
	return g.Conn.Write(p)
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	if !shut {
		g.Conn.Write(g.kept) // an error shows at the next read
		g.kept = nil
	}
}

// A write that the gdbstub has not done when it is given up does not come behind a later one that goes through qtest.
func TestAWriteBehindOneThatIsGivenUp(t *testing.T) {
	var g *gate
	r := startQEMU(t, rigConfig{arch: "arm", gdb: func(c net.Conn, _ *os.Process) net.Conn {
		g = &gate{Conn: c}
		return g
	}})
	ctx := deadline(t)
	base := behindTheProgram(t, r)
	first, second, back := bytes.Repeat([]byte{0x11}, 16), bytes.Repeat([]byte{0x22}, 16), make([]byte, 16)
	g.set(true)
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := r.WriteMemory(short, 0, logical, base, first); err == nil {
		t.Fatal("what was kept from the gdbstub is written")
	}
	timer := time.AfterFunc(50*time.Millisecond, func() { g.set(false) })
	defer timer.Stop()
	must(t, r.WriteMemory(ctx, 0, physical, base, second))
	must(t, r.ReadMemory(ctx, 0, logical, base, back)) // behind everything that the gdbstub was asked before
	if !bytes.Equal(back, second) {
		t.Errorf("% x is left, the last to be written was % x", back, second)
	}
}

// A physical read that is given up leaves the gdbstub's memory packets as they were: they are about the core's addresses.
func TestAPhysicalReadThatIsGivenUp(t *testing.T) {
	var armed atomic.Bool
	r := startQEMU(t, rigConfig{arch: "arm", variant: guest.MMU, noQTest: true, noDump: true, gdb: stopsAt(t, "$m", &armed)})
	ctx := deadline(t)
	r.atLoop(t)
	page := r.guest.Addr("scratch") // which is elsewhere physically
	phys, err := r.guest.Phys(page)
	must(t, err)
	want, back := pattern(16, 1), make([]byte, 16)
	must(t, r.WriteMemory(ctx, 0, logical, page, want))
	armed.Store(true)
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := r.ReadMemory(short, 0, physical, phys, back); err == nil || armed.Load() {
		t.Fatalf("a QEMU that stands was read: %v (it was not stopped: %v)", err, armed.Load())
	}
	must(t, r.proc.Signal(syscall.SIGCONT))
	must(t, r.ReadMemory(ctx, 0, logical, page, back))
	if !bytes.Equal(back, want) {
		t.Errorf("% x is read at %#x, where % x was written", back, page, want)
	}
}

// A Target of a QEMU that stands still is waited for as long as the caller says, and the error says what is the matter.
func TestNewOfAQEMUThatStandsStill(t *testing.T) {
	mtree := fmt.Sprintf("$qRcmd,%x#", "info mtree -f")
	for _, at := range []string{"", "$Hg", mtree} {
		for _, asked := range []bool{false, true} {
			t.Run(fmt.Sprintf("at=%s/asked=%t", at, asked), func(t *testing.T) {
				t.Parallel()
				var armed atomic.Bool
				r, config := launchQEMU(t, rigConfig{arch: "arm", asked: asked, gdb: stopsAt(t, at, &armed)})
				if armed.Store(true); at == "" {
					stopQEMU(t, r.proc)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				began := time.Now()
				_, err := gdbtarget.New(ctx, config)
				if took := time.Since(began); took > 3*time.Second {
					t.Errorf("it took %v", took)
				}
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "QEMU is stopped or busy") {
					t.Errorf("the error is %v", err)
				}
			})
		}
	}
}

// A QEMU that stands still for longer than a request waits is no reason to give up while the caller has time.
func TestNewOfAQEMUThatGoesOn(t *testing.T) {
	for _, asked := range []bool{false, true} {
		t.Run(fmt.Sprintf("asked=%t", asked), func(t *testing.T) {
			t.Parallel()
			r, config := launchQEMU(t, rigConfig{arch: "arm", asked: asked})
			stopQEMU(t, r.proc)
			timer := time.AfterFunc(rsp.Timeout+500*time.Millisecond, func() { r.proc.Signal(syscall.SIGCONT) })
			defer timer.Stop()
			tgt, err := gdbtarget.New(deadline(t), config)
			must(t, err)
			defer tgt.Close()
			if n := len(tgt.Info().Cores[0].Registers); n < 100 {
				t.Errorf("it has %d registers", n)
			}
		})
	}
}
