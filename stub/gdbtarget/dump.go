// SPDX-License-Identifier: Apache-2.0

package gdbtarget

import (
	"context"
	"fmt"
	"io"
)

// Dump is a file that QEMU can write memory into with QMP memsave, which takes a fraction of the gdbstub's time for large ranges.
type Dump struct {
	File interface { // this side's; not owned
		io.ReaderAt
		Truncate(size int64) error
	}
	Path string // what QEMU calls it; empty: there is none
}

// dumpFrom is the number of bytes from which a dump is quicker than the gdbstub: QMP needs half a millisecond for anything.
const dumpFrom = 128 << 10

// readLogical reads logical memory while the VM stands, in the quicker way.
func (t *Target) readLogical(ctx context.Context, core int, addr uint64, p []byte) error {
	if t.dumps(len(p)) {
		err := t.dumpMemory(ctx, core, addr, p)
		if err == nil || ctx.Err() != nil {
			return err
		}
		// The gdbstub reads the same, and says what QEMU has against it.
		t.log.Debug("memory comes through the gdbstub, as memsave failed", "error", err)
	}
	return t.gdbRead(core, addr, p)
}

// pokeLogical writes p and reads it back into back.
func (t *Target) pokeLogical(ctx context.Context, core int, addr uint64, p, back []byte) error {
	if !t.dumps(len(p)) {
		return t.gdbPoke(core, addr, p, back)
	}
	if err := t.gdbPoke(core, addr, p, nil); err != nil {
		return err
	}
	return t.readLogical(ctx, core, addr, back)
}

// dumps reports whether so many bytes are read from a dump.
func (t *Target) dumps(n int) bool { return n >= dumpFrom && t.dump.Path != "" }

// dumpMemory reads through memsave, which looks at memory as the gdbstub does (cpu_memory_rw_debug).
func (t *Target) dumpMemory(ctx context.Context, core int, addr uint64, p []byte) (err error) {
	defer func() { // also what a memsave that fails has written; it gives the memory back
		if emptied := t.dump.File.Truncate(0); err == nil {
			err = emptied
		}
	}()
	err = t.mon.Execute(ctx, "memsave", struct {
		Addr int64  `json:"val"` // QEMU takes it for unsigned
		Size int    `json:"size"`
		File string `json:"filename"`
		Core int    `json:"cpu-index"`
	}{int64(addr), len(p), t.dump.Path, core}, nil)
	if err != nil {
		return err
	}
	if n, err := t.dump.File.ReadAt(p, 0); err != nil {
		return fmt.Errorf("memsave wrote %d bytes of %d: %w", n, len(p), err)
	}
	return nil
}
