// SPDX-License-Identifier: Apache-2.0

// Package target describes a machine under debug as the Multi-Core Debug API sees it: cores with memory spaces,
// registers, triggers, a run state and reset classes. It holds the interface and the values that cross it, does no
// I/O and knows no dialect; gdbtarget implements it over a stock QEMU, memtarget in memory.
package target

import "context"

// AllCores in place of a core number means every core of the machine.
const AllCores = -1

// Target is a machine under debug.
//
// Every method may be called from several goroutines. A core number is an index into Info().Cores; methods that act
// on one core return an error that wraps ErrNoCore for any other number. Bytes of memory and of registers are in the
// byte order of the machine's memory. A request is carried out whole or, if it returns an error, not at all.
type Target interface {
	// Info describes the machine. It does not change during the life of the Target and must not be modified.
	Info() *Info

	// State returns the run state of a core as of the last event; it never asks the machine, so it costs nothing.
	// A core that does not exist is Stopped with CauseUnknown.
	State(core int) State

	// ReadMemory fills p from addr on. It works while the core runs and does not stop it where the machine can be
	// read live. Errors wrap ErrUnmapped, ErrUnreachable, ErrNoSpace.
	ReadMemory(ctx context.Context, core int, space Space, addr uint64, p []byte) error

	// WriteMemory writes p from addr on; code that is written is what the core executes afterwards. Errors wrap
	// ErrUnmapped, ErrUnreachable, ErrNotTaken, ErrNoSpace.
	WriteMemory(ctx context.Context, core int, space Space, addr uint64, p []byte) error

	// ReadRegister appends the register's bytes (Bits/8, rounded up) to p. number is a Register.Number.
	// Errors wrap ErrNoRegister, ErrUnreachable.
	ReadRegister(ctx context.Context, core, number int, p []byte) ([]byte, error)

	// WriteRegister writes the whole register. A write that the machine ignored is ErrNotTaken; other errors wrap
	// ErrNoRegister, ErrSize.
	WriteRegister(ctx context.Context, core, number int, p []byte) error

	// InsertTrigger adds a trigger to one core, active at once. The same trigger may be inserted several times and
	// needs as many removals. It does not fire for other cores. Errors wrap ErrBadTrigger, ErrTriggersFull.
	InsertTrigger(ctx context.Context, core int, t Trigger) error

	// RemoveTrigger takes one insertion of the trigger back. Errors wrap ErrNoTrigger.
	RemoveTrigger(ctx context.Context, core int, t Trigger) error

	// RemoveTriggers takes back every trigger of a core, or of AllCores.
	RemoveTriggers(ctx context.Context, core int) error

	// Triggers lists the insertions of a core that have not been taken back, whoever made them: a trigger that was
	// inserted twice is there twice. The order is always the same. A core that does not exist has none.
	Triggers(core int) []Trigger

	// Go lets one core, or AllCores, run; cores that run already run on, unless they hit a trigger in the same moment. It
	// returns when the machine runs.
	Go(ctx context.Context, core int) error

	// Stop stops one core, or AllCores, with CauseStop, and returns when it stands. Stopped cores keep their cause.
	Stop(ctx context.Context, core int) error

	// Step executes one instruction of each of the cores, or of AllCores, and returns when it is done. Cores that run are
	// left alone, also those that hit a trigger in the same moment, and ErrRunning is returned if there was nothing to
	// step. A core that sleeps is ErrAsleep, unless another one was stepped.
	Step(ctx context.Context, cores ...int) error

	// Done is closed when the machine has ended or can no longer be reached; Err then says why, and every method
	// that needs the machine returns an error that wraps ErrGone.
	Done() <-chan struct{}
	// Err is nil until Done is closed.
	Err() error

	// Close lets go of the machine without changing its run state or triggers, and frees what the Target holds.
	Close() error
}

// RAMWriter is a Target that writes many bytes of RAM at once in less time than WriteMemory takes for them piece by piece.
type RAMWriter interface {
	// WriteRAM is WriteMemory for a range that is RAM from one end to the other, so that nobody can tell how it was written. done is
	// false, and nothing is written, if it is not, or if pieces are as quick.
	WriteRAM(ctx context.Context, core int, space Space, addr uint64, p []byte) (done bool, err error)
}

// Resetter is a Target that can be reset.
type Resetter interface {
	// Reset carries out the reset class with the given ID. Cores that were stopped are stopped at their reset pc
	// afterwards, the others run on from there; with halt all are stopped. Triggers stay. A core that stands
	// afterwards has CauseBoot: what stopped it before is over. Only for one that ran it is a new stop.
	Reset(ctx context.Context, class int, halt bool) error
}

// Killer is a Target that can be ended.
type Killer interface {
	// Kill ends the machine and returns when Done is closed.
	Kill(ctx context.Context) error
}

// Info describes a machine.
type Info struct {
	Program   string // the emulator as it was called: "qemu-system-arm"
	Machine   string // as the emulator's -M names it: "virt"
	Arch      string // as the emulator's program name has it: "arm", "x86_64"
	BigEndian bool   // byte order of memory and registers

	Cores        []Core
	ResetClasses []ResetClass // only classes that work; empty if the Target is no Resetter

	MaxBreakpoints int // per core; insertions beyond are ErrTriggersFull
	MaxWatchpoints int // per core
}

// Core describes one core.
type Core struct {
	Type          string // QOM type of the CPU: "cortex-a15-arm-cpu"
	AddressSpaces []AddressSpace
	Groups        []RegisterGroup
	Registers     []Register // in the order of the target description
}

// Register finds a register by its number.
func (c *Core) Register(number int) (Register, bool) {
	// Numbers equal indices for the first registers of every architecture, which are the ones asked for most.
	if number >= 0 && number < len(c.Registers) && c.Registers[number].Number == number {
		return c.Registers[number], true
	}
	for _, r := range c.Registers {
		if r.Number == number {
			return r, true
		}
	}
	return Register{}, false
}

// AddressSpace is one view of memory that a CPU has, as HMP `info mtree -f` lists it
// (AS "cpu-memory-0", root: system).
type AddressSpace struct {
	Name   string // "cpu-memory-0", "cpu-secure-memory-0"
	Root   string // "system", "secure-memory"
	Secure bool   // ARM's secure world
}

// Space selects one of the two spaces of an address space: what the core sees, through its translation, or the bus.
type Space struct {
	AddressSpace int // index into Core.AddressSpaces
	Physical     bool
}

// RegisterGroup is a set of registers: one feature of the target description.
type RegisterGroup struct {
	Name string // "org.gnu.gdb.arm.core"
}

// Register describes one register. Names are not always unique (QEMU has two "q10").
type Register struct {
	Number int    // GDB register number; has gaps
	Name   string // as in the target description
	Bits   int
	Group  int // index into Core.Groups
}

// Bytes is the number of bytes that hold the register.
func (r Register) Bytes() int { return (r.Bits + 7) / 8 }

// ResetClass is one way to reset the machine.
type ResetClass struct {
	ID   int
	Name string // "full_system_reset"
}

// Cause says why a core stands.
type Cause uint8

// Causes. The zero value belongs to a core that runs.
const (
	CauseNone       Cause = iota
	CauseBoot             // not started since the machine was made or reset
	CauseBreakpoint       // an execution breakpoint; nothing of the instruction was executed
	CauseWatchpoint       // a watchpoint; the access is done and pc is past it
	CauseStep             // a step is complete
	CauseStop             // Stop
	CauseElsewhere        // paused by somebody else, say QMP `stop`
	CauseUnknown
)

var causeNames = [...]string{"running", "boot", "breakpoint", "watchpoint", "step", "stop", "paused elsewhere", "unknown"}

func (c Cause) String() string {
	if int(c) < len(causeNames) {
		return causeNames[c]
	}
	return "Cause(?)"
}

// State is the run state of one core.
type State struct {
	Running bool
	Cause   Cause   // why it stands
	Trigger Trigger // which trigger stopped it, for CauseBreakpoint and CauseWatchpoint
	// Stops counts the stops of this core. Equal numbers mean the same stop, so that a dialect can report it once;
	// 0 means that the core has never stopped since the machine was made (or was attached to while running).
	Stops uint64
	// Moot says that a reset has come after the last stop: a client that has not been told of it needs not be.
	Moot bool
}
