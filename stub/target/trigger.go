// SPDX-License-Identifier: Apache-2.0

package target

import (
	"cmp"
	"fmt"
	"slices"
)

// TriggerType is the kind of a trigger. The values are those of the packet dialect.
type TriggerType uint8

// Trigger types.
const (
	Exec   TriggerType = 1 // execution breakpoint: stops before the instruction
	Read   TriggerType = 2 // watchpoints: stop after the access
	Write  TriggerType = 3
	Access TriggerType = 4 // read or write
)

// WatchLength is the number of bytes that a watchpoint covers.
const WatchLength = 4

var triggerNames = [...]string{"none", "breakpoint", "read watchpoint", "write watchpoint", "access watchpoint"}

func (t TriggerType) String() string {
	if int(t) < len(triggerNames) {
		return triggerNames[t]
	}
	return fmt.Sprintf("TriggerType(%d)", uint8(t))
}

// Valid reports whether t is one of the types above.
func (t TriggerType) Valid() bool { return t >= Exec && t <= Access }

// Trigger is a breakpoint or a watchpoint at a logical address.
type Trigger struct {
	Type TriggerType
	Addr uint64
}

func (t Trigger) String() string { return fmt.Sprintf("%v at %#x", t.Type, t.Addr) }

// Triggers keeps the books of the triggers of all cores: who has which, how often, and the limits. It is what a Target
// needs to hold triggers apart by core where the machine has them for all. It is not safe for concurrent use.
type Triggers struct {
	maxBreakpoints, maxWatchpoints int
	cores                          []map[Trigger]int
}

// NewTriggers makes the books for the given number of cores.
func NewTriggers(cores, maxBreakpoints, maxWatchpoints int) *Triggers {
	b := &Triggers{maxBreakpoints: maxBreakpoints, maxWatchpoints: maxWatchpoints, cores: make([]map[Trigger]int, cores)}
	for i := range b.cores {
		b.cores[i] = make(map[Trigger]int)
	}
	return b
}

// Check says whether Add would succeed.
func (b *Triggers) Check(core int, t Trigger) error {
	if core < 0 || core >= len(b.cores) {
		return ErrNoCore
	}
	if !t.Type.Valid() {
		return ErrBadTrigger
	}
	limit := b.maxWatchpoints
	if t.Type == Exec {
		limit = b.maxBreakpoints
	}
	n := 0
	for have, count := range b.cores[core] {
		if (have.Type == Exec) == (t.Type == Exec) {
			n += count
		}
	}
	if n >= limit {
		return fmt.Errorf("%w: core %d has %d already", ErrTriggersFull, core, n)
	}
	return nil
}

// Add enters one insertion. first reports that no core had the trigger before, so the machine must be told.
func (b *Triggers) Add(core int, t Trigger) (first bool, err error) {
	if err := b.Check(core, t); err != nil {
		return false, err
	}
	first = !b.Any(t)
	b.cores[core][t]++
	return first, nil
}

// Remove takes one insertion back. last reports that no core has the trigger any more.
func (b *Triggers) Remove(core int, t Trigger) (last bool, err error) {
	if core < 0 || core >= len(b.cores) {
		return false, ErrNoCore
	}
	n := b.cores[core][t]
	if n == 0 {
		return false, ErrNoTrigger
	}
	if n == 1 {
		delete(b.cores[core], t)
		return !b.Any(t), nil
	}
	b.cores[core][t] = n - 1
	return false, nil
}

// Has reports whether the core has the trigger.
func (b *Triggers) Has(core int, t Trigger) bool { return b.cores[core][t] > 0 }

// Any reports whether any core has the trigger.
func (b *Triggers) Any(t Trigger) bool {
	for _, c := range b.cores {
		if c[t] > 0 {
			return true
		}
	}
	return false
}

// Inserted lists the insertions of a core, or of AllCores, by address and type.
func (b *Triggers) Inserted(core int) []Trigger {
	var list []Trigger
	for i, c := range b.cores {
		if core != AllCores && i != core {
			continue
		}
		for t, n := range c {
			for range n {
				list = append(list, t)
			}
		}
	}
	slices.SortFunc(list, func(a, b Trigger) int { return cmp.Or(cmp.Compare(a.Addr, b.Addr), cmp.Compare(a.Type, b.Type)) })
	return list
}

// Of lists the distinct triggers of a core, or of AllCores.
func (b *Triggers) Of(core int) []Trigger {
	seen := make(map[Trigger]bool)
	var list []Trigger
	for i, c := range b.cores {
		if core != AllCores && i != core {
			continue
		}
		for t := range c {
			if !seen[t] {
				seen[t] = true
				list = append(list, t)
			}
		}
	}
	return list
}
