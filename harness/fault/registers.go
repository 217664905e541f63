// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"context"
	"slices"
	"sync"

	"mcdtest/stub/target"
)

// Faults of registers.

func registerByteOrder(t target.Target) target.Target {
	return &altered{
		Target: t,
		readRegister: func(ctx context.Context, core, number int, p []byte) ([]byte, error) {
			start := len(p)
			p, err := t.ReadRegister(ctx, core, number, p)
			slices.Reverse(p[start:])
			return p, err
		},
		writeRegister: func(ctx context.Context, core, number int, p []byte) error {
			p = slices.Clone(p)
			slices.Reverse(p)
			return t.WriteRegister(ctx, core, number, p)
		},
	}
}

type registerKey struct{ core, number int }

// staleRegisters remembers values that are told instead of the real ones.
type staleRegisters struct {
	mu     sync.Mutex
	values map[registerKey][]byte
}

func (s *staleRegisters) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.values)
}

// registerStaleAfterStep keeps what has been read when the core is stepped.
func registerStaleAfterStep(t target.Target) target.Target {
	stale := &staleRegisters{values: make(map[registerKey][]byte)}
	return &altered{
		Target: t,
		readRegister: func(ctx context.Context, core, number int, p []byte) ([]byte, error) {
			stale.mu.Lock()
			defer stale.mu.Unlock()
			key := registerKey{core, number}
			if old, ok := stale.values[key]; ok {
				return append(p, old...), nil
			}
			start := len(p)
			p, err := t.ReadRegister(ctx, core, number, p)
			if err == nil && !t.State(core).Running {
				stale.values[key] = slices.Clone(p[start:])
			}
			return p, err
		},
		writeRegister: func(ctx context.Context, core, number int, p []byte) error {
			stale.clear()
			return t.WriteRegister(ctx, core, number, p)
		},
		goes: func(ctx context.Context, core int) error {
			stale.clear()
			return t.Go(ctx, core)
		},
		reset: func(ctx context.Context, class int, halt bool) error {
			stale.clear()
			return resetOf(t)(ctx, class, halt)
		},
	}
}

// registerStaleAfterWrite tells the value of before a write until the core moves.
func registerStaleAfterWrite(t target.Target) target.Target {
	stale := &staleRegisters{values: make(map[registerKey][]byte)}
	return &altered{
		Target: t,
		readRegister: func(ctx context.Context, core, number int, p []byte) ([]byte, error) {
			stale.mu.Lock()
			defer stale.mu.Unlock()
			if old, ok := stale.values[registerKey{core, number}]; ok {
				return append(p, old...), nil
			}
			return t.ReadRegister(ctx, core, number, p)
		},
		writeRegister: func(ctx context.Context, core, number int, p []byte) error {
			old, err := t.ReadRegister(ctx, core, number, nil)
			if err == nil {
				err = t.WriteRegister(ctx, core, number, p)
			}
			if err == nil {
				stale.mu.Lock()
				stale.values[registerKey{core, number}] = old
				stale.mu.Unlock()
			}
			return err
		},
		goes: func(ctx context.Context, core int) error {
			stale.clear()
			return t.Go(ctx, core)
		},
		step: func(ctx context.Context, core int) error {
			stale.clear()
			return t.Step(ctx, core)
		},
	}
}

func registerWriteIgnored(t target.Target) target.Target {
	return &altered{Target: t, writeRegister: func(context.Context, int, int, []byte) error { return nil }}
}

func registerWriteSpills(t target.Target) target.Target {
	return &altered{Target: t, writeRegister: func(ctx context.Context, core, number int, p []byte) error {
		err := t.WriteRegister(ctx, core, number, p)
		if err == nil {
			_ = t.WriteRegister(ctx, core, number+1, p) // there may be none of this size
		}
		return err
	}}
}

// registerWriteCut leaves the last byte of a register as it was.
func registerWriteCut(t target.Target) target.Target {
	return &altered{Target: t, writeRegister: func(ctx context.Context, core, number int, p []byte) error {
		old, err := t.ReadRegister(ctx, core, number, nil)
		if err != nil || len(old) != len(p) || len(p) == 0 {
			return t.WriteRegister(ctx, core, number, p)
		}
		p = slices.Clone(p)
		p[len(p)-1] = old[len(old)-1]
		return t.WriteRegister(ctx, core, number, p)
	}}
}

// refusedRegisterWriteSucceeds says that a write was taken that was not.
func refusedRegisterWriteSucceeds(t target.Target) target.Target {
	return &altered{Target: t, writeRegister: func(ctx context.Context, core, number int, p []byte) error {
		_ = t.WriteRegister(ctx, core, number, p)
		return nil
	}}
}

// registerReadStops stops the core for a read while it runs.
func registerReadStops(t target.Target) target.Target {
	return &altered{Target: t, readRegister: func(ctx context.Context, core, number int, p []byte) ([]byte, error) {
		if err := t.Stop(ctx, core); err != nil {
			return p, err
		}
		return t.ReadRegister(ctx, core, number, p)
	}}
}
