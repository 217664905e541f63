// SPDX-License-Identifier: Apache-2.0

// Package packet is the packet dialect of MCD (QEMU's patch series of 2023) over a target.Target: one file a request.
// It reads and writes the connection that it is given and touches nothing else; dispatch follows wire.Requests, framing
// is wire.Decoder's.
//
// Where the specification leaves a choice, this is what the dialect does:
//
//   - Session. As in the published stub, no request needs an `I` before it, and `D` does not end the connection. What
//     needs an `i` of its core is what speaks of the tables that `i` builds: the lists of memory spaces, register groups and
//     registers, and `m`, `M`, `p`, `P`, whose arguments are entries of them; without it they are `error`. `qsystem`, `qcores`,
//     `qreset…`, `qtrigger`, `qstate`, triggers and run control work without. `i` twice is fine, `d` of a core that is not open
//     is a mistake. Which cores are open belongs to the connection.
//   - `q…c` asks about the core of the last `q…f` on the connection, of whichever list; before the first one that is core 0, as
//     published. Handle 0 is the first element.
//   - `b` may lack both arguments; if it has any, they must be well-formed. The trigger id of `t` and `T` is ignored, whatever it holds.
//   - `c` and `C` of a core that runs do nothing. A global other than 0 and 1 is a mistake.
//   - `D` also starts the account of stops anew: a core that has not stopped since is "running since boot", as published.
//   - More digits than the byte count asks for is a mistake, like fewer.
//   - A read of no bytes is the empty packet, a write of none is `success`, at any address of a memory space.
//   - A reason that belongs to no core (`r`, `D`, `b`, `k`) is in the info_str of every core's next `qstate`.
//   - '+' is sent before the Target is asked to change anything. For a request that changes nothing it leaves in one segment with the
//     reply, as it often does from the published stub; if the Target takes more than some milliseconds for a read, '+' leaves before.
//   - `M`s that come together and continue each other are written as one, if the Target knows a quick way and all of it is RAM. The
//     replies are those that each would have had alone, in their order; only the first '+' leaves before.
package packet

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"mcdtest/stub/target"
)

// Options of a Dialect. The zero value is usable.
type Options struct {
	// AllowKill lets `k` end the machine, if the Target is a Killer.
	AllowKill bool
	// MaxRead is the largest byte count of an `m`; default 4 MiB. A larger one is `error`.
	MaxRead int
	// MaxPending is how many bytes of replies may gather while the client's pipelined requests are worked on, before they are
	// sent and nothing more is done until the client has taken them; default 64 KiB.
	MaxPending int
	// WriteTimeout is how long a client may leave its replies unread before it is dropped; default 10 s.
	WriteTimeout time.Duration
	// RequestTimeout is how long the Target may take for a request before the client is dropped; default 1 min.
	RequestTimeout time.Duration
	// IdleTimeout is how long a client may be silent before it is dropped; default: for ever.
	IdleTimeout time.Duration
	// Log gets refused requests and dropped clients; default: nothing.
	Log *slog.Logger
}

// How many of its mistakes a server logs as warnings; the others are told at the level of debugging. A few bytes are a mistake, and a
// line of the log is many.
const (
	warnedAtOnce = 100
	warnedEvery  = 5 * time.Second
)

// Dialect speaks the packet protocol for one Target. It may serve several connections, one after the other or at once.
type Dialect struct {
	target  target.Target
	reports *target.Reports
	info    *target.Info
	opts    Options

	warnings rate.Sometimes // what clients do wrong is told at the level that everybody sees

	mu     sync.Mutex
	tables []*tables // by core, made when first needed
	fresh  []uint64  // by core: its stops before the last D, which count no more
}

// NewDialect makes a Dialect. reports is shared with whoever else tells clients of the Target's stops.
func NewDialect(t target.Target, reports *target.Reports, opts Options) *Dialect {
	if opts.MaxRead == 0 {
		opts.MaxRead = 4 << 20
	}
	if opts.MaxPending == 0 {
		opts.MaxPending = 64 << 10
	}
	if opts.WriteTimeout == 0 {
		opts.WriteTimeout = 10 * time.Second
	}
	if opts.RequestTimeout == 0 {
		opts.RequestTimeout = time.Minute
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	info := t.Info()
	return &Dialect{warnings: rate.Sometimes{First: warnedAtOnce, Interval: warnedEvery}, target: t, reports: reports, info: info, opts: opts, tables: make([]*tables, len(info.Cores)), fresh: make([]uint64, len(info.Cores))}
}

// Serve speaks with one client until it leaves, the Target ends, a time-out drops the client or ctx is done. It closes conn.
// The error says why the client was dropped; it is nil if the client left, ended the machine, or the Target ended.
func (d *Dialect) Serve(ctx context.Context, conn net.Conn) error {
	return newSession(d, conn).serve(ctx)
}

// tablesOf returns the tables of a core that exists.
func (d *Dialect) tablesOf(core int) *tables {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tables[core] == nil {
		d.tables[core] = newTables(d.info, &d.info.Cores[core])
	}
	return d.tables[core]
}
