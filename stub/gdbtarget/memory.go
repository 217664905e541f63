// SPDX-License-Identifier: Apache-2.0

package gdbtarget

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
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
		if shared, err := t.sharesBus(ctx, core, addr, len(p)); err != nil || !shared {
			return errors.Join(err, fmt.Errorf("%w: core %d has other memory there than the first one, whose bus alone can be reached", target.ErrUnreachable, core))
		}
		return t.accessPhysical(ctx, addr, p, write)
	}
	if !t.vmRunning {
		return t.accessLogical(ctx, core, addr, p, write)
	}
	if t.qtest() != nil || !write && len(p) <= monitorReadLimit {
		return t.accessLive(ctx, core, addr, p, write)
	}
	return t.paused(func() error { return t.accessLogical(ctx, core, addr, p, write) })
}

// accessLogical reaches logical memory while the VM stands.
func (t *Target) accessLogical(ctx context.Context, core int, addr uint64, p []byte, write bool) error {
	if !write {
		return t.readLogical(ctx, core, addr, p)
	}
	return t.writeLogical(ctx, core, addr, p)
}

// gdbRead reads memory through the gdbstub: logical memory, or in physical mode the bus.
func (t *Target) gdbRead(core int, addr uint64, p []byte) error {
	chunk := min(t.gdb.PacketSize()/2, maxChunk)
	return t.transfer(core, len(p), chunk, func(at, n int) {
		t.gdb.QueueAddr('m', addr+uint64(at), n, nil)
	}, func(at, n int) error {
		return t.receiveMemory(addr+uint64(at), p[at:at+n])
	})
}

// transfer has size bytes of memory handled in chunks, several of them under way at once: queue adds the packets of one, and
// receive reads their replies. While replies come in, new chunks follow as soon as half of what may be under way is done, so
// that the stub always has something to do. After an error nothing new is queued, and what is under way is received.
func (t *Target) transfer(core, size, chunk int, queue func(at, n int), receive func(at, n int) error) error {
	due := t.queueSelect(core)
	var failed error
	queued := 0
	for received := 0; received < size && (failed == nil || received < queued); {
		if failed == nil && queued < size && queued-received <= inFlight/2 {
			for queued < size && queued-received < inFlight {
				n := min(chunk, size-queued)
				queue(queued, n)
				queued += n
			}
			if err := t.gdb.Flush(); err != nil {
				return t.wireError(err)
			}
		}
		if err := t.receiveSelect(due); err != nil {
			return t.wireError(err)
		}
		due = false
		n := min(chunk, size-received)
		err := receive(received, n)
		if failed == nil {
			failed = err
		}
		if t.gdb.Err() != nil || errors.Is(err, rsp.ErrTimeout) || errors.Is(err, rsp.ErrLost) {
			return t.wireError(failed) // nothing more will come
		}
		received += n
	}
	return failed
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

// writeLogical writes logical memory while the VM stands, in the quicker way.
func (t *Target) writeLogical(ctx context.Context, core int, addr uint64, p []byte) error {
	if len(p) >= bulkFrom {
		if done, err := t.bulkWrite(ctx, core, addr, p); done || err != nil {
			return err
		}
	}
	return t.gdbWrite(ctx, core, addr, p)
}

// gdbWrite writes logical memory and makes sure that it took. A page is written wholly or not at all, so only a range
// that spans several can be written in part: there the old content is read first, which also finds holes, and put back
// if something goes wrong.
func (t *Target) gdbWrite(ctx context.Context, core int, addr uint64, p []byte) error {
	var old []byte
	if addr/page != (addr+uint64(len(p)-1))/page {
		old = make([]byte, len(p))
		if err := t.readLogical(ctx, core, addr, old); err != nil {
			return err
		}
	}
	back := scratch(&t.back, len(p))
	err := t.pokeLogical(ctx, core, addr, p, back)
	if err == nil && !bytes.Equal(back, p) {
		err = t.deviceWrite(ctx, core, addr, p)
	}
	if err != nil && old != nil && t.gdb.Err() == nil {
		if backErr := t.pokeLogical(ctx, core, addr, old, scratch(&t.back, len(p))); backErr != nil {
			return fmt.Errorf("%w; and putting back what was there failed: %w", err, backErr)
		}
	}
	return err
}

// keepBuffer is the largest buffer that is kept for the next request, unless that needs more.
const keepBuffer = 256 << 10

// scratch is a buffer of n bytes that is valid until its next use.
func scratch(buf *[]byte, n int) []byte {
	if cap(*buf) < n || cap(*buf) > keepBuffer && n <= keepBuffer {
		*buf = make([]byte, n)
	}
	return (*buf)[:n]
}

// gdbPoke writes p and, unless back is nil, reads it back into back.
func (t *Target) gdbPoke(core int, addr uint64, p, back []byte) error {
	chunk := min((t.gdb.PacketSize()-writeOverhead)/2, maxChunk)
	return t.transfer(core, len(p), chunk, func(at, n int) {
		t.gdb.QueueAddr('M', addr+uint64(at), n, p[at:at+n])
		if back != nil {
			t.gdb.QueueAddr('m', addr+uint64(at), n, nil)
		}
	}, func(at, n int) error {
		reply, err := t.gdb.Receive(rsp.Timeout)
		if err != nil {
			return err
		}
		if !bytes.Equal(reply, []byte("OK")) {
			err = fmt.Errorf("%w: gdbstub answers %q to a write of %d bytes at %#x", target.ErrUnmapped, reply, n, addr+uint64(at))
		}
		if back == nil {
			return err
		}
		backErr := t.receiveMemory(addr+uint64(at), back[at:at+n])
		if err == nil || backErr != nil && !errors.Is(backErr, target.ErrUnmapped) {
			err = backErr
		}
		return err
	})
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
