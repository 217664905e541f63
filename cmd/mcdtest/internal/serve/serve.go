// SPDX-License-Identifier: Apache-2.0

// Package serve puts the MCD stub in front of a stock QEMU, one that it starts or one that runs already, and takes it
// away again without a trace. It starts at most that QEMU and touches the network where it is told to.
package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	"mcdtest/cmd/mcdtest/internal/chardev"
	"mcdtest/cmd/mcdtest/internal/shim"
	"mcdtest/harness/launch"
	"mcdtest/stub"
	"mcdtest/stub/gdbtarget"
	"mcdtest/stub/qmp"
	"mcdtest/stub/qtest"
	"mcdtest/stub/target"
)

// Config says what to serve, and where.
type Config struct {
	Listen  string // HOST:PORT or unix:PATH
	Options stub.Options
	Log     *slog.Logger // gets what the stub does with QEMU; nil: nothing is logged

	// Command is the QEMU to start, with its arguments.
	Command        []string
	Stdin          *os.File // nil: none
	Stdout, Stderr io.Writer

	// GDB and QMP are the addresses of a QEMU that runs; QTest may be empty.
	GDB, QMP, QTest string

	// Ready is called when clients can connect.
	Ready func(addr net.Addr, info *target.Info)
}

// ErrEnded is wrapped by the error for a QEMU that ended by itself.
var ErrEnded = errors.New("QEMU has ended")

// Run serves until ctx ends or QEMU does. It returns nil in the first case, and when QEMU ended as it was asked to, by a client's
// kill for example.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Options.Log == nil {
		cfg.Options.Log = slog.New(slog.DiscardHandler)
	}
	// The listener first: a port that is taken is no reason to start a QEMU.
	l, err := stub.Listen(cfg.Listen, cfg.Options.Log)
	if err != nil {
		return err
	}
	defer l.Close()
	if len(cfg.Command) > 0 {
		return cfg.start(ctx, l)
	}
	return cfg.attach(ctx, l)
}

// start serves a QEMU of our own.
func (cfg *Config) start(ctx context.Context, l net.Listener) error {
	line, err := shim.Parse(cfg.Command[1:])
	if err != nil {
		return err
	}
	if err := line.CheckOwnStub("this command", "attach to that QEMU with --gdb and --qmp"); err != nil {
		return err
	}
	path, err := exec.LookPath(cfg.Command[0])
	if err != nil {
		return fmt.Errorf("start QEMU: %w: install it, or give its path", err)
	}
	confined, missing := line.Confine(ctx, path)
	if missing != "" {
		cfg.Options.Log.Warn(missing)
	}
	p, err := launch.Start(ctx, launch.Spec{
		Path: path, Args: append(confined, cfg.Command[1:]...), Monitors: 1, GDB: true, QTest: !line.QTest, Dump: true, Stdin: cfg.Stdin, Stdout: cfg.Stdout, Stderr: cfg.Stderr,
	})
	if err != nil {
		return startError(err)
	}
	defer p.Kill()
	file, name := p.Dump()
	gt := gdbtarget.Config{
		GDB: p.GDB(), QMP: p.Monitors()[0], Dump: gdbtarget.Dump{File: file, Path: name}, Program: filepath.Base(path), Machine: line.Machine, Resume: line.Running, Log: cfg.Log,
	}
	if p.QTest() != nil {
		gt.QTest = qtest.New(p.QTest())
	}
	t, err := gdbtarget.New(ctx, gt)
	if err != nil {
		return cfg.because(ctx, p, err)
	}
	defer t.Close()
	cfg.serve(ctx, l, t)
	if ctx.Err() != nil {
		return p.Stop(context.WithoutCancel(ctx))
	}
	return cfg.because(ctx, p, nil)
}

// startError is why QEMU did not start.
func startError(err error) error {
	if exit := (*launch.Exit)(nil); errors.As(err, &exit) {
		return fmt.Errorf("start QEMU: %w before it answered on QMP; is it a QEMU, and are its options right?", quiet(exit))
	}
	return err
}

// quiet leaves out what QEMU printed: it has been on our stderr already.
func quiet(exit *launch.Exit) *launch.Exit {
	e := *exit
	e.Stderr = nil
	return &e
}

// exitGrace is how long the news that a process has ended may come after the end of its connections.
const exitGrace = 2 * time.Second

// because is what QEMU's end says, if it ended, and otherwise err.
func (cfg *Config) because(ctx context.Context, p *launch.Process, err error) error {
	select {
	case <-p.Done():
		if exit := p.Exit(); exit.Status != 0 || exit.Signal != "" || err != nil {
			return fmt.Errorf("%w: %w", ErrEnded, quiet(exit))
		}
		return nil
	case <-ctx.Done():
		return nil
	case <-time.After(exitGrace):
		return errors.Join(err, errors.New("QEMU has closed its gdbstub or its monitor and runs on"))
	}
}

// attach serves a QEMU that somebody else started.
func (cfg *Config) attach(ctx context.Context, l net.Listener) error {
	conn, err := dial(ctx, "QMP", cfg.QMP)
	if err != nil {
		return err
	}
	monitor := qmp.New(conn)
	if err := monitor.ConnectContext(ctx); err != nil {
		return fmt.Errorf("attach to QMP at %s: %w: is that a QMP monitor, and does nobody else use it?", cfg.QMP, err)
	}
	running, err := isRunning(ctx, monitor)
	if err != nil {
		monitor.Disconnect()
		return err
	}
	gt := gdbtarget.Config{QMP: monitor, Resume: running, Log: cfg.Log}
	if cfg.QTest != "" {
		c, err := dial(ctx, "qtest", cfg.QTest)
		if err != nil {
			monitor.Disconnect()
			return err
		}
		gt.QTest = qtest.New(c)
		defer gt.QTest.Close()
		if err := gt.QTest.Check(ctx); err != nil {
			monitor.Disconnect()
			return fmt.Errorf("attach to qtest at %s: %w: is that QEMU's -qtest, and does nobody else use it?", cfg.QTest, err)
		}
	}
	// The gdbstub last: connecting to it stops the machine.
	if gt.GDB, err = dial(ctx, "the gdbstub", cfg.GDB); err != nil {
		monitor.Disconnect()
		return err
	}
	t, err := gdbtarget.New(ctx, gt)
	if err != nil {
		if running {
			err = errors.Join(err, cfg.letRun(ctx))
		}
		return fmt.Errorf("attach to the gdbstub at %s: %w: is that a gdbstub, and does no debugger use it?", cfg.GDB, err)
	}
	defer t.Close()
	served := &killed{Target: t}
	cfg.serve(ctx, l, served)
	select {
	case <-t.Done():
		if served.by.Load() {
			return nil
		}
		return fmt.Errorf("%w: %w", ErrEnded, t.Err())
	default:
	}
	return restore(ctx, t, running)
}

// letRun lets a machine run on that was stopped by the attempt to attach to it: whoever connects to a gdbstub stops the machine.
func (cfg *Config) letRun(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTimeout)
	defer cancel()
	conn, err := dial(ctx, "QMP", cfg.QMP) // the connection before went with the attempt
	if err == nil {
		monitor := qmp.New(conn)
		if err = monitor.ConnectContext(ctx); err == nil {
			err = monitor.Execute(ctx, "cont", nil, nil)
		}
		monitor.Disconnect()
	}
	if err != nil {
		return fmt.Errorf("and the machine, which ran, could not be let run on: %w", err)
	}
	return nil
}

// killed notes that a client ended the machine.
type killed struct {
	*gdbtarget.Target
	by atomic.Bool
}

func (k *killed) Kill(ctx context.Context) error {
	k.by.Store(true)
	return k.Target.Kill(ctx)
}

// restoreTimeout bounds what is done to a machine when it is let go.
const restoreTimeout = 5 * time.Second

// restore takes out what clients put in, and lets a machine run that ran before.
func restore(ctx context.Context, t target.Target, running bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTimeout)
	defer cancel()
	if err := t.RemoveTriggers(ctx, target.AllCores); err != nil {
		return fmt.Errorf("take out the triggers of the machine: %w", err)
	}
	if !running {
		return nil
	}
	if err := t.Go(ctx, target.AllCores); err != nil {
		return fmt.Errorf("let the machine run on: %w", err)
	}
	return nil
}

// serve returns when ctx ends or the machine does.
func (cfg *Config) serve(ctx context.Context, l net.Listener, t target.Target) {
	server := stub.NewServer(t, cfg.Options)
	if cfg.Ready != nil {
		cfg.Ready(l.Addr(), t.Info())
	}
	server.Serve(ctx, l)
	server.Close()
}

// dial connects to an endpoint of QEMU's.
func dial(ctx context.Context, what, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, restoreTimeout)
	defer cancel()
	c, err := chardev.Dial(ctx, addr, "is QEMU running there? Give HOST:PORT or unix:PATH")
	if err != nil {
		return nil, fmt.Errorf("attach to %s: %w", what, err)
	}
	return c, nil
}

func isRunning(ctx context.Context, m *qmp.Monitor) (bool, error) {
	var status struct {
		Running bool `json:"running"`
	}
	if err := m.Execute(ctx, "query-status", nil, &status); err != nil {
		return false, fmt.Errorf("ask for the run state: %w", err)
	}
	return status.Running, nil
}
