// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"mcdtest/stub/memtarget"
	"mcdtest/stub/target"
	"mcdtest/stub/wire"
)

func state(name, trigger, stop, info string) string {
	typ, addr, _ := strings.Cut(trigger, "@")
	if addr == "" {
		addr = "0"
	}
	return fmt.Sprintf("state=%s.event=0.thread=0.type=%s.address=%s.stop_str=%s.info_str=%s.", name, typ, addr, stop, info)
}

var (
	atBoot   = state("halted", "0", "", "vm halted since boot")
	reported = state("debug", "0", "", "")
)

func TestSession(t *testing.T) {
	m := loop(t, func(c *memtarget.Config) { c.Cores = 2 })
	p := open(t, m, Options{})
	// Before I, and before i.
	p.asks("qsystem", "qemu-system")
	p.asks("qcores", "device=qemu-arm-device.core=cortex-a15-arm-cpu.nr_cores=2.")
	p.asks("qstate0", atBoot)
	needOpen := []string{
		"qmemoryf0", "qreggroupf0", "qregf0", "p0;0", "P0;0;4;00000000", "m0;1;1073741824;4", "M0;1;1073741824;1;00",
	}
	for _, request := range needOpen {
		p.asks(request, "error")
	}
	p.asks("I", "shaking your hand")
	p.asks("I", "shaking your hand")
	p.does("i0", "i0")
	for _, request := range needOpen {
		if reply := p.ask(request); reply == "error" {
			t.Errorf("%s of an open core is refused", request)
		}
		p.asks(strings.Replace(request, "0", "1", 1), "error")
		p.asks(strings.Replace(request, "0", "2", 1), "error")
	}
	p.does("d0")
	for _, request := range needOpen {
		p.asks(request, "error")
	}
	p.asks("qstate0", atBoot)
	p.does("d0")
	p.asks("qstate0", state("halted", "0", "", "error: close core 0: the core is not open"))
	p.asks("qstate0", atBoot)

	p.does("i0", "i1", "D")
	for _, request := range needOpen {
		p.asks(request, "error")
	}
	p.asks("qcores", "device=qemu-arm-device.core=cortex-a15-arm-cpu.nr_cores=2.")
	p.asks("qstate0", state("running", "0", "", "vm running since boot"))
	p.does("i0")
	p.asks("p0;15", "00002040")

	// What is open belongs to the connection.
	other := open(t, m, Options{})
	other.asks("p0;15", "error")
}

func TestCloseServerRemovesTriggersAndLetsTheMachineRun(t *testing.T) {
	m := loop(t, func(c *memtarget.Config) { c.Cores = 2 })
	p := open(t, m, Options{})
	p.asks("t0;1;1075838988", "success")
	p.asks("t0;1;1075838988", "success")
	p.asks("t1;4;1075904512", "success")
	p.does("D")
	m.Run(100)
	if got := m.Triggers(target.AllCores); len(got) != 0 || !m.State(0).Running || !m.State(1).Running {
		t.Errorf("triggers %v, states %+v %+v", got, m.State(0), m.State(1))
	}
}

func TestRegisters(t *testing.T) {
	m := loop(t, nil)
	p := open(t, m, Options{})
	p.does("i0")
	for _, test := range []struct{ request, want string }{
		{"p0;15", "00002040"},
		{"P0;4;4;efbeadde", "success"},
		{"p0;4", "efbeadde"},
		{"P0;4;4;EFBEADDE", "success"},
		{"p0;4", "efbeadde"},
		{"P0;26;8;0011223344556677", "success"},
		{"p0;26", "0011223344556677"},
		{"P0;58;16;000102030405060708090a0b0c0d0e0f", "success"},
		{"p0;58", "000102030405060708090a0b0c0d0e0f"},
		{"p0;58;x", "000102030405060708090a0b0c0d0e0f"},
		// numbers that do not exist
		{"p0;16", ""}, {"p0;999", ""}, {"p0;4294967296", ""}, {"p0;18446744073709551615", ""},
		{"P0;16;4;00000000", "error"}, {"P0;999;4;00000000", "error"}, {"P0;18446744073709551615;4;00000000", "error"},
		// sizes and digits
		{"P0;4;3;efbead", "error"}, {"P0;4;5;efbeaddeef", "error"}, {"P0;4;8;efbeaddeefbeadde", "error"}, {"P0;4;0;", "error"},
		{"P0;4;4;", "error"}, {"P0;4;4;00", "error"}, {"P0;4;4;0000000", "error"}, {"P0;4;4;0000000000", "error"},
		{"P0;4;4;0000000g", "error"}, {"P0;4;4;0x000000", "error"}, {"P0;4;18446744073709551615;00", "error"},
		{"p0;4", "efbeadde"},
		// a system register ignores the write
		{"P0;77;4;12345678", "error"}, {"P0;77;4;00000000", "success"}, {"p0;77", "00000000"},
		// malformed
		{"p", ""}, {"p0", ""}, {"p0;", ""}, {"p;0", ""}, {"p0;x", ""}, {"p0;-1", ""}, {"p0,1", ""},
		{"P", ""}, {"P0", ""}, {"P0;4", ""}, {"P0;4;4", ""}, {"P0;4;;00000000", ""}, {"P0;4;x;00000000", ""},
		// no such core
		{"p1;0", "error"}, {"P1;0;4;00000000", "error"}, {"p18446744073709551615;0", "error"},
	} {
		p.asks(test.request, test.want)
	}
	p.settled()
}

func TestMemory(t *testing.T) {
	m := loop(t, func(c *memtarget.Config) { c.Secure = true })
	p := open(t, m, Options{MaxRead: 100000})
	p.does("i0")
	const end = memtarget.RAMStart + memtarget.RAMSize
	for _, test := range []struct{ request, want string }{
		{"m0;1;1075838976;16", "0000a0e314109fe50020a0e3010080e2"},
		{"m0;2;1075838976;16", "0000a0e314109fe50020a0e3010080e2"},
		{"m0;3;1075838976;16", "0000a0e314109fe50020a0e3010080e2"},
		{"m0;4;1075838976;16", "0000a0e314109fe50020a0e3010080e2"},
		{"m0;1;1075838977;3", "00a0e3"},
		{"M0;1;1075970048;4;78563412", "success"},
		{"m0;1;1075970048;4", "78563412"},
		{"M0;2;1075970052;4;aAbBcCdD", "success"},
		{"m0;2;1075970048;8", "78563412aabbccdd"},
		// across the end of a page
		{"M0;1;1075974140;8;0102030405060708", "success"},
		{"m0;1;1075974140;8", "0102030405060708"},
		{"m0;2;1075974140;8", "0102030405060708"},
		// nothing
		{"m0;1;1075970048;0", ""}, {"M0;1;1075970048;0;", "success"}, {"m0;1;4026531840;0", ""}, {"M0;1;4026531840;0;", "success"},
		// unmapped, and across the end
		{"m0;1;4026531840;4", "error"}, {"m0;2;4026531840;4", "error"},
		{"M0;1;4026531840;4;00000000", "error"}, {"M0;2;4026531840;4;00000000", "error"},
		{fmt.Sprintf("m0;1;%d;4", end-4), "00000000"}, {fmt.Sprintf("m0;1;%d;5", end-4), "error"},
		{fmt.Sprintf("M0;1;%d;5;0102030405", end-4), "error"}, {fmt.Sprintf("m0;1;%d;4", end-4), "00000000"},
		{"m0;1;18446744073709551615;1", "error"}, {"m0;1;18446744073709551615;2", "error"},
		// spaces
		{"m0;0;1075838976;4", "error"}, {"m0;5;1075838976;4", "error"}, {"m0;6;1075838976;4", "error"}, {"m0;7;1075838976;4", "error"},
		{"m0;18446744073709551615;1075838976;4", "error"}, {"M0;5;1075838976;1;00", "error"}, {"M0;0;1075838976;1;00", "error"},
		{"m0;5;1075838976;0", "error"}, {"M0;0;1075838976;0;", "error"},
		// too much
		{"m0;1;1073741824;100001", "error"}, {"m0;1;1073741824;4294967296", "error"}, {"m0;1;1073741824;18446744073709551615", "error"},
		{"m0;1;0;9223372036854775808", "error"},
		// digits
		{"M0;1;1075970048;4;785634", "error"}, {"M0;1;1075970048;4;7856341", "error"}, {"M0;1;1075970048;4;7856341200", "error"},
		{"M0;1;1075970048;4;7856341g", "error"}, {"M0;1;1075970048;0;00", "error"}, {"M0;1;1075970048;9223372036854775808;", "error"},
		{"m0;1;1075970048;8", "78563412aabbccdd"},
		// malformed
		{"m", ""}, {"m0", ""}, {"m0;1", ""}, {"m0;1;0", ""}, {"m0;1;0;", ""}, {"m0;1;;4", ""}, {"m0;1;0x40000000;4", ""}, {"m0;1;0;4x", ""},
		{"m0;1;18446744073709551616;4", ""}, {"M0;1;0;4", ""}, {"M0;1;0", ""},
		{"m0;1;1075970048;4;more;x", "78563412"},
		// cores
		{"m1;1;1075838976;4", "error"}, {"M1;1;1075838976;1;00", "error"},
	} {
		p.asks(test.request, test.want)
	}
	if got, want := p.ask("m0;1;1073741824;100000"), strings.Repeat("00", 100000); got != want {
		t.Errorf("a read of 100,000 bytes of zeros gives %d digits", len(got))
	}
	// Every byte value, in reads of every length up to some hundred.
	pattern := make([]byte, 300)
	for i := range pattern {
		pattern[i] = byte(i*7 + i/256)
	}
	if err := m.WriteMemory(t.Context(), 0, target.Space{}, memtarget.LoopScratch, pattern); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= len(pattern); n++ {
		p.asks(fmt.Sprintf("m0;1;%d;%d", memtarget.LoopScratch, n), fmt.Sprintf("%x", pattern[:n]))
	}
	// As much as fits a packet.
	request := fmt.Sprintf("M0;1;%d;%d;", memtarget.LoopScratch, 501)
	data := strings.Repeat("5a", 501)
	if len(request)+len(data) > wire.MaxPayload || len(request)+len(data)+2 <= wire.MaxPayload {
		t.Fatalf("%d bytes of payload are not the most", len(request)+len(data))
	}
	p.asks(request+data, "success")
	p.asks(fmt.Sprintf("m0;1;%d;502", memtarget.LoopScratch), data+"00")
}

func TestTriggers(t *testing.T) {
	m := loop(t, func(c *memtarget.Config) { c.Cores = 2 })
	p := open(t, m, Options{})
	for _, test := range []struct{ request, want string }{
		{"T0;1;16", "error"},
		{"t0;1;16", "success"}, {"t0;1;16", "success"}, {"T0;1;16", "success"}, {"T0;1;16", "success"}, {"T0;1;16", "error"},
		{"t0;2;16", "success"}, {"t0;3;16", "success"}, {"t0;4;16", "success"},
		{"T1;2;16", "error"}, {"T0;1;16", "error"}, {"T0;2;20", "error"}, {"T0;2;16", "success"},
		{"T0;3;16;4", "success"}, {"T0;4;16;rubbish", "success"},
		{"t0;0;16", "error"}, {"t0;5;16", "error"}, {"t0;99;16", "error"}, {"t0;256;16", "error"}, {"t0;257;16", "error"}, {"t0;18446744073709551615;16", "error"},
		{"T0;0;16", "error"}, {"T0;5;16", "error"},
		{"t2;1;16", "error"}, {"T2;1;16", "error"},
		{"t", ""}, {"t0", ""}, {"t0;1", ""}, {"t0;1;", ""}, {"t0;x;16", ""}, {"t-1;1;16", ""}, {"T0;1", ""},
		{"t0;1;18446744073709551615", "success"}, {"T0;1;18446744073709551615", "success"},
	} {
		p.asks(test.request, test.want)
	}
	for i := range 16 {
		p.asks(fmt.Sprintf("t1;1;%d", 4*i), "success")
		p.asks(fmt.Sprintf("t1;%d;%d", 2+i%3, 4*i), "success")
	}
	p.asks("t1;1;1000", "error")
	p.asks("t1;2;1000", "error")
	p.asks("t0;1;1000", "success")
	p.asks("T1;1;0", "success")
	p.asks("t1;1;1000", "success")
}

func TestRunControl(t *testing.T) {
	m := loop(t, nil)
	p := open(t, m, Options{})
	p.does("i0")
	p.asks("qstate0", atBoot)
	p.asks("qstate0", atBoot)

	p.does("c0;0")
	p.asks("qstate0", state("debug", "0", "stopped because of single step", "cpu 0 in debug state"))
	p.asks("qstate0", reported)
	p.asks("p0;15", "04002040")
	p.does("c1;0")
	p.asks("qstate0", state("debug", "0", "stopped because of single step", "cpu 0 in debug state"))
	p.asks("p0;15", "08002040")

	p.asks(fmt.Sprintf("t0;1;%d", memtarget.LoopHead), "success")
	p.does("C0;0")
	p.asks("qstate0", state("running", "0", "", "cpu 0 running"))
	m.Run(100)
	for range 3 { // C from a breakpoint hits it again
		p.asks("qstate0", state("debug", "1", "stopped because of HW breakpoint", "cpu 0 in debug state"))
		p.asks("qstate0", reported)
		p.asks("p0;15", "0c002040")
		p.does("C0;0")
	}
	p.asks(fmt.Sprintf("T0;1;%d", memtarget.LoopHead), "success")

	p.does("C0;0", "C0;0", "c0;0", "C1;0") // go and step while running do nothing
	p.asks("qstate0", state("running", "0", "", "cpu 0 running"))
	m.Run(100)
	p.does("b")
	p.asks("qstate0", state("debug", "0", "stopped because of break", "cpu 0 in debug state"))
	p.does("b0;0", "b1;0") // a stop of what stands does nothing
	p.asks("qstate0", reported)

	for kind, words := range map[int]string{2: "read", 3: "write", 4: "read or write"} {
		p.asks(fmt.Sprintf("t0;%d;%d", kind, memtarget.LoopCounter), "success")
		p.does("C0;0")
		m.Run(100)
		p.asks("qstate0", state("debug", fmt.Sprintf("%d@1075904512", kind), "stopped because of "+words+" access at 1075904512", "cpu 0 in debug state"))
		p.asks("qstate0", reported)
		p.asks(fmt.Sprintf("T0;%d;%d", kind, memtarget.LoopCounter), "success")
	}

	p.does("C1;0")
	m.PauseElsewhere()
	for range 2 {
		p.asks("qstate0", state("halted", "0", "", "cpu 0 currently halted"))
	}
	p.does("C0;0", "b")
	// The stop is the one that is reported, although a step was refused while the core ran.
	p.asks("qstate0", state("debug", "0", "stopped because of break", "cpu 0 in debug state"))
	p.asks("qstate1", "error")
	p.asks("qstate", "")
	p.asks("qstatex", "")
	p.asks("qstate-1", "")
	p.asks("qstate0abc", "")
	p.asks("qstate0;abc", reported)
}

func TestRunControlByCore(t *testing.T) {
	m := loop(t, func(c *memtarget.Config) { c.Cores = 3 })
	p := open(t, m, Options{})
	ask := func(want ...string) {
		t.Helper()
		for core, w := range want {
			p.asks(fmt.Sprintf("qstate%d", core), w)
		}
	}
	sinceBoot := state("running", "0", "", "vm running since boot")
	p.does("C0;1")
	ask(atBoot, sinceBoot, atBoot)
	p.does("c0;2")
	ask(atBoot, sinceBoot, state("debug", "0", "stopped because of single step", "cpu 2 in debug state"))
	p.does("C1;0")
	ask(sinceBoot, sinceBoot, state("running", "0", "", "cpu 2 running"))
	stopped := func(core int) string {
		return state("debug", "0", "stopped because of break", fmt.Sprintf("cpu %d in debug state", core))
	}
	p.does("b0;1")
	ask(sinceBoot, stopped(1), state("running", "0", "", "cpu 2 running"))
	for _, malformed := range []string{"bx;y", "b0", "b0;", "b;0", "b0;-1", "b1;x"} {
		p.asks(malformed, "")
	}
	ask(sinceBoot, reported)
	p.does("b1;1")
	ask(stopped(0), reported, stopped(2))
	p.does("c1;1")
	for core := range 3 {
		p.asks(fmt.Sprintf("qstate%d", core), state("debug", "0", "stopped because of single step", fmt.Sprintf("cpu %d in debug state", core)))
	}
	p.does("C1;0", "b")
	ask(stopped(0), stopped(1), stopped(2))
	p.does("D")
	ask(sinceBoot, sinceBoot, sinceBoot)
	p.does("b0;2", "C0;2")
	ask(sinceBoot, sinceBoot, state("running", "0", "", "cpu 2 running"))
}

func TestMistakesAreToldOnce(t *testing.T) {
	m := loop(t, func(c *memtarget.Config) { c.Cores = 2 })
	var log bytes.Buffer
	p := open(t, m, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	for _, test := range []struct {
		request string
		told    []bool // cores whose info_str says so
		what    string
	}{
		{"C2;0", []bool{true, false}, "error: go, global 2, core 0: global is neither 0 nor 1"},
		{"c7;1", []bool{false, true}, "error: step, global 7, core 1: global is neither 0 nor 1"},
		{"C0;2", []bool{false, false}, "go, global 0, core 2: no such core"},
		{"C1;2", []bool{false, false}, "go, global 1, core 2: no such core"},
		{"c0;18446744073709551615", []bool{false, false}, "no such core"},
		{"i2", []bool{false, false}, "open core 2: no such core"},
		{"d2", []bool{false, false}, "close core 2: no such core"},
		{"r1", []bool{true, true}, "error: reset 1: no such reset class"},
		{"r18446744073709551615", []bool{true, true}, "no such reset class"},
		{"k", []bool{true, true}, "error: end the machine: ending the machine is switched off"},
	} {
		log.Reset()
		p.does(test.request)
		for core, told := range test.told {
			query := fmt.Sprintf("qstate%d", core)
			reply := p.ask(query)
			if told != strings.Contains(reply, test.what) || told == strings.Contains(reply, "vm halted since boot") {
				t.Errorf("%s, then %s: %q, want %q in it: %v", test.request, query, reply, test.what, told)
			}
			p.asks(query, atBoot)
		}
		if what := strings.TrimPrefix(test.what, "error: "); !strings.Contains(log.String(), what) {
			t.Errorf("%s: the log does not say %q: %s", test.request, what, log.String())
		}
	}
	// Malformed: the empty packet, and nothing is noted.
	for _, request := range []string{"C", "C0", "C0;", "C;0", "Cx;0", "C0;x", "c", "c0", "i", "ix", "i-1", "d", "r", "rx", "r 0"} {
		p.asks(request, "")
	}
	p.asks("qstate0", atBoot)
	p.asks("qstate1", atBoot)
}

func TestReset(t *testing.T) {
	m := loop(t, nil)
	p := open(t, m, Options{})
	p.does("i0", "c0;0", "c0;0")
	p.asks("p0;15", "08002040")
	p.does("r0")
	p.asks("p0;15", "00002040")
	p.does("C0;0")
	m.Run(100)
	p.does("r0")
	p.asks("qstate0", state("running", "0", "", "cpu 0 running"))
	p.asks("p0;15", "00002040")
}

// plain hides what a Target can do beside being a Target.
type plain struct{ target.Target }

func TestATargetThatCannot(t *testing.T) {
	p := open(t, plain{loop(t, nil)}, Options{AllowKill: true})
	p.does("k")
	p.asks("qstate0", state("halted", "0", "", "error: end the machine: not supported by this machine"))
	p.does("r0")
	p.asks("qstate0", state("halted", "0", "", "error: reset 0: no such reset class"))
}

func TestKill(t *testing.T) {
	m := loop(t, nil)
	p := open(t, m, Options{AllowKill: true})
	p.send("$k#|$qsystem#|")
	p.expect("+")
	p.closed()
	if err := p.ended(); err != nil {
		t.Errorf("Serve returned %v", err)
	}
	if err := m.Err(); !errors.Is(err, target.ErrGone) {
		t.Errorf("the machine's error is %v", err)
	}
}

func TestTheEndOfTheMachineClosesTheConnection(t *testing.T) {
	m := loop(t, nil)
	p := open(t, m, Options{})
	p.settled()
	m.Die(errors.New("signal: killed"))
	p.closed()
	if err := p.ended(); err != nil {
		t.Errorf("Serve returned %v", err)
	}
}

// failing refuses everything for a reason that no value of a field can hold.
type failing struct {
	target.Target
	reason error
}

func (f failing) Go(context.Context, int) error      { return f.reason }
func (f failing) Stop(context.Context, int) error    { return f.reason }
func (f failing) Step(context.Context, ...int) error { return f.reason }

func TestReasonsFitTheFields(t *testing.T) {
	p := open(t, failing{loop(t, nil), errors.New("a.b=c#d$e|f;ü\n\x00" + strings.Repeat("x", 300))}, Options{})
	for _, request := range []string{"C0;0", "c0;0", "b"} {
		p.does(request)
		reply := p.ask("qstate0")
		_, info, _ := strings.Cut(reply, ".info_str=")
		if want := "error: a_b_c_d$e|f;___xxx"; !strings.HasPrefix(info, want) || len(info) > 250 {
			t.Errorf("%s\n- want %s…\n- got  %s (%d bytes)", request, want, info, len(info))
		}
	}
	p.does("D") // refused in its second half
	if reply := p.ask("qstate0"); !strings.Contains(reply, "info_str=error: ") {
		t.Errorf("after D: %s", reply)
	}
}

func TestEveryRequestHasAHandler(t *testing.T) {
	for i := range wire.Requests {
		if handlers[&wire.Requests[i]] == nil {
			t.Errorf("%s has none", wire.Requests[i].Name)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a table without handlers is accepted")
		}
	}()
	byRequest(nil)
}

// feed has a session serve what has come in one chunk.
func feed(t *testing.T, s *session, chunk []byte) {
	t.Helper()
	for len(chunk) > 0 {
		n, event := s.decoder.Next(chunk)
		chunk = chunk[n:]
		if err := s.handle(event); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.finish(); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsAllocatedOnTheSteadyPath(t *testing.T) {
	m := loop(t, nil)
	s := newSession(NewDialect(m, new(target.Reports), Options{}), discard{})
	s.ctx = t.Context()
	for _, payload := range []string{
		"i0", "m0;1;1075904512;4", "m0;2;1075904512;512", "M0;1;1075904512;4;01020304", "p0;15", "P0;15;4;00002040", "qstate0",
		"qregf0", "qregc7", "qmemoryc1", "x", "m0",
	} {
		packet := wire.AppendPacket(nil, []byte(payload))
		serve := func() { feed(t, s, packet) }
		serve()
		if n := testing.AllocsPerRun(100, serve); n > 0 {
			t.Errorf("%s allocates %v times", payload, n)
		}
	}
}

func TestBigReadsAreLetGoOf(t *testing.T) {
	s := newSession(NewDialect(loop(t, nil), new(target.Reports), Options{}), discard{})
	s.ctx = t.Context()
	for _, payload := range []string{"i0", "m0;1;1073741824;4000000", "qsystem", "qsystem"} {
		s.decoder.Next(wire.AppendPacket(nil, []byte(payload)))
		if err := s.handle(wire.Packet); err != nil {
			t.Fatal(err)
		}
		if err := s.flush(); err != nil {
			t.Fatal(err)
		}
	}
	if cap(s.out) > keepBuffer {
		t.Errorf("a buffer of %d bytes is kept", cap(s.out))
	}
}

// blocking takes as long for a request as the test wants.
type blocking struct {
	target.Target
	called, release chan struct{}
}

func (b blocking) wait(ctx context.Context) error {
	b.called <- struct{}{}
	select {
	case <-b.release:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b blocking) ReadMemory(ctx context.Context, _ int, _ target.Space, _ uint64, p []byte) error {
	binary.LittleEndian.PutUint32(p, 0x11223344)
	return b.wait(ctx)
}
func (b blocking) WriteMemory(ctx context.Context, _ int, _ target.Space, _ uint64, _ []byte) error {
	return b.wait(ctx)
}
func (b blocking) ReadRegister(ctx context.Context, _, _ int, p []byte) ([]byte, error) {
	return append(p, 0x11, 0x22, 0x33, 0x44), b.wait(ctx)
}
func (b blocking) WriteRegister(ctx context.Context, _, _ int, _ []byte) error { return b.wait(ctx) }
func (b blocking) InsertTrigger(ctx context.Context, _ int, _ target.Trigger) error {
	return b.wait(ctx)
}
func (b blocking) RemoveTrigger(ctx context.Context, _ int, _ target.Trigger) error {
	return b.wait(ctx)
}
func (b blocking) RemoveTriggers(ctx context.Context, _ int) error { return b.wait(ctx) }
func (b blocking) Go(ctx context.Context, _ int) error             { return b.wait(ctx) }
func (b blocking) Stop(ctx context.Context, _ int) error           { return b.wait(ctx) }
func (b blocking) Step(ctx context.Context, _ ...int) error        { return b.wait(ctx) }
func (b blocking) Reset(ctx context.Context, _ int, _ bool) error  { return b.wait(ctx) }

func TestTheAcknowledgementDoesNotWaitForTheMachine(t *testing.T) {
	b := blocking{loop(t, nil), make(chan struct{}), make(chan struct{})}
	p := open(t, b, Options{})
	p.does("i0")
	for _, test := range []struct {
		request, reply string
		calls          int
	}{
		{"m0;1;0;4", "$44332211#|", 1}, {"M0;1;0;1;00", "$success#|", 1}, {"p0;0", "$11223344#|", 1}, {"P0;0;4;00000000", "$success#|", 1},
		{"t0;1;0", "$success#|", 1}, {"T0;1;0", "$success#|", 1},
		{"C0;0", "", 1}, {"c0;0", "", 1}, {"b", "", 1}, {"r0", "", 1}, {"D", "", 2},
	} {
		p.send("$" + test.request + "#|")
		for i := range test.calls {
			<-b.called
			if i == 0 {
				p.expect("+")
			}
			b.release <- struct{}{}
		}
		p.expect(test.reply)
		p.settled()
	}
}
