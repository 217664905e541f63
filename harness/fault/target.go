// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"context"
	"sync"

	"mcdtest/stub/target"
)

// base passes everything on, also what a Target can do beside its heart.
type base struct{ target.Target }

func (b base) Reset(ctx context.Context, class int, halt bool) error {
	if r, ok := b.Target.(target.Resetter); ok {
		return r.Reset(ctx, class, halt)
	}
	return target.ErrUnsupported
}

func (b base) Kill(ctx context.Context) error {
	if k, ok := b.Target.(target.Killer); ok {
		return k.Kill(ctx)
	}
	return target.ErrUnsupported
}

type zeroReader struct{ base }

func memoryReadsZeros(t target.Target) target.Target { return zeroReader{base{t}} }

func (z zeroReader) ReadMemory(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
	err := z.base.ReadMemory(ctx, core, space, addr, p)
	clear(p)
	return err
}

// liar runs on after a stop and says that it stands.
type liar struct {
	base
	mu    sync.Mutex
	lie   bool
	stops uint64
}

func stopDoesNotStop(t target.Target) target.Target { return &liar{base: base{t}} }

func (l *liar) Stop(context.Context, int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lie = true
	l.stops++
	return nil
}

func (l *liar) Go(ctx context.Context, core int) error {
	l.mu.Lock()
	l.lie = false
	l.mu.Unlock()
	return l.base.Go(ctx, core)
}

func (l *liar) State(core int) target.State {
	s := l.base.State(core)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lie && s.Running {
		return target.State{Cause: target.CauseStop, Stops: s.Stops + l.stops}
	}
	return s
}

type leftBehind struct{ base }

func breakpointLeftBehind(t target.Target) target.Target { return leftBehind{base{t}} }

func (leftBehind) RemoveTrigger(context.Context, int, target.Trigger) error { return nil }
func (leftBehind) RemoveTriggers(context.Context, int) error                { return nil }
