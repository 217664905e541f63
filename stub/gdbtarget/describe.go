// SPDX-License-Identifier: Apache-2.0

package gdbtarget

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

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

// describe fills in everything that New has to know. QEMU answers one question after the other, to QMP and the gdbstub together, and
// most of them are asked together. What takes it longest, the memory tree, is asked for when the descriptions of the cores are there
// and have to be read. Where there is a choice the gdbstub is asked: QEMU reads QMP byte by byte.
func (t *Target) describe(ctx context.Context, cfg Config) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, qmp.DefaultTimeout)
		defer cancel()
	}
	t.use(ctx)
	defer t.use(context.Background())
	askedStatus, err := t.mon.Send(ctx, "query-status", nil)
	if err != nil {
		return fmt.Errorf("ask QMP for the run state: %w", err)
	}
	askedCPUs, err := t.mon.Send(ctx, "query-cpus-fast", nil)
	if err != nil {
		return fmt.Errorf("ask QMP for the CPUs: %w", err)
	}
	var status string
	if !cfg.Asked {
		if status, err = runStatus(ctx, askedStatus); err != nil {
			return fmt.Errorf("ask QMP for the run state: %w", err)
		}
		if status == "running" { // the gdbstub answers only while the VM stands
			if err := t.gdb.Interrupt(); err != nil {
				return t.untold(err)
			}
			t.ownStops.Add(1)
		}
	}
	threads, texts, err := t.readThreads(cfg.Asked)
	if err != nil {
		return t.untold(err)
	}
	t.gdb.QueueRcmd("info mtree -f")
	if err := t.gdb.Flush(); err != nil {
		return t.untold(err)
	}
	descriptions := make(map[uint64]*description)
	for pid, text := range texts {
		if descriptions[pid], err = parseDescription(text); err != nil {
			return fmt.Errorf("describe the machine through its gdbstub: %w", err)
		}
	}
	tree, err := t.gdb.ReceiveRcmd(t.patience())
	if err != nil {
		return t.untold(fmt.Errorf("the memory tree: %w", err))
	}
	t.views = parseMtree(string(tree))
	var cpus []cpu
	if err := askedCPUs.Wait(ctx, &cpus); err != nil {
		return fmt.Errorf("ask QMP for the CPUs: %w", err)
	}
	if len(cpus) == 0 || len(cpus) != len(threads) {
		return fmt.Errorf("QMP lists %d CPUs, the gdbstub %d threads", len(cpus), len(threads))
	}
	slices.SortFunc(cpus, func(a, b cpu) int { return a.Index - b.Index })
	machine := cfg.Machine
	if err := t.askTypes(cpus, &machine); err != nil {
		return t.untold(err)
	}
	if cfg.Asked {
		if status, err = runStatus(ctx, askedStatus); err != nil {
			return fmt.Errorf("ask QMP for the run state: %w", err)
		}
		if status == "running" {
			return errors.New("the VM runs, and its gdbstub was asked as one of a VM that stands")
		}
	}
	running := status == "running"

	for _, th := range threads {
		t.threads = append(t.threads, th.id)
	}
	arch := cpus[0].Target
	t.before = slices.Contains(stopsBefore, arch)
	t.idleSteps = arch == "i386" || arch == "x86_64" || len(cpus) > 1
	t.info = target.Info{
		Program: cfg.Program, Machine: machine, Arch: arch, BigEndian: slices.Contains(bigEndian, arch),
		ResetClasses:   []target.ResetClass{fullSystemReset},
		MaxBreakpoints: MaxBreakpoints, MaxWatchpoints: MaxWatchpoints,
	}
	if t.info.Program == "" {
		t.info.Program = "qemu-system-" + arch
	}
	for i, c := range cpus {
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

// patience is how long an answer of the gdbstub is waited for: as long as New may take.
func (t *Target) patience() time.Duration {
	deadline, _ := t.ctx.Deadline()
	return time.Until(deadline)
}

// exchanges is rsp.Client.Exchanges with that patience.
func (t *Target) exchanges(packets ...string) ([]string, error) {
	return t.gdb.Exchanges(t.patience(), packets...)
}

// untold is the error of a description that the gdbstub did not give.
func (t *Target) untold(err error) error {
	err = t.wireError(err)
	if errors.Is(err, rsp.ErrTimeout) {
		err = fmt.Errorf("%w; QEMU is stopped or busy: %w", err, cmp.Or(t.ctx.Err(), context.DeadlineExceeded))
	}
	return fmt.Errorf("describe the machine through its gdbstub: %w", err)
}

// cpu is an element of query-cpus-fast.
type cpu struct {
	Index  int    `json:"cpu-index"`
	Path   string `json:"qom-path"`
	Target string `json:"target"`   // the architecture
	Type   string `json:"qom-type"` // older QEMUs do not tell; cores of different clusters differ
}

// askTypes asks the gdbstub's monitor for the types of the CPUs and the name of the machine, as far as they are not known.
func (t *Target) askTypes(cpus []cpu, machine *string) error {
	type question struct {
		path string
		name *string
	}
	var asked []question
	for i := range cpus {
		if cpus[i].Type == "" {
			asked = append(asked, question{cpus[i].Path, &cpus[i].Type})
		}
	}
	ofMachine := *machine == ""
	if ofMachine {
		asked = append(asked, question{"/machine", machine})
	}
	for _, q := range asked {
		t.gdb.QueueRcmd(fmt.Sprintf("qom-get %s type", q.path))
	}
	if err := t.gdb.Flush(); err != nil {
		return err
	}
	for _, q := range asked {
		text, err := t.gdb.ReceiveRcmd(t.patience())
		if err != nil {
			return fmt.Errorf("the type of %s: %w", q.path, err)
		}
		if err := json.Unmarshal(text, q.name); err != nil {
			return fmt.Errorf("the type of %s: its monitor answers %.80q", q.path, text)
		}
	}
	if ofMachine {
		*machine = machineName(*machine)
	}
	return nil
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

// queueFirst queues the first questions: all that is asked of most machines, which have one cluster, and its beginning for all others.
func queueFirst(gdb *rsp.Client) []string {
	questions := slices.Concat([]string{rsp.Supported, "vAttach;2"}, threadList, []string{"Hg" + firstThread, gdb.Xfer("features", targetXML, 0)})
	for _, q := range questions {
		gdb.Queue(q)
	}
	return questions
}

// FirstQuestions is what New asks a gdbstub first, for Config.Asked.
func FirstQuestions() []byte {
	gdb := rsp.New(nil)
	queueFirst(gdb)
	return gdb.Take()
}

// firstThread is what most gdbstubs call the first CPU. One that does not refuses to select it, and is asked once it has listed them.
const firstThread = "p1.1"

// readThreads lists the threads of every cluster (a process to the gdbstub) in the order of their numbers, which is that of the
// CPU indices, and reads what describes each cluster.
func (t *Target) readThreads(asked bool) ([]thread, map[uint64]parts, error) {
	questions := queueFirst(t.gdb)
	if asked {
		t.gdb.Take()
	} else if err := t.gdb.Flush(); err != nil {
		return nil, nil, err
	}
	replies, err := t.gdb.Replies(t.patience(), questions...)
	if err != nil {
		return nil, nil, err
	}
	if err := t.gdb.Announced(replies[0]); err != nil {
		return nil, nil, err
	}
	attached, replies, described := replies[1], replies[2:2+len(threadList)], replies[2+len(threadList):]
	first := make(parts)
	var missing []string
	if described[0] == "OK" {
		if missing, err = first.add(targetXML, described[1:], t.gdb.XferPiece()); err != nil {
			return nil, nil, err
		}
	}
	if !isRefusal(attached) {
		// The stub attaches to the first process by itself; each further one has to be asked for.
		for pid := 3; !isRefusal(attached); pid++ {
			more, err := t.exchanges(fmt.Sprintf("vAttach;%x", pid))
			if err != nil {
				return nil, nil, err
			}
			attached = more[0]
		}
		if replies, err = t.exchanges(threadList...); err != nil {
			return nil, nil, err
		}
	}
	list, err := t.listThreads(replies)
	if err != nil {
		return nil, nil, err
	}
	texts := make(map[uint64]parts)
	for _, th := range list {
		if texts[th.pid] != nil {
			continue
		}
		read, wanted := make(parts), []string{targetXML}
		if th.pid == 1 && len(first) > 0 {
			read, wanted = first, missing
		}
		if err = t.readParts(th.id, read, wanted); err != nil {
			return nil, nil, err
		}
		texts[th.pid] = read
	}
	return list, texts, nil
}

// isRefusal reports whether a reply says that there is no such thing, or nothing at all.
func isRefusal(reply string) bool { return reply == "" || rsp.IsError([]byte(reply)) }

// threadList begins the list of threads. A former user of the gdbstub may have left it in physical mode, which survives reconnects.
// A stub without the mode answers with an empty packet.
var threadList = []string{"Qqemu.PhyMemMode:0", "qfThreadInfo", "qsThreadInfo"}

// listThreads goes on with the answers to threadList.
func (t *Target) listThreads(replies []string) ([]thread, error) {
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
		var err error
		if replies, err = t.exchanges("qsThreadInfo", "qsThreadInfo", "qsThreadInfo", "qsThreadInfo"); err != nil {
			return nil, err
		}
	}
}

// A piece is 2,032 bytes of 7.2 and 10.0, and all of a part of 11.1. Most parts are less than 4 KiB, the system registers of arm cores 8
// to 24.
const (
	piecesAtFirst = 4
	piecesLater   = 8
)

// readParts reads what describes a thread's cluster and is not in read yet: the wanted parts, and what they include. Several pieces of
// each are asked for at once, although some will be behind its end.
func (t *Target) readParts(id string, read parts, wanted []string) error {
	piece := t.gdb.XferPiece()
	for pieces := piecesAtFirst; len(wanted) > 0; pieces = piecesLater {
		requests := []string{"Hg" + id}
		for _, annex := range wanted {
			for i := range pieces {
				requests = append(requests, t.gdb.Xfer("features", annex, len(read[annex])+i*piece))
			}
		}
		replies, err := t.exchanges(requests...)
		if err != nil {
			return err
		}
		if replies[0] != "OK" {
			return fmt.Errorf("gdbstub answers %q to Hg%s", replies[0], id)
		}
		var next []string
		for i, annex := range wanted {
			missing, err := read.add(annex, replies[1+i*pieces:][:pieces], piece)
			if err != nil {
				return err
			}
			next = append(next, missing...)
		}
		wanted = next
	}
	return nil
}
