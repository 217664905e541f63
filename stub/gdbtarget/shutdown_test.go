// SPDX-License-Identifier: Apache-2.0

package gdbtarget_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"mcdtest/stub/target"
)

// A machine that has powered itself off runs nothing before a reset, and requests to it say so at once.
func TestPoweredOff(t *testing.T) {
	for _, elsewhere := range []bool{false, true} {
		t.Run(fmt.Sprintf("reset elsewhere %v", elsewhere), func(t *testing.T) {
			t.Parallel()
			r := startQEMU(t, rigConfig{arch: "arm", args: []string{"-no-shutdown"}})
			ctx := deadline(t)
			r.atLoop(t)
			// hvc #0 with PSCI's SYSTEM_OFF
			must(t, r.WriteMemory(ctx, 0, logical, r.guest.Addr("loop"), binary.LittleEndian.AppendUint32(nil, 0xe1400070)))
			must(t, r.WriteRegister(ctx, 0, 0, binary.LittleEndian.AppendUint32(nil, 0x84000008)))
			must(t, r.Go(ctx, target.AllCores))
			until(t, "the machine is off", func() (bool, string) {
				s := r.State(0)
				return !s.Running, fmt.Sprintf("%+v, QMP says %s", s, r.runState(t))
			})
			if s, qmp := r.State(0), r.runState(t); s.Cause != target.CauseUnknown || qmp != "shutdown" {
				t.Errorf("%+v, QMP says %s", s, qmp)
			}
			for name, request := range map[string]func() error{
				"go":   func() error { return r.Go(ctx, target.AllCores) },
				"step": func() error { return r.Step(ctx, 0) },
			} {
				began := time.Now()
				if err := request(); !errors.Is(err, target.ErrUnreachable) {
					t.Errorf("%s: %v", name, err)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("%s takes %v", name, took)
				}
				if s := r.State(0); s.Running {
					t.Errorf("after %s: %+v", name, s)
				}
			}
			must(t, r.Stop(ctx, target.AllCores))
			if _, err := r.ReadRegister(ctx, 0, 15, nil); err != nil {
				t.Errorf("what it left behind: %v", err)
			}
			if elsewhere {
				must(t, r.qmp.Execute(ctx, "system_reset", nil, nil))
			} else {
				must(t, r.Reset(ctx, 0, true))
			}
			must(t, r.Step(ctx, 0))
			must(t, r.Go(ctx, target.AllCores))
			if s, qmp := r.State(0), r.runState(t); !s.Running || qmp != "running" {
				t.Errorf("after the reset: %+v, QMP says %s", s, qmp)
			}
		})
	}
}
