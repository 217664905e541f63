// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mcdtest/stub/qmp"
)

// How long Stop waits for each of its ways to end a process.
const (
	quitTimeout = 5 * time.Second
	termTimeout = time.Second
	// retireTimeout is how long commands are waited for that others have sent.
	retireTimeout = time.Second
)

// Process is a QEMU process that Start started.
type Process struct {
	program string
	args    []string
	process *os.Process
	group   bool // it is the first of a process group of its own
	stderr  stderrLog

	monitors   []*qmp.Monitor
	gdb, qtest net.Conn
	dump       *os.File
	dumpPath   string

	done chan struct{}
	exit *Exit // set before done is closed
}

// Monitors are the connected QMP monitors.
func (p *Process) Monitors() []*qmp.Monitor { return p.monitors }

// GDB is the connection to the gdbstub, or nil.
func (p *Process) GDB() net.Conn { return p.gdb }

// QTest is the connection to qtest, or nil.
func (p *Process) QTest() net.Conn { return p.qtest }

// Dump is the file that QEMU can be told to write into, by the name that QEMU has for it; nil if none was asked for.
func (p *Process) Dump() (f *os.File, path string) { return p.dump, p.dumpPath }

// PID is the process number.
func (p *Process) PID() int { return p.process.Pid }

// Args is the command line without the program, with numbers for descriptors.
func (p *Process) Args() []string { return p.args }

// Stderr returns the last lines that the process printed.
func (p *Process) Stderr() []string { return p.stderr.Lines() }

// Complaints returns lines of stderr that tell of a failed assertion or a fatal error inside QEMU, the first ones if
// there are many.
func (p *Process) Complaints() []string { return p.stderr.Complaints() }

// Done is closed when the process has ended and all that it printed has been read.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit says how the process ended; it is nil as long as the process lives.
func (p *Process) Exit() *Exit {
	select {
	case <-p.done:
		return p.exit
	default:
		return nil
	}
}

// Signal sends a signal. A process that has ended gets none.
func (p *Process) Signal(s syscall.Signal) error {
	if p.Exit() != nil {
		return nil
	}
	var err error
	if p.group { // also of a wrapper whose child QEMU is
		err = syscall.Kill(-p.process.Pid, s)
	} else {
		err = p.process.Signal(s)
	}
	if errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// Kill ends the process with SIGKILL, if it has not ended yet, and closes all connections to it.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.done // SIGKILL cannot be refused; reaping takes 2 ms
	p.closeConnections()
}

// Stop asks the process to quit, and forces it to if it does not. It returns nil if the process ended as asked or had
// ended before, an *Exit if it crashed instead, and another error if it had to be forced. When Stop returns the process
// is gone and all connections to it are closed; a ctx that ends only cuts the asking short.
func (p *Process) Stop(ctx context.Context) error {
	defer p.Kill()
	if p.Exit() != nil {
		return nil
	}
	quit := p.quit(ctx)
	if quit == nil {
		return p.crashed()
	}
	ctx, cancel := context.WithTimeout(ctx, termTimeout)
	defer cancel()
	p.Signal(syscall.SIGTERM)
	if err := p.wait(ctx); err != nil {
		return fmt.Errorf("%s (pid %d) had to be killed, it ended neither when asked to (%w) nor on SIGTERM%s", p.program, p.PID(), quit, lastWords(p.Stderr()))
	}
	if len(p.monitors) == 0 {
		return p.crashed()
	}
	return fmt.Errorf("%s (pid %d) ended on SIGTERM, but not when asked to: %w", p.program, p.PID(), quit)
}

// quit asks for the end through QMP and waits for it.
func (p *Process) quit(ctx context.Context) error {
	if len(p.monitors) == 0 {
		return errors.New("it has no monitor")
	}
	ctx, cancel := context.WithTimeout(ctx, quitTimeout)
	defer cancel()
	p.retire(ctx)
	err := p.monitors[0].Execute(ctx, "quit", nil, nil)
	if err != nil && !errors.Is(err, qmp.ErrEnded) {
		return err
	}
	return p.wait(ctx)
}

// retire has the other monitors send nothing any more.
func (p *Process) retire(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, retireTimeout)
	defer cancel()
	for _, m := range p.monitors[1:] {
		m.Retire(ctx)
	}
}

// crashed returns the process's exit if that is not a success.
func (p *Process) crashed() error {
	if p.exit.Signal != "" || p.exit.Status != 0 {
		return p.exit
	}
	return nil
}

func (p *Process) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waited for the end of %s (pid %d): %w", p.program, p.PID(), ctx.Err())
	}
}

func (p *Process) closeConnections() {
	for _, m := range p.monitors {
		m.Disconnect()
	}
	for _, c := range []net.Conn{p.gdb, p.qtest} {
		if c != nil {
			c.Close()
		}
	}
	p.dump.Close()
}

// Exit tells how a process ended. It is an error, because nobody expects the end of a QEMU but those who ask for it.
type Exit struct {
	Program string
	PID     int
	Status  int      // exit status; -1 if a signal ended the process
	Signal  string   // "SIGABRT", or empty
	Stderr  []string // the last lines
}

func newExit(program string, s *os.ProcessState, stderr []string) *Exit {
	e := &Exit{Program: program, PID: s.Pid(), Status: s.ExitCode(), Stderr: stderr}
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		e.Signal = unix.SignalName(ws.Signal())
	}
	return e
}

func (e *Exit) Error() string {
	how := fmt.Sprintf("ended with exit status %d", e.Status)
	if e.Signal != "" {
		how = "was ended by " + e.Signal
	}
	return fmt.Sprintf("%s (pid %d) %s%s", e.Program, e.PID, how, lastWords(e.Stderr))
}

// lastWords quotes the end of what a process printed, as a part of a sentence.
func lastWords(stderr []string) string {
	const lines = 3
	if len(stderr) == 0 {
		return ""
	}
	if len(stderr) > lines {
		stderr = stderr[len(stderr)-lines:]
	}
	return fmt.Sprintf(", having printed %q", strings.Join(stderr, "\n"))
}
