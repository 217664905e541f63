// SPDX-License-Identifier: Apache-2.0

package gdbtarget

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mcdtest/stub/rsp"
	"mcdtest/stub/target"
)

// ReadRegister implements target.Target. A running core is paused for it, so that the value is a true one.
func (t *Target) ReadRegister(ctx context.Context, core, number int, p []byte) ([]byte, error) {
	reg, err := t.register(core, number)
	if err != nil {
		return p, target.Errorf(err, "read register %d of core %d", number, core)
	}
	if err := t.lock(ctx); err != nil {
		return p, target.Errorf(err, "read register %s of core %d", reg.Name, core)
	}
	defer t.mu.Unlock()
	if !t.vmRunning { // the common case, without a closure
		p, err = t.readRegister(core, reg, p)
	} else {
		err = t.paused(func() error {
			p, err = t.readRegister(core, reg, p)
			return err
		})
	}
	if err != nil {
		return p, target.Errorf(err, "read register %s of core %d", reg.Name, core)
	}
	return p, nil
}

// WriteRegister implements target.Target. The register is read before and after: the gdbstub acknowledges writes that
// the CPU ignores, and a write that took only in part is taken back.
func (t *Target) WriteRegister(ctx context.Context, core, number int, p []byte) error {
	reg, err := t.register(core, number)
	if err == nil && len(p) != reg.Bytes() {
		err = fmt.Errorf("%w: %s has %d, not %d", target.ErrSize, reg.Name, reg.Bytes(), len(p))
	}
	if err == nil {
		if why := t.endsQEMU(core, reg, p); why != "" {
			err = fmt.Errorf("%w: QEMU ends on %s", target.ErrNotTaken, why)
		}
	}
	if err != nil {
		return target.Errorf(err, "write register %d of core %d", number, core)
	}
	if err := t.lock(ctx); err != nil {
		return target.Errorf(err, "write register %s of core %d", reg.Name, core)
	}
	defer t.mu.Unlock()
	if err := t.paused(func() error { return t.writeRegister(core, reg, p) }); err != nil {
		return target.Errorf(err, "write register %s of core %d", reg.Name, core)
	}
	return nil
}

// endsQEMU says on what QEMU would end if the register were written so, at once or when it translates code or addresses next; empty
// if it would not.
func (t *Target) endsQEMU(core int, reg target.Register, p []byte) string {
	switch {
	case reg.Name == "tdata1":
		// The type is in the highest four bits, and tdata_csr_write (target/riscv/debug.c, 7.2 to 11.1) asserts that it knows it.
		if kind := p[len(p)-1] >> 4; kind == 1 || kind >= 8 && kind <= 14 {
			return "a trigger type that does not exist"
		}
	case reg.Name == "efer" && t.info.Arch == "i386" && len(p) > 1:
		// i386_tr_init_disas_context (target/i386/tcg/translate.c, 7.2 to 11.1) asserts that a 32-bit CPU is not in long mode.
		if p[1]&4 != 0 {
			return "long mode of a 32-bit CPU"
		}
	case reg.Name == "cpsr" && t.info.Arch == "aarch64":
		// 11.1 looks for the translation of EL3, which is not there (SIGSEGV).
		_, is64 := t.namedRegister(core, "x0") // the modes of a 32-bit core have other bits there
		secure := slices.ContainsFunc(t.info.Cores[core].AddressSpaces, func(as target.AddressSpace) bool { return as.Secure })
		if is64 && p[0]>>2&3 == 3 && !secure {
			return "an exception level that the CPU does not have"
		}
	}
	return ""
}

func (t *Target) register(core, number int) (target.Register, error) {
	if err := t.checkCore(core); err != nil {
		return target.Register{}, err
	}
	reg, ok := t.info.Cores[core].Register(number)
	if !ok {
		return target.Register{}, target.ErrNoRegister
	}
	return reg, nil
}

// queueSelect makes the next register and memory packets speak of a core. It reports whether a reply is due for it.
func (t *Target) queueSelect(core int) bool {
	if t.selected == core {
		return false
	}
	t.gdb.Queue("Hg" + t.threads[core])
	t.selected = core
	return true
}

// receiveSelect reads the reply to queueSelect's packet.
func (t *Target) receiveSelect(due bool) error {
	if !due {
		return nil
	}
	reply, err := t.gdb.Receive(rsp.Timeout)
	if err == nil && !bytes.Equal(reply, []byte("OK")) {
		err = fmt.Errorf("%w: gdbstub answers %q to Hg", target.ErrUnreachable, reply)
	}
	if err != nil {
		t.selected = -1
	}
	return err
}

// halves are what a Q register of 32-bit ARM consists of, the low one first. QEMU's gdbstub (7.2 to 11.1) writes the two in this
// order, but reads them in the other one, so a Q register is reached through them.
func (t *Target) halves(core int, reg target.Register) (low, high target.Register, ok bool) {
	digits, isQ := strings.CutPrefix(reg.Name, "q")
	if !isQ || reg.Bits != 128 {
		return low, high, false
	}
	n, err := strconv.Atoi(digits)
	if err != nil {
		return low, high, false
	}
	// 7.2 has two that are called q10; their numbers follow those of q0.
	for _, r := range t.info.Cores[core].Registers {
		if r.Name == "q0" {
			n = reg.Number - r.Number
		}
	}
	low, hasLow := t.namedRegister(core, "d"+strconv.Itoa(2*n))
	high, hasHigh := t.namedRegister(core, "d"+strconv.Itoa(2*n+1))
	return low, high, hasLow && hasHigh
}

// readRegister reads a register while the VM stands.
func (t *Target) readRegister(core int, reg target.Register, p []byte) ([]byte, error) {
	if low, high, ok := t.halves(core, reg); ok {
		p, err := t.readRegister(core, low, p)
		if err != nil {
			return p, err
		}
		return t.readRegister(core, high, p)
	}
	due := t.queueRegister(core, reg)
	if err := t.gdb.Flush(); err != nil {
		return p, t.wireError(err)
	}
	p, err := t.receiveSelected(due, reg, p)
	return p, t.wireError(err)
}

// queueRegister asks for a register of a core. It reports whether a reply is due for selecting the core.
func (t *Target) queueRegister(core int, reg target.Register) (due bool) {
	due = t.queueSelect(core)
	t.gdb.QueueRegister(reg.Number, nil)
	return due
}

// receiveSelected reads the replies to queueRegister's packets.
func (t *Target) receiveSelected(due bool, reg target.Register, p []byte) ([]byte, error) {
	selectErr := t.receiveSelect(due)
	p, err := t.receiveRegister(reg, p)
	if selectErr != nil {
		err = selectErr
	}
	return p, err
}

func (t *Target) receiveRegister(reg target.Register, p []byte) ([]byte, error) {
	reply, err := t.gdb.Receive(rsp.Timeout)
	if err != nil {
		return p, err
	}
	if len(reply) != 2*reg.Bytes() {
		return p, fmt.Errorf("%w: gdbstub answers %.40q", target.ErrUnreachable, reply)
	}
	out, err := hex.AppendDecode(p, reply)
	if err != nil {
		return p, fmt.Errorf("gdbstub answers %.40q: %w", reply, err)
	}
	return out, nil
}

// writeRegister writes a register while the VM stands: wholly, or not at all.
func (t *Target) writeRegister(core int, reg target.Register, p []byte) error {
	if low, high, ok := t.halves(core, reg); ok {
		old, err := t.readRegister(core, low, nil)
		if err != nil {
			return err
		}
		if err := t.writeRegister(core, low, p[:low.Bytes()]); err != nil {
			return err
		}
		err = t.writeRegister(core, high, p[low.Bytes():])
		if err != nil {
			err = errors.Join(err, t.writeRegister(core, low, old))
		}
		return err
	}
	due := t.queueSelect(core)
	t.gdb.QueueRegister(reg.Number, nil)
	t.gdb.QueueRegister(reg.Number, p)
	t.gdb.QueueRegister(reg.Number, nil)
	if err := t.gdb.Flush(); err != nil {
		return t.wireError(err)
	}
	selectErr := t.receiveSelect(due)
	old, oldErr := t.receiveRegister(reg, nil)
	reply, err := t.gdb.Receive(rsp.Timeout)
	refused := err == nil && !bytes.Equal(reply, []byte("OK"))
	if err != nil {
		return t.wireError(err)
	}
	now, nowErr := t.receiveRegister(reg, nil)
	for _, err := range []error{selectErr, oldErr, nowErr} {
		if err != nil {
			return t.wireError(err)
		}
	}
	if refused {
		return fmt.Errorf("%w: gdbstub refuses it", target.ErrNotTaken)
	}
	if bytes.Equal(now, p) {
		return nil
	}
	if !bytes.Equal(now, old) { // it took in part: take it back
		t.gdb.QueueRegister(reg.Number, old)
		if err := t.gdb.Flush(); err != nil {
			return t.wireError(err)
		}
		if _, err := t.gdb.Receive(rsp.Timeout); err != nil {
			return t.wireError(err)
		}
	}
	return fmt.Errorf("%w: %x was written, %x is read back", target.ErrNotTaken, p, now)
}

// registers are the general registers of a core while the VM stands, as the gdbstub writes them, to compare them with.
func (t *Target) registers(core int) (string, error) {
	due := t.queueSelect(core)
	t.gdb.Queue("g")
	if err := t.gdb.Flush(); err != nil {
		return "", t.wireError(err)
	}
	selectErr := t.receiveSelect(due)
	reply, err := t.gdb.Receive(rsp.Timeout)
	if selectErr != nil {
		err = selectErr
	}
	if err == nil && rsp.IsError(reply) {
		err = fmt.Errorf("%w: gdbstub answers %s to g", target.ErrUnreachable, reply)
	}
	return string(reply), t.wireError(err)
}

// pcNames are what target descriptions call the program counter.
var pcNames = []string{"pc", "rip", "eip", "pswa", "rpc"}

// pcRegister is the program counter of a core.
func (t *Target) pcRegister(core int) (target.Register, bool) {
	for _, name := range pcNames {
		if reg, ok := t.namedRegister(core, name); ok {
			return reg, true
		}
	}
	return target.Register{}, false
}

// pc reads the program counter of a core while the VM stands.
func (t *Target) pc(core int) (uint64, error) {
	reg, ok := t.pcRegister(core)
	if !ok {
		return 0, fmt.Errorf("%w: none of core %d is called %v", target.ErrNoRegister, core, pcNames)
	}
	return t.value(core, reg)
}

// leastAddressBits is the least that a width of addresses is believed: QEMU describes AVR's program counter with 8 bits.
const leastAddressBits = 16

// lastAddress is the end of a core's logical addresses, which are as wide as its program counter.
func (t *Target) lastAddress(core int) uint64 {
	for _, reg := range t.info.Cores[core].Registers {
		if slices.Contains(pcNames, reg.Name) && reg.Bits < 64 && reg.Bits >= leastAddressBits {
			return 1<<reg.Bits - 1
		}
	}
	return 1<<64 - 1
}

// namedRegister finds a register of at most 64 bits by its name.
func (t *Target) namedRegister(core int, name string) (target.Register, bool) {
	for _, reg := range t.info.Cores[core].Registers {
		if reg.Name == name && reg.Bits <= 64 {
			return reg, true
		}
	}
	return target.Register{}, false
}

// readNamed reads such a register, if the core has it.
func (t *Target) readNamed(core int, name string) (value uint64, ok bool, err error) {
	reg, ok := t.namedRegister(core, name)
	if !ok {
		return 0, false, nil
	}
	value, err = t.value(core, reg)
	return value, err == nil, err
}

// value reads such a register.
func (t *Target) value(core int, reg target.Register) (uint64, error) {
	p, err := t.readRegister(core, reg, nil)
	if err != nil {
		return 0, err
	}
	return t.number(p), nil
}

// number is the value of a register of at most 64 bits.
func (t *Target) number(p []byte) uint64 {
	var wide [8]byte
	if t.info.BigEndian {
		copy(wide[8-len(p):], p)
		return binary.BigEndian.Uint64(wide[:])
	}
	copy(wide[:], p)
	return binary.LittleEndian.Uint64(wide[:])
}
