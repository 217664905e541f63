// SPDX-License-Identifier: Apache-2.0

package gdbtarget

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"

	"mcdtest/stub/rsp"
	"mcdtest/stub/target"
)

// page is the granule in which logical addresses are translated and in which a range is wholly one kind of memory.
const page = 4096

const (
	// maxChunk is the most that one gdbstub packet carries. Newer stubs take 64 KiB, which are no faster and, several of
	// them at once, more than the sockets hold.
	maxChunk = 8 << 10
	// inFlight is how many bytes of memory are under way at once in a large transfer. The stub does not read while it
	// cannot write, so all the replies that are due, twice as many digits, have to fit the sockets' buffers: else both
	// sides wait for each other.
	inFlight = 64 << 10
)

// ReadMemory implements target.Target.
func (t *Target) ReadMemory(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
	if err := t.access(ctx, core, space, addr, p, false); err != nil {
		return target.Errorf(err, "read %d bytes of %s at %#x of core %d", len(p), t.spaceName(core, space), addr, core)
	}
	return nil
}

// WriteMemory implements target.Target.
func (t *Target) WriteMemory(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
	if err := t.access(ctx, core, space, addr, p, true); err != nil {
		return target.Errorf(err, "write %d bytes of %s at %#x of core %d", len(p), t.spaceName(core, space), addr, core)
	}
	return nil
}

// spaceName is for error messages.
func (t *Target) spaceName(core int, space target.Space) string {
	kind := "logical"
	if space.Physical {
		kind = "physical"
	}
	if core >= 0 && core < len(t.info.Cores) {
		if as := t.info.Cores[core].AddressSpaces; space.AddressSpace >= 0 && space.AddressSpace < len(as) {
			return kind + " memory (" + as[space.AddressSpace].Name + ")"
		}
	}
	return fmt.Sprintf("%s memory %d", kind, space.AddressSpace)
}

// access picks the way to the memory: the gdbstub while the VM stands, qtest and the monitor while it runs, and for
// what neither reaches the gdbstub in a pause.
func (t *Target) access(ctx context.Context, core int, space target.Space, addr uint64, p []byte, write bool) error {
	if err := t.checkCore(core); err != nil {
		return err
	}
	if space.AddressSpace < 0 || space.AddressSpace >= len(t.info.Cores[core].AddressSpaces) {
		return target.ErrNoSpace
	}
	if len(p) == 0 {
		return nil
	}
	if addr+uint64(len(p)-1) < addr {
		return fmt.Errorf("%w: the range passes the end of the address space", target.ErrUnmapped)
	}
	// The gdbstub cuts a logical address to the width of the core, and so would reach something else.
	if limit := t.lastAddress(core); !space.Physical && addr+uint64(len(p)-1) > limit {
		return fmt.Errorf("%w: logical addresses of core %d end at %#x", target.ErrUnmapped, core, limit)
	}
	if err := t.lock(ctx); err != nil {
		return err
	}
	defer t.mu.Unlock()
	if space.AddressSpace != 0 {
		return t.accessOther(ctx, core, space, addr, p, write)
	}
	if space.Physical {
		return t.accessPhysical(ctx, addr, p, write)
	}
	if !t.vmRunning {
		return t.accessLogical(ctx, core, addr, p, write)
	}
	if t.qt != nil || !write && len(p) <= monitorReadLimit {
		return t.accessLive(ctx, core, addr, p, write)
	}
	return t.paused(func() error { return t.accessLogical(ctx, core, addr, p, write) })
}

// accessLogical goes through the gdbstub while the VM stands.
func (t *Target) accessLogical(ctx context.Context, core int, addr uint64, p []byte, write bool) error {
	if !write {
		return t.gdbRead(core, addr, p)
	}
	return t.gdbWrite(ctx, core, addr, p)
}

// gdbRead reads logical memory, several packets at a time.
func (t *Target) gdbRead(core int, addr uint64, p []byte) error {
	due := t.queueSelect(core)
	chunk := min(t.gdb.PacketSize()/2, maxChunk)
	var failed error
	for len(p) > 0 || due {
		// One write, then as many replies.
		n, queued := 0, 0
		for ; n < min(len(p), inFlight); queued++ {
			m := min(chunk, len(p)-n)
			t.gdb.QueueAddr('m', addr+uint64(n), m, nil)
			n += m
		}
		if err := t.gdb.Flush(); err != nil {
			return t.wireError(err)
		}
		if err := t.receiveSelect(due); err != nil {
			return t.wireError(err)
		}
		due = false
		for i := 0; i < queued; i++ {
			m := min(chunk, n-i*chunk)
			if err := t.receiveMemory(addr+uint64(i*chunk), p[i*chunk:i*chunk+m]); err != nil && failed == nil {
				failed = err
			}
			if t.gdb.Err() != nil {
				return t.wireError(failed)
			}
		}
		if failed != nil {
			return failed
		}
		addr, p = addr+uint64(n), p[n:]
	}
	return nil
}

// receiveMemory reads the reply to one m packet.
func (t *Target) receiveMemory(addr uint64, p []byte) error {
	reply, err := t.gdb.Receive(rsp.Timeout)
	if err != nil {
		return err
	}
	if rsp.IsError(reply) {
		return fmt.Errorf("%w: gdbstub answers %s to a read of %d bytes at %#x", target.ErrUnmapped, reply, len(p), addr)
	}
	if len(reply) != 2*len(p) {
		return fmt.Errorf("gdbstub answers %d digits to a read of %d bytes at %#x", len(reply), len(p), addr)
	}
	_, err = hex.Decode(p, reply)
	return err
}

// writeOverhead is what an M packet has beside the data: letter, address, length, separators.
const writeOverhead = 32

// gdbWrite writes logical memory and makes sure that it took. A page is written wholly or not at all, so only a range
// that spans several can be written in part: there the old content is read first, which also finds holes, and put back
// if something goes wrong.
func (t *Target) gdbWrite(ctx context.Context, core int, addr uint64, p []byte) error {
	var old []byte
	if addr/page != (addr+uint64(len(p)-1))/page {
		old = make([]byte, len(p))
		if err := t.gdbRead(core, addr, old); err != nil {
			return err
		}
	}
	back := t.scratch(len(p))
	err := t.gdbPoke(core, addr, p, back)
	if err == nil && !bytes.Equal(back, p) {
		err = t.deviceWrite(ctx, core, addr, p)
	}
	if err != nil && old != nil && t.gdb.Err() == nil {
		if backErr := t.gdbPoke(core, addr, old, t.scratch(len(p))); backErr != nil {
			return fmt.Errorf("%w; and putting back what was there failed: %w", err, backErr)
		}
	}
	return err
}

// scratch is a buffer of n bytes that is valid until the next call.
func (t *Target) scratch(n int) []byte {
	if cap(t.buf) < n {
		t.buf = make([]byte, n)
	}
	return t.buf[:n]
}

// gdbPoke writes p and reads it back into back.
func (t *Target) gdbPoke(core int, addr uint64, p, back []byte) error {
	due := t.queueSelect(core)
	chunk := min((t.gdb.PacketSize()-writeOverhead)/2, maxChunk)
	var failed error
	for len(p) > 0 {
		n, queued := 0, 0
		for ; n < min(len(p), inFlight); queued++ {
			m := min(chunk, len(p)-n)
			t.gdb.QueueAddr('M', addr+uint64(n), m, p[n:n+m])
			t.gdb.QueueAddr('m', addr+uint64(n), m, nil)
			n += m
		}
		if err := t.gdb.Flush(); err != nil {
			return t.wireError(err)
		}
		if err := t.receiveSelect(due); err != nil {
			return t.wireError(err)
		}
		due = false
		for i := 0; i < queued; i++ {
			at, m := i*chunk, min(chunk, n-i*chunk)
			reply, err := t.gdb.Receive(rsp.Timeout)
			if err == nil && !bytes.Equal(reply, []byte("OK")) {
				err = fmt.Errorf("%w: gdbstub answers %q to a write of %d bytes at %#x", target.ErrUnmapped, reply, m, addr+uint64(at))
			}
			if failed == nil {
				failed = err
			}
			if t.gdb.Err() != nil {
				return t.wireError(failed)
			}
			if err := t.receiveMemory(addr+uint64(at), back[at:at+m]); err != nil && failed == nil {
				failed = err
			}
			if t.gdb.Err() != nil {
				return t.wireError(failed)
			}
		}
		if failed != nil {
			return failed
		}
		addr, p, back = addr+uint64(n), p[n:], back[n:]
	}
	return nil
}

// deviceWrite is for a logical write that the gdbstub acknowledged and that did not take: it ignores devices. Where
// the whole range is a device, the write is made on the bus.
func (t *Target) deviceWrite(ctx context.Context, core int, addr uint64, p []byte) error {
	phys, err := t.translate(ctx, core, addr, len(p))
	if err != nil {
		return err
	}
	if len(phys) == 1 {
		view, err := t.systemView(ctx, phys[0].addr, len(p))
		if err != nil {
			return err
		}
		if r, ok := view.at(phys[0].addr); ok && r.kind == device && uint64(len(p)-1) <= r.last-phys[0].addr {
			return t.accessPhysical(ctx, phys[0].addr, p, true)
		}
	}
	return target.ErrNotTaken
}
