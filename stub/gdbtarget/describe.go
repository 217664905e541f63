// SPDX-License-Identifier: Apache-2.0

package gdbtarget

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"mcdtest/stub/qmp"
	"mcdtest/stub/rsp"
	"mcdtest/stub/target"
)

// stopsBefore lists the architectures on which QEMU's gdbstub stops before the access that a watchpoint watches
// (gdb_stop_before_watchpoint in QEMU's CPU classes).
var stopsBefore = []string{"arm", "aarch64", "riscv32", "riscv64", "mips", "mipsel", "mips64", "mips64el", "xtensa",
	"xtensaeb", "loongarch64", "avr", "microblaze", "microblazeel"}

// bigEndian lists QEMU's big-endian targets.
var bigEndian = []string{"hppa", "m68k", "microblaze", "mips", "mips64", "or1k", "ppc", "ppc64", "s390x", "sh4eb",
	"sparc", "sparc64", "xtensaeb"}

// fullSystemReset is the only reset class that a stock QEMU has.
var fullSystemReset = target.ResetClass{ID: 0, Name: "full_system_reset"}

// describe fills in everything that New has to know. QEMU answers one question after the other, to QMP and the gdbstub together;
// it is never left without one, and what takes it longest, the memory tree, is asked for when the descriptions of the cores are
// there and have to be read.
func (t *Target) describe(ctx context.Context, cfg Config) error {
	asked, err := t.mon.Send(ctx, "query-status", nil)
	if err != nil {
		return fmt.Errorf("ask QMP for the run state: %w", err)
	}
	facts := make(chan monitorFacts, 1)
	go func() { facts <- t.askMonitor(ctx, cfg.Machine) }()
	status, threads, texts, err := t.askStub(ctx, asked)
	var tree *qmp.Call
	if err == nil {
		tree, err = t.mon.SendHMP(ctx, -1, "info mtree -f")
	}
	f := <-facts
	if err != nil {
		return err
	}
	if f.err != nil {
		return fmt.Errorf("describe the machine through QMP: %w", f.err)
	}
	descriptions := make(map[uint64]*description)
	for pid, text := range texts {
		if descriptions[pid], err = parseDescription(text); err != nil {
			return fmt.Errorf("describe the machine through its gdbstub: %w", err)
		}
	}
	var text string
	if err := tree.Wait(ctx, &text); err != nil {
		return fmt.Errorf("describe the machine through QMP: the memory tree: %w", err)
	}
	t.views = parseMtree(text)
	running := status == "running"

	slices.SortFunc(f.cpus, func(a, b cpu) int { return a.Index - b.Index })
	if len(f.cpus) == 0 || len(f.cpus) != len(threads) {
		return fmt.Errorf("QMP lists %d CPUs, the gdbstub %d threads", len(f.cpus), len(threads))
	}
	for _, th := range threads {
		t.threads = append(t.threads, th.id)
	}
	t.before = slices.Contains(stopsBefore, f.arch)
	t.idleSteps = f.arch == "i386" || f.arch == "x86_64" || len(f.cpus) > 1
	t.info = target.Info{
		Program: cfg.Program, Machine: f.machine, Arch: f.arch, BigEndian: slices.Contains(bigEndian, f.arch),
		ResetClasses:   []target.ResetClass{fullSystemReset},
		MaxBreakpoints: MaxBreakpoints, MaxWatchpoints: MaxWatchpoints,
	}
	if t.info.Program == "" {
		t.info.Program = "qemu-system-" + f.arch
	}
	for i, c := range f.cpus {
		d := descriptions[threads[i].pid]
		t.info.Cores = append(t.info.Cores, target.Core{
			Type: c.Type, AddressSpaces: t.addressSpaces(c.Index), Groups: d.groups, Registers: d.registers,
		})
	}
	n := len(t.info.Cores)
	t.books = target.NewTriggers(n, MaxBreakpoints, MaxWatchpoints)
	t.want = make([]bool, n)
	t.states = make([]target.State, n)
	cause := target.CauseElsewhere
	switch status {
	case "prelaunch":
		cause = target.CauseBoot
	case "debug":
		cause = target.CauseUnknown
	}
	t.noteStatus(status)
	for i := range t.states {
		t.states[i].Cause = cause
		if cause != target.CauseBoot {
			t.states[i].Stops = 1
		}
	}
	if running || (cfg.Resume && status == "paused") {
		for i := range t.states {
			t.want[i] = true
			t.states[i] = target.State{Running: true}
		}
		if err := t.resume(); err != nil {
			return fmt.Errorf("let the VM run on: %w", err)
		}
	}
	return nil
}

// askStub stops the VM if it runs, as the gdbstub answers only then, and asks the gdbstub for the threads and the texts that
// describe them, by process.
func (t *Target) askStub(ctx context.Context, asked *qmp.Call) (status string, threads []thread, texts map[uint64]parts, err error) {
	if status, err = runStatus(ctx, asked); err != nil {
		return status, nil, nil, fmt.Errorf("ask QMP for the run state: %w", err)
	}
	if status == "running" {
		if err := t.gdb.Interrupt(); err != nil {
			return status, nil, nil, err
		}
		t.ownStops.Add(1)
	}
	if err = t.gdb.Handshake(); err == nil {
		threads, texts, err = t.readThreads()
	}
	if err != nil {
		err = fmt.Errorf("describe the machine through its gdbstub: %w", t.wireError(err))
	}
	return status, threads, texts, err
}

// monitorFacts are what QMP tells of a machine.
type monitorFacts struct {
	arch, machine string
	cpus          []cpu
	err           error
}

// askMonitor asks everything but the memory tree, all of it at once, as an answer takes QMP long, however small it is. machine
// is the machine's name, if it is known.
func (t *Target) askMonitor(ctx context.Context, machine string) monitorFacts {
	f := monitorFacts{machine: machine}
	asked, err := t.mon.Send(ctx, "query-cpus-fast", nil)
	if err != nil {
		f.err = err
		return f
	}
	questions := []func() error{
		func() error {
			if err := asked.Wait(ctx, &f.cpus); err != nil {
				return err
			}
			var types []func() error
			for i := range f.cpus {
				f.arch = f.cpus[i].Target
				if f.cpus[i].Type == "" {
					types = append(types, func() error { return t.qomType(ctx, f.cpus[i].Path, &f.cpus[i].Type) })
				}
			}
			return together(types)
		},
	}
	if machine == "" {
		questions = append(questions, func() error {
			err := t.qomType(ctx, "/machine", &f.machine)
			f.machine = machineName(f.machine)
			return err
		})
	}
	f.err = together(questions)
	return f
}

// together runs functions at the same time.
func together(list []func() error) error {
	errs := make([]error, len(list))
	var wg sync.WaitGroup
	for i, f := range list {
		wg.Go(func() { errs[i] = f() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// cpu is an element of query-cpus-fast.
type cpu struct {
	Index  int    `json:"cpu-index"`
	Path   string `json:"qom-path"`
	Target string `json:"target"`   // the architecture
	Type   string `json:"qom-type"` // older QEMUs do not tell; cores of different clusters differ
}

func (t *Target) qomType(ctx context.Context, path string, name *string) error {
	return t.mon.Execute(ctx, "qom-get", map[string]string{"path": path, "property": "type"}, name)
}

var machineVersion = regexp.MustCompile(`-\d+\.\d+(\.\d+)?$`)

// machineName turns the QOM type of a machine ("virt-7.2-machine") into the name that people use ("virt").
func machineName(qom string) string {
	name := machineVersion.ReplaceAllString(strings.TrimSuffix(qom, "-machine"), "")
	switch name { // the versioned families of x86 have other names on the command line
	case "pc-i440fx":
		return "pc"
	case "pc-q35":
		return "q35"
	}
	return name
}

func (t *Target) runStatus(ctx context.Context) (string, error) {
	asked, err := t.mon.Send(ctx, "query-status", nil)
	if err != nil {
		return "", err
	}
	return runStatus(ctx, asked)
}

// runStatus is the answer to query-status.
func runStatus(ctx context.Context, asked *qmp.Call) (string, error) {
	var s struct {
		Status string `json:"status"`
	}
	err := asked.Wait(ctx, &s)
	return s.Status, err
}

// addressSpaces picks the address spaces of one CPU from the memory tree: "cpu-memory-0", "cpu-secure-memory-0".
func (t *Target) addressSpaces(index int) []target.AddressSpace {
	suffix := "-" + strconv.Itoa(index)
	var list []target.AddressSpace
	for _, v := range t.views {
		if !strings.HasPrefix(v.name, "cpu-") || !strings.HasSuffix(v.name, suffix) {
			continue
		}
		as := target.AddressSpace{Name: v.name, Root: v.root, Secure: strings.Contains(v.name, "secure")}
		if v.name == "cpu-memory"+suffix {
			list = slices.Insert(list, 0, as) // QEMU's address space 0, wherever it is listed
		} else {
			list = append(list, as)
		}
	}
	if len(list) == 0 {
		list = []target.AddressSpace{{Name: "cpu-memory" + suffix, Root: "system"}}
	}
	return list
}

// thread is a core as the gdbstub names it: "p1.1".
type thread struct {
	id       string
	pid, tid uint64
}

func parseThread(id string) (thread, error) {
	th := thread{id: id}
	tid := id
	if p, rest, ok := strings.Cut(strings.TrimPrefix(id, "p"), "."); ok && strings.HasPrefix(id, "p") {
		tid = rest
		th.pid, _ = strconv.ParseUint(p, 16, 32)
	}
	var err error
	if th.tid, err = strconv.ParseUint(tid, 16, 32); err != nil {
		return th, fmt.Errorf("gdbstub lists a thread %q", id)
	}
	return th, nil
}

// readThreads lists the threads of every cluster (a process to the gdbstub) in the order of their numbers, which is that of the
// CPU indices, and reads what describes each cluster.
func (t *Target) readThreads() ([]thread, map[uint64]parts, error) {
	// The stub attaches to the first process by itself; each further one has to be asked for.
	for pid := 2; ; pid++ {
		reply, err := t.gdb.Exchange(fmt.Sprintf("vAttach;%x", pid))
		var refused *rsp.ReplyError
		if errors.As(err, &refused) || (err == nil && len(reply) == 0) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
	}
	list, err := t.listThreads()
	if err != nil {
		return nil, nil, err
	}
	texts := make(map[uint64]parts)
	for _, th := range list {
		if texts[th.pid] == nil {
			if texts[th.pid], err = t.readParts(th.id); err != nil {
				return nil, nil, err
			}
		}
	}
	return list, texts, nil
}

func (t *Target) listThreads() ([]thread, error) {
	// A former user of the gdbstub may have left it in physical mode, which survives reconnects. A stub without the mode
	// answers with an empty packet.
	replies, err := t.exchanges("Qqemu.PhyMemMode:0", "qfThreadInfo", "qsThreadInfo")
	if err != nil {
		return nil, err
	}
	if mode := replies[0]; mode != "" && mode != "OK" {
		return nil, fmt.Errorf("gdbstub answers %q to Qqemu.PhyMemMode:0", mode)
	}
	var list []thread
	for replies = replies[1:]; ; {
		for _, reply := range replies { // one thread each, and then 'l', however often it is asked
			ids, more := strings.CutPrefix(reply, "m")
			if !more {
				slices.SortFunc(list, func(a, b thread) int { return int(a.tid) - int(b.tid) })
				return list, nil
			}
			for _, id := range strings.Split(ids, ",") {
				th, err := parseThread(id)
				if err != nil {
					return nil, err
				}
				list = append(list, th)
			}
		}
		if replies, err = t.exchanges("qsThreadInfo", "qsThreadInfo", "qsThreadInfo", "qsThreadInfo"); err != nil {
			return nil, err
		}
	}
}

// readParts reads what describes a thread's cluster: target.xml, and what it includes at once, as much of each as a reply holds.
func (t *Target) readParts(id string) (parts, error) {
	read := parts{targetXML: nil}
	for wanted := []string{targetXML}; len(wanted) > 0; {
		requests := []string{"Hg" + id}
		for _, annex := range wanted {
			requests = append(requests, t.gdb.Xfer("features", annex, len(read[annex])))
		}
		replies, err := t.exchanges(requests...)
		if err != nil {
			return nil, err
		}
		if replies[0] != "OK" {
			return nil, fmt.Errorf("gdbstub answers %q to Hg%s", replies[0], id)
		}
		var next []string
		for i, annex := range wanted {
			text, last, err := rsp.XferReply([]byte(replies[1+i]))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", requests[1+i], err)
			}
			read[annex] = append(read[annex], text...)
			if !last {
				next = append(next, annex)
				continue
			}
			for _, annex := range includes(read[annex]) {
				if _, known := read[annex]; !known {
					read[annex] = nil
					next = append(next, annex)
				}
			}
		}
		wanted = next
	}
	return read, nil
}

// exchanges sends packets in one write and returns their replies, of whatever kind.
func (t *Target) exchanges(packets ...string) ([]string, error) {
	for _, p := range packets {
		t.gdb.Queue(p)
	}
	if err := t.gdb.Flush(); err != nil {
		return nil, err
	}
	replies := make([]string, len(packets))
	for i, p := range packets {
		reply, err := t.gdb.Receive(rsp.Timeout)
		if err != nil {
			return nil, fmt.Errorf("gdbstub request %s: %w", p, err)
		}
		replies[i] = string(reply)
	}
	return replies, nil
}
