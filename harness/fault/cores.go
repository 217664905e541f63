// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"context"

	"mcdtest/stub/target"
)

// Faults of machines with several cores.

func registersOfCore0(t target.Target) target.Target {
	return &altered{
		Target: t,
		readRegister: func(ctx context.Context, _, number int, p []byte) ([]byte, error) {
			return t.ReadRegister(ctx, 0, number, p)
		},
		writeRegister: func(ctx context.Context, _, number int, p []byte) error { return t.WriteRegister(ctx, 0, number, p) },
	}
}

func stateOfCore0(t target.Target) target.Target {
	return &altered{Target: t, state: func(int) target.State { return t.State(0) }}
}

// next is the core behind another one; behind the last it is the first.
func next(t target.Target, core int) int { return (core + 1) % len(t.Info().Cores) }

func stepsOtherCore(t target.Target) target.Target {
	return &altered{Target: t, step: func(ctx context.Context, core int) error {
		if core == target.AllCores {
			return t.Step(ctx, core)
		}
		return t.Step(ctx, next(t, core))
	}}
}

func stepMovesOthers(t target.Target) target.Target {
	return &altered{Target: t, step: func(ctx context.Context, core int) error {
		if err := t.Step(ctx, core); err != nil || core == target.AllCores {
			return err
		}
		for i := range t.Info().Cores {
			if i != core {
				_ = t.Step(ctx, i) // it may be running
			}
		}
		return nil
	}}
}

// toCore0 sends what is for all cores to core 0.
func toCore0(core int) int {
	if core == target.AllCores {
		return 0
	}
	return core
}

func globalGoOfCore0(t target.Target) target.Target {
	return &altered{Target: t, goes: func(ctx context.Context, core int) error { return t.Go(ctx, toCore0(core)) }}
}

func globalStopOfCore0(t target.Target) target.Target {
	return &altered{Target: t, stop: func(ctx context.Context, core int) error { return t.Stop(ctx, toCore0(core)) }}
}

func globalStepOfCore0(t target.Target) target.Target {
	return &altered{Target: t, step: func(ctx context.Context, core int) error { return t.Step(ctx, toCore0(core)) }}
}

func goOfAll(t target.Target) target.Target {
	return &altered{Target: t, goes: func(ctx context.Context, _ int) error { return t.Go(ctx, target.AllCores) }}
}

func stopOfAll(t target.Target) target.Target {
	return &altered{Target: t, stop: func(ctx context.Context, _ int) error { return t.Stop(ctx, target.AllCores) }}
}

// hitOnOtherCore exchanges the states of a core that has hit a trigger and of the next one.
func hitOnOtherCore(t target.Target) target.Target {
	return &altered{Target: t, state: func(core int) target.State {
		n := len(t.Info().Cores)
		if core < 0 || core >= n {
			return t.State(core)
		}
		if before := (core + n - 1) % n; hit(t.State(before)) {
			return t.State(before)
		}
		if s := t.State(core); !hit(s) {
			return s
		}
		return t.State(next(t, core))
	}}
}

func triggersOnAllCores(t target.Target) target.Target {
	return &altered{
		Target: t,
		insertTrigger: func(ctx context.Context, core int, tr target.Trigger) error {
			for i := range t.Info().Cores {
				if err := t.InsertTrigger(ctx, i, tr); err != nil {
					return err
				}
			}
			return nil
		},
		removeTrigger: func(ctx context.Context, core int, tr target.Trigger) error {
			for i := range t.Info().Cores {
				if err := t.RemoveTrigger(ctx, i, tr); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func triggersOnCore0(t target.Target) target.Target {
	return &altered{
		Target:        t,
		insertTrigger: func(ctx context.Context, _ int, tr target.Trigger) error { return t.InsertTrigger(ctx, 0, tr) },
		removeTrigger: func(ctx context.Context, _ int, tr target.Trigger) error { return t.RemoveTrigger(ctx, 0, tr) },
	}
}
