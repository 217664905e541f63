// SPDX-License-Identifier: Apache-2.0

// Package memtarget is a machine under debug in memory: a target.Target for unit tests, fuzzing and examples. It has
// cores that execute a small part of the ARM instruction set from memory, so that code can be patched, stopped in and
// stepped through, and it does no I/O. Making one is cheap: memory is allocated page by page when it is written.
//
// Cores run in a goroutine of the Machine. With Config.Manual they stand still after Go until Run is called, so that a
// test decides which instruction is the last one.
package memtarget

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"mcdtest/stub/target"
)

// Config describes the machine to make. The zero value is completed to one ARM core with no memory.
type Config struct {
	Program   string // default "qemu-system-" and Arch
	Machine   string // default "virt"
	Arch      string // default "arm"
	BigEndian bool

	Cores int         // default 1
	Core  target.Core // what each of them is; default ARMCore(Secure)
	// Secure adds ARM's secure address space to the default Core. Cores start in the secure world then.
	Secure bool

	Memory []Region
	Images []Image           // loaded when the machine is made, and by a reset
	Entry  uint64            // pc after a reset
	Reset  map[int]uint64    // other registers after a reset, by number; default 0
	Fixed  func(string) bool // names of register groups whose registers ignore writes

	// Execute executes the instruction at c.PC(). Default: ARM, or for other architectures an instruction that does
	// nothing.
	Execute func(c *CPU)

	MaxBreakpoints, MaxWatchpoints int // default 16

	Running bool // the cores run from the start
	Manual  bool // cores that run execute instructions only in Machine.Run
}

// Region is a range of addresses where something is mapped.
type Region struct {
	Start, Size uint64
	ReadOnly    bool // writes are ignored
	Secure      bool // seen by the secure world alone
}

// Image is content of memory.
type Image struct {
	Addr uint64
	Data []byte
}

// Machine is a machine in memory. Beside target.Target it implements target.Resetter and target.Killer.
type Machine struct {
	cfg    Config
	info   *target.Info
	layout *layout
	pc     int // number of the pc register, or -1
	step   uint64

	// waiting counts calls that want mu, so that the goroutine that executes lets them through at once.
	waiting  atomic.Int32
	mu       sync.Mutex
	cores    []coreState
	memory   memory
	triggers *target.Triggers

	executing bool // the goroutine runs
	idle      sync.WaitGroup
	done      chan struct{}
	ended     bool
	err       error
}

var (
	_ target.Target    = (*Machine)(nil)
	_ target.Resetter  = (*Machine)(nil)
	_ target.Killer    = (*Machine)(nil)
	_ target.RAMWriter = (*Machine)(nil)
)

type coreState struct {
	state     target.State
	registers []byte // laid out by Machine.layout
	secure    bool
	exec      int // insertions of execution breakpoints
	watch     int // insertions of watchpoints
	hit       target.Trigger
}

// New makes a machine that stands before its first instruction, or runs if the Config says so.
func New(cfg Config) *Machine {
	if cfg.Arch == "" {
		cfg.Arch = "arm"
	}
	if cfg.Program == "" {
		cfg.Program = "qemu-system-" + cfg.Arch
	}
	if cfg.Machine == "" {
		cfg.Machine = "virt"
	}
	if cfg.Cores == 0 {
		cfg.Cores = 1
	}
	if cfg.MaxBreakpoints == 0 {
		cfg.MaxBreakpoints = 16
	}
	if cfg.MaxWatchpoints == 0 {
		cfg.MaxWatchpoints = 16
	}
	if cfg.Core.Type == "" {
		cfg.Core = ARMCore(cfg.Secure)
		if cfg.Fixed == nil {
			cfg.Fixed = func(group string) bool { return group == armSystemFeature }
		}
	}
	if cfg.Execute == nil {
		cfg.Execute = func(*CPU) {}
		if cfg.Arch == "arm" {
			cfg.Execute = executeARM
		}
	}
	m := &Machine{
		cfg: cfg,
		info: &target.Info{
			Program: cfg.Program, Machine: cfg.Machine, Arch: cfg.Arch, BigEndian: cfg.BigEndian,
			Cores:          make([]target.Core, cfg.Cores),
			ResetClasses:   []target.ResetClass{{ID: 0, Name: "full_system_reset"}},
			MaxBreakpoints: cfg.MaxBreakpoints, MaxWatchpoints: cfg.MaxWatchpoints,
		},
		layout:   layoutOf(&cfg.Core),
		pc:       -1,
		step:     4,
		cores:    make([]coreState, cfg.Cores),
		triggers: target.NewTriggers(cfg.Cores, cfg.MaxBreakpoints, cfg.MaxWatchpoints),
		done:     make(chan struct{}),
	}
	for i := range m.info.Cores {
		m.info.Cores[i] = cfg.Core
	}
	for _, r := range cfg.Core.Registers {
		if r.Name == "pc" || r.Name == "rip" || r.Name == "eip" {
			m.pc = r.Number
			break
		}
	}
	m.memory.regions = cfg.Memory
	m.load()
	for i := range m.cores {
		m.cores[i].state = target.State{Cause: target.CauseBoot}
		if cfg.Running {
			m.cores[i].state = target.State{Running: true}
		}
	}
	if cfg.Running {
		m.lock()
		m.execute()
		m.mu.Unlock()
	}
	return m
}

// load puts memory and registers into the state after a reset.
func (m *Machine) load() {
	for _, img := range m.cfg.Images {
		m.memory.put(img.Addr, img.Data)
	}
	for i := range m.cores {
		c := &m.cores[i]
		if c.registers == nil {
			c.registers = make([]byte, m.layout.size)
		}
		clear(c.registers)
		c.secure = m.secureSpace() >= 0
		cpu := CPU{m: m, core: i}
		for n, v := range m.cfg.Reset {
			cpu.SetRegister(n, v)
		}
		cpu.SetPC(m.cfg.Entry)
	}
}

func (m *Machine) lock() {
	m.waiting.Add(1)
	m.mu.Lock()
	m.waiting.Add(-1)
}

// Info implements target.Target.
func (m *Machine) Info() *target.Info { return m.info }

// Done implements target.Target.
func (m *Machine) Done() <-chan struct{} { return m.done }

// Err implements target.Target.
func (m *Machine) Err() error {
	m.lock()
	defer m.mu.Unlock()
	return m.err
}

// Close implements target.Target. The machine ends with it, for nobody else can reach it.
func (m *Machine) Close() error {
	m.Die(errors.New("closed"))
	m.idle.Wait()
	return nil
}

// Kill implements target.Killer.
func (m *Machine) Kill(context.Context) error {
	m.Die(errors.New("killed"))
	return nil
}

// Die ends the machine for the given reason, as if its process had ended.
func (m *Machine) Die(reason error) {
	m.lock()
	defer m.mu.Unlock()
	if m.ended {
		return
	}
	m.ended = true
	m.err = fmt.Errorf("%w: %w", target.ErrGone, reason)
	for i := range m.cores {
		m.cores[i].state = target.State{Cause: target.CauseUnknown, Stops: m.cores[i].state.Stops}
	}
	close(m.done)
}

// check says why a request to core cannot be carried out: the machine has ended, or there is no such core.
func (m *Machine) check(core int, allowAll bool) error {
	if m.ended {
		return m.err
	}
	if core == target.AllCores && allowAll {
		return nil
	}
	if core < 0 || core >= len(m.cores) {
		return target.ErrNoCore
	}
	return nil
}
