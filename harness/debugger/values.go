// SPDX-License-Identifier: Apache-2.0

package debugger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// ErrNoRegister is wrapped by the error for a register that a core has not.
var ErrNoRegister = errors.New("no such register")

// PC is the program counter of a core.
func PC(ctx context.Context, d Debugger, core int) (uint64, error) {
	r, err := pcRegister(ctx, d, core)
	if err != nil {
		return 0, err
	}
	return readRegister(ctx, d, core, r)
}

// SetPC sets the program counter of a core.
func SetPC(ctx context.Context, d Debugger, core int, pc uint64) error {
	r, err := pcRegister(ctx, d, core)
	if err != nil {
		return err
	}
	return writeRegister(ctx, d, core, r, pc)
}

// pcRegister finds the program counter by the names that QEMU's target descriptions have for it.
func pcRegister(ctx context.Context, d Debugger, core int) (Register, error) {
	for _, name := range []string{"pc", "rip", "eip"} {
		r, err := d.FindRegister(ctx, core, name)
		if !errors.Is(err, ErrNoRegister) {
			return r, err
		}
	}
	return Register{}, fmt.Errorf("core %d: %w: none is called pc, rip or eip", core, ErrNoRegister)
}

// RegisterValue is the value of a register of at most 64 bits.
func RegisterValue(ctx context.Context, d Debugger, core int, name string) (uint64, error) {
	r, err := d.FindRegister(ctx, core, name)
	if err != nil {
		return 0, err
	}
	return readRegister(ctx, d, core, r)
}

// SetRegisterValue sets a register of at most 64 bits.
func SetRegisterValue(ctx context.Context, d Debugger, core int, name string, v uint64) error {
	r, err := d.FindRegister(ctx, core, name)
	if err != nil {
		return err
	}
	return writeRegister(ctx, d, core, r, v)
}

func readRegister(ctx context.Context, d Debugger, core int, r Register) (uint64, error) {
	p, err := d.ReadRegister(ctx, core, r.ID)
	if err != nil {
		return 0, err
	}
	if len(p) != r.Bytes() {
		return 0, fmt.Errorf("register %s of core %d has %d bits and was read as %d bytes", r.Name, core, r.Bits, len(p))
	}
	return value(ctx, d, p)
}

func writeRegister(ctx context.Context, d Debugger, core int, r Register, v uint64) error {
	p, err := bytesOf(ctx, d, r.Bytes(), v)
	if err != nil {
		return fmt.Errorf("register %s of core %d: %w", r.Name, core, err)
	}
	return d.WriteRegister(ctx, core, r.ID, p)
}

// ReadValue reads a number of n bytes, at most 8, from memory.
func ReadValue(ctx context.Context, d Debugger, core, space int, addr uint64, n int) (uint64, error) {
	p, err := d.ReadMemory(ctx, core, space, addr, n)
	if err != nil {
		return 0, err
	}
	return value(ctx, d, p)
}

// WriteValue writes a number of n bytes, at most 8, to memory.
func WriteValue(ctx context.Context, d Debugger, core, space int, addr uint64, n int, v uint64) error {
	p, err := bytesOf(ctx, d, n, v)
	if err != nil {
		return err
	}
	return d.WriteMemory(ctx, core, space, addr, p)
}

// value reads at most 8 bytes as a number in the machine's byte order.
func value(ctx context.Context, d Debugger, p []byte) (uint64, error) {
	order, err := d.ByteOrder(ctx)
	if err != nil {
		return 0, err
	}
	if len(p) > 8 {
		return 0, fmt.Errorf("%d bytes are too many for a number of 64 bits", len(p))
	}
	var b [8]byte
	copy(b[:], p)
	if order == binary.BigEndian {
		slices.Reverse(b[:len(p)])
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}

// bytesOf is a number as n bytes in the machine's byte order.
func bytesOf(ctx context.Context, d Debugger, n int, v uint64) ([]byte, error) {
	order, err := d.ByteOrder(ctx)
	if err != nil {
		return nil, err
	}
	if n < 0 || n > 8 || n < 8 && v>>(8*n) != 0 {
		return nil, fmt.Errorf("%#x does not fit %d bytes", v, n)
	}
	p := binary.LittleEndian.AppendUint64(nil, v)[:n]
	if order == binary.BigEndian {
		slices.Reverse(p)
	}
	return p, nil
}

// Continue lets a core run from where it stands even if there is a breakpoint: it steps off it first.
func Continue(ctx context.Context, d Debugger, core int) error {
	if err := d.Step(ctx, core); err != nil {
		return err
	}
	return d.Go(ctx, core)
}
