// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"testing"

	"mcdtest/guest"
	"mcdtest/harness"
	"mcdtest/harness/rawclient"
	"mcdtest/stub/rsp"
)

// BenchmarkRegister reads one register of a standing core.
func BenchmarkRegister(b *testing.B) {
	i := image(b, guest.Loop)
	p, g := direct(b, i, 1)
	stubless := func(g *rsp.Client) func() error {
		return func() error {
			g.QueueRegister(0, nil)
			return exchange(g, 1, func(_ int, r []byte) error { return digits(r, small) })
		}
	}
	conn, _ := served(b, i, 1)
	ways := []way{
		each("gdbstub", stubless(g)),
		each("stub", registerReader(packets(b, dial(b, machine(b, harness.Config{})), 1))),
		each("serve", registerReader(packets(b, conn, 1))),
	}
	ways = append(ways, threads(b, i, stubless, registerReader)...)
	monitor := p.Monitors()[0]
	ways = append(ways, each("HMP", func() error {
		_, err := monitor.HMP(background, 0, "print $pc")
		return err
	}))
	// GDB keeps registers until the machine has moved.
	if w, ok := gdb(b, i, "", `gdb.execute("maintenance flush register-cache", to_string=True); gdb.selected_frame().read_register("r0")`); ok {
		ways = append(ways, w)
	}
	if c, ok := native(b, harness.Config{}); ok {
		ways = append(ways, each("native", registerReader(c)))
	}
	compare(b, 200, ways...)
}

func registerReader(c *rawclient.Client) func() error {
	var p []byte
	return func() error {
		var err error
		p, err = c.ReadRegister(background, 0, 0, p[:0])
		return err
	}
}

// BenchmarkAllRegisters reads every register that the core has (there are some 300), as many requests at once as the
// sockets hold.
func BenchmarkAllRegisters(b *testing.B) {
	i := image(b, guest.Loop)
	p, g := direct(b, i, 1)
	c := packets(b, dial(b, machine(b, harness.Config{})), 1)
	conn, _ := served(b, i, 1)
	own := packets(b, conn, 1)
	list, err := c.Registers(background, 0)
	if err != nil {
		b.Fatal(err)
	}
	all := func(c *rawclient.Client) func() error { return registersReader(c, list, len(list)) }
	monitor := p.Monitors()[0]
	ways := []way{
		each("gdbstub", func() error {
			for _, r := range list {
				g.QueueRegister(int(r.ID), nil)
			}
			return exchange(g, len(list), func(int, []byte) error { return nil })
		}),
		each("stub", all(c)), each("serve", all(own)),
		each("HMP", func() error { // general registers alone
			_, err := monitor.HMP(background, 0, "info registers")
			return err
		}),
	}
	if w, ok := gdb(b, i, "", `gdb.execute("maintenance flush register-cache", to_string=True); gdb.execute("info all-registers", to_string=True)`); ok {
		ways = append(ways, w)
	}
	if c, ok := native(b, harness.Config{}); ok {
		ways = append(ways, each("native", all(c)))
	}
	compare(b, 2, ways...)
}

// registersReader reads n registers, as many requests at once; a list that is shorter is read again.
func registersReader(c *rawclient.Client, list []rawclient.Register, n int) func() error {
	var request []byte
	for k := range n {
		request = fmt.Appendf(request, "$p0;%d#|", list[k%len(list)].ID)
	}
	return func() error {
		if err := c.Send(background, request); err != nil {
			return err
		}
		for range n {
			if err := c.ExpectAck(background); err != nil {
				return err
			}
			if _, err := c.ReadPacket(background); err != nil {
				return err
			}
		}
		return nil
	}
}

// BenchmarkOpenCore opens a core with all its tables, as a debugger does when it starts: spaces, groups, registers, reset
// classes, triggers. The gdbstub's description of the core is the counterpart.
func BenchmarkOpenCore(b *testing.B) {
	i := image(b, guest.Loop)
	_, g := direct(b, i, 1)
	c := packets(b, dial(b, machine(b, harness.Config{})), 1)
	conn, _ := served(b, i, 1)
	own := packets(b, conn, 1)
	tables := func(c *rawclient.Client) func() error {
		return func() error {
			if err := c.CloseCore(background, 0); err != nil {
				return err
			}
			if err := c.OpenCore(background, 0); err != nil {
				return err
			}
			if _, err := c.Spaces(background, 0); err != nil {
				return err
			}
			if _, err := c.Groups(background, 0); err != nil {
				return err
			}
			if _, err := c.ResetClasses(background); err != nil {
				return err
			}
			if _, err := c.Triggers(background); err != nil {
				return err
			}
			list, err := c.Registers(background, 0)
			if err == nil && len(list) < 60 {
				err = fmt.Errorf("%d registers", len(list))
			}
			return err
		}
	}
	compare(b, 2,
		each("gdbstub", func() error {
			for _, annex := range []string{"target.xml", "arm-core.xml", "arm-vfp.xml", "system-registers.xml"} {
				if _, err := g.ReadXfer("features", annex); err != nil && annex == "target.xml" {
					return err
				}
			}
			return nil
		}),
		each("stub", tables(c)), each("serve", tables(own)),
	)
}
