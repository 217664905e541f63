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

// describe fills in everything that New has to know. QMP and the gdbstub are asked side by side, as waiting for them in turn
// would delay the first request; the run state comes first, since the gdbstub waits for it.
func (t *Target) describe(ctx context.Context, cfg Config) error {
	status, err := t.runStatus(ctx)
	if err != nil {
		return fmt.Errorf("ask QMP for the run state: %w", err)
	}
	running := status == "running"
	if running {
		if err := t.gdb.Interrupt(); err != nil {
			return err
		}
		t.ownStops++
	}
	facts := make(chan monitorFacts, 1)
	go func() { facts <- t.askMonitor(ctx, cfg.Machine) }()
	err = t.gdb.Handshake()
	var threads []string
	var descriptions []*description
	if err == nil {
		threads, descriptions, err = t.describeThreads()
	}
	f := <-facts
	if err != nil {
		return fmt.Errorf("describe the machine through its gdbstub: %w", t.wireError(err))
	}
	if f.err != nil {
		return fmt.Errorf("describe the machine through QMP: %w", f.err)
	}

	slices.SortFunc(f.cpus, func(a, b cpu) int { return a.Index - b.Index })
	if len(f.cpus) == 0 || len(f.cpus) != len(threads) {
		return fmt.Errorf("QMP lists %d CPUs, the gdbstub %d threads", len(f.cpus), len(threads))
	}
	t.threads = threads
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
		d := descriptions[i]
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

// monitorFacts are what QMP tells of a machine.
type monitorFacts struct {
	arch, machine string
	cpus          []cpu
	err           error
}

// askMonitor asks everything at the same time, as an answer takes QMP long, however small it is. machine is the machine's
// name, if it is known.
func (t *Target) askMonitor(ctx context.Context, machine string) monitorFacts {
	f := monitorFacts{machine: machine}
	questions := []func() error{
		func() error {
			if err := t.mon.Execute(ctx, "query-cpus-fast", nil, &f.cpus); err != nil {
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
		func() error {
			text, err := t.hmp(ctx, -1, "info mtree -f")
			t.views = parseMtree(text)
			return err
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
	var s struct {
		Status string `json:"status"`
	}
	err := t.mon.Execute(ctx, "query-status", nil, &s)
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

// describeThreads lists the threads of every cluster (a process to the gdbstub) in the order of their numbers, which
// is that of the CPU indices, each with the description of its cluster.
func (t *Target) describeThreads() ([]string, []*description, error) {
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
	byProcess := make(map[uint64]*description)
	var ids []string
	var descriptions []*description
	for _, th := range list {
		if byProcess[th.pid] == nil {
			if byProcess[th.pid], err = t.describeThread(th.id); err != nil {
				return nil, nil, err
			}
		}
		ids = append(ids, th.id)
		descriptions = append(descriptions, byProcess[th.pid])
	}
	return ids, descriptions, nil
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

// describeThread reads the description of a thread's cluster: target.xml first, and then all that it includes at once.
func (t *Target) describeThread(id string) (*description, error) {
	part := func(annex string) string { return t.gdb.Xfer("features", annex, 0) }
	parts := make(map[string][]byte) // the whole ones
	keep := func(annex, reply string) {
		if text, last := strings.CutPrefix(reply, "l"); last {
			parts[annex] = []byte(text)
		}
	}
	replies, err := t.exchanges("Hg"+id, part(targetXML))
	if err != nil {
		return nil, err
	}
	if replies[0] != "OK" {
		return nil, fmt.Errorf("gdbstub answers %q to Hg%s", replies[0], id)
	}
	keep(targetXML, replies[1])
	if annexes := includes(parts[targetXML]); len(annexes) > 0 {
		requests := make([]string, len(annexes))
		for i, annex := range annexes {
			requests[i] = part(annex)
		}
		if replies, err = t.exchanges(requests...); err != nil {
			return nil, err
		}
		for i, annex := range annexes {
			keep(annex, replies[i])
		}
	}
	return parseDescription(func(annex string) ([]byte, error) {
		if text, ok := parts[annex]; ok {
			return text, nil
		}
		return t.gdb.ReadXfer("features", annex)
	})
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
