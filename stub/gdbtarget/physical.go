// SPDX-License-Identifier: Apache-2.0

package gdbtarget

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"mcdtest/stub/qtest"
	"mcdtest/stub/rsp"
	"mcdtest/stub/target"
)

// extent is a run of physical memory that a logical range stands for.
type extent struct {
	addr uint64
	n    int
}

// The monitor prints with %#x, so that 0 has no prefix.
var gpaLine = regexp.MustCompile(`gpa: (?:0x)?([0-9a-fA-F]+)`)

// translate turns a logical range into physical runs, as the core translates at this moment. It works while the core
// runs. Without translation the monitor answers the address itself, also where nothing is mapped.
func (t *Target) translate(ctx context.Context, core int, addr uint64, n int) ([]extent, error) {
	var list []extent
	for n > 0 {
		m := min(n, int(page-addr%page))
		text, err := t.hmp(ctx, core, fmt.Sprintf("gva2gpa %#x", addr))
		if err != nil {
			return nil, err
		}
		phys, err := parseGPA(text, addr)
		if err != nil {
			return nil, err
		}
		if last := len(list) - 1; last >= 0 && list[last].addr+uint64(list[last].n) == phys {
			list[last].n += m
		} else {
			list = append(list, extent{phys, m})
		}
		addr, n = addr+uint64(m), n-m
	}
	return list, nil
}

// parseGPA reads what gva2gpa prints of an address.
func parseGPA(text string, addr uint64) (phys uint64, err error) {
	match := gpaLine.FindStringSubmatch(text)
	if match == nil || strings.Count(text, "gpa:") > 1 {
		return 0, fmt.Errorf("%w: the monitor says %.60q of %#x", target.ErrUnmapped, text, addr)
	}
	return strconv.ParseUint(match[1], 16, 64)
}

// accessLive reaches logical memory without stopping the VM.
func (t *Target) accessLive(ctx context.Context, core int, addr uint64, p []byte, write bool) error {
	phys, err := t.translate(ctx, core, addr, len(p))
	if err != nil {
		return err
	}
	inAPause := func() error {
		return t.paused(func() error { return t.accessLogical(ctx, core, addr, p, write) })
	}
	// All of the range is checked before any of it is touched.
	for _, e := range phys {
		view, err := t.systemView(ctx, e.addr, e.n)
		if err != nil {
			return err
		}
		shared, err := t.sharesBus(ctx, core, e.addr, e.n)
		if err != nil {
			return err
		}
		if !shared {
			return inAPause()
		}
		mapped, kind := view.covers(e.addr, e.n)
		if write && kind == rom && len(phys) > 1 {
			return inAPause() // where what does not take can be taken back
		}
		if !mapped {
			if len(t.info.Cores[core].AddressSpaces) > 1 {
				// It may be memory of the secure world, which only the gdbstub reaches.
				return inAPause()
			}
			return fmt.Errorf("%w: physical address %#x", target.ErrUnmapped, e.addr)
		}
	}
	if write { // all of them or none
		var cancel context.CancelFunc
		ctx, cancel = untilWritten(ctx, len(p))
		defer cancel()
	}
	for _, e := range phys {
		if err := t.accessPhysical(ctx, e.addr, p[:e.n], write); err != nil {
			return err
		}
		p = p[e.n:]
	}
	return nil
}

// systemView is the view of the first CPU's memory. The memory tree is read again if the known one lacks the range:
// devices move, RAM hardly ever goes.
func (t *Target) systemView(ctx context.Context, addr uint64, n int) (*flatView, error) {
	view := t.firstView()
	if mapped, _ := view.covers(addr, n); mapped {
		return view, nil
	}
	if err := t.readViews(ctx); err != nil {
		return nil, err
	}
	return t.firstView(), nil
}

// readViews reads the memory tree.
func (t *Target) readViews(ctx context.Context) error {
	text, err := t.hmp(ctx, -1, "info mtree -f")
	if err != nil {
		return err
	}
	t.views, t.viewsFresh = parseMtree(text), !t.vmRunning
	return nil
}

// sharesBus reports whether a core sees the same as the first one in a range of physical memory: qtest and the gdbstub's physical mode
// reach the first one's bus. What is not mapped for either is the same.
func (t *Target) sharesBus(ctx context.Context, core int, addr uint64, n int) (bool, error) {
	if core == 0 {
		return true, nil
	}
	view, err := t.systemView(ctx, addr, n) // brings the memory tree up to date
	if err != nil {
		return false, err
	}
	other := findView(t.views, t.info.Cores[core].AddressSpaces[0].Name)
	if other == nil || view == other || view.same(other, addr, n) {
		return true, nil
	}
	mapped, _ := view.covers(addr, n)
	also, _ := other.covers(addr, n)
	return !mapped && !also, nil
}

// firstView is the last view that is known of the first CPU's memory.
func (t *Target) firstView() *flatView {
	return findView(t.views, t.info.Cores[0].AddressSpaces[0].Name)
}

func findView(views []addressSpaceView, name string) *flatView {
	for _, v := range views {
		if v.name == name {
			return v.view
		}
	}
	return nil
}

// accessPhysical reaches the bus. What is mapped is asked of the memory tree, since neither qtest nor the gdbstub (7.2
// and 10.0) tells of a hole.
func (t *Target) accessPhysical(ctx context.Context, addr uint64, p []byte, write bool) error {
	view, err := t.systemView(ctx, addr, len(p))
	if err != nil {
		return err
	}
	mapped, kind := view.covers(addr, len(p))
	if !mapped {
		return fmt.Errorf("%w: the memory tree has a hole", target.ErrUnmapped)
	}
	if !write {
		return t.busRead(ctx, addr, p)
	}
	var old []byte
	if kind != device && (addr/page != (addr+uint64(len(p)-1))/page) {
		old = make([]byte, len(p))
		if err := t.busRead(ctx, addr, old); err != nil {
			return err
		}
	}
	written, cancel := untilWritten(ctx, len(p))
	defer cancel()
	err = t.busWrite(written, addr, p)
	if kind == device { // a device's register need not read back as it was written
		t.viewsFresh = false
		return err
	}
	if err == nil {
		back := scratch(&t.back, len(p))
		err = t.busRead(written, addr, back)
		// Where a core runs it may have written to RAM meanwhile.
		if err == nil && !bytes.Equal(back, p) && !(t.vmRunning && kind == ram) {
			err = target.ErrNotTaken
		}
	}
	if err != nil && old != nil {
		undo, cancel := untilUndone(ctx, len(p))
		defer cancel()
		if backErr := t.busWrite(undo, addr, old); backErr != nil {
			return fmt.Errorf("%w; and putting back what was there failed: %w", err, backErr)
		}
	}
	return err
}

// writeGrace is how long a write that has begun may go on when its request has ended, and how long it may take to put back what was there;
// a tenth of a second more for each MiB. It needs a fraction of that, unless QEMU stands still.
const writeGrace = 500 * time.Millisecond

func graceFor(n int) time.Duration { return writeGrace + time.Duration(n>>20)*time.Second/10 }

// untilWritten is the context of a write of n bytes that has begun.
func untilWritten(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	written, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(graceFor(n), func() { cancel(context.Cause(ctx)) })
		context.AfterFunc(written, func() { timer.Stop() })
	})
	return written, func() {
		stop()
		cancel(nil)
	}
}

// untilUndone is the context in which what n bytes were is put back.
func untilUndone(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), graceFor(n))
}

// qtest is the way to memory that needs no pause, as long as it is there.
func (t *Target) qtest() *qtest.Client {
	if t.qt != nil {
		if err := t.qt.Err(); err != nil {
			t.log.Warn("memory of a running core is reached by pauses from now on", "error", err)
			t.qt = nil
		}
	}
	return t.qt
}

func (t *Target) busRead(ctx context.Context, addr uint64, p []byte) error {
	if qt := t.qtest(); qt != nil {
		if err := qt.Read(ctx, addr, p); err == nil || t.qtest() != nil {
			return err
		}
	}
	if t.vmRunning && len(p) <= monitorReadLimit {
		return t.monitorRead(ctx, addr, p)
	}
	return t.paused(func() error {
		return t.physicalMode(func() error { return t.gdbRead(0, addr, p) })
	})
}

// monitorReadLimit is the largest read that is made through the monitor while the VM runs and there is no qtest. A larger
// one takes longer than a pause.
const monitorReadLimit = 1024

// monitorRead reads with HMP xp, which does not stop the VM. Its lines are an address, a colon and bytes; how many
// digits the address has differs between versions.
func (t *Target) monitorRead(ctx context.Context, addr uint64, p []byte) error {
	text, err := t.hmp(ctx, -1, fmt.Sprintf("xp /%dxb %#x", len(p), addr))
	if err != nil {
		return err
	}
	n := 0
	for line := range strings.Lines(text) {
		_, values, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		for _, v := range strings.Fields(values) {
			b, err := strconv.ParseUint(v, 0, 8)
			if err != nil || n == len(p) {
				return fmt.Errorf("monitor command xp at %#x answers %.80q", addr, text)
			}
			p[n] = byte(b)
			n++
		}
	}
	if n != len(p) {
		return fmt.Errorf("%w: monitor command xp at %#x answers %.80q", target.ErrUnmapped, addr, text)
	}
	return nil
}

func (t *Target) busWrite(ctx context.Context, addr uint64, p []byte) error {
	if qt := t.qtest(); qt != nil {
		if !t.vmRunning && t.gdb.Owed() {
			// A write that the gdbstub has not answered would come behind this one.
			if _, err := t.gdb.Exchange("qC"); err != nil {
				return t.wireError(err)
			}
		}
		return qt.Write(ctx, addr, p)
	}
	return t.paused(func() error {
		return t.physicalMode(func() error { return t.gdbPoke(0, addr, p, make([]byte, len(p))) })
	})
}

// physicalMode runs f while the gdbstub's memory packets go to the bus. The mode outlives connections, so it is left
// in any case.
func (t *Target) physicalMode(f func() error) error {
	set := func(on string) error {
		reply, err := t.gdb.Exchange("Qqemu.PhyMemMode:" + on)
		if err != nil {
			var refused *rsp.ReplyError
			if !errors.As(err, &refused) {
				return t.wireError(err)
			}
			return fmt.Errorf("%w: %w", target.ErrUnsupported, err)
		}
		if len(reply) == 0 {
			return fmt.Errorf("%w: this gdbstub has no physical memory mode", target.ErrUnsupported)
		}
		return nil
	}
	off := func() error {
		err := set("0")
		if errors.Is(err, rsp.ErrLost) {
			err = set("0")
		}
		return err
	}
	if err := set("1"); err != nil {
		if errors.Is(err, rsp.ErrTimeout) || errors.Is(err, rsp.ErrLost) {
			_ = off() // for when QEMU comes round to it
		}
		return err
	}
	err := f()
	if offErr := off(); offErr != nil {
		return offErr
	}
	return err
}
