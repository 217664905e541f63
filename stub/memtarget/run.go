// SPDX-License-Identifier: Apache-2.0

package memtarget

import (
	"context"
	"runtime"

	"mcdtest/stub/target"
)

// batch is how many instructions each core executes before others get at the machine.
const batch = 128

// State implements target.Target.
func (m *Machine) State(core int) target.State {
	m.lock()
	defer m.mu.Unlock()
	if core < 0 || core >= len(m.cores) {
		return target.State{Cause: target.CauseUnknown}
	}
	return m.cores[core].state
}

// InsertTrigger implements target.Target.
func (m *Machine) InsertTrigger(_ context.Context, core int, t target.Trigger) error {
	m.lock()
	defer m.mu.Unlock()
	err := m.check(core, false)
	if err == nil {
		_, err = m.triggers.Add(core, t)
	}
	if err != nil {
		return target.Errorf(err, "insert %v on core %d", t, core)
	}
	m.count(core, t, 1)
	return nil
}

// RemoveTrigger implements target.Target.
func (m *Machine) RemoveTrigger(_ context.Context, core int, t target.Trigger) error {
	m.lock()
	defer m.mu.Unlock()
	err := m.check(core, false)
	if err == nil {
		_, err = m.triggers.Remove(core, t)
	}
	if err != nil {
		return target.Errorf(err, "remove %v of core %d", t, core)
	}
	m.count(core, t, -1)
	return nil
}

func (m *Machine) count(core int, t target.Trigger, n int) {
	if t.Type == target.Exec {
		m.cores[core].exec += n
	} else {
		m.cores[core].watch += n
	}
}

// RemoveTriggers implements target.Target.
func (m *Machine) RemoveTriggers(_ context.Context, core int) error {
	m.lock()
	defer m.mu.Unlock()
	if err := m.check(core, true); err != nil {
		return target.Errorf(err, "remove the triggers of core %d", core)
	}
	for i := range m.cores {
		if core != target.AllCores && core != i {
			continue
		}
		for _, t := range m.triggers.Of(i) {
			for m.triggers.Has(i, t) {
				if _, err := m.triggers.Remove(i, t); err != nil {
					return target.Errorf(err, "remove %v of core %d", t, i)
				}
				m.count(i, t, -1)
			}
		}
	}
	return nil
}

// Triggers implements target.Target. It takes target.AllCores, too.
func (m *Machine) Triggers(core int) []target.Trigger {
	m.lock()
	defer m.mu.Unlock()
	return m.triggers.Inserted(core)
}

// each calls f for the core, or for each of target.AllCores.
func (m *Machine) each(core int, f func(i int)) {
	if core != target.AllCores {
		f(core)
		return
	}
	for i := range m.cores {
		f(i)
	}
}

// Go implements target.Target.
func (m *Machine) Go(_ context.Context, core int) error {
	m.lock()
	defer m.mu.Unlock()
	if err := m.check(core, true); err != nil {
		return target.Errorf(err, "let core %d run", core)
	}
	m.each(core, m.start)
	m.execute()
	return nil
}

func (m *Machine) start(i int) {
	c := &m.cores[i]
	if c.state.Running {
		return
	}
	c.state = target.State{Running: true, Stops: c.state.Stops}
	m.breakpoint(i)
}

// halt stops a core; one that stands already keeps its cause.
func (m *Machine) halt(i int, cause target.Cause, t target.Trigger) {
	c := &m.cores[i]
	if !c.state.Running {
		return
	}
	c.state = target.State{Cause: cause, Trigger: t, Stops: c.state.Stops + 1}
}

// breakpoint stops the core if it stands before an instruction with an execution breakpoint.
func (m *Machine) breakpoint(i int) {
	if m.cores[i].exec == 0 {
		return
	}
	cpu := CPU{m: m, core: i}
	t := target.Trigger{Type: target.Exec, Addr: cpu.PC()}
	if m.triggers.Has(i, t) {
		m.halt(i, target.CauseBreakpoint, t)
	}
}

// watch notes the watchpoint that an access of a word hits.
func (m *Machine) watch(i int, addr uint64, kind target.TriggerType) {
	c := &m.cores[i]
	if c.watch == 0 {
		return
	}
	// The exact address first: it is the one that a client expects to be told of.
	for d := range uint64(target.WatchLength) {
		for _, a := range [2]uint64{addr - d, addr + d} {
			for _, k := range [2]target.TriggerType{kind, target.Access} {
				if t := (target.Trigger{Type: k, Addr: a}); m.triggers.Has(i, t) {
					c.hit = t
					return
				}
			}
		}
	}
}

// instruction executes one instruction of a core. It reports the watchpoint that was hit, if any.
func (m *Machine) instruction(i int) target.Trigger {
	c := &m.cores[i]
	c.hit = target.Trigger{}
	cpu := CPU{m: m, core: i}
	pc := cpu.PC()
	cpu.SetPC(pc + m.step)
	m.cfg.Execute(&cpu)
	return c.hit
}

// run executes up to n instructions of each core that runs.
func (m *Machine) run(n int) (running bool) {
	for range n {
		running = false
		for i := range m.cores {
			if !m.cores[i].state.Running {
				continue
			}
			if t := m.instruction(i); t.Type != 0 {
				m.halt(i, target.CauseWatchpoint, t)
				continue
			}
			m.breakpoint(i)
			running = running || m.cores[i].state.Running
		}
		if !running {
			return false
		}
	}
	return true
}

// Run executes up to n instructions of each core that runs, in turns. It is for machines made with Config.Manual.
func (m *Machine) Run(n int) {
	m.lock()
	defer m.mu.Unlock()
	m.run(n)
}

// execute starts the goroutine that executes instructions, if there is something to execute.
func (m *Machine) execute() {
	if m.cfg.Manual || m.executing || m.ended {
		return
	}
	m.executing = true
	m.idle.Go(func() {
		for {
			m.mu.Lock()
			if m.ended || !m.run(batch) {
				m.executing = false
				m.mu.Unlock()
				return
			}
			m.mu.Unlock()
			for m.waiting.Load() > 0 {
				runtime.Gosched()
			}
		}
	})
}

// Stop implements target.Target.
func (m *Machine) Stop(_ context.Context, core int) error {
	m.lock()
	defer m.mu.Unlock()
	if err := m.check(core, true); err != nil {
		return target.Errorf(err, "stop core %d", core)
	}
	m.each(core, func(i int) { m.halt(i, target.CauseStop, target.Trigger{}) })
	return nil
}

// Step implements target.Target. A step that hits a watchpoint ends with CauseWatchpoint.
func (m *Machine) Step(_ context.Context, cores ...int) error {
	m.lock()
	defer m.mu.Unlock()
	for _, core := range cores {
		if err := m.check(core, true); err != nil {
			return target.Errorf(err, "step core %d", core)
		}
	}
	stepped := false
	for _, core := range cores {
		m.each(core, func(i int) {
			c := &m.cores[i]
			if c.state.Running {
				return
			}
			stepped = true
			c.state.Running = true
			if t := m.instruction(i); t.Type != 0 {
				m.halt(i, target.CauseWatchpoint, t)
			} else {
				m.halt(i, target.CauseStep, target.Trigger{})
			}
		})
	}
	if !stepped {
		return target.Errorf(target.ErrRunning, "step cores %d", cores)
	}
	return nil
}

// Reset implements target.Resetter.
func (m *Machine) Reset(_ context.Context, class int, halt bool) error {
	m.lock()
	defer m.mu.Unlock()
	if m.ended {
		return target.Errorf(m.err, "reset class %d", class)
	}
	if class != m.info.ResetClasses[0].ID {
		return target.Errorf(target.ErrNoResetClass, "reset class %d", class)
	}
	m.load() // memory beside the images keeps its content, as in a QEMU that is reset
	for i := range m.cores {
		switch s := &m.cores[i].state; {
		case !s.Running:
			*s = target.State{Cause: target.CauseBoot, Stops: s.Stops, Moot: true}
		case halt:
			m.halt(i, target.CauseBoot, target.Trigger{})
		default:
			m.breakpoint(i)
		}
	}
	return nil
}

// PauseElsewhere stops every core as QMP `stop` does, from beside the debugger.
func (m *Machine) PauseElsewhere() {
	m.lock()
	defer m.mu.Unlock()
	m.each(target.AllCores, func(i int) { m.halt(i, target.CauseElsewhere, target.Trigger{}) })
}

// ResumeElsewhere lets every core run as QMP `cont` does.
func (m *Machine) ResumeElsewhere() {
	m.lock()
	defer m.mu.Unlock()
	if m.ended {
		return
	}
	m.each(target.AllCores, m.start)
	m.execute()
}
