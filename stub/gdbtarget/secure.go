// SPDX-License-Identifier: Apache-2.0

package gdbtarget

import (
	"context"
	"fmt"

	"mcdtest/stub/target"
)

// accessOther reaches the address spaces of a core beyond its first: ARM's secure world, x86's system management mode.
// QEMU lets nobody choose the space: the bus (qtest, physical mode) is always that of the first one, and the gdbstub
// sees memory as the core does at this moment. So memory that both spaces share is reached by the first one, and what
// only the other one has is reached while the core is in it.
func (t *Target) accessOther(ctx context.Context, core int, space target.Space, addr uint64, p []byte, write bool) error {
	as := t.info.Cores[core].AddressSpaces[space.AddressSpace]
	isInside := func() (inside bool, err error) {
		if !as.Secure {
			return false, nil
		}
		err = t.paused(func() error {
			inside, err = t.secure(core)
			return err
		})
		return inside, err
	}
	if !space.Physical {
		inside, err := isInside()
		if err != nil {
			return err
		}
		if inside {
			return t.paused(func() error { return t.accessLogical(ctx, core, addr, p, write) })
		}
		return fmt.Errorf("%w: core %d is not in %s", target.ErrUnreachable, core, as.Name)
	}
	if _, err := t.systemView(ctx, addr, len(p)); err != nil { // brings the memory tree up to date
		return err
	}
	view := findView(t.views, as.Name)
	if mapped, _ := view.covers(addr, len(p)); !mapped {
		return fmt.Errorf("%w: the memory tree of %s has a hole", target.ErrUnmapped, as.Name)
	}
	if view.same(t.firstView(), addr, len(p)) {
		return t.accessPhysical(ctx, addr, p, write)
	}
	inside, err := isInside()
	if err != nil {
		return err
	}
	if inside {
		// Without translation logical addresses are physical ones.
		if phys, err := t.translate(ctx, core, addr, len(p)); err == nil && len(phys) == 1 && phys[0].addr == addr {
			return t.paused(func() error { return t.accessLogical(ctx, core, addr, p, write) })
		}
	}
	return fmt.Errorf("%w: only %s has this memory", target.ErrUnreachable, as.Name)
}

// secure reports whether an ARM core is in the secure state: SCR.NS is clear, or it is in monitor mode or EL3.
func (t *Target) secure(core int) (bool, error) {
	cpsr, ok, err := t.readNamed(core, "cpsr")
	if err != nil {
		return false, err
	}
	scr := "SCR_EL3"
	if t.info.Arch == "aarch64" {
		if ok && cpsr>>2&3 == 3 && cpsr&0x10 == 0 {
			return true, nil
		}
	} else {
		scr = "SCR"
		if ok && cpsr&0x1f == 0x16 {
			return true, nil
		}
	}
	for _, name := range []string{scr, "SCR_EL3", "SCR_S"} {
		if v, ok, err := t.readNamed(core, name); err != nil {
			return false, err
		} else if ok {
			return v&1 == 0, nil
		}
	}
	return false, fmt.Errorf("%w: the core has no SCR", target.ErrUnreachable)
}
