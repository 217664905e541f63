// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"sync"
	"time"

	"mcdtest/stub/target"
)

// Tolerable lists what a suite cannot notice, since a stub may do so. A comparison of two stubs can.
var Tolerable = []Fault{
	{Name: "replies-late", Meaning: "each reply comes some milliseconds late", Conns: repliesLate},
	{Name: "steps-late", Meaning: "a step is acknowledged some milliseconds before it is made, and the core is told to run until then", Dialects: []string{Packet}, WrapTarget: stepsLate},
	{Name: "other-json-writer", Meaning: "replies have blanks between their parts, and their keys in another order", Dialects: []string{JSON}, Conns: otherWriter},
}

// otherWriter writes replies as QEMU's own JSON writer may.
var otherWriter = objects(func() jsonHooks {
	return jsonHooks{reply: func(_ *jsonLink, _ *call, line []byte) []byte {
		sorted := editReply(line, func(object) bool { return true }) // Marshal has keys in alphabetical order
		var spaced bytes.Buffer
		if json.Indent(&spaced, bytes.TrimSpace(sorted), "", "") != nil {
			return line
		}
		return append(bytes.ReplaceAll(spaced.Bytes(), []byte("\n"), []byte(" ")), "\r\n"...) // no string has a line end in it
	}}
})

// lateSteps are steps that are still to be made.
type lateSteps struct {
	target.Target
	mu      sync.Mutex
	pending map[int]chan struct{} // by core; closed when it is made
}

// of is the pending step of a core, nil if there is none.
func (l *lateSteps) of(core int) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pending[core]
}

// stepsLate does with steps as the published stub may: its request is done when the machine has been let go.
func stepsLate(t target.Target) target.Target {
	l := &lateSteps{Target: t, pending: make(map[int]chan struct{})}
	return &altered{
		Target: t,
		step:   l.step,
		state: func(core int) target.State {
			if l.of(core) != nil { // asked first: a step that is made in between has its state behind it
				return target.State{Running: true, Stops: t.State(core).Stops}
			}
			return t.State(core)
		},
		goes: func(ctx context.Context, core int) error {
			if l.of(core) != nil {
				return nil // it runs, as far as anybody knows
			}
			return t.Go(ctx, core)
		},
		stop: func(ctx context.Context, core int) error {
			if made := l.of(core); made != nil {
				<-made
			}
			return t.Stop(ctx, core)
		},
	}
}

func (l *lateSteps) step(ctx context.Context, core int) error {
	if core == target.AllCores || core >= len(l.Info().Cores) || l.State(core).Running {
		return l.Step(ctx, core)
	}
	if made := l.of(core); made != nil {
		<-made // its registers may be known already: the next step is one, too
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	made := make(chan struct{})
	l.pending[core] = made
	time.AfterFunc(lateness, func() {
		_ = l.Step(context.WithoutCancel(ctx), core)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.pending, core)
		close(made)
	})
	return nil
}

// lateness is well above what a reply takes, also on a machine that has much to do.
const lateness = 5 * time.Millisecond

func repliesLate() ConnWrapper {
	return func(c net.Conn) net.Conn { return &lateConn{Conn: c, closed: make(chan struct{})} }
}

// lateConn keeps what it has read for a while.
type lateConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *lateConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		t := time.NewTimer(lateness)
		defer t.Stop()
		select {
		case <-t.C:
		case <-c.closed:
		}
	}
	return n, err
}

func (c *lateConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
