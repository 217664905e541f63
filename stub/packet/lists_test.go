// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcdtest/stub/memtarget"
	"mcdtest/stub/target"
)

// walk asks for a whole list.
func (p *peer) walk(first, next string) []string {
	p.t.Helper()
	var list []string
	request := first
	for {
		handle, element, ok := strings.Cut(p.ask(request), "!")
		if !ok {
			p.t.Fatalf("%s: the reply has no handle: %q", request, handle)
		}
		list = append(list, element)
		if handle == "0" {
			return list
		}
		if want := fmt.Sprint(len(list)); handle != want {
			p.t.Fatalf("%s: handle %s, want %s", request, handle, want)
		}
		request = next + handle
	}
}

const spaceRest = ".bpm=8.i=1.e=1.min=0.max=18446744073709551615.sao=0."

func TestListsOfARM(t *testing.T) {
	for _, secure := range []bool{false, true} {
		p := open(t, loop(t, func(c *memtarget.Config) { c.Secure = secure }), Options{})
		p.does("i0")
		spaces := []string{
			"name=Non Secure.id=1.type=34" + spaceRest,
			"name=Physical (Non Secure).id=2.type=18" + spaceRest,
		}
		if secure {
			spaces = append(spaces, "name=Secure.id=3.type=34"+spaceRest, "name=Physical (Secure).id=4.type=18"+spaceRest)
		}
		n := len(spaces)
		spaces = append(spaces,
			fmt.Sprintf("name=GPR Registers.id=%d.type=1%s", n+1, spaceRest),
			fmt.Sprintf("name=CP15 Registers.id=%d.type=1%s", n+2, spaceRest))
		if diff := cmp.Diff(spaces, p.walk("qmemoryf0", "qmemoryc")); diff != "" {
			t.Errorf("memory spaces (-want +got):\n%s", diff)
		}
		groups := []string{"id=1.name=GPR Registers.", "id=2.name=CP15 Registers."}
		if diff := cmp.Diff(groups, p.walk("qreggroupf0", "qreggroupc")); diff != "" {
			t.Errorf("register groups (-want +got):\n%s", diff)
		}
		registers := p.walk("qregf0", "qregc")
		for index, want := range map[int]string{
			0:  fmt.Sprintf("id=0.name=r0.size=32.reggroupid=1.memspaceid=%d.type=0.thread=0.opcode=0.", n+1),
			15: fmt.Sprintf("id=15.name=pc.size=32.reggroupid=1.memspaceid=%d.type=0.thread=0.opcode=0.", n+1),
			16: fmt.Sprintf("id=25.name=cpsr.size=32.reggroupid=1.memspaceid=%d.type=0.thread=0.opcode=0.", n+1),
			49: fmt.Sprintf("id=58.name=q0.size=128.reggroupid=1.memspaceid=%d.type=0.thread=0.opcode=0.", n+1),
			68: fmt.Sprintf("id=77.name=MAIR0.size=32.reggroupid=2.memspaceid=%d.type=0.thread=0.opcode=0.", n+2),
		} {
			if registers[index] != want {
				t.Errorf("register %d\n- want %s\n- got  %s", index, want, registers[index])
			}
		}
		if want := len(memtarget.ARMCore(secure).Registers); len(registers) != want {
			t.Errorf("%d registers, want %d", len(registers), want)
		}
		p.asks("qcores", "device=qemu-arm-device.core=cortex-a15-arm-cpu.nr_cores=1.")
	}
}

func TestListsOfOtherArchitectures(t *testing.T) {
	m := memtarget.New(memtarget.RISCV64())
	defer m.Close()
	p := open(t, m, Options{})
	p.does("i0")
	want := []string{
		"name=Logical.id=1.type=34" + spaceRest,
		"name=Physical.id=2.type=18" + spaceRest,
		"name=Registers.id=3.type=1" + spaceRest,
	}
	if diff := cmp.Diff(want, p.walk("qmemoryf0", "qmemoryc")); diff != "" {
		t.Errorf("memory spaces (-want +got):\n%s", diff)
	}
	want = []string{"id=1.name=cpu.", "id=2.name=fpu.", "id=3.name=virtual.", "id=4.name=csr."}
	if diff := cmp.Diff(want, p.walk("qreggroupf0", "qreggroupc")); diff != "" {
		t.Errorf("register groups (-want +got):\n%s", diff)
	}
	registers := p.walk("qregf0", "qregc")
	if got, want := registers[len(registers)-1], "id=3926.name=mhartid.size=64.reggroupid=4.memspaceid=3.type=0.thread=0.opcode=0."; got != want {
		t.Errorf("last register\n- want %s\n- got  %s", want, got)
	}
	p.asks("qcores", "device=qemu-riscv64-device.core=rv64-riscv-cpu.nr_cores=1.")
	p.asks("p0;32", "0010000000000000")
	p.asks("p0;3926", "0000000000000000")
	p.asks("p0;3925", "")
}

// What a machine calls its things may hold what the value of a field cannot; big-endian machines say so.
func TestListsOfAStrangeMachine(t *testing.T) {
	cfg := memtarget.Config{
		Arch: "microblaze.x", BigEndian: true, Entry: 0x11223344,
		Core: target.Core{
			Type: "a=b.c#d",
			AddressSpaces: []target.AddressSpace{
				{Name: "cpu-secure-memory-0", Secure: true}, {Name: "cpu-memory-0"}, {Name: "cpu-smm-0"},
			},
			Groups:    []target.RegisterGroup{{Name: "plain"}, {Name: "a.b="}},
			Registers: []target.Register{{Number: 0, Name: "x.y=z", Bits: 1, Group: 1}, {Number: 5, Name: "pc", Bits: 32}},
		},
	}
	p := open(t, memtarget.New(cfg), Options{})
	p.does("i0")
	rest := strings.Replace(spaceRest, "e=1", "e=2", 1)
	want := []string{
		"name=Logical.id=1.type=34" + rest, "name=Physical.id=2.type=18" + rest,
		"name=Secure Logical.id=3.type=34" + rest, "name=Secure Physical.id=4.type=18" + rest,
		"name=Registers.id=5.type=1" + rest,
	}
	if diff := cmp.Diff(want, p.walk("qmemoryf0", "qmemoryc")); diff != "" {
		t.Errorf("memory spaces (-want +got):\n%s", diff)
	}
	want = []string{"id=1.name=plain.", "id=2.name=b_."}
	if diff := cmp.Diff(want, p.walk("qreggroupf0", "qreggroupc")); diff != "" {
		t.Errorf("register groups (-want +got):\n%s", diff)
	}
	want = []string{
		"id=0.name=x_y_z.size=1.reggroupid=2.memspaceid=5.type=0.thread=0.opcode=0.",
		"id=5.name=pc.size=32.reggroupid=1.memspaceid=5.type=0.thread=0.opcode=0.",
	}
	if diff := cmp.Diff(want, p.walk("qregf0", "qregc")); diff != "" {
		t.Errorf("registers (-want +got):\n%s", diff)
	}
	p.asks("qcores", "device=qemu-microblaze_x-device.core=a_b_c_d.nr_cores=1.")
	p.asks("P0;0;1;01", "success")
	p.asks("p0;0", "01")
	p.asks("p0;5", "11223344")
}

func TestResetClassesAndTriggers(t *testing.T) {
	p := open(t, loop(t, nil), Options{})
	p.asks("qresetf", "0!name=full_system_reset.id=0.")
	p.asks("qresetf0", "0!name=full_system_reset.id=0.")
	p.asks("qresetc0", "0!name=full_system_reset.id=0.")
	p.asks("qresetc1", "error")
	p.asks("qtrigger", "nr_trigger=16.type=1,2,3,4.option=break_on_trigger.action=check_data_value.")

	m := loop(t, nil)
	m.Info().ResetClasses = nil
	p = open(t, m, Options{})
	p.asks("qresetf", "error")
}

func TestHandles(t *testing.T) {
	p := open(t, loop(t, func(c *memtarget.Config) { c.Cores = 2 }), Options{})
	p.asks("qmemoryc1", "error") // core 0 is not open
	p.does("i0")
	second := "2!name=Physical (Non Secure).id=2.type=18" + spaceRest
	p.asks("qmemoryc1", second) // core 0, as long as there was no f
	p.asks("qmemoryf1", "error")
	p.asks("qmemoryc1", second) // a refused f changes nothing
	p.does("i1")
	p.asks("qmemoryf1", "1!name=Non Secure.id=1.type=34"+spaceRest)
	p.does("d0")
	p.asks("qmemoryc1", second)
	p.asks("qreggroupc1", "0!id=2.name=CP15 Registers.") // the core is that of the last f of any list
	p.does("d1")
	p.asks("qmemoryc1", "error")
	p.asks("qreggroupc1", "error")
	p.does("i1")
	for _, handle := range []string{"4", "5", "4294967296", "18446744073709551615"} {
		p.asks("qmemoryc"+handle, "error")
	}
	p.asks("qreggroupc2", "error")
	p.asks("qregc999", "error")
	p.asks("qmemoryc", "")
	p.asks("qmemoryc-1", "")
	p.asks("qmemoryc0", "1!name=Non Secure.id=1.type=34"+spaceRest)
}

// The tables belong to the core.
func TestCoresOfDifferentKinds(t *testing.T) {
	m := loop(t, func(c *memtarget.Config) { c.Cores = 2 })
	m.Info().Cores[1] = memtarget.ARMCore(true)
	p := open(t, m, Options{})
	p.does("i0", "i1")
	if n0, n1 := len(p.walk("qmemoryf0", "qmemoryc")), len(p.walk("qmemoryf1", "qmemoryc")); n0 != 4 || n1 != 6 {
		t.Errorf("%d and %d memory spaces, want 4 and 6", n0, n1)
	}
}
