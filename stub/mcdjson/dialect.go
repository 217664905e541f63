// SPDX-License-Identifier: Apache-2.0

// Package mcdjson is the JSON dialect of MCD (QEMU's patch series of 2025) over a target.Target: one file a group of
// commands. It reads and writes the connection that it is given and touches nothing else; dispatch and the check of
// arguments follow jsonwire.Commands, framing is jsonwire.Splitter's.
//
// Where the specification leaves a choice, this is what the dialect does:
//
//   - Handles belong to the connection. Everything but mcd-initialize, mcd-exit, mcd-qry-servers, mcd-open-server and
//     mcd-qry-error-info needs an open server; without it the answer is 0x200. A core-uid that is not open is 0x102.
//   - mcd-qry-error-info tells of the last command that went to the slot, so after a success it is status 0 and code 0.
//     Asking changes nothing. For a core that is not open it answers 3/0x102 itself.
//   - A core that was closed can be opened again only after the server was.
//   - A list command with num-X 0 gives the number of all elements, whatever start-index is. num-X above 65,535 is 0x102.
//   - Run of a running core and stop of a stopped one are fine, step of a
//     running core is 0x101.
//   - mcd-set-global false takes the core out of global run, stop and step of other cores, for as long as it is open.
//   - n-steps ends early at a watchpoint, and after Options.RequestTimeout with 0x201.
//   - A stop is reported once, in both dialects together: as event 8 with the trig-id if a trigger of this connection caused it,
//     else as event 0x10. `captured` stays until mcd-activate-trig-set.
//   - An `id` beside `execute` is repeated in the reply, as in QMP. Anything else that the table does not have is an error.
package mcdjson

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"mcdtest/stub/jsonwire"
	"mcdtest/stub/target"
)

// Options of a Dialect. The zero value is usable.
type Options struct {
	// MaxRequest is the largest request in bytes; default jsonwire.MaxRequest. A larger one is answered with an error.
	MaxRequest int
	// MaxPending is how many bytes of replies may gather while pipelined requests are worked on, before they are sent and
	// nothing more is done until the client has taken them; default 64 KiB.
	MaxPending int
	// WriteTimeout is how long a client may leave its replies unread before it is dropped; default 10 s.
	WriteTimeout time.Duration
	// RequestTimeout is how long the Target may take for a request before that is answered 0x201; default 4 s, as the
	// real client gives up after 5 s.
	RequestTimeout time.Duration
	// IdleTimeout is how long a client may be silent before it is dropped; default: for ever.
	IdleTimeout time.Duration
	// Log gets refused requests and dropped clients; default: nothing.
	Log *slog.Logger
}

// Dialect speaks the JSON dialect for one Target. It may serve several connections, one after the other or at once.
type Dialect struct {
	target  target.Target
	reports *target.Reports
	info    *target.Info
	opts    Options

	serverUID atomic.Uint32

	mu     sync.Mutex
	tables []*tables // by core, made when first needed
}

// NewDialect makes a Dialect. reports is shared with whoever else tells clients of the Target's stops.
func NewDialect(t target.Target, reports *target.Reports, opts Options) *Dialect {
	if opts.MaxRequest == 0 {
		opts.MaxRequest = jsonwire.MaxRequest
	}
	if opts.MaxPending == 0 {
		opts.MaxPending = 64 << 10
	}
	if opts.WriteTimeout == 0 {
		opts.WriteTimeout = 10 * time.Second
	}
	if opts.RequestTimeout == 0 {
		opts.RequestTimeout = 4 * time.Second
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	info := t.Info()
	return &Dialect{target: t, reports: reports, info: info, opts: opts, tables: make([]*tables, len(info.Cores))}
}

// Serve speaks with one client until it leaves, the Target ends, a time-out drops the client or ctx is done. Then it closes
// what the client had opened, takes its triggers back and closes conn. The error says why the client was dropped; it is nil
// if the client left or the Target ended.
func (d *Dialect) Serve(ctx context.Context, conn net.Conn) error {
	return newSession(d, conn).serve(ctx)
}

// tablesOf returns the tables of a core that exists.
func (d *Dialect) tablesOf(core int) *tables {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tables[core] == nil {
		d.tables[core] = newTables(d.info, core)
	}
	return d.tables[core]
}
