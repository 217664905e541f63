// SPDX-License-Identifier: Apache-2.0

package gdbtarget

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	goqmp "github.com/digitalocean/go-qemu/qmp"

	"mcdtest/stub/target"
)

// counter counts events that are still to come.
type counter struct{ atomic.Int64 }

// take takes one off, if there is one.
func (c *counter) take() bool {
	for {
		n := c.Load()
		if n == 0 {
			return false
		}
		if c.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// takenOwn takes in an event of this package's own doing, which needs only be counted: most are, and whoever speaks to the gdbstub
// would have to wake the watcher otherwise. Events are taken in in order, so those before it must have been.
func (t *Target) takenOwn(ev goqmp.Event, before uint64) bool {
	if t.handled.Load() != before {
		return false
	}
	own := false
	switch ev.Event {
	case "STOP":
		own = t.ownStops.take()
	case "RESUME":
		own = t.ownResumes.take()
	}
	if own {
		t.handled.Add(1)
	}
	return own
}

// watch takes in QMP's events until the monitor ends. Every STOP and RESUME that this package has caused is counted
// beforehand, so what is left over is the doing of somebody else, or a trigger.
func (t *Target) watch(events <-chan goqmp.Event) {
	for ev := range events {
		var err error
		switch ev.Event {
		case "STOP":
			err = t.onStop()
		case "RESUME":
			err = t.onResume()
		case "RESET":
			t.onReset()
		}
		if err != nil {
			t.log.Warn("event could not be taken in", "event", ev.Event, "error", err)
		}
		t.handled.Add(1)
	}
	err := t.mon.Err()
	if err == nil {
		err = errors.New("the QMP connection was closed")
	}
	t.end(err)
}

// onStop takes in that the VM stands.
func (t *Target) onStop() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ownStops.take() {
		return nil
	}
	if !t.vmRunning {
		return nil
	}
	t.use(context.Background())
	own := t.interrupted
	// The stub writes its stop reply before QMP sends the event, if it sends one at all.
	if reply, err := t.gdb.WaitStop(lateReply); err == nil {
		return t.takeStop(func() error { return t.absorb(reply, own) })
	} else if t.gdb.Err() != nil {
		return t.wireError(err)
	}
	status, err := t.status()
	if err != nil {
		return err
	}
	if status == "running" {
		return nil // a `cont` of a running VM sends STOP and RESUME, and nothing has happened
	}
	return t.takeStop(func() error { return t.absorbStatus(status, own) })
}

// takeStop takes in a stop and lets the cores go on that are still meant to run.
func (t *Target) takeStop(absorb func() error) error {
	if err := absorb(); err != nil {
		return err
	}
	return t.resume()
}

func (t *Target) status() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	status, err := t.runStatus(ctx)
	if err != nil {
		return "", fmt.Errorf("ask QMP for the run state: %w", err)
	}
	return status, nil
}

// onResume takes in that the VM runs.
func (t *Target) onResume() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ownResumes.take() {
		return nil
	}
	t.foreignAt = time.Now()
	t.viewsFresh = false
	if t.vmRunning {
		if t.allRun(target.AllCores, true) {
			return nil
		}
		// QEMU stopped for a moment, to save its memory say, and may have let every core run. Those that are held are held again.
		t.use(context.Background())
		t.selected = -1
		return t.paused(func() error { return nil })
	}
	// Somebody else's `cont`: it lets every core run.
	t.vmRunning, t.foreign = true, true
	t.selected = -1
	for i := range t.want {
		t.want[i] = true
	}
	return t.publishRunning()
}

// onReset takes in a reset that somebody else has made. If only some cores were held, QEMU lets all run then.
func (t *Target) onReset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.viewsFresh = false
	if t.ownResets > 0 {
		t.ownResets--
		return
	}
	if !t.vmRunning {
		for i, run := range t.want {
			if !run {
				t.forgetCause(i)
			}
		}
		return
	}
	if t.allRun(target.AllCores, true) {
		return
	}
	for i := range t.want {
		t.want[i] = true
	}
	_ = t.publishRunning()
}
