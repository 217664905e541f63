// SPDX-License-Identifier: Apache-2.0

package gdbtarget

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mcdtest/stub/rsp"
	"mcdtest/stub/target"
)

// Limits of waits.
const (
	// stopTimeout bounds the wait for a VM to stop after an interrupt.
	stopTimeout = 5 * time.Second
	// askAfter is when a VM that has not answered an interrupt is asked for its run state: it may have been stopped by
	// somebody else a moment before, and then no answer comes.
	askAfter = 50 * time.Millisecond
	// stepTimeout bounds a try of a single step. A core that is powered off does not step, nor does one that waits for an
	// interrupt, unless that comes.
	stepTimeout = 500 * time.Millisecond
	// flushTimeout bounds the step of a core that runs, but perhaps sleeps.
	flushTimeout = 20 * time.Millisecond
	// dozeTimeout bounds the step among others of a core that slept when it was stepped last, and that stands there still.
	dozeTimeout = 2 * time.Millisecond
	// pauseTries is how often the VM is stopped for one request.
	pauseTries = 5
	// idleTries is how often a step is tried that seems to have executed nothing.
	idleTries = 2
	// lateReply is how long a stop reply may follow the QMP event of its stop; the stub writes it first.
	lateReply = 2 * time.Millisecond
)

// Go implements target.Target.
func (t *Target) Go(ctx context.Context, core int) error {
	return t.control(ctx, "go", core, func() error {
		changed := false
		for i := range t.want {
			if (core == target.AllCores || i == core) && t.stands(i) {
				t.want[i], changed = true, true
			}
		}
		if !changed {
			return nil
		}
		return t.publishRunning()
	})
}

// Stop implements target.Target.
func (t *Target) Stop(ctx context.Context, core int) error {
	return t.control(ctx, "stop", core, func() error {
		for i := range t.want {
			if (core == target.AllCores || i == core) && t.want[i] {
				t.stopped(i, target.CauseStop, target.Trigger{})
			}
		}
		return nil
	})
}

// Step implements target.Target.
func (t *Target) Step(ctx context.Context, cores ...int) error {
	which := target.AllCores
	if len(cores) == 1 {
		which = cores[0]
	}
	for _, core := range cores {
		if core == target.AllCores {
			cores = nil // it contains the others
			break
		}
		if err := t.checkCore(core); err != nil {
			return target.Errorf(err, "step")
		}
	}
	among := which == target.AllCores
	return t.control(ctx, "step", which, func() error {
		stepped := false
		var asleep error
		for i := range t.want {
			if cores != nil && !slices.Contains(cores, i) || !t.stands(i) || t.wantBefore[i] {
				continue
			}
			err := t.step(i, among)
			if among && errors.Is(err, target.ErrAsleep) {
				asleep = err // the others step all the same
				continue
			}
			if err != nil {
				return err
			}
			stepped = true
		}
		switch {
		case stepped:
			return nil
		case asleep != nil:
			return asleep
		}
		return target.ErrRunning
	})
}

// control runs a change of the run state while the VM is paused and lets it go on as wanted afterwards.
func (t *Target) control(ctx context.Context, what string, core int, change func() error) error {
	if core != target.AllCores {
		if err := t.checkCore(core); err != nil {
			return target.Errorf(err, "%s", what)
		}
	}
	if err := t.lock(ctx); err != nil {
		return target.Errorf(err, "%s", what)
	}
	defer t.mu.Unlock()
	t.noteStops()
	// Nothing to change means nothing to disturb.
	idle := func() bool {
		return (what == "go" && t.allRun(core, true) && t.vmRunning) || (what == "stop" && t.allRun(core, false))
	}
	if idle() || t.disturbed() {
		if err := t.catchUp(ctx); err != nil {
			return target.Errorf(err, "%s", what)
		}
		t.use(ctx)
		if idle() {
			return nil
		}
	}
	if t.needsReset != "" && what != "stop" {
		if err := t.stillNeedsReset(ctx); err != nil {
			return target.Errorf(err, "%s", what)
		}
	}
	if what == "step" && t.allRun(core, true) {
		return target.Errorf(target.ErrRunning, "step")
	}
	t.wantBefore = append(t.wantBefore[:0], t.want...)
	err := t.paused(change)
	if err != nil {
		if core == target.AllCores {
			return target.Errorf(err, "%s all cores", what)
		}
		return target.Errorf(err, "%s core %d", what, core)
	}
	return nil
}

// noteStops remembers how often each core has stopped when a request begins.
func (t *Target) noteStops() {
	t.stateMu.RLock()
	defer t.stateMu.RUnlock()
	t.stopsBefore = t.stopsBefore[:0]
	for _, s := range t.states {
		t.stopsBefore = append(t.stopsBefore, s.Stops)
	}
}

// justHit reports whether a core has hit a trigger since noteStops. Whoever made the request took it for running, and has not been
// told of the hit.
func (t *Target) justHit(core int) bool {
	s := t.State(core)
	return s.Stops != t.stopsBefore[core] && (s.Cause == target.CauseBreakpoint || s.Cause == target.CauseWatchpoint)
}

// stands reports whether a core stands to whoever made the request.
func (t *Target) stands(core int) bool { return !t.want[core] && !t.justHit(core) }

// runStates are those in which QEMU lets nothing run before a reset (runstate_needs_reset), by the signal of their stop reply.
var runStates = map[uint8]string{3: "shutdown", 6: "internal-error"}

// stillNeedsReset asks QMP, as a reset by somebody else may not be known yet.
func (t *Target) stillNeedsReset(ctx context.Context) error {
	status, err := t.runStatus(ctx)
	if err != nil {
		return fmt.Errorf("ask QMP for the run state: %w", err)
	}
	if status == t.needsReset {
		return fmt.Errorf("%w: QEMU's run state is %s, so nothing runs before a reset", target.ErrUnreachable, status)
	}
	t.needsReset = ""
	return nil
}

// allRun reports whether the core, or all, are meant to run, or none are, as asked.
func (t *Target) allRun(core int, run bool) bool {
	if core != target.AllCores {
		return t.want[core] == run
	}
	return !slices.Contains(t.want, !run)
}

// paused runs f while the VM stands, and lets the cores that are meant to run go on afterwards.
func (t *Target) paused(f func() error) error {
	if err := t.pause(); err != nil {
		if t.gdb.Err() == nil && !t.gdb.Owed() {
			_ = t.resume() // why it cannot be paused says more
		}
		return err
	}
	err := t.settleTriggers()
	if err == nil {
		err = f()
	}
	if resumeErr := t.resume(); err == nil {
		err = resumeErr
	}
	return err
}

// pause stops the VM if it runs. A trigger that is hit in that moment counts.
func (t *Target) pause() error {
	for tries := 0; t.vmRunning; tries++ {
		if tries == pauseTries {
			return errors.New("the VM does not stop: something lets it run whenever it was stopped")
		}
		if err := t.interrupt(); err != nil {
			return err
		}
	}
	return nil
}

// interrupt stops the VM. If what it had been stopped by turns out to be nothing, it runs again afterwards.
func (t *Target) interrupt() error {
	// It may have stopped already: what somebody else has stopped is not to be taken for the answer to an interrupt, unless that of an
	// earlier request was not answered in time.
	if reply, err := t.gdb.WaitStop(0); err == nil {
		t.ownStops.Add(1)
		if err := t.absorb(reply, t.interrupted); err != nil {
			return err
		}
		return t.flushWatchpoints()
	} else if !errors.Is(err, rsp.ErrTimeout) {
		return t.wireError(err)
	}
	if err := t.gdb.Interrupt(); err != nil {
		return t.wireError(err)
	}
	t.interrupted = true
	deadline := time.Now().Add(stopTimeout)
	for {
		reply, err := t.gdb.WaitStop(askAfter)
		if err == nil {
			t.ownStops.Add(1)
			if err := t.absorb(reply, true); err != nil {
				return err
			}
			return t.flushWatchpoints()
		}
		if !errors.Is(err, rsp.ErrTimeout) {
			return t.wireError(err)
		}
		ctx, cancel := context.WithDeadline(t.ctx, deadline)
		status, err := t.runStatus(ctx)
		cancel()
		if err != nil {
			return fmt.Errorf("the VM does not stop: no answer to an interrupt, and QMP says %w", err)
		}
		if status != "running" {
			// The stop reply is written before the run state changes, so it is there by now, if one comes at all: a
			// stop by somebody else, after a resume by somebody else, has none.
			t.ownStops.Add(1)
			if reply, err := t.gdb.WaitStop(lateReply); err == nil {
				return t.absorb(reply, true)
			} else if !errors.Is(err, rsp.ErrTimeout) {
				return t.wireError(err)
			}
			return t.absorbStatus(status, false)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the VM does not stop: it still runs %v after an interrupt", stopTimeout)
		}
	}
}

// flushWatchpoints makes QEMU tell of watchpoints that were hit in the moment of a pause. It keeps such a hit for the
// core and reports it later, for whatever access to a page with a watchpoint comes first, even if the watchpoint is gone
// by then. A step of the core, which is meant to run anyway, brings it out.
func (t *Target) flushWatchpoints() error {
	watched := false
	for tr := range t.inserted {
		watched = watched || tr.Type != target.Exec
	}
	if !watched {
		return nil
	}
	for i := range t.want {
		if !t.want[i] {
			continue
		}
		before, err := t.pc(i)
		if err != nil {
			return err
		}
		if t.inserted[target.Trigger{Type: target.Exec, Addr: before}] {
			continue // a step would pass over the breakpoint
		}
		if at, ok := t.asleep[i]; ok && at == before {
			continue
		}
		reply, err := t.stepOnce(i, flushTimeout)
		if errors.Is(err, target.ErrUnreachable) {
			t.asleep[i] = before
			continue
		}
		if err != nil {
			return err
		}
		delete(t.asleep, i)
		stop := parseStop(reply)
		if stop.ends() {
			t.stoppedBy(stop)
			return nil
		}
		if !stop.kind.Valid() {
			continue
		}
		after, err := t.pc(i)
		if err != nil {
			return err
		}
		stop.past = after != before
		if err := t.hit(i, stop, target.CauseUnknown); err != nil {
			return err
		}
	}
	return nil
}

// resume lets the VM run if a core is meant to.
func (t *Target) resume() error {
	if t.vmRunning || !slices.Contains(t.want, true) {
		return nil
	}
	if err := t.settleTriggers(); err != nil {
		return fmt.Errorf("resume the VM: %w", err)
	}
	command := "vCont;c"
	if slices.Contains(t.want, false) {
		var b strings.Builder
		b.WriteString("vCont")
		for i, run := range t.want {
			if run {
				b.WriteString(";c:")
				b.WriteString(t.threads[i])
			}
		}
		command = b.String()
	}
	t.ownResumes.Add(1)
	t.viewsFresh = false
	t.selected = -1 // a stop selects the core that it names
	if err := t.gdb.Resume(command); err != nil {
		if errors.Is(err, rsp.ErrTimeout) {
			t.vmRunning, t.foreign = true, false // when QEMU comes round to it; what stops the VM comes behind
		} else {
			t.ownResumes.take()
		}
		return fmt.Errorf("resume the VM: %w", t.wireError(err))
	}
	t.vmRunning = true
	t.foreign = false
	return nil
}

// step executes one instruction of a core while the VM stands. Among others, one that sleeps is not waited for.
func (t *Target) step(core int, among bool) error {
	limit := stepTimeout
	if among {
		limit = flushTimeout
	}
	if at, ok := t.asleep[core]; ok {
		still, err := t.stillAsleep(core, at)
		switch {
		case err != nil:
			return err
		case still && among:
			limit = dozeTimeout
		case still:
			limit = flushTimeout
		}
	}
	reply, err := t.stepOnce(core, limit)
	if errors.Is(err, target.ErrAsleep) {
		pc, pcErr := t.pc(core) // where it was before, as nothing was executed
		if pcErr != nil {
			return pcErr
		}
		t.asleep[core] = pc
	}
	if err != nil {
		return err
	}
	delete(t.asleep, core)
	stop := parseStop(reply)
	switch {
	case stop.ends():
		t.want[core] = true
		t.stoppedBy(stop)
	case stop.kind.Valid():
		return t.hit(core, stop, target.CauseStep)
	default:
		t.stopped(core, target.CauseStep, target.Trigger{})
	}
	return nil
}

// stillAsleep reports whether a core stands where it slept, and sleeps as far as QEMU tells: it may have to wake up.
func (t *Target) stillAsleep(core int, at uint64) (bool, error) {
	pc, err := t.pc(core)
	if err != nil || pc != at {
		return false, err
	}
	return t.halted(core)
}

// stepOnce lets the gdbstub execute one instruction of one core and returns its stop reply.
func (t *Target) stepOnce(core int, limit time.Duration) ([]byte, error) {
	for tries := 1; ; tries++ {
		before, reply, err := t.stepPatiently(core, limit)
		if err != nil || !t.idleSteps || !before.known || parseStop(reply).kind.Valid() || tries == idleTries {
			return reply, err
		}
		reply = slices.Clone(reply)
		if after, err := t.pc(core); err != nil || after != before.pc {
			return reply, err
		}
		// Nothing was executed, or a jump to itself, which may be executed again.
	}
}

// place is where a core stood before a step.
type place struct {
	pc    uint64
	known bool
}

// stepPatiently is stepOnce for a machine that does not answer without having made the step.
func (t *Target) stepPatiently(core int, limit time.Duration) (place, []byte, error) {
	end := time.Now().Add(stopTimeout)
	for {
		before, reply, err := t.tryStep(core, limit)
		if !errors.Is(err, target.ErrUnreachable) || t.ctx.Err() != nil || time.Now().After(end) {
			return before, reply, err
		}
		reply = slices.Clone(reply)
		if after, err := t.pc(core); err != nil || before.known && after != before.pc {
			return before, reply, err // made in the moment in which it was given up
		}
		halted, haltedErr := t.halted(core)
		if haltedErr != nil {
			return before, nil, haltedErr
		}
		if halted {
			return before, nil, fmt.Errorf("%w; %w", err, target.ErrAsleep)
		}
		// It had no processor of the host for so long. It has made no step, so it may make another one.
	}
}

// halted asks whether a core sleeps: QEMU tells in words, "CPU#1 [halted ]".
func (t *Target) halted(core int) (bool, error) {
	reply, err := t.gdb.Exchange("qThreadExtraInfo," + t.threads[core])
	if err != nil {
		return false, t.wireError(err)
	}
	text, err := hex.DecodeString(string(reply))
	if err != nil || len(text) == 0 {
		return false, fmt.Errorf("gdbstub answers %q to qThreadExtraInfo", reply)
	}
	return bytes.Contains(text, []byte("[halted")), nil
}

// tryStep is stepPatiently for a core that may have no processor of the host in time. Where the core stood is asked in the same
// write: if the step has to be given up, QEMU does not tell whether it was made.
func (t *Target) tryStep(core int, limit time.Duration) (before place, reply []byte, err error) {
	pc, hasPC := t.pcRegister(core)
	due := false
	queue := func() { due = t.queueRegister(core, pc) }
	receive := func() error {
		p, err := t.receiveSelected(due, pc, nil)
		if errors.Is(err, target.ErrUnreachable) {
			return nil // the step is made all the same
		}
		if err == nil {
			before = place{t.number(p), true}
		}
		return err
	}
	if !hasPC {
		queue, receive = nil, nil
	}
	t.ownResumes.Add(1)
	t.ownStops.Add(1) // before the event, which then needs nobody to be woken
	t.viewsFresh = false
	err = t.gdb.ResumeAfter(queue, receive, "vCont;s:"+t.threads[core])
	t.selected = -1
	if err != nil {
		if !errors.Is(err, rsp.ErrTimeout) { // else QEMU will make the step when it comes round to it
			t.ownResumes.take()
			t.ownStops.take()
		}
		return before, nil, t.wireError(err)
	}
	reply, err = t.gdb.WaitStop(limit)
	if err == nil {
		if parseStop(reply).signal == signalPause {
			return before, reply, fmt.Errorf("%w: core %d was stopped from elsewhere while it was stepped", target.ErrUnreachable, core)
		}
		return before, reply, nil
	}
	if !errors.Is(err, rsp.ErrTimeout) {
		return before, nil, t.wireError(err)
	}
	if err := t.gdb.Interrupt(); err != nil {
		return before, nil, t.wireError(err)
	}
	reply, err = t.gdb.WaitStop(stopTimeout)
	if err != nil {
		return before, nil, fmt.Errorf("a step did not end and the VM does not stop: %w", t.wireError(err))
	}
	if stop := parseStop(reply); !stop.trap && !stop.ends() {
		return before, reply, fmt.Errorf("%w: core %d executed nothing for %v", target.ErrUnreachable, core, limit)
	}
	return before, reply, nil
}

// stopReply is a parsed T packet.
type stopReply struct {
	trap   bool   // SIGTRAP: breakpoint, watchpoint or step
	signal uint8  // as sent
	thread string // "" if none is named
	kind   target.TriggerType
	addr   uint64 // of the watchpoint
	past   bool   // the access of a watchpoint is done although this machine stops before it
}

// signalPause is the signal of a stop reply that tells of a pause: by an interrupt, or by QMP.
const signalPause = 2

// ends reports whether the VM has stopped for a reason of its own: shutdown, watchdog, I/O error, …
func (s stopReply) ends() bool { return s.signal != 0 && !s.trap && s.signal != signalPause }

// parseStop reads "T05thread:p01.01;watch:40210000;".
func parseStop(reply []byte) stopReply {
	var s stopReply
	text := string(reply)
	if len(text) < 3 || (text[0] != 'T' && text[0] != 'S') {
		return s
	}
	fmt.Sscanf(text[1:3], "%x", &s.signal)
	s.trap = s.signal == 5
	for _, f := range strings.Split(text[3:], ";") {
		key, value, _ := strings.Cut(f, ":")
		switch key {
		case "thread":
			s.thread = value
		case "watch":
			s.kind = target.Write
		case "rwatch":
			s.kind = target.Read
		case "awatch":
			s.kind = target.Access
		default:
			continue
		}
		if key != "thread" {
			fmt.Sscanf(value, "%x", &s.addr)
		}
	}
	return s
}

// threadCore finds the core of a thread id; ids differ in zero padding ("p01.01").
func (t *Target) threadCore(id string) int {
	for i, th := range t.threads {
		if sameThread(th, id) {
			return i
		}
	}
	return 0
}

func sameThread(a, b string) bool {
	norm := func(s string) string {
		s = strings.TrimPrefix(s, "p")
		p, n, ok := strings.Cut(s, ".")
		if !ok {
			return strings.TrimLeft(s, "0")
		}
		return strings.TrimLeft(p, "0") + "." + strings.TrimLeft(n, "0")
	}
	return norm(a) == norm(b)
}

// absorb takes in a stop reply of a VM that ran. own says that this package has interrupted it, so that a stop
// without a trigger means nothing.
func (t *Target) absorb(reply []byte, own bool) error {
	t.vmRunning, t.foreign, t.interrupted = false, false, false
	stop := parseStop(reply)
	if !stop.trap {
		if !own || stop.ends() {
			t.stoppedBy(stop)
		}
		return nil
	}
	core := t.threadCore(stop.thread)
	if !stop.kind.Valid() {
		stop.kind = target.Exec
		pc, err := t.pc(core)
		if errors.Is(err, target.ErrNoRegister) {
			t.stopAll(core, target.CauseUnknown, target.Trigger{}) // at a breakpoint, and nobody can say at which
			return nil
		}
		if err != nil {
			return err
		}
		stop.addr = pc
	}
	return t.hit(core, stop, target.CauseUnknown)
}

// stoppedBy takes in that the VM was not stopped by this package, nor by a trigger.
func (t *Target) stoppedBy(stop stopReply) {
	t.foreignAt = time.Now()
	cause := target.CauseElsewhere
	t.needsReset = runStates[stop.signal]
	if stop.ends() {
		cause = target.CauseUnknown
	}
	t.stopWanted(cause)
}

// absorbStatus takes in a stop of which only the run state is known.
func (t *Target) absorbStatus(status string, own bool) error {
	t.vmRunning, t.foreign, t.interrupted = false, false, false
	switch status {
	case "debug":
		return t.findHit()
	case "paused":
		if own {
			return nil
		}
		t.stopWanted(target.CauseElsewhere)
	case "prelaunch": // stopped and then reset
		t.stopWanted(target.CauseElsewhere)
	default:
		t.noteStatus(status)
		t.stopWanted(target.CauseUnknown)
	}
	return nil
}

// noteStatus keeps a run state that needs a reset.
func (t *Target) noteStatus(status string) {
	for _, s := range runStates {
		if s == status {
			t.needsReset = status
		}
	}
}

// findHit finds out which trigger has stopped a VM whose stub sends no stop reply because somebody else had resumed
// it. Where triggers stop before they act, the VM is let run into the same one again.
func (t *Target) findHit() error {
	for i := range t.want {
		if !t.want[i] {
			continue
		}
		pc, err := t.pc(i)
		if err != nil {
			return err
		}
		if t.inserted[target.Trigger{Type: target.Exec, Addr: pc}] {
			return t.hit(i, stopReply{trap: true, kind: target.Exec, addr: pc}, target.CauseUnknown)
		}
	}
	if t.before {
		if err := t.resume(); err != nil {
			return err
		}
		if reply, err := t.gdb.WaitStop(askAfter); err == nil {
			t.ownStops.Add(1)
			return t.absorb(reply, false)
		} else if !errors.Is(err, rsp.ErrTimeout) {
			return t.wireError(err)
		}
		return nil // it runs on: no trigger of ours
	}
	// x86: the access is done. Only a single watchpoint tells which one it was.
	var watch []target.Trigger
	for tr := range t.inserted {
		if tr.Type != target.Exec {
			watch = append(watch, tr)
		}
	}
	if len(watch) == 1 {
		for i := range t.want {
			if t.want[i] && t.books.Has(i, watch[0]) {
				t.stopAll(i, target.CauseWatchpoint, watch[0])
				return nil
			}
		}
	}
	t.stopWanted(target.CauseUnknown)
	return nil
}

// hit takes in a trigger that a core has hit while the VM stands at it. otherwise is the cause if the core has no such
// trigger and was stepped; a running core is moved past the trigger of another core and stays wanted.
func (t *Target) hit(core int, stop stopReply, otherwise target.Cause) error {
	tr := target.Trigger{Type: stop.kind, Addr: stop.addr}
	if t.books.Has(core, tr) {
		delete(t.unexplained, core)
		cause := target.CauseBreakpoint
		if tr.Type != target.Exec {
			cause = target.CauseWatchpoint
			if t.before && !stop.past {
				// All of them, as the access may be watched by several.
				if err := t.stepOver(core, func(i target.Trigger) bool { return i.Type != target.Exec }); err != nil {
					return err
				}
			}
		}
		t.stopAll(core, cause, tr)
		return nil
	}
	if !t.inserted[tr] {
		// A trap that is not ours: a breakpoint of another user of the gdbstub, or a step.
		if otherwise == target.CauseStep {
			t.stopped(core, otherwise, target.Trigger{})
			return nil
		}
		// A trap without a reason: QEMU reports a trigger that was hit in the moment of a pause once more when the VM is
		// resumed, although the core has moved on or the trigger is gone; on x86 also a watchpoint that was hit when another
		// core hit one. It is passed over, unless the core has executed nothing since the last one, as it is at a breakpoint
		// of another user of the gdbstub. In a loop the same place is no sign of that.
		now, err := t.registers(core)
		if err != nil {
			return err
		}
		if last, ok := t.unexplained[core]; ok && last == now {
			delete(t.unexplained, core)
			t.stopAll(core, otherwise, target.Trigger{})
			return nil
		}
		t.unexplained[core] = now
		return nil
	}
	if own, ok := t.hidden(core, tr); ok {
		t.stopAll(core, target.CauseWatchpoint, own)
		return nil
	}
	// Another core's trigger: past it, without those that this core does not have, so that its own are noticed. Of breakpoints a
	// step minds none.
	if tr.Type == target.Exec || t.before && !stop.past {
		reply, err := t.stepWithout(core, func(i target.Trigger) bool { return i == tr || i.Type != target.Exec && !t.books.Has(core, i) })
		if err != nil {
			return err
		}
		if next := parseStop(reply); next.kind.Valid() {
			return t.hit(core, next, otherwise)
		}
	}
	if otherwise == target.CauseStep {
		t.stopped(core, otherwise, target.Trigger{})
	}
	return nil
}

// hidden is a watchpoint of the core itself behind one of another core that QEMU names: it names one of those that an access
// matches. Where it stops before the access the core's own fires next.
func (t *Target) hidden(core int, named target.Trigger) (own target.Trigger, ok bool) {
	if t.before || named.Type == target.Exec {
		return own, false
	}
	for tr := range t.inserted {
		overlaps := tr.Addr < named.Addr+target.WatchLength && named.Addr < tr.Addr+target.WatchLength
		if overlaps && (tr.Type == named.Type || tr.Type == target.Access) && t.books.Has(core, tr) {
			return tr, true
		}
	}
	return own, false
}

// stepOver executes one instruction with some triggers out of the machine.
func (t *Target) stepOver(core int, out func(target.Trigger) bool) error {
	_, err := t.stepWithout(core, out)
	return err
}

// stepWithout executes one instruction of a core with some triggers taken out, puts them back and returns the stop
// reply.
func (t *Target) stepWithout(core int, out func(target.Trigger) bool) ([]byte, error) {
	var list []target.Trigger
	for tr := range t.inserted {
		if out(tr) {
			list = append(list, tr)
		}
	}
	if err := t.machineTriggers('z', list); err != nil {
		return nil, err
	}
	reply, err := t.stepOnce(core, stepTimeout)
	reply = slices.Clone(reply)
	if backErr := t.machineTriggers('Z', list); err == nil {
		err = backErr
	}
	return reply, err
}

// stopped records that a core stands.
func (t *Target) stopped(core int, cause target.Cause, tr target.Trigger) {
	t.want[core] = false
	t.stateMu.Lock()
	s := &t.states[core]
	*s = target.State{Cause: cause, Trigger: tr, Stops: s.Stops + 1}
	t.stateMu.Unlock()
	t.log.Debug("core stopped", "core", core, "cause", cause, "trigger", tr)
}

// stopAll records a hit of one core; the others stand with it, as QEMU stops all.
func (t *Target) stopAll(core int, cause target.Cause, tr target.Trigger) {
	t.stopped(core, cause, tr)
	t.stopWanted(target.CauseElsewhere)
}

// stopWanted records that every core that ran stands.
func (t *Target) stopWanted(cause target.Cause) {
	for i, run := range t.want {
		if run {
			t.stopped(i, cause, target.Trigger{})
		}
	}
}

// publishRunning tells clients which cores run. It comes before the machine is resumed, so that a trigger that is hit
// at once is not overwritten.
func (t *Target) publishRunning() error {
	t.stateMu.Lock()
	defer t.stateMu.Unlock()
	for i, run := range t.want {
		if run && !t.states[i].Running {
			t.states[i] = target.State{Running: true, Stops: t.states[i].Stops}
		}
	}
	return nil
}
