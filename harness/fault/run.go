// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"context"
	"sync"

	"mcdtest/stub/target"
)

// Faults of run control, states and resets.

// stopDoesNotStop says that the core stands, and lets it run.
func stopDoesNotStop(t target.Target) target.Target {
	var mu sync.Mutex
	lie := false
	var stops uint64
	return &altered{
		Target: t,
		stop: func(context.Context, int) error {
			mu.Lock()
			defer mu.Unlock()
			lie = true
			stops++
			return nil
		},
		goes: func(ctx context.Context, core int) error {
			mu.Lock()
			lie = false
			mu.Unlock()
			return t.Go(ctx, core)
		},
		state: func(core int) target.State {
			s := t.State(core)
			mu.Lock()
			defer mu.Unlock()
			if lie && s.Running {
				return target.State{Cause: target.CauseStop, Stops: s.Stops + stops}
			}
			return s
		},
	}
}

func goDoesNotGo(t target.Target) target.Target {
	return &altered{Target: t, goes: func(context.Context, int) error { return nil }}
}

func stepOfTwo(t target.Target) target.Target {
	return &altered{Target: t, step: func(ctx context.Context, core int) error {
		if err := t.Step(ctx, core); err != nil {
			return err
		}
		return t.Step(ctx, core)
	}}
}

func stepOfZero(t target.Target) target.Target {
	return &altered{Target: t, step: func(ctx context.Context, core int) error {
		if core != target.AllCores && t.State(core).Running {
			return t.Step(ctx, core) // refused
		}
		return nil
	}}
}

// stepRuns lets the core run instead.
func stepRuns(t target.Target) target.Target {
	return &altered{Target: t, step: t.Go}
}

// stepWhileRunningStops stops a core that is to be stepped while it runs, instead of ignoring that.
func stepWhileRunningStops(t target.Target) target.Target {
	return &altered{Target: t, step: func(ctx context.Context, core int) error {
		if err := t.Stop(ctx, core); err != nil {
			return err
		}
		return t.Step(ctx, core)
	}}
}

// runningWhileStanding says that a core runs that was stopped.
func runningWhileStanding(t target.Target) target.Target {
	return &altered{Target: t, state: func(core int) target.State {
		s := t.State(core)
		if s.Cause == target.CauseStop {
			return target.State{Running: true, Stops: s.Stops}
		}
		return s
	}}
}

// standingWhileRunning says that a core stands that runs.
func standingWhileRunning(t target.Target) target.Target {
	return &altered{Target: t, state: func(core int) target.State {
		s := t.State(core)
		if s.Running {
			return target.State{Cause: target.CauseStop, Stops: s.Stops + 1}
		}
		return s
	}}
}

// pauseUnnoticed says that a core runs that somebody else has paused.
func pauseUnnoticed(t target.Target) target.Target {
	return &altered{Target: t, state: func(core int) target.State {
		s := t.State(core)
		if s.Cause == target.CauseElsewhere {
			return target.State{Running: true, Stops: s.Stops}
		}
		return s
	}}
}

// resumeUnnoticed says that a core stands that somebody else lets run.
func resumeUnnoticed(t target.Target) target.Target {
	var mu sync.Mutex
	last := make(map[int]target.State) // of cores that stood when they were asked last, and have not been sent since
	return &altered{
		Target: t,
		goes: func(ctx context.Context, core int) error {
			mu.Lock()
			each(t, core, func(i int) { delete(last, i) })
			mu.Unlock()
			return t.Go(ctx, core)
		},
		stop: func(ctx context.Context, core int) error {
			mu.Lock()
			each(t, core, func(i int) { delete(last, i) })
			mu.Unlock()
			return t.Stop(ctx, core)
		},
		state: func(core int) target.State {
			mu.Lock()
			defer mu.Unlock()
			s := t.State(core)
			if !s.Running {
				last[core] = s
			} else if old, ok := last[core]; ok {
				return old
			}
			return s
		},
	}
}

// causeWrong gives one cause of a stop for another.
func causeWrong(is, told target.Cause) func(target.Target) target.Target {
	return func(t target.Target) target.Target {
		return &altered{Target: t, state: func(core int) target.State {
			s := t.State(core)
			if !s.Running && s.Cause == is {
				s.Cause = told
			}
			return s
		}}
	}
}

// stateReportedTwice makes the second question after a stop look as if there had been another one.
func stateReportedTwice(t target.Target) target.Target {
	var mu sync.Mutex
	asked := make(map[int]int)
	of := make(map[int]uint64)
	return &altered{Target: t, state: func(core int) target.State {
		mu.Lock()
		defer mu.Unlock()
		s := t.State(core)
		if s.Running || s.Stops == 0 {
			s.Stops *= 2
			return s
		}
		if of[core] != s.Stops {
			of[core], asked[core] = s.Stops, 0
		}
		asked[core]++
		s.Stops *= 2
		if asked[core] > 1 {
			s.Stops++
		}
		return s
	}}
}

func stateNeverReported(t target.Target) target.Target {
	return &altered{Target: t, state: func(core int) target.State {
		s := t.State(core)
		s.Stops = 0
		return s
	}}
}

func resetDoesNothing(t target.Target) target.Target {
	return &altered{Target: t, reset: func(ctx context.Context, class int, halt bool) error {
		for _, c := range t.Info().ResetClasses {
			if c.ID == class {
				return nil
			}
		}
		return resetOf(t)(ctx, class, halt) // refused
	}}
}

func resetStarts(t target.Target) target.Target {
	return &altered{Target: t, reset: func(ctx context.Context, class int, halt bool) error {
		if err := resetOf(t)(ctx, class, halt); err != nil || halt {
			return err
		}
		return t.Go(ctx, target.AllCores)
	}}
}

func resetStops(t target.Target) target.Target {
	return &altered{Target: t, reset: func(ctx context.Context, class int, _ bool) error { return resetOf(t)(ctx, class, true) }}
}

func resetNeverHalts(t target.Target) target.Target {
	return &altered{Target: t, reset: func(ctx context.Context, class int, _ bool) error { return resetOf(t)(ctx, class, false) }}
}

func resetDropsTriggers(t target.Target) target.Target {
	return &altered{
		Target: t,
		reset: func(ctx context.Context, class int, halt bool) error {
			if err := t.RemoveTriggers(ctx, target.AllCores); err != nil {
				return err
			}
			return resetOf(t)(ctx, class, halt)
		},
	}
}

// resetClassWithoutEffect lists a class more.
func resetClassWithoutEffect(t target.Target) target.Target {
	info := *t.Info()
	const class = 1
	info.ResetClasses = append(info.ResetClasses[:len(info.ResetClasses):len(info.ResetClasses)], target.ResetClass{ID: class, Name: "gpr_reset"})
	return &altered{Target: t, info: &info, reset: func(ctx context.Context, id int, halt bool) error {
		if id == class {
			return nil
		}
		return resetOf(t)(ctx, id, halt)
	}}
}

func killDoesNotKill(t target.Target) target.Target {
	return &altered{Target: t, kill: func(context.Context) error { return nil }}
}

func closeLeavesTriggers(t target.Target) target.Target {
	return &altered{Target: t, removeTriggers: func(ctx context.Context, core int) error {
		if core == target.AllCores {
			return nil
		}
		return t.RemoveTriggers(ctx, core)
	}}
}

// closeDoesNotRun does not let the machine run when the server is closed: a go to all behind a removal of all triggers.
func closeDoesNotRun(t target.Target) target.Target {
	var mu sync.Mutex
	closing := false
	return &altered{
		Target: t,
		removeTriggers: func(ctx context.Context, core int) error {
			mu.Lock()
			closing = core == target.AllCores
			mu.Unlock()
			return t.RemoveTriggers(ctx, core)
		},
		goes: func(ctx context.Context, core int) error {
			mu.Lock()
			skip := closing && core == target.AllCores
			closing = false
			mu.Unlock()
			if skip {
				return nil
			}
			return t.Go(ctx, core)
		},
	}
}
