// SPDX-License-Identifier: Apache-2.0

// Package gdbtarget is a machine under debug over an unmodified QEMU: its gdbstub for registers, logical memory,
// triggers and run control, QMP for events, translation, reset and large reads, and qtest, where QEMU was started with
// it, for memory that is read while the machine runs. It touches the connections and the file that it is given and
// nothing else.
//
// Terms: a core is a CPU of QEMU; the gdbstub calls it a thread. A pause is a stop of the VM that this package makes
// to do something and takes back; no client is told of it.
//
// What the gdbstub does differently from MCD, and what is done about it:
//   - It stops every core when one stops, and has triggers for the whole VM. Which cores are meant to run is kept
//     here; a trigger that another core has is stepped over and the machine resumed.
//   - On ARM and RISC-V watchpoints stop before the access. They are taken out, the core is stepped and they are put
//     back, so that pc is past the access as MCD has it.
//   - `?` deletes all breakpoints, so it is never sent.
//   - From 8.0 on it sends no stop reply for a stop that follows a resume by somebody else (QMP `cont`). QMP's events
//     are the truth; a breakpoint that was hit then is found by letting the core run into it once more.
//   - Writes to system registers and to ROM are acknowledged and ignored: what is written is read back.
package gdbtarget

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mcdtest/stub/busypoll"
	"mcdtest/stub/qmp"
	"mcdtest/stub/qtest"
	"mcdtest/stub/rsp"
	"mcdtest/stub/target"
)

// MaxBreakpoints and MaxWatchpoints are the triggers that each core has.
const (
	MaxBreakpoints = 16
	MaxWatchpoints = 16
)

// Config says how to reach a QEMU.
type Config struct {
	GDB   net.Conn      // to the gdbstub; owned by the Target from New on, which may put another in its place
	QMP   *qmp.Monitor  // connected (qmp_capabilities done); owned by the Target from New on
	QTest *qtest.Client // nil if QEMU has no qtest; not owned, others may use it as well

	// Dump is a file that QEMU can write memory into; without one all memory comes through the gdbstub.
	Dump Dump

	Program string // as the emulator was called; empty: "qemu-system-" and the architecture
	Machine string // as -M named it; empty: what QEMU says, without its version
	// Resume says that the VM ran before GDB was connected, which has stopped it, and shall run on.
	Resume bool
	// Asked says that FirstQuestions have been written to GDB already, so that a QEMU that starts has something to do meanwhile. The VM
	// must stand, and nobody else may let it run until New returns: QEMU was started with -S, and its monitors are the caller's.
	Asked bool

	Log *slog.Logger // nil: nothing is logged
}

// Target implements target.Target, target.Resetter and target.Killer.
type Target struct {
	gdb     *rsp.Client
	mon     *qmp.Monitor
	qt      *qtest.Client
	dump    Dump
	log     *slog.Logger
	info    target.Info
	threads []string // thread id of each core: "p1.1"
	before  bool     // watchpoints stop before the access
	// idleSteps: QEMU answers a step now and then with T05 that executed nothing: 11.1 on x86, once in some hundred starts, and
	// 7.2 and 10.0 on a machine of several cores that are stepped in turns, once in some hundred steps.
	idleSteps bool
	cancel    context.CancelFunc
	events    sync.WaitGroup

	done    chan struct{}
	endOnce sync.Once
	endErr  error

	// stateMu guards what clients are told; it is never held during I/O.
	stateMu sync.RWMutex
	states  []target.State

	handled atomic.Uint64 // events that have been taken in, of those that the monitor counts

	// mu is held by whoever speaks to the gdbstub, and guards what follows.
	mu        sync.Mutex
	ctx       context.Context // of the request that is worked on
	want      []bool          // cores that are meant to run
	vmRunning bool
	foreign   bool      // the VM was resumed by somebody else: its next stop may have no stop reply
	foreignAt time.Time // when somebody else has last stopped or resumed it
	// needsReset is the run state in which QEMU lets nothing run before a reset, "shutdown" or "internal-error"; else empty.
	needsReset string
	// interrupted: the VM has not stopped in time when it was interrupted here. When it does, that means nothing.
	interrupted bool
	// Events that QMP will still send for what has been done here: they are not somebody else's doing.
	ownResumes, ownStops counter // others take from them
	ownResets            int
	books                *target.Triggers
	inserted             map[target.Trigger]bool // what the gdbstub has
	doubtful             map[target.Trigger]bool // what it may have or lack, since a change of it was given up
	asleep               map[int]uint64          // pc of a core that executed nothing when it was stepped last
	stopsBefore          []uint64                // see noteStops
	wantBefore           []bool                  // want when the request began
	unexplained          map[int]string          // registers of a core at its last trap that nothing explains
	selected             int                     // core of the last Hg, -1 unknown
	monitorCore          int                     // the one that the gdbstub's monitor looks at, -1 unknown
	dropping             bool                    // dropOwed runs
	views                []addressSpaceView      // last `info mtree -f`
	viewsFresh           bool                    // nothing has run since, nor was a device written to
	old, back            []byte                  // what a write found, and what it reads back; see scratch
}

var (
	_ target.Target    = (*Target)(nil)
	_ target.Resetter  = (*Target)(nil)
	_ target.Killer    = (*Target)(nil)
	_ target.RAMWriter = (*Target)(nil)
)

// New takes over the gdbstub and describes the machine. The VM's run state is afterwards what it was before, but for
// Config.Resume. On an error the connections are closed.
func New(ctx context.Context, cfg Config) (*Target, error) {
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t := &Target{
		gdb: rsp.New(busypoll.New(cfg.GDB, busypoll.ForQEMU)), mon: cfg.QMP, qt: cfg.QTest, dump: cfg.Dump, log: log, ctx: context.Background(),
		done: make(chan struct{}), inserted: make(map[target.Trigger]bool), doubtful: make(map[target.Trigger]bool), unexplained: make(map[int]string), asleep: make(map[int]uint64), selected: -1, monitorCore: -1,
	}
	loopCtx, cancel := context.WithCancel(context.Background())
	t.cancel = cancel
	fail := func(err error) (*Target, error) {
		cancel()
		t.gdb.Conn().Close()
		cfg.QMP.Disconnect()
		return nil, err
	}
	// Subscribed before anything is done, so that no event is missed.
	events, before, err := t.mon.CountedEvents(loopCtx, t.takenOwn)
	t.handled.Add(before)
	if err != nil {
		return fail(fmt.Errorf("QMP events: %w", err))
	}
	if err := t.describe(ctx, cfg); err != nil {
		return fail(err)
	}
	t.events.Add(1)
	go func() {
		defer t.events.Done()
		t.watch(events)
	}()
	return t, nil
}

// Info implements target.Target.
func (t *Target) Info() *target.Info { return &t.info }

// State implements target.Target.
func (t *Target) State(core int) target.State {
	t.stateMu.RLock()
	defer t.stateMu.RUnlock()
	if core < 0 || core >= len(t.states) {
		return target.State{Cause: target.CauseUnknown}
	}
	return t.states[core]
}

// Done implements target.Target.
func (t *Target) Done() <-chan struct{} { return t.done }

// Err implements target.Target.
func (t *Target) Err() error {
	select {
	case <-t.done:
		return t.endErr
	default:
		return nil
	}
}

// end records that the machine is gone.
func (t *Target) end(err error) {
	t.endOnce.Do(func() {
		t.endErr = fmt.Errorf("%w: %w", target.ErrGone, err)
		close(t.done)
		t.log.Info("machine ended", "reason", err)
	})
}

// Close implements target.Target.
func (t *Target) Close() error {
	t.end(errors.New("the Target was closed"))
	t.cancel()
	t.mon.Disconnect()
	err := t.gdb.Conn().Close()
	t.events.Wait()
	if errors.Is(err, net.ErrClosed) { // by whoever ended QEMU
		return nil
	}
	return err
}

// checkCore returns an error unless core exists.
func (t *Target) checkCore(core int) error {
	if core < 0 || core >= len(t.info.Cores) {
		return fmt.Errorf("%w: %d of %d", target.ErrNoCore, core, len(t.info.Cores))
	}
	return nil
}

// lock takes mu unless the machine is gone.
func (t *Target) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t.mu.Lock()
	select {
	case <-t.done:
		t.mu.Unlock()
		return t.endErr
	default:
	}
	t.use(ctx)
	// What qtest was asked and QEMU has not done yet would come behind what the gdbstub is asked now.
	if t.qt != nil {
		if err := t.qt.Settle(ctx); err != nil {
			t.mu.Unlock()
			return err
		}
	}
	return nil
}

// use makes waits end with ctx.
func (t *Target) use(ctx context.Context) {
	t.ctx = ctx
	t.gdb.SetContext(ctx)
}

// disturbance is how long after somebody else's run control more of it is looked for.
const disturbance = time.Second

// disturbed reports whether somebody else may have stopped or resumed the VM a moment ago. Events that are still on their
// way would then be taken for those of the request that comes next.
func (t *Target) disturbed() bool {
	pending := t.mon.EventCount() - t.handled.Load()
	return pending > uint64(t.ownStops.Load()+t.ownResumes.Load()+int64(t.ownResets)) || time.Since(t.foreignAt) < disturbance
}

// catchUp makes sure that what somebody else has done with QMP is known, before a request is taken for one that changes
// nothing: their command may be answered before its event is taken in here. It lets go of mu meanwhile.
func (t *Target) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if _, err := t.runStatus(ctx); err != nil {
		return fmt.Errorf("ask QMP for the run state: %w", err)
	}
	seen := t.mon.EventCount() // QMP sends events before the answer to what follows them
	if t.handled.Load() >= seen {
		return nil
	}
	t.mu.Unlock()
	defer t.mu.Lock()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for t.handled.Load() < seen {
		select {
		case <-tick.C:
		case <-t.done:
			return t.endErr
		case <-ctx.Done():
			return fmt.Errorf("wait for the events of QMP to be taken in: %w", context.Cause(ctx))
		}
	}
	return nil
}

// owedInterval is how often replies are looked for that are late: QEMU was stopped with SIGSTOP, say.
const owedInterval = 10 * time.Millisecond

// dropOwed reads replies that came too late, until there are none any more or the machine has ended. Nobody else may
// come for a long time, and a QEMU that cannot get rid of them stands.
func (t *Target) dropOwed() {
	defer t.events.Done()
	tick := time.NewTicker(owedInterval)
	defer tick.Stop()
	for {
		select {
		case <-t.done:
			return
		case <-tick.C:
		}
		t.mu.Lock()
		if t.vmRunning {
			_ = t.gdb.Drain()
		} else {
			_ = t.gdb.DropOwed(time.Millisecond)
		}
		over := !t.gdb.Owed() || t.gdb.Err() != nil
		t.dropping = !over
		if over && t.gdb.Err() == nil {
			t.use(context.Background())
			if err := t.resume(); err != nil { // whoever paused it may have had to leave it so
				t.log.Warn("the VM does not run on", "error", err)
			}
		}
		t.mu.Unlock()
		if over {
			return
		}
	}
}

// wireError notes a broken gdbstub connection: without it the machine cannot be reached any more.
func (t *Target) wireError(err error) error {
	if err != nil && t.gdb.Err() == nil && t.gdb.Owed() && !t.dropping {
		t.dropping = true
		t.events.Add(1)
		go t.dropOwed()
	}
	if err != nil && t.gdb.Err() != nil {
		t.end(t.gdb.Err())
		return t.endErr
	}
	return err
}

// hmp runs a monitor command line for a core.
func (t *Target) hmp(ctx context.Context, core int, line string) (string, error) {
	text, err := t.mon.HMP(ctx, core, line)
	if err != nil {
		return "", fmt.Errorf("monitor command %q: %w", line, err)
	}
	return strings.ReplaceAll(text, "\r", ""), nil
}
