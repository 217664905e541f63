// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"testing"

	"mcdtest/guest"
	"mcdtest/harness"
	"mcdtest/harness/launch"
	"mcdtest/harness/rawclient"
	"mcdtest/stub/rsp"
)

// BenchmarkStart goes from fork to the first register: of a bare QEMU's gdbstub, of a Machine over MCD. The end of the
// process is not part of it.
func BenchmarkStart(b *testing.B) {
	i := image(b, guest.Loop)
	file := guestFile(b, i)
	bare := func(monitors int) func() (func() error, error) {
		return func() (func() error, error) {
			p, err := launch.Start(background, launch.Spec{Path: build(b).Path, Args: bareArgs(file, i, 1), GDB: true, Monitors: monitors})
			if err != nil {
				return nil, err
			}
			g := rsp.New(p.GDB())
			// 7.2 knows registers only when the description has been asked for.
			if _, err := g.ReadXfer("features", "target.xml"); err != nil {
				return nil, err
			}
			g.QueueRegister(15, nil)
			if err := exchange(g, 1, func(_ int, r []byte) error { return digits(r, small) }); err != nil {
				return nil, err
			}
			return func() error { p.Kill(); return nil }, nil
		}
	}
	fresh := func() (func() error, error) {
		m, err := harness.Start(background, harness.Config{Build: build(b), Guest: i, Endpoint: harness.Stub})
		if err != nil {
			return nil, err
		}
		conn, err := m.Dial(background)
		if err != nil {
			return nil, errors.Join(err, m.Close())
		}
		c := rawclient.New(conn, rawclient.Options{})
		if err := c.OpenCore(background, 0); err != nil {
			return nil, err
		}
		if _, err := c.ReadRegister(background, 0, 15, nil); err != nil {
			return nil, err
		}
		return func() error {
			c.Close()
			return m.Close()
		}, nil
	}
	compare(b, 1, timed("bare QEMU", bare(0)), timed("bare QEMU with a monitor", bare(1)), timed("Machine", fresh))
}
