// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"context"
	"errors"
	"slices"
	"sync"

	"mcdtest/stub/target"
)

// Faults of memory.

// pageSize is where published stubs cut accesses.
const pageSize = 4096

func memoryReadsZeros(t target.Target) target.Target {
	return &altered{Target: t, readMemory: func(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
		err := t.ReadMemory(ctx, core, space, addr, p)
		clear(p)
		return err
	}}
}

// swapWords reverses each four bytes.
func swapWords(p []byte) {
	for ; len(p) >= 4; p = p[4:] {
		slices.Reverse(p[:4])
	}
}

func memoryByteOrder(t target.Target) target.Target {
	return &altered{
		Target: t,
		readMemory: func(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
			err := t.ReadMemory(ctx, core, space, addr, p)
			swapWords(p)
			return err
		},
		writeMemory: func(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
			p = slices.Clone(p)
			swapWords(p)
			return t.WriteMemory(ctx, core, space, addr, p)
		},
	}
}

func memoryOffByOne(t target.Target) target.Target {
	return &altered{
		Target: t,
		readMemory: func(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
			return t.ReadMemory(ctx, core, space, addr+1, p)
		},
		writeMemory: func(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
			return t.WriteMemory(ctx, core, space, addr+1, p)
		},
	}
}

// memoryStaleWhileRunning gives what the first read of a run found, as long as the run lasts.
func memoryStaleWhileRunning(t target.Target) target.Target {
	type access struct {
		space target.Space
		addr  uint64
		n     int
	}
	var mu sync.Mutex
	seen := make(map[access][]byte)
	return &altered{Target: t, readMemory: func(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
		mu.Lock()
		defer mu.Unlock()
		if !t.State(core).Running {
			clear(seen)
		}
		key := access{space, addr, len(p)}
		if old, ok := seen[key]; ok {
			copy(p, old)
			return nil
		}
		err := t.ReadMemory(ctx, core, space, addr, p)
		if err == nil && t.State(core).Running {
			seen[key] = slices.Clone(p)
		}
		return err
	}}
}

func memoryWriteIgnored(t target.Target) target.Target {
	return &altered{Target: t, writeMemory: func(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
		return t.ReadMemory(ctx, core, space, addr, make([]byte, len(p))) // it is refused where it would be
	}}
}

func memoryWriteSpills(t target.Target) target.Target {
	return &altered{Target: t, writeMemory: func(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
		var next [1]byte
		if t.ReadMemory(ctx, core, space, addr+uint64(len(p)), next[:]) == nil {
			p = append(slices.Clone(p), ^next[0])
		}
		return t.WriteMemory(ctx, core, space, addr, p)
	}}
}

// toPageEnd is how many of n bytes lie before the end of the page.
func toPageEnd(addr uint64, n int) int { return min(n, pageSize-int(addr%pageSize)) }

func memoryWriteCut(t target.Target) target.Target {
	return &altered{Target: t, writeMemory: func(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
		return t.WriteMemory(ctx, core, space, addr, p[:toPageEnd(addr, len(p))])
	}}
}

func memoryReadCut(t target.Target) target.Target {
	return &altered{Target: t, readMemory: func(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
		n := toPageEnd(addr, len(p))
		clear(p[n:])
		return t.ReadMemory(ctx, core, space, addr, p[:n])
	}}
}

// unmapped reports whether an access failed because nothing is there.
func unmapped(err error) bool {
	return errors.Is(err, target.ErrUnmapped) || errors.Is(err, target.ErrUnreachable)
}

func unmappedReadsZeros(t target.Target) target.Target {
	return &altered{Target: t, readMemory: func(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
		err := t.ReadMemory(ctx, core, space, addr, p)
		if unmapped(err) {
			clear(p)
			return nil
		}
		return err
	}}
}

func unmappedWriteSucceeds(t target.Target) target.Target {
	return &altered{Target: t, writeMemory: func(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
		err := t.WriteMemory(ctx, core, space, addr, p)
		if unmapped(err) || errors.Is(err, target.ErrNotTaken) {
			return nil
		}
		return err
	}}
}

// memorySpacesSwapped takes a physical address for a logical one and the other way round.
func memorySpacesSwapped(t target.Target) target.Target {
	return &altered{
		Target: t,
		readMemory: func(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
			space.Physical = !space.Physical
			return t.ReadMemory(ctx, core, space, addr, p)
		},
		writeMemory: func(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
			space.Physical = !space.Physical
			return t.WriteMemory(ctx, core, space, addr, p)
		},
	}
}

// longReadRepeats fills what lies behind the first 64 bytes of a read with those again, as a buffer that is not refilled does.
func longReadRepeats(t target.Target) target.Target {
	const block = 64
	return &altered{Target: t, readMemory: func(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
		err := t.ReadMemory(ctx, core, space, addr, p)
		for n := block; n < len(p); n += block {
			copy(p[n:], p[:block])
		}
		return err
	}}
}

// memoryReadStops stops the core for a read while it runs, and lets it go on.
func memoryReadStops(t target.Target) target.Target {
	return &altered{Target: t, readMemory: func(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
		if !t.State(core).Running {
			return t.ReadMemory(ctx, core, space, addr, p)
		}
		if err := t.Stop(ctx, core); err != nil {
			return err
		}
		return errors.Join(t.ReadMemory(ctx, core, space, addr, p), t.Go(ctx, core))
	}}
}
