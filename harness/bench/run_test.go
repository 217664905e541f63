// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"os"
	"testing"
	"time"

	"mcdtest/guest"
	"mcdtest/harness"
	"mcdtest/harness/launch"
	"mcdtest/harness/rawclient"
	"mcdtest/stub/rsp"
)

const thread = "p1.1"

// resume lets a gdbstub's machine go and waits for its stop.
func resume(g *rsp.Client, command string) error {
	if err := g.Resume(command); err != nil {
		return err
	}
	_, err := g.WaitStop(rsp.Timeout)
	return err
}

// stands polls the state until a core stands: that is how a client of the packet dialect learns of it.
func stands(c *rawclient.Client, core int) error {
	end := time.Now().Add(rsp.Timeout)
	for {
		s, err := c.State(background, core)
		if err != nil || s.Name != rawclient.Running {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("core %d still runs after %v", core, rsp.Timeout)
		}
	}
}

// BenchmarkStep executes one instruction, to the knowledge that it is done.
func BenchmarkStep(b *testing.B) {
	i := image(b, guest.Loop)
	_, g := direct(b, i, 1)
	conn, _ := served(b, i, 1)
	ways := []way{
		each("gdbstub", func() error { return resume(g, "vCont;s:"+thread) }),
		each("stub", stepper(packets(b, dial(b, machine(b, harness.Config{})), 1))),
		each("serve", stepper(packets(b, conn, 1))),
	}
	if w, ok := gdb(b, i, "", `gdb.execute("stepi", to_string=True)`); ok {
		ways = append(ways, w)
	}
	if c, ok := native(b, harness.Config{}); ok {
		ways = append(ways, each("native", stepper(c)))
	}
	compare(b, 50, ways...)
}

// stepper has the first core make a step and waits until it is done.
func stepper(c *rawclient.Client) func() error {
	return func() error {
		if err := c.Step(background, false, 0); err != nil {
			return err
		}
		return stands(c, 0)
	}
}

// runsFor is how long a machine runs before it is stopped. In its first moments a stop takes as long as its start still does.
const runsFor = time.Millisecond

// stopping makes a way of what lets a machine go, which does not count, and what stops it.
func stopping(name string, resume, stop func() error) way {
	return way{name, func(n int) (total time.Duration, err error) {
		for range n {
			if err := resume(); err != nil {
				return 0, err
			}
			time.Sleep(runsFor)
			began := time.Now()
			if err := stop(); err != nil {
				return 0, err
			}
			total += time.Since(began)
		}
		return total, nil
	}}
}

// BenchmarkStop stops a machine that runs, to the knowledge that it stands.
func BenchmarkStop(b *testing.B) {
	i := image(b, guest.Loop)
	_, g := direct(b, i, 1)
	packet := func(name string, c *rawclient.Client) way {
		return stopping(name, func() error { return c.Go(background, true, 0) }, func() error {
			if err := c.Break(background, true, 0); err != nil {
				return err
			}
			return stands(c, 0)
		})
	}
	conn, _ := served(b, i, 1)
	ways := []way{
		stopping("gdbstub", func() error { return g.Resume("vCont;c") }, func() error {
			if err := g.Interrupt(); err != nil {
				return err
			}
			_, err := g.WaitStop(rsp.Timeout)
			return err
		}),
		packet("stub", packets(b, dial(b, machine(b, harness.Config{})), 1)),
		packet("serve", packets(b, conn, 1)),
	}
	if c, ok := native(b, harness.Config{}); ok {
		ways = append(ways, packet("native", c))
	}
	// Without a gdbstub, whose reply to each stop would have to be read.
	p, err := launch.Start(b.Context(), launch.Spec{Path: build(b).Path, Args: bareArgs(guestFile(b, i), i, 1), Monitors: 1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.Kill)
	monitor := p.Monitors()[0]
	ways = append(ways, stopping("QMP", func() error { return monitor.Execute(background, "cont", nil, nil) },
		func() error { return monitor.Execute(background, "stop", nil, nil) }))
	compare(b, 20, ways...)
}

// BenchmarkBreakpoint runs the loop once, from a breakpoint to the same one: a step off it, then go, to the knowledge
// that it is hit.
func BenchmarkBreakpoint(b *testing.B) {
	i := image(b, guest.Loop)
	_, g := direct(b, i, 1)
	at := i.Addr("loop")
	g.Queue(fmt.Sprintf("Z0,%x,4", at))
	if err := exchange(g, 1, took); err != nil {
		b.Fatal(err)
	}
	breaker := func(c *rawclient.Client) func() error {
		if err := c.InsertTrigger(background, 0, 1, at); err != nil {
			b.Fatal(err)
		}
		return func() error {
			if err := c.Step(background, false, 0); err != nil {
				return err
			}
			if err := c.Go(background, false, 0); err != nil {
				return err
			}
			return stands(c, 0)
		}
	}
	conn, _ := served(b, i, 1)
	ways := []way{
		each("gdbstub", func() error {
			if err := resume(g, "vCont;s:"+thread); err != nil {
				return err
			}
			return resume(g, "vCont;c")
		}),
		each("stub", breaker(packets(b, dial(b, machine(b, harness.Config{})), 1))),
		each("serve", breaker(packets(b, conn, 1))),
	}
	if w, ok := gdb(b, i, fmt.Sprintf(`gdb.execute("break *%d", to_string=True)`, at), `gdb.execute("continue", to_string=True)`); ok {
		ways = append(ways, w)
	}
	if c, ok := native(b, harness.Config{}); ok {
		ways = append(ways, each("native", breaker(c)))
	}
	compare(b, 20, ways...)
}

// BenchmarkReadRunning reads four bytes while the core runs. The gdbstub stops the machine for it.
func BenchmarkReadRunning(b *testing.B) {
	i := image(b, guest.Loop)
	addr := i.Addr("counter")
	_, g := direct(b, i, 1)
	other, _ := direct(b, i, 1)
	monitor := other.Monitors()[0]
	if err := monitor.Execute(background, "cont", nil, nil); err != nil {
		b.Fatal(err)
	}
	if err := g.Resume("vCont;c"); err != nil {
		b.Fatal(err)
	}
	runner := func(c *rawclient.Client) func() error {
		if err := c.Go(background, true, 0); err != nil {
			b.Fatal(err)
		}
		return reader(c, addr)
	}
	compare(b, 20,
		each("gdbstub, stopped for it", func() error {
			if err := g.Interrupt(); err != nil {
				return err
			}
			if _, err := g.WaitStop(rsp.Timeout); err != nil {
				return err
			}
			g.QueueAddr('m', addr, small, nil)
			if err := exchange(g, 1, func(_ int, r []byte) error { return digits(r, small) }); err != nil {
				return err
			}
			return g.Resume("vCont;c")
		}),
		each("stub", runner(packets(b, dial(b, machine(b, harness.Config{})), 1))),
		each("HMP", func() error {
			_, err := monitor.HMP(background, 0, fmt.Sprintf("x /1wx %#x", addr))
			return err
		}),
	)
}

// BenchmarkSlowdown counts the passes of the loop in windows of a fifth of a second, in turns with and without 1,000
// reads a second of four bytes. The figure is the time of a million passes, without what the core's thread waited for a
// processor: other programs are not to be counted.
func BenchmarkSlowdown(b *testing.B) {
	const span = 200 * time.Millisecond
	i := image(b, guest.Loop)
	m := machine(b, harness.Config{Running: true})
	c := packets(b, dial(b, m), 1)
	read := reader(c, i.Addr("counter"))
	phys := i.Addr("counter_phys")
	var cpus []struct {
		Thread int `json:"thread-id"`
	}
	if err := m.QMP().Execute(background, "query-cpus-fast", nil, &cpus); err != nil {
		b.Fatal(err)
	}
	schedule := fmt.Sprintf("/proc/%d/task/%d/schedstat", m.PID(), cpus[0].Thread)
	// now is the guest's passes, and the time that its thread ran, or waited for something else than a processor.
	now := func() (passes uint32, at time.Duration, err error) {
		text, err := os.ReadFile(schedule)
		if err != nil {
			return 0, 0, err
		}
		var ran, waited time.Duration
		if _, err := fmt.Sscan(string(text), &ran, &waited); err != nil {
			return 0, 0, err
		}
		at = time.Duration(time.Now().UnixNano()) - waited
		passes, err = m.Uint32At(background, phys)
		return passes, at, err
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	disturbed := func(name string, once func() error) way {
		return way{name, func(n int) (total time.Duration, err error) {
			for range n {
				before, began, err := now()
				if err != nil {
					return 0, err
				}
				for end := time.Now().Add(span); time.Now().Before(end); <-tick.C {
					if err := once(); err != nil {
						return 0, err
					}
				}
				after, ended, err := now()
				if err != nil {
					return 0, err
				}
				if after == before {
					return 0, fmt.Errorf("the core executed nothing for %v", span)
				}
				total += time.Duration(float64(ended-began) / float64(after-before) * 1e6)
			}
			return total, nil
		}}
	}
	compare(b, 1,
		disturbed("undisturbed", func() error { return nil }),
		disturbed("1,000 reads a second", read),
		disturbed("1,000 polls of the state a second", func() error {
			_, err := c.State(background, 0)
			return err
		}),
	)
}

// BenchmarkGrowth is how a start, the opening of a core, a read, a step and a stop grow with the cores and, but for the start, with the
// triggers that are set, and a read of registers with their number. A core has at most 16 breakpoints and 16 watchpoints.
func BenchmarkGrowth(b *testing.B) {
	i := image(b, guest.SMP)
	type setting struct{ cores, triggers int }
	var fresh, tables, read, step, stop []way
	for _, s := range []setting{{1, 0}, {2, 0}, {4, 0}, {8, 0}, {1, 1}, {1, 16}, {8, 256}} {
		name := fmt.Sprintf("%d cores", s.cores)
		if s.triggers > 0 {
			name += fmt.Sprintf(" and %d triggers", s.triggers)
		} else {
			fresh = append(fresh, timed(name, func() (func() error, error) {
				m, err := harness.Start(background, harness.Config{Build: build(b), Guest: i, Cores: s.cores, Endpoint: harness.Stub})
				if err != nil {
					return nil, err
				}
				return m.Close, nil
			}))
		}
		c := packets(b, dial(b, machine(b, harness.Config{Guest: i, Cores: s.cores})), s.cores)
		last := s.cores - 1
		for k := range s.triggers {
			kind := 1 + 2*(k%32/16) // execution, then writes
			if err := c.InsertTrigger(background, last-k/32, kind, i.Addr("scratch")+4*uint64(k)); err != nil {
				b.Fatal(err)
			}
		}
		tables = append(tables, each(name, func() error {
			if err := c.CloseCore(background, last); err != nil {
				return err
			}
			if err := c.OpenCore(background, last); err != nil {
				return err
			}
			_, err := c.Registers(background, last)
			return err
		}))
		addr := i.Addr("counter")
		var p [small]byte
		read = append(read, each(name, func() error { return c.ReadMemory(background, last, 1, addr, p[:]) }))
		step = append(step, each(name, func() error {
			if err := c.Step(background, false, 0); err != nil {
				return err
			}
			return stands(c, 0)
		}))
		stop = append(stop, stopping(name, func() error { return c.Go(background, true, 0) }, func() error {
			if err := c.Break(background, true, 0); err != nil {
				return err
			}
			return stands(c, last)
		}))
	}
	c := packets(b, dial(b, machine(b, harness.Config{})), 1)
	list, err := c.Registers(background, 0)
	if err != nil {
		b.Fatal(err)
	}
	var registers []way
	for _, n := range []int{1, 16, 300} {
		registers = append(registers, each(fmt.Sprintf("%d registers", n), registersReader(c, list, n)))
	}
	b.Run("of=registers", func(b *testing.B) { compare(b, 5, registers...) })
	b.Run("of=start", func(b *testing.B) { compareRounds(b, 5, 1, fresh...) })
	b.Run("of=open", func(b *testing.B) { compare(b, 2, tables...) })
	b.Run("of=read", func(b *testing.B) { compare(b, 100, read...) })
	b.Run("of=step", func(b *testing.B) { compare(b, 20, step...) })
	b.Run("of=stop", func(b *testing.B) { compare(b, 10, stop...) })
}
