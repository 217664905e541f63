// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// patience is how long a test waits for a machine, in all.
const patience = 60 * time.Second

// qemu is a machine that runs a program, looked at through qtest (physical memory) and the gdbstub.
type qemu struct {
	t     *testing.T
	image *Image
	qtest *bufio.ReadWriter
	gdb   *bufio.ReadWriter
}

// start runs the program in QEMU, as MCDTEST_QEMU or PATH have it, and skips the test without one.
func start(t *testing.T, i *Image, cores int, args ...string) *qemu {
	t.Helper()
	program := i.Program()
	if named := os.Getenv("MCDTEST_QEMU"); named != "" {
		if info, err := os.Stat(named); err == nil && info.IsDir() {
			program = filepath.Join(named, program)
		} else if filepath.Base(named) == program {
			program = named
		}
	}
	program, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("no %s: %v", i.Program(), err)
	}
	path := filepath.Join(t.TempDir(), "guest.elf")
	if err := os.WriteFile(path, i.ELF, 0o600); err != nil {
		t.Fatal(err)
	}
	q := &qemu{t: t, image: i}
	var theirs [2]*os.File
	q.qtest, theirs[0] = socketPair(t)
	q.gdb, theirs[1] = socketPair(t)
	var stderr bytes.Buffer
	// The chardev of -qtest has to be called qtest: 7.2 looks for it under that name.
	cmd := exec.Command(program, slices.Concat(i.QEMUArgs(path, cores), []string{
		"-nodefaults", "-display", "none", "-accel", "tcg",
		"-chardev", "socket,id=qtest,fd=3", "-qtest", "chardev:qtest", "-qtest-log", "none",
		"-chardev", "socket,id=gdb,fd=4", "-gdb", "chardev:gdb",
	}, args)...)
	cmd.ExtraFiles = theirs[:]
	cmd.Stderr = &stderr
	// The signal is bound to this thread, which therefore belongs to this test until its end.
	runtime.LockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%v\nstderr: %s", cmd, &stderr)
		}
	})
	for _, f := range theirs {
		_ = f.Close()
	}
	return q
}

func socketPair(t *testing.T) (ours *bufio.ReadWriter, theirs *os.File) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[0]), "ours")
	conn, err := net.FileConn(f)
	_ = f.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn)), os.NewFile(uintptr(fds[1]), "theirs")
}

// word reads physical memory while the machine runs.
func (q *qemu) word(phys uint64) uint32 {
	q.t.Helper()
	var value uint32
	_, err := fmt.Fprintf(q.qtest, "readl %#x\n", phys)
	if err == nil {
		err = q.qtest.Flush()
	}
	if err == nil {
		_, err = fmt.Fscanf(q.qtest, "OK 0x%x\n", &value)
	}
	if err != nil {
		q.t.Fatalf("qtest readl %#x: %v", phys, err)
	}
	return value
}

// grows waits until the word at phys changes, and then changes once more.
func (q *qemu) grows(what string, phys uint64) {
	q.t.Helper()
	for range 2 {
		first, deadline := q.word(phys), time.Now().Add(patience/2)
		for q.word(phys) == first {
			if time.Now().After(deadline) {
				q.t.Fatalf("%s at %#x stays %d for %v", what, phys, first, patience/2)
			}
		}
	}
}

// packet exchanges one packet with the gdbstub.
func (q *qemu) packet(format string, args ...any) string {
	q.t.Helper()
	payload := fmt.Sprintf(format, args...)
	framed := fmt.Sprintf("$%s#%02x", payload, sum(payload))
	if payload == "\x03" { // not a packet, but answered like one
		framed = payload
	}
	_, err := q.gdb.WriteString(framed)
	if err == nil {
		err = q.gdb.Flush()
	}
	var reply string
	if err == nil {
		_, err = q.gdb.ReadString('$')
	}
	if err == nil {
		reply, err = q.gdb.ReadString('#')
	}
	if err == nil {
		_, err = io.CopyN(io.Discard, q.gdb, 2)
	}
	if err == nil {
		err = q.gdb.WriteByte('+') // sent before the next packet: any byte stops a machine that runs
	}
	if err == nil {
		err = q.gdb.Flush()
	}
	if err != nil {
		q.t.Fatalf("gdbstub, packet %s: %v", payload, err)
	}
	return strings.TrimSuffix(reply, "#")
}

func sum(payload string) byte {
	var s byte
	for _, b := range []byte(payload) {
		s += b
	}
	return s
}

// expect exchanges one packet, and ends the test unless the reply begins as wanted.
func (q *qemu) expect(want, format string, args ...any) string {
	q.t.Helper()
	reply := q.packet(format, args...)
	if !strings.HasPrefix(reply, want) {
		q.t.Fatalf("gdbstub, packet %s: reply %q, want %q", fmt.Sprintf(format, args...), reply, want)
	}
	return reply
}

// general names the registers in the order of the g packet.
var general = map[string][]string{
	"arm":     append(numbered("r", 0, 12), "sp", "lr", "pc"),
	"aarch64": append(numbered("x", 0, 30), "sp", "pc"),
	"riscv32": riscv,
	"riscv64": riscv,
	"i386":    {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip"},
	"x86_64":  slices.Concat([]string{"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"}, numbered("r", 8, 15), []string{"rip"}),
}

var riscv = slices.Concat([]string{"zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "fp", "s1"}, numbered("a", 0, 7),
	numbered("s", 2, 11), numbered("t", 3, 6), []string{"pc"})

// registers reads the general registers of the current core.
func (q *qemu) registers() map[string]uint64 {
	q.t.Helper()
	data, err := hex.DecodeString(q.packet("g"))
	if err != nil {
		q.t.Fatalf("gdbstub, packet g: %v", err)
	}
	registers := map[string]uint64{}
	for k, name := range general[q.image.Arch] {
		if bytes := q.image.PCRegister().Bits / 8; bytes == 4 {
			registers[name] = uint64(binary.LittleEndian.Uint32(data[4*k:]))
		} else {
			registers[name] = binary.LittleEndian.Uint64(data[8*k:])
		}
	}
	return registers
}

// logical reads a word as the current core sees it.
func (q *qemu) logical(addr uint64) uint32 {
	q.t.Helper()
	data, err := hex.DecodeString(q.packet("m%x,4", addr))
	if err != nil || len(data) != 4 {
		q.t.Fatalf("gdbstub, m%x,4: % x, %v", addr, data, err)
	}
	return binary.LittleEndian.Uint32(data)
}

// toLoop starts the machine and stops it at the loop head, where it has a breakpoint from then on.
func (q *qemu) toLoop() {
	q.t.Helper()
	loop := q.image.Addr("loop")
	q.expect("OK", "Z0,%x,1", loop)
	q.expect("T05", "c")
	q.at(loop, "loop")
}

func (q *qemu) at(want uint64, label string) {
	q.t.Helper()
	if pc := q.registers()[q.image.PCRegister().Name]; pc != want {
		name, offset, _ := q.image.SymbolAt(pc)
		q.t.Fatalf("the core is at %#x (%s+%d), want %s at %#x", pc, name, offset, label, want)
	}
}

// pass runs the loop once, from the loop head to the loop head, by way of a breakpoint at its last instruction.
func (q *qemu) pass() {
	q.t.Helper()
	loop, branch := q.image.Addr("loop"), q.image.Addr("branch")
	for _, leg := range []struct {
		from, to uint64
		label    string
	}{{loop, branch, "branch"}, {branch, loop, "loop"}} {
		q.expect("OK", "z0,%x,1", leg.from)
		q.expect("OK", "Z0,%x,1", leg.to)
		q.expect("T05", "c")
		q.at(leg.to, leg.label)
	}
}

func TestSlotsGrow(t *testing.T) {
	each(t, func(t *testing.T, i *Image) {
		cores := []int{4}
		if i.Variant == SMP {
			cores = []int{1, 2, 4, 8}
		}
		for _, n := range cores {
			t.Run(fmt.Sprint(n, " cores"), func(t *testing.T) {
				t.Parallel()
				start(t, i, n).checkSlots(n)
			})
		}
	})
}

// On ARM, -M virt,secure=on has another way to start: all cores at once, in EL3, without PSCI.
func TestSlotsGrowInSecureWorld(t *testing.T) {
	each(t, func(t *testing.T, i *Image) {
		if i.Arch != "arm" && i.Arch != "aarch64" {
			t.Skip("only -M virt of ARM has a secure world")
		}
		t.Parallel()
		start(t, i, 4, "-machine", "secure=on").checkSlots(4)
	})
}

// checkSlots waits until the slots of n cores have grown, and finds the core's number and slot in its registers.
func (q *qemu) checkSlots(n int) {
	q.t.Helper()
	i := q.image
	if i.Variant != SMP {
		n = 1
	}
	counter, stride := i.Addr("counter"), i.Addr("slot_stride")
	for slot := range uint64(MaxCores) {
		phys := i.Addr("counter_phys") + slot*stride
		if slot < uint64(n) {
			q.grows(fmt.Sprint("slot ", slot), phys)
		} else if got := q.word(phys); got != 0 {
			q.t.Errorf("slot %d is %d, want 0", slot, got)
		}
		if got := q.word(phys + 4); got != 0 {
			q.t.Errorf("the word behind slot %d is %d, want 0", slot, got)
		}
	}
	for _, name := range []string{"scratch_phys", "scratch_second_phys"} {
		if got := q.word(i.Addr(name)); got != 0 {
			q.t.Errorf("%s is %#x, want 0", name, got)
		}
	}
	q.expect("T02", "\x03")
	for core := range uint64(n) {
		q.expect("OK", "Hg%x", core+1)
		registers := q.registers()
		if name, _, _ := i.SymbolAt(registers[i.PCRegister().Name]); !slices.Contains(i.Labels(), name) {
			q.t.Errorf("core %d is at %s, not in the loop", core, name)
		}
		got := []uint64{registers[i.CoreRegister().Name], registers[i.SlotRegister().Name]}
		if diff := cmp.Diff([]uint64{core, counter + core*stride}, got); diff != "" {
			q.t.Errorf("number and slot of core %d: - want, + got\n%s", core, diff)
		}
	}
}

// At reset the program is loaded, and what is written then is what the loop goes on from; but a core is not always at
// start yet.
func TestReset(t *testing.T) {
	pcs := map[string]uint64{"riscv32": 0x1000, "riscv64": 0x1000, "i386": 0xfff0, "x86_64": 0xfff0}
	each(t, func(t *testing.T, i *Image) {
		t.Parallel()
		q := start(t, i, 1, "-S")
		want, elsewhere := pcs[i.Arch]
		if !elsewhere {
			want = i.Addr("start")
		}
		if pc := q.registers()[i.PCRegister().Name]; pc != want {
			t.Errorf("pc is %#x at reset, want %#x", pc, want)
		}
		phys := i.Addr("counter_phys") + i.Addr("pattern") - i.Addr("counter")
		if got := q.word(phys); got != 0x03020100 {
			t.Errorf("the pattern begins with %#x at reset, want %#x", got, 0x03020100)
		}
		q.expect("OK", "Qqemu.PhyMemMode:1")
		q.expect("OK", "M%x,4:e8030000", i.Addr("counter_phys"))
		q.expect("OK", "Qqemu.PhyMemMode:0")
		q.toLoop()
		q.pass()
		if got := q.word(i.Addr("counter_phys")); got != 1001 {
			t.Errorf("counter is %d one pass after 1000 was written at reset, want 1001", got)
		}
	})
}

func TestStepsWalkTheLabels(t *testing.T) {
	each(t, func(t *testing.T, i *Image) {
		t.Parallel()
		q := start(t, i, 1, "-S")
		// QEMU 11.1 answers, once in some hundred starts of x86, the first step after the firmware with T05 and has
		// executed nothing. A pass that takes no step leaves that behind.
		q.toLoop()
		q.pass()
		before := q.registers()
		for range 3 {
			for _, label := range i.Labels() {
				q.at(i.Addr(label), label)
				q.expect("T05", "s")
			}
		}
		q.at(i.Addr("loop"), "loop")
		after := q.registers()
		used := []string{i.ValueRegister().Name, i.PassesRegister().Name}
		for name, value := range before {
			if after[name] != value != slices.Contains(used, name) {
				t.Errorf("%s was %#x and is %#x three passes later", name, value, after[name])
			}
		}
		for _, r := range i.FreeRegisters() {
			if _, ok := after[r.Name]; !ok {
				t.Errorf("no free register %s: there are %v", r.Name, general[i.Arch])
			}
		}
		got := []uint64{after[i.ValueRegister().Name], after[i.PassesRegister().Name], after[i.SlotRegister().Name],
			after[i.CoreRegister().Name], uint64(q.logical(i.Addr("counter")))}
		if diff := cmp.Diff([]uint64{4, 4, i.Addr("counter"), 0, 4}, got); diff != "" {
			t.Errorf("value, passes, slot, core, counter after four passes: - want, + got\n%s", diff)
		}
	})
}

func TestPatchedMemoryIsWhatRuns(t *testing.T) {
	each(t, func(t *testing.T, i *Image) {
		t.Parallel()
		q := start(t, i, 1, "-S")
		q.toLoop()
		check := func(what string, want uint32) {
			t.Helper()
			if got := q.logical(i.Addr("counter")); got != want {
				t.Errorf("%s: counter is %d, want %d", what, got, want)
			}
			if got := q.word(i.Addr("counter_phys")); got != want {
				t.Errorf("%s: counter is %d physically, want %d", what, got, want)
			}
		}
		check("at first", 0)
		q.expect("OK", "M%x,4:e8030000", i.Addr("counter"))
		check("patched", 1000)
		for range 5 {
			q.pass()
		}
		check("five passes later", 1005)
		for _, patch := range []struct {
			name string
			want uint32
		}{{"patch_increment_by_two", 1015}, {"patch_nop", 1020}} {
			code, err := i.Object(patch.name)
			if err != nil {
				t.Fatal(err)
			}
			q.expect("OK", "M%x,%x:%x", i.Addr("patch_site"), len(code), code)
			for range 5 {
				q.pass()
			}
			check("five passes after "+patch.name, patch.want)
		}
	})
}

func TestMemoryMap(t *testing.T) {
	each(t, func(t *testing.T, i *Image) {
		t.Parallel()
		q := start(t, i, 1, "-S")
		q.toLoop()
		q.expect("E14", "m%x,4", i.Addr("unmapped"))
		for _, name := range []string{"pattern", "loop", "patch_nop", "start"} {
			want, err := i.Data(i.Addr(name), 2)
			if err != nil {
				t.Fatal(err)
			}
			q.expect(hex.EncodeToString(want), "m%x,2", i.Addr(name))
		}
		scratch := i.Addr("scratch")
		q.expect("OK", "M%x,4:11223344", i.Addr("scratch_second")-2)
		first, err := i.Phys(scratch + 4092)
		if err != nil {
			t.Fatal(err)
		}
		if got := q.word(first); got != 0x22110000 {
			t.Errorf("the end of the first page of scratch holds %#x physically, want %#x", got, 0x22110000)
		}
		if got := q.word(i.Addr("scratch_second_phys")); got != 0x4433 {
			t.Errorf("the second page of scratch holds %#x physically, want %#x", got, 0x4433)
		}
		if i.Variant == MMU {
			for _, name := range []string{"counter_phys", "scratch_phys", "scratch_second_phys", "loop_phys"} {
				q.expect("E14", "m%x,4", i.Addr(name))
			}
			q.expect("E14", "m%x,4", i.Addr("scratch_end")-2)
		}
		q.expect("OK", "Qqemu.PhyMemMode:1")
		if reply := q.packet("m%x,4", i.Addr("pattern")-i.Addr("counter")+i.Addr("counter_phys")); reply != "00010203" {
			t.Errorf("the pattern is not at its physical address: %s", reply)
		}
		if reply := q.packet("m%x,4", i.Addr("unmapped_phys")); reply != "E14" && reply != "00000000" && reply != "ffffffff" {
			t.Errorf("something is at unmapped_phys, %#x: %s", i.Addr("unmapped_phys"), reply)
		}
	})
}
