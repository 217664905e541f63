// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mcdtest/harness/debugger"
)

// counterBytes is the size of the variable.
const counterBytes = 4

// findSpace chooses the memory space that the core's own accesses go through.
func (e *Env) findSpace(ctx context.Context) error {
	cores, err := e.Debugger.Cores(ctx)
	if err != nil {
		return err
	}
	if e.Core >= len(cores) {
		return fmt.Errorf("there is no core %d: MCD lists %d", e.Core, len(cores))
	}
	space, err := cores[e.Core].Logical(false)
	e.logical = space.ID
	return err
}

// slot is the logical address of the core's variable.
func (e *Env) slot() (uint64, error) {
	counter, err := e.Image.Symbol("counter")
	if err != nil || e.Core == 0 {
		return counter, err
	}
	stride, err := e.Image.Symbol("slot_stride")
	return counter + uint64(e.Core)*stride, err
}

// counter is the variable as MCD reads it.
func (e *Env) counter(ctx context.Context) (uint32, error) {
	addr, err := e.slot()
	if err != nil {
		return 0, err
	}
	v, err := debugger.ReadValue(ctx, e.Debugger, e.Core, e.logical, addr, counterBytes)
	return uint32(v), err
}

// counterSeen is the variable as qtest reads it.
func (e *Env) counterSeen(ctx context.Context) (uint32, error) {
	addr, err := e.slot()
	if err != nil {
		return 0, err
	}
	phys, err := e.Image.Phys(addr)
	if err != nil {
		return 0, err
	}
	var p [counterBytes]byte
	if err := e.Memory.Read(ctx, phys, p[:]); err != nil {
		return 0, err
	}
	if e.Image.BigEndian() {
		return binary.BigEndian.Uint32(p[:]), nil
	}
	return binary.LittleEndian.Uint32(p[:]), nil
}

// grows waits until the variable has another value than at first. Two reads in a row are often equal; a guest may need some
// 60 ms before its first pass.
func (e *Env) grows(ctx context.Context, by string, read func(context.Context) (uint32, error)) error {
	first, err := read(ctx)
	if err != nil {
		return err
	}
	var last error
	err = poll(ctx, func(n int) (done bool, err error) {
		v, err := read(ctx)
		last = fmt.Errorf("wait until %s reads the variable of core %d as something else than %d: read %d times", by, e.Core, first, n)
		if err != nil || v == first {
			return false, err
		}
		e.note(by, "variable %d → %d", first, v)
		return true, nil
	})
	if errors.Is(err, ErrTimeout) {
		return fmt.Errorf("%w; %s: %w", last, e.whereabouts(), err)
	}
	return err
}

// Intervals of polling: short ones first, since most things come soon.
const (
	firstInterval = 50 * time.Microsecond
	lastInterval  = 5 * time.Millisecond
)

// poll does try until it is done, fails, or ctx ends, whose cause is the error then.
func poll(ctx context.Context, try func(n int) (done bool, err error)) error {
	interval := firstInterval
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for n := 1; ; n++ {
		done, err := try(n)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, context.DeadlineExceeded):
			// A wait below saw the deadline before ctx did.
			<-ctx.Done()
			return context.Cause(ctx)
		case done || err != nil:
			return err
		}
		select {
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		interval = min(2*interval, lastInterval)
		timer.Reset(interval)
	}
}

// whereabouts says for an error message what MCD tells of the core, if it still tells anything.
func (e *Env) whereabouts() string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s, err := e.Debugger.State(ctx, e.Core)
	if err != nil {
		return "MCD says nothing of it any more"
	}
	text := "MCD says that it is " + s.Status.String()
	if pc, err := debugger.PC(ctx, e.Debugger, e.Core); err == nil && s.Standing() {
		text += " at " + e.name(pc)
	}
	return text
}

// still checks that the variable does not change while QMP is asked a few times, which takes as long as thousands of passes, and that
// MCD and qtest agree on it.
func (e *Env) still(ctx context.Context) error {
	mcd, err := e.counter(ctx)
	if err != nil {
		return err
	}
	if e.Memory == nil {
		return e.stillThroughMCD(ctx, mcd)
	}
	before, err := e.counterSeen(ctx)
	if err != nil {
		return err
	}
	if err := e.passTime(ctx); err != nil {
		return err
	}
	after, err := e.counterSeen(ctx)
	if err != nil {
		return err
	}
	if before != after {
		return fmt.Errorf("core %d is said to stand, but qtest sees its variable go from %d to %d", e.Core, before, after)
	}
	if mcd != after {
		return fmt.Errorf("core %d stands: MCD reads its variable as %d, qtest as %d", e.Core, mcd, after)
	}
	e.note(byQTest, "variable %d, twice; MCD reads the same", after)
	return nil
}

func (e *Env) stillThroughMCD(ctx context.Context, before uint32) error {
	if err := e.passTime(ctx); err != nil {
		return err
	}
	after, err := e.counter(ctx)
	if err != nil {
		return err
	}
	if before != after {
		return fmt.Errorf("core %d is said to stand, but its variable went from %d to %d", e.Core, before, after)
	}
	e.note(byMCD, "variable %d, twice", after)
	return nil
}

// roundTrips is how often QMP is asked to let time pass: each takes some 100 µs, in which the loop makes thousands of passes.
const roundTrips = 5

func (e *Env) passTime(ctx context.Context) error {
	for range roundTrips {
		if _, err := e.RunState(ctx); err != nil {
			return err
		}
	}
	return nil
}

// confirm checks the variable with qtest.
func (e *Env) confirm(ctx context.Context, want uint32) error {
	if e.Memory == nil {
		return nil
	}
	got, err := e.counterSeen(ctx)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("the variable of core %d should be %d (%#x); qtest sees %d (%#x)", e.Core, want, want, got, got)
	}
	e.note(byQTest, "variable %d", got)
	return nil
}

// pcIs checks where the core stands.
func (e *Env) pcIs(ctx context.Context, want uint64) error {
	pc, err := debugger.PC(ctx, e.Debugger, e.Core)
	if err != nil {
		return err
	}
	if pc != want {
		return fmt.Errorf("core %d: want pc %s, got %s", e.Core, e.name(want), e.name(pc))
	}
	return nil
}

// name is an address with the symbol that is there.
func (e *Env) name(addr uint64) string {
	symbol, offset, ok := e.Image.SymbolAt(addr)
	switch {
	case !ok:
		return fmt.Sprintf("%#x", addr)
	case offset == 0:
		return fmt.Sprintf("%#x (%s)", addr, symbol)
	}
	return fmt.Sprintf("%#x (%s+%d)", addr, symbol, offset)
}

// stands checks that QMP sees the machine stopped.
func (e *Env) stands(ctx context.Context) error { return e.runState(ctx, "paused", "debug") }

// runState checks what QMP says of the machine; it may need a moment to hear of it.
func (e *Env) runState(ctx context.Context, want ...string) error {
	last, asked := "nothing", 0
	err := poll(ctx, func(n int) (done bool, err error) {
		s, err := e.RunState(ctx)
		if err != nil {
			return false, err
		}
		last, asked = s, n
		return slices.Contains(want, s), nil
	})
	if err != nil {
		return fmt.Errorf("wait until QMP says that the machine is %s: it says %s, asked %d times: %w", strings.Join(want, " or "), last, asked, err)
	}
	e.note(byQMP, "machine %s", last)
	return nil
}
