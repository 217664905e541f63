// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	goqmp "github.com/digitalocean/go-qemu/qmp"

	"mcdtest/stub/qmp"
)

// describeTimeout is how long Describe waits for QEMU: a report on a machine that hangs must not hang.
const describeTimeout = 300 * time.Millisecond

// Describe says in a few lines where the machine stands.
func (m *Machine) Describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s, pid %d, %s endpoint, %s dialect: ", m.Build().Program(), m.Build().Version, m.PID(), m.endpoint, m.dialect)
	if exit := m.Exit(); exit != nil {
		fmt.Fprintf(&b, "%v\n", exit)
	} else {
		ctx, cancel := context.WithTimeout(context.Background(), describeTimeout)
		defer cancel()
		if state, err := m.RunState(ctx); err != nil {
			fmt.Fprintf(&b, "process %s; %v\n", m.processState(), err)
		} else {
			fmt.Fprintf(&b, "process %s, run state %q\n", m.processState(), state)
		}
	}
	if events := m.history.recent(); len(events) > 0 {
		fmt.Fprintf(&b, "  last events: %s\n", strings.Join(events, ", "))
	}
	for _, line := range m.Complaints() {
		fmt.Fprintf(&b, "  complaint: %s\n", line)
	}
	return b.String()
}

// processState is the kernel's word for what QEMU's main thread does: "S (sleeping)".
func (m *Machine) processState() string {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.PID()))
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(status)) {
		if state, ok := strings.CutPrefix(line, "State:"); ok {
			return strings.TrimSpace(state)
		}
	}
	return "unknown"
}

// history keeps the last events of a machine.
type history struct {
	ended chan struct{}

	mu   sync.Mutex
	last []seenEvent
}

type seenEvent struct {
	name string
	at   time.Time
}

const keptEvents = 8

// watch keeps what the monitor reports until its connection ends.
func watch(m *qmp.Monitor) *history {
	h := &history{ended: make(chan struct{})}
	events, err := m.Events(context.Background())
	if err != nil {
		close(h.ended) // the machine is gone already
		return h
	}
	go func() {
		defer close(h.ended)
		for e := range events {
			h.add(e)
		}
	}()
	return h
}

func (h *history) add(e goqmp.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.last) == keptEvents {
		h.last = h.last[:copy(h.last, h.last[1:])]
	}
	h.last = append(h.last, seenEvent{e.Event, time.Now()})
}

func (h *history) recent() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []string
	for _, e := range h.last {
		list = append(list, fmt.Sprintf("%s %v ago", e.name, time.Since(e.at).Round(time.Millisecond)))
	}
	return list
}

// wait returns when the connection has ended and everything on it has been seen.
func (h *history) wait() { <-h.ended }
