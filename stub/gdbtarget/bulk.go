// SPDX-License-Identifier: Apache-2.0

package gdbtarget

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mcdtest/stub/rsp"
	"mcdtest/stub/target"
)

const (
	// bulkFrom is the number of bytes from which a write is quicker through qtest, with the translation that it needs: the gdbstub
	// takes hex digits one at a time.
	bulkFrom = 16 << 10
	// piecesFrom is the same where the gdbstub would be sent several pieces, one after the other.
	piecesFrom = 4 << 10
)

// WriteRAM implements target.RAMWriter, for logical memory while the VM stands.
func (t *Target) WriteRAM(ctx context.Context, core int, space target.Space, addr uint64, p []byte) (done bool, err error) {
	if t.checkCore(core) != nil || space != (target.Space{}) || len(p) < piecesFrom {
		return false, nil
	}
	if last := addr + uint64(len(p)-1); last < addr || last > t.lastAddress(core) {
		return false, nil
	}
	if err := t.lock(ctx); err != nil {
		return false, err
	}
	defer t.mu.Unlock()
	if t.vmRunning {
		return false, nil
	}
	return t.bulkWrite(ctx, core, addr, p)
}

// bulkWrite writes logical memory through qtest while the VM stands. It is only for a range of RAM that is one piece of physical memory,
// the same one in whatever state the core is; done is false for any other, of which nothing is written.
func (t *Target) bulkWrite(ctx context.Context, core int, addr uint64, p []byte) (done bool, err error) {
	qt := t.qtest()
	if qt == nil || !translatesPages(t.info.Cores[core].Type) {
		return false, nil
	}
	phys, err := t.translateRun(core, addr, len(p))
	if t.gdb.Err() != nil || errors.Is(err, rsp.ErrTimeout) {
		return false, t.wireError(err)
	}
	if err != nil {
		return false, nil // the gdbstub, asked to write, says what is wrong
	}
	if ok, err := t.plainRAM(ctx, core, phys, len(p)); err != nil || !ok {
		return false, err
	}
	old := scratch(&t.old, len(p))
	if err := qt.Read(ctx, phys, old); err != nil {
		if ctx.Err() != nil {
			return false, err
		}
		return false, nil // nothing is written yet, and the gdbstub needs no qtest
	}
	written, cancel := untilWritten(ctx, len(p))
	defer cancel()
	if err = qt.Write(written, phys, p); err == nil {
		back := scratch(&t.back, len(p))
		if err = qt.Read(written, phys, back); err == nil && !bytes.Equal(back, p) {
			err = target.ErrNotTaken
		}
	}
	if err == nil {
		return true, nil
	}
	undo, cancel := untilUndone(ctx, len(p))
	defer cancel()
	backErr := qt.Write(undo, phys, old)
	gone := t.qtest() == nil
	if backErr != nil && gone {
		backErr = t.gdbPoke(core, addr, old, nil)
	}
	switch {
	case backErr != nil:
		return true, fmt.Errorf("%w; and putting back what was there failed: %w", err, backErr)
	case gone || errors.Is(err, target.ErrNotTaken):
		return false, nil
	}
	return true, err
}

// translatesPages reports whether QEMU's cores of a type translate no less than a page of 4 KiB at a time. ARM's before v7, and those that
// have no MMU, may have pages of 1 KiB.
func translatesPages(cpu string) bool {
	if name, ok := strings.CutSuffix(cpu, "-arm-cpu"); ok {
		return name == "max" || strings.HasPrefix(name, "cortex-a") || strings.HasPrefix(name, "neoverse-")
	}
	return slices.ContainsFunc([]string{"-riscv-cpu", "-i386-cpu", "-x86_64-cpu"}, func(suffix string) bool { return strings.HasSuffix(cpu, suffix) })
}

// plainRAM reports whether a range of physical memory is RAM, and the same RAM for the first core and in every address space of this one:
// a translation does not say which of them it leads to. The memory tree is read again if it may have changed.
func (t *Target) plainRAM(ctx context.Context, core int, phys uint64, n int) (bool, error) {
	if !t.viewsFresh || t.disturbed() {
		if err := t.readViews(ctx); err != nil {
			return false, err
		}
	}
	view := t.firstView()
	if mapped, kind := view.covers(phys, n); !mapped || kind != ram {
		return false, nil
	}
	for _, as := range t.info.Cores[core].AddressSpaces {
		if other := findView(t.views, as.Name); other != view && !view.same(other, phys, n) {
			return false, nil
		}
	}
	return true, nil
}

var errScattered = errors.New("the range is several pieces of physical memory")

// translateRun is translate for a range that is one piece, through the gdbstub: its monitor takes many lines at once.
func (t *Target) translateRun(core int, addr uint64, n int) (phys uint64, err error) {
	if t.monitorCore != core {
		t.monitorCore = -1
		t.gdb.QueueRcmd(fmt.Sprintf("cpu %d", core))
		if err := t.gdb.Flush(); err != nil {
			return 0, err
		}
		if text, err := t.gdb.ReceiveRcmd(rsp.Timeout); err != nil || len(text) > 0 {
			return 0, errors.Join(fmt.Errorf("monitor command cpu %d: %.60q", core, text), err)
		}
		t.monitorCore = core
	}
	first := addr - addr%page
	last := addr + uint64(n-1)
	size := int(last-last%page-first) + page
	err = t.transfer(core, size, page, func(at, _ int) {
		t.gdb.QueueRcmd(fmt.Sprintf("gva2gpa %#x", first+uint64(at)))
	}, func(at, _ int) error {
		text, err := t.gdb.ReceiveRcmd(rsp.Timeout)
		if err != nil {
			return err
		}
		there, err := parseGPA(string(text), first+uint64(at))
		switch {
		case err != nil:
			return err
		case at == 0:
			phys = there
		case there != phys+uint64(at):
			return errScattered
		}
		return nil
	})
	return phys + addr - first, err
}
