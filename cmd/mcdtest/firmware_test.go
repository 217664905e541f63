// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"mcdtest/harness/jsonclient"
	"mcdtest/stub/jsonwire"
)

// firmware is a RISC-V machine straight after its reset, with a program where its firmware begins, and a client that does what the real
// one does: it steps before it lets a core run.
type firmware struct {
	t *testing.T
	c *jsonclient.Client
}

// entry is where the reset vector of riscv64's virt leads to.
const entry = 0x80000000

func startFirmware(t *testing.T, program ...uint32) *firmware {
	t.Helper()
	qemu := needQEMU(t, "riscv64")
	sock := filepath.Join(shortDir(t), "s")
	d := start(t, "serve", "--listen", "unix:"+sock, "--", qemu, "-M", "virt", "-cpu", "rv64", "-bios", "none", "-display", "none", "-nodefaults", "-S")
	if !strings.HasPrefix(d.first, "MCD on") {
		t.Fatalf("%s\n%s", d.first, d.errs)
	}
	conn, err := net.Dial("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	f := &firmware{t, jsonclient.New(conn, jsonclient.Options{})}
	t.Cleanup(func() { f.c.Close() })
	if _, err := f.c.OpenServer(t.Context(), "", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := f.c.OpenCore(t.Context(), jsonwire.Con{}); err != nil {
		t.Fatal(err)
	}
	words := make([]byte, 4*len(program))
	for i, w := range program {
		binary.LittleEndian.PutUint32(words[4*i:], w)
	}
	if _, err := f.c.ExecuteTxList(t.Context(), 1, jsonwire.Tx{
		Addr: jsonwire.Addr{Address: entry, MemSpaceID: 2}, AccessType: jsonwire.TxWrite, AccessWidth: 4, Data: words, NumBytes: uint32(len(words)),
	}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *firmware) pc() uint64 {
	f.t.Helper()
	list, err := f.c.ExecuteTxList(f.t.Context(), 1, jsonwire.Tx{
		Addr: jsonwire.Addr{Address: 32, MemSpaceID: 3}, AccessType: jsonwire.TxRead, AccessWidth: 8, Data: make([]byte, 8), NumBytes: 8,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return binary.LittleEndian.Uint64(list.Tx[0].Data)
}

// run does what mcd_run_f of the real client does.
func (f *firmware) run() {
	f.t.Helper()
	if err := f.c.Step(f.t.Context(), 1, true, jsonwire.StepInstructions, 1); err != nil {
		f.t.Fatalf("the step in front of a run: %v", f.c.Explain(context.Background(), err, 1))
	}
	if err := f.c.Run(f.t.Context(), 1, true); err != nil {
		f.t.Fatal(err)
	}
}

func (f *firmware) state() jsonwire.State {
	f.t.Helper()
	s, err := f.c.QryState(f.t.Context(), 1)
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

// hits inserts a trigger, lets the core run into it, and removes it.
func (f *firmware) hits(kind jsonwire.TrigType, addr, pc uint64) {
	f.t.Helper()
	simple := &jsonwire.TrigSimpleCore{Type: kind, Action: jsonwire.TrigActionDebug, AddrStart: jsonwire.Addr{Address: addr, MemSpaceID: 2}}
	created, err := f.c.CreateTrig(f.t.Context(), 1, jsonwire.Trig{SimpleCore: simple})
	if err != nil {
		f.t.Fatal(err)
	}
	f.run()
	var s jsonwire.State
	waitFor(f.t, fmt.Sprintf("the core runs into a trigger of type %v at %#x", kind, addr), func() (bool, string) {
		s = f.state()
		return s.State == jsonwire.CoreStateDebug, fmt.Sprintf("%+v", s)
	})
	if s.Event != jsonwire.CoreEventTriggerChange || s.TrigID != created.TrigID {
		f.t.Errorf("the state at the trigger of type %v is %+v", kind, s)
	}
	if got := f.pc(); got != pc {
		f.t.Errorf("the trigger of type %v at %#x stops with pc %#x, want %#x", kind, addr, got, pc)
	}
	if ts, err := f.c.QryTrigState(f.t.Context(), 1, created.TrigID); err != nil || !ts.Captured {
		f.t.Errorf("the trigger of type %v: %+v, %v", kind, ts, err)
	}
	if err := f.c.RemoveTrig(f.t.Context(), 1, created.TrigID); err != nil {
		f.t.Fatal(err)
	}
}

// Triggers on the way from the reset through the firmware stop where the specification says.
func TestTriggersInTheFirmware(t *testing.T) {
	t.Parallel()
	f := startFirmware(t,
		0x00000297, // 00: auipc t0, 0
		0x00000013, // 04: nop
		0x0202a303, // 08: lw t1, 0x20(t0)
		0x00130313, // 0c: addi t1, t1, 1
		0x0262a023, // 10: sw t1, 0x20(t0)
		0xff5ff06f, // 14: j 08
		0, 0, 0,    // 20: the word that is watched
	)
	f.hits(jsonwire.TrigTypeIP, entry, entry)
	f.hits(jsonwire.TrigTypeRead, entry+0x20, entry+0x0c)
	f.hits(jsonwire.TrigTypeWrite, entry+0x20, entry+0x14)
	f.hits(jsonwire.TrigTypeRW, entry+0x20, entry+0x0c)
}

// A machine that waits for an interrupt is let run by a client that steps first.
func TestRunOfAnIdleMachine(t *testing.T) {
	t.Parallel()
	f := startFirmware(t,
		0x10500073, // wfi
		0xffdff06f, // j to it
	)
	f.hits(jsonwire.TrigTypeIP, entry, entry)
	for range 2 {
		waitFor(t, "the machine waits for an interrupt", func() (bool, string) {
			if err := errors.Join(f.c.Run(t.Context(), 1, true), f.c.Stop(t.Context(), 1, true)); err != nil {
				t.Fatal(err)
			}
			pc := f.pc()
			return pc == entry+4, fmt.Sprintf("pc is %#x", pc)
		})
		f.run()
		if s := f.state(); s.State != jsonwire.CoreStateRunning {
			t.Errorf("after a step and a run the state is %+v", s)
		}
	}
}
