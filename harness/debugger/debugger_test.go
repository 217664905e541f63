// SPDX-License-Identifier: Apache-2.0

package debugger

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"mcdtest/harness/jsonclient"
	"mcdtest/harness/rawclient"
	"mcdtest/harness/transcript"
	"mcdtest/stub"
	"mcdtest/stub/memtarget"
	"mcdtest/stub/target"
	"mcdtest/stub/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func pair(t testing.TB) (client, server net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	conns := make([]net.Conn, 2)
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socketpair")
		if conns[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
		t.Cleanup(func() { conns[i].Close() })
	}
	return conns[0], conns[1]
}

// over makes a session with our stub in front of a machine in memory.
func over(t testing.TB, dialect string, cfg memtarget.Config, rec *transcript.Recorder) (Debugger, *memtarget.Machine) {
	t.Helper()
	client, server := pair(t)
	m := memtarget.New(cfg)
	s := stub.NewServer(m, stub.Options{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ServeConn(context.Background(), server)
	}()
	var d Debugger
	if dialect == "json" {
		d = NewJSON(jsonclient.New(client, jsonclient.Options{Recorder: rec}))
	} else {
		d = NewPacket(rawclient.New(client, rawclient.Options{Recorder: rec}))
	}
	t.Cleanup(func() {
		client.Close()
		<-done
		s.Close()
		m.Close()
	})
	if err := d.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d, m
}

// both runs a test once a dialect.
func both(t *testing.T, test func(t *testing.T, dialect string)) {
	for _, dialect := range []string{"packet", "json"} {
		t.Run(dialect, func(t *testing.T) { test(t, dialect) })
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantPC(t testing.TB, d Debugger, core int, want uint64) {
	t.Helper()
	if pc, err := PC(t.Context(), d, core); err != nil || pc != want {
		t.Errorf("pc of core %d: want %#x, got %#x, %v", core, want, pc, err)
	}
}

// Addresses of memtarget's loop.
const (
	loopHead  = memtarget.LoopStart + 12
	store     = memtarget.LoopStart + 16
	load      = memtarget.LoopStart + 20
	afterLoad = memtarget.LoopStart + 24
)

func TestTopology(t *testing.T) { both(t, testTopology) }

func testTopology(t *testing.T, dialect string) {
	cfg := memtarget.ARMLoop()
	cfg.Secure, cfg.Cores = true, 2
	d, _ := over(t, dialect, cfg, nil)
	cores, err := d.Cores(t.Context())
	must(t, err)
	if len(cores) != 2 || cores[1].Index != 1 || cores[1].Type != "cortex-a15-arm-cpu" {
		t.Errorf("cores: %v", cores)
	}
	for _, c := range cores {
		if n := len(c.Registers); n < 17 || c.Registers[15].Name != "pc" || c.Registers[15].Bytes() != 4 {
			t.Errorf("core %d: %d registers", c.Index, n)
		}
		groups := make(map[int]bool)
		for _, g := range c.Groups {
			groups[g.ID] = true
		}
		for _, r := range c.Registers {
			if !groups[r.Group] {
				t.Errorf("core %d: register %v is of a group that is not listed: %v", c.Index, r, c.Groups)
			}
		}
		for _, secure := range []bool{false, true} {
			l, err := c.Logical(secure)
			if err != nil || !l.Logical || l.Physical || l.Registers || l.Secure != secure {
				t.Errorf("logical, secure %v: %+v, %v", secure, l, err)
			}
			p, err := c.Physical(secure)
			if err != nil || !p.Physical || p.Logical || p.Secure != secure || p.ID == l.ID {
				t.Errorf("physical, secure %v: %+v, %v", secure, p, err)
			}
		}
	}
	classes, err := d.ResetClasses(t.Context())
	name := map[string]string{"packet": "full_system_reset", "json": "System Reset"}[dialect]
	if d := cmp.Diff([]ResetClass{{0, name}}, classes); err != nil || d != "" {
		t.Errorf("reset classes: %v\n%s", err, d)
	}
	plain := Core{Spaces: cores[0].Spaces[:1]}
	if _, err := plain.Logical(true); !errors.Is(err, ErrNoSpace) {
		t.Errorf("a secure space that is not there: %v", err)
	}
}

// Registers are looked up without reading the whole list, from several cores in turn.
func TestRegistersAreReadAsNeeded(t *testing.T) {
	cfg := memtarget.ARMLoop()
	cfg.Cores = 2
	rec := transcript.NewRecorder(0)
	d, _ := over(t, "packet", cfg, rec)
	for _, r := range []struct {
		core int
		name string
	}{{0, "r0"}, {1, "r0"}, {0, "r1"}, {0, "r2"}} {
		if _, err := d.FindRegister(t.Context(), r.core, r.name); err != nil {
			t.Fatal(err)
		}
	}
	var sent []string
	for _, e := range rec.Entries() {
		if e.Kind == transcript.Sent && bytes.HasPrefix(e.Data, []byte("$"+"qreg")) {
			sent = append(sent, string(e.Data))
		}
	}
	// The stub goes on with the core that was asked for last.
	if d := cmp.Diff([]string{"$qregf0#|", "$qregf1#|", "$qregf0#|", "$qregc1#|", "$qregc2#|"}, sent); d != "" {
		t.Errorf("- want / + got\n%s", d)
	}
	for _, name := range []string{"r0", "pc", "r1", "cpsr"} {
		for core := range 2 {
			r, err := d.FindRegister(t.Context(), core, name)
			if err != nil || r.Name != name {
				t.Errorf("%s of core %d: %v, %v", name, core, r, err)
			}
		}
	}
	requests := 0
	for _, e := range rec.Entries() {
		if e.Kind == transcript.Sent && bytes.HasPrefix(e.Data, []byte("$"+"qreg")) {
			requests++
		}
	}
	if requests > 60 {
		t.Errorf("%d requests for 17 registers of two cores", requests)
	}
	_, err := d.FindRegister(t.Context(), 1, "nonesuch")
	if !errors.Is(err, ErrNoRegister) {
		t.Errorf("want %v, got %v", ErrNoRegister, err)
	}
	// The lists that were read piece by piece are those that are read at once.
	cores, err := d.Cores(t.Context())
	must(t, err)
	for _, c := range cores {
		list, err := d.(*Packet).Client().Registers(t.Context(), c.Index)
		must(t, err)
		var want []Register
		for _, r := range list {
			want = append(want, Register{ID: r.ID, Name: r.Name, Bits: r.Bits, Group: r.Group, Space: r.Space})
		}
		if diff := cmp.Diff(want, c.Registers); diff != "" {
			t.Errorf("core %d: - want / + got\n%s", c.Index, diff)
		}
	}
}

func TestMemory(t *testing.T) { both(t, testMemory) }

func testMemory(t *testing.T, dialect string) {
	d, m := over(t, dialect, memtarget.ARMLoop(), nil)
	ctx := t.Context()
	for _, n := range []int{0, 1, 479, 480, 481, 2048, 2049, 4096, 10_000} {
		for _, addr := range []uint64{memtarget.RAMStart + 0x100000, memtarget.RAMStart + 0x100fff, memtarget.RAMStart + 0x1007ff} {
			want := make([]byte, n)
			for i := range want {
				want[i] = byte(i*7 + n)
			}
			must(t, d.WriteMemory(ctx, 0, 1, addr, want))
			got, err := d.ReadMemory(ctx, 0, 2, addr, n)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes at %#x: read back: %v, equal: %v", n, addr, err, bytes.Equal(got, want))
			}
			seen := make([]byte, n)
			must(t, m.ReadMemory(ctx, 0, target.Space{}, addr, seen))
			if !bytes.Equal(seen, want) {
				t.Errorf("%d bytes at %#x are not in the machine", n, addr)
			}
		}
	}
	_, err := d.ReadMemory(ctx, 0, 1, memtarget.Unmapped, 4)
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "read 4 bytes at 0xf0000000 in space 1 of core 0") {
		t.Errorf("unmapped read: %v", err)
	}
	end := uint64(memtarget.RAMStart + memtarget.RAMSize)
	err = d.WriteMemory(ctx, 0, 1, end-1000, make([]byte, 6000))
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "the first 1000 bytes are written") {
		t.Errorf("write over the end: %v", err)
	}
	must(t, WriteValue(ctx, d, 0, 1, memtarget.LoopCounter, 4, 0x01020304))
	if p, err := d.ReadMemory(ctx, 0, 1, memtarget.LoopCounter, 4); err != nil || !bytes.Equal(p, []byte{4, 3, 2, 1}) {
		t.Errorf("byte order: %v, %v", p, err)
	}
	if v, err := ReadValue(ctx, d, 0, 1, memtarget.LoopCounter+1, 2); err != nil || v != 0x0203 {
		t.Errorf("half of it: %#x, %v", v, err)
	}
	if err := WriteValue(ctx, d, 0, 1, memtarget.LoopCounter, 1, 256); err == nil {
		t.Error("256 fits a byte")
	}
}

func TestRegisters(t *testing.T) { both(t, testRegisters) }

func testRegisters(t *testing.T, dialect string) {
	d, _ := over(t, dialect, memtarget.ARMLoop(), nil)
	ctx := t.Context()
	wantPC(t, d, 0, memtarget.LoopStart)
	must(t, SetPC(ctx, d, 0, loopHead))
	wantPC(t, d, 0, loopHead)
	must(t, SetRegisterValue(ctx, d, 0, "r4", 0xcafe))
	if v, err := RegisterValue(ctx, d, 0, "r4"); err != nil || v != 0xcafe {
		t.Errorf("r4: %#x, %v", v, err)
	}
	if err := SetRegisterValue(ctx, d, 0, "r4", 1<<32); err == nil {
		t.Error("2^32 fits r4")
	}
	if err := d.WriteRegister(ctx, 0, 4, []byte{1}); !errors.Is(err, ErrRefused) {
		t.Errorf("one byte to r4: %v", err)
	}
	if _, err := d.ReadRegister(ctx, 0, 99999); !errors.Is(err, ErrRefused) {
		t.Errorf("register 99999: %v", err)
	}
}

func TestRunControl(t *testing.T) { both(t, testRunControl) }

func testRunControl(t *testing.T, dialect string) {
	d, m := over(t, dialect, memtarget.ARMLoop(), nil)
	ctx := t.Context()
	state := func(want State) {
		t.Helper()
		if dialect == "json" {
			// It does not tell a core that has never run from one that was stopped, and only triggers as reasons.
			if want.Reason == Stepped || want.Reason == Stopped {
				want.Reason = NoReason
			}
			if want.Status == Halted {
				want.Status = Debug
			}
		}
		s, err := d.State(ctx, 0)
		s.Stop, s.Info = "", ""
		if diff := cmp.Diff(want, s); err != nil || diff != "" {
			t.Errorf("state: %v: - want / + got\n%s", err, diff)
		}
	}
	state(State{Status: Halted})
	must(t, d.Step(ctx, 0))
	wantPC(t, d, 0, memtarget.LoopStart+4)
	state(State{Status: Debug, Reason: Stepped}) // Step has seen it, the caller has not
	state(State{Status: Debug})

	must(t, d.Insert(ctx, 0, Trigger{Exec, loopHead}))
	must(t, d.Go(ctx, AllCores))
	s, err := d.WaitStopped(ctx, 0)
	if err != nil || s.Status != Debug || s.Reason != Breakpoint || s.Trigger != Exec {
		t.Errorf("want a breakpoint, got %v, %v", s, err)
	}
	wantPC(t, d, 0, loopHead)
	for n := range uint64(5) {
		if v, err := ReadValue(ctx, d, 0, 1, memtarget.LoopCounter, 4); err != nil || v != n {
			t.Errorf("after %d passes the counter is %d, %v", n, v, err)
		}
		must(t, Continue(ctx, d, 0))
		_, err = d.WaitStopped(ctx, 0)
		must(t, err)
		wantPC(t, d, 0, loopHead)
	}
	must(t, d.Remove(ctx, 0, Trigger{Exec, loopHead}))
	if err := d.Remove(ctx, 0, Trigger{Exec, loopHead}); !errors.Is(err, ErrRefused) {
		t.Errorf("second removal: %v", err)
	}
	for _, w := range []struct {
		t  TriggerType
		pc uint64
	}{{Read, afterLoad}, {Write, load}, {Access, afterLoad}} {
		must(t, d.Insert(ctx, 0, Trigger{w.t, memtarget.LoopCounter}))
		must(t, d.Go(ctx, 0))
		s, err := d.WaitStopped(ctx, 0)
		if err != nil || s.Reason != Watchpoint || s.Trigger != w.t || s.Addr != memtarget.LoopCounter {
			t.Errorf("want %v, got %v, %v", w.t, s, err)
		}
		wantPC(t, d, 0, w.pc)
		must(t, d.Remove(ctx, 0, Trigger{w.t, memtarget.LoopCounter}))
		// Twice as well as once.
		for range 2 {
			must(t, d.Insert(ctx, 0, Trigger{w.t, memtarget.LoopCounter}))
		}
		for range 2 {
			must(t, d.Remove(ctx, 0, Trigger{w.t, memtarget.LoopCounter}))
		}
	}
	must(t, d.Go(ctx, 0))
	s, err = WaitFor(ctx, d, 0, "running", func(s State) bool { return s.Status == Running })
	must(t, err)
	if s.Standing() {
		t.Errorf("%v is standing", s)
	}
	if err := d.Step(ctx, 0); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "step core 0: ") {
		t.Errorf("step while running: %v", err)
	}
	must(t, d.Stop(ctx, 0))
	state(State{Status: Debug, Reason: Stopped})
	must(t, d.Go(ctx, 0))
	state(State{Status: Running}) // the stub acknowledges before it acts, but answers in order
	m.PauseElsewhere()
	state(State{Status: Halted})
	must(t, d.Reset(ctx, 0))
	wantPC(t, d, 0, memtarget.LoopStart)
	must(t, d.Close(ctx))
	// With the packet dialect the machine runs on, though the end of the session is acknowledged before that.
	limit, tick := time.After(10*time.Second), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for dialect == "packet" && !m.State(0).Running {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("the machine does not run after Close: %+v", m.State(0))
		}
	}
}

// A trigger that another client has left behind is told of like one's own.
func TestTriggerOfAnotherClient(t *testing.T) { both(t, testTriggerOfAnotherClient) }

func testTriggerOfAnotherClient(t *testing.T, dialect string) {
	d, m := over(t, dialect, memtarget.ARMLoop(), nil)
	ctx := t.Context()
	must(t, m.InsertTrigger(ctx, 0, target.Trigger{Type: target.Exec, Addr: loopHead}))
	must(t, d.Go(ctx, 0))
	s, err := d.WaitStopped(ctx, 0)
	if err != nil || s.Reason != Breakpoint {
		t.Errorf("stopped with %+v, %v", s, err)
	}
	wantPC(t, d, 0, loopHead)
}

func TestAllCores(t *testing.T) { both(t, testAllCores) }

func testAllCores(t *testing.T, dialect string) {
	cfg := memtarget.ARMLoop()
	cfg.Cores = 2
	d, _ := over(t, dialect, cfg, nil)
	ctx := t.Context()
	must(t, d.Step(ctx, AllCores))
	for core := range 2 {
		wantPC(t, d, core, memtarget.LoopStart+4)
	}
	must(t, d.Go(ctx, 1))
	if s, err := d.State(ctx, 0); err != nil || !s.Standing() {
		t.Errorf("core 0: %v, %v", s, err)
	}
	must(t, d.Go(ctx, AllCores))
	for core := range 2 {
		if s, err := d.State(ctx, core); err != nil || s.Status != Running {
			t.Errorf("core %d: %v, %v", core, s, err)
		}
	}
	must(t, d.Stop(ctx, AllCores))
	for core := range 2 {
		if s, err := d.WaitStopped(ctx, core); err != nil || dialect == "packet" && s.Reason != Stopped {
			t.Errorf("core %d: %v, %v", core, s, err)
		}
	}
}

func TestWaitsEnd(t *testing.T) { both(t, testWaitsEnd) }

func testWaitsEnd(t *testing.T, dialect string) {
	d, m := over(t, dialect, memtarget.ARMLoop(), nil)
	must(t, d.Go(t.Context(), 0))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := d.WaitStopped(ctx, 0)
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "the last state: running") {
		t.Errorf("a core that runs: %v", err)
	}
	// The session is usable afterwards.
	if s, err := d.State(t.Context(), 0); err != nil || s.Status != Running {
		t.Errorf("after the wait: %v, %v", s, err)
	}
	m.Die(errors.New("killed"))
	if _, err := d.WaitStopped(t.Context(), 0); !errors.Is(err, rawclient.ErrClosed) && !errors.Is(err, rawclient.ErrOutOfStep) {
		t.Errorf("a machine that died: %v", err)
	}
}

func TestNotAStub(t *testing.T) {
	client, server := pair(t)
	go server.Write([]byte("+$hello#|"))
	c := rawclient.New(client, rawclient.Options{})
	defer c.Close()
	if err := NewPacket(c).Open(t.Context()); !errors.Is(err, rawclient.ErrBadReply) || !strings.Contains(err.Error(), `"hello"`) {
		t.Errorf("got %v", err)
	}
}

// published answers as the published stub does on a plain -M virt: registers name memory spaces that do not exist, a
// stop by `b` is called a breakpoint, texts have its spelling.
func published(t testing.TB) *Packet {
	client, server := pair(t)
	answers := map[string]string{
		"I":          "$shaking your hand#|",
		"qcores":     "$device=qemu-arm-device.core=cortex-a15-arm-cpu.nr_cores=1.#|",
		"qmemoryf0":  "$1!name=Non Secure.id=1.type=34.bpm=8.i=1.e=1.min=0.max=-1.sao=0.#|",
		"qmemoryc1":  "$2!name=Physical (Non Secure).id=2.type=18.bpm=8.i=1.e=1.min=0.max=-1.sao=0.#|",
		"qmemoryc2":  "$3!name=GPR Registers.id=3.type=1.bpm=8.i=1.e=1.min=0.max=-1.sao=0.#|",
		"qmemoryc3":  "$0!name=CP15 Registers.id=4.type=1.bpm=8.i=1.e=1.min=0.max=-1.sao=0.#|",
		"qreggroupf": "$1!id=1.name=GPR Registers.#|",
		"qreggroupc": "$0!id=2.name=CP15 Registers.#|",
		"qregf0":     "$1!id=0.name=r0.size=32.reggroupid=1.memspaceid=5.type=0.thread=0.opcode=0.#|",
		"qregc1":     "$0!id=15.name=pc.size=32.reggroupid=1.memspaceid=6.type=0.thread=0.opcode=0.#|",
		"p0;15":      "$0c002040#|",
		"p0;0":       "$0000#|",
	}
	stopped := "stopped beacuse of HW breakpoint"
	go func() {
		d := wire.NewDecoder(0)
		buf := make([]byte, 4096)
		for {
			n, err := server.Read(buf)
			if err != nil {
				return
			}
			for b := buf[:n]; len(b) > 0; {
				used, ev := d.Next(b)
				b = b[used:]
				if ev != wire.Packet {
					continue
				}
				server.Write([]byte("+"))
				p := string(d.Payload())
				switch {
				case p == "c0;0":
					stopped = "stopped beacuse of single step"
				case p == "qstate0" && stopped != "":
					typ := "0"
					if strings.Contains(stopped, "breakpoint") {
						typ = "1"
					}
					server.Write([]byte("$state=debug.event=0.thread=0.type=" + typ + ".address=0.stop_str=" + stopped + ".info_str=cpu cpu->cpu_index in debug state.#|"))
					stopped = ""
				case p == "qstate0":
					server.Write([]byte("$state=debug.event=0.thread=0.type=0.address=0.stop_str=.info_str=.#|"))
				default:
					for k, v := range answers {
						if strings.HasPrefix(p, k) {
							server.Write([]byte(v))
						}
					}
				}
			}
		}
	}()
	c := rawclient.New(client, rawclient.Options{Pad: true})
	t.Cleanup(func() { c.Close() })
	return NewPacket(c)
}

func TestPublishedQuirks(t *testing.T) {
	d := published(t)
	ctx := t.Context()
	must(t, d.Open(ctx))
	cores, err := d.Cores(ctx)
	must(t, err)
	if c := cores[0]; len(c.Spaces) != 4 || len(c.Groups) != 2 || len(c.Registers) != 2 || c.Registers[1].Space != 6 {
		t.Errorf("core: %+v", c)
	}
	if l, err := cores[0].Logical(false); err != nil || l.ID != 1 || l.Secure {
		t.Errorf("logical: %v, %v", l, err)
	}
	must(t, d.Stop(ctx, 0))
	if s, err := d.State(ctx, 0); err != nil || s.Status != Debug || s.Reason != Breakpoint || s.Stop != "stopped because of HW breakpoint" {
		t.Errorf("after b: %v, %v", s, err)
	}
	wantPC(t, d, 0, 0x4020000c)
	if v, err := RegisterValue(ctx, d, 0, "r0"); err == nil || !strings.Contains(err.Error(), "32 bits and was read as 2 bytes") {
		t.Errorf("half a register: %#x, %v", v, err)
	}
	must(t, d.Step(ctx, 0))
	if s, err := d.State(ctx, 0); err != nil || s.Reason != Stepped {
		t.Errorf("after a step: %v, %v", s, err)
	}
	must(t, d.Close(ctx))
}
