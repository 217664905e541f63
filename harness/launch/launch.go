// SPDX-License-Identifier: Apache-2.0

// Package launch runs one QEMU process: it hands over descriptors instead of ports or paths, keeps what the process
// prints, makes its end an event, and sees to it that the process never outlives the program that started it.
//
// It knows QEMU's command line as far as connections go (-qmp, -gdb, -qtest on inherited descriptors); everything else
// on it is the caller's.
package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"mcdtest/stub/qmp"
)

// StartTimeout limits Start if its context has no deadline. QEMU needs some 20 ms.
const StartTimeout = 10 * time.Second

// exitDelay is how long a process may take from closing its connections to its end.
const exitDelay = time.Second

// Spec says what to start.
type Spec struct {
	Path string   // the binary
	Args []string // "{fd:0}" becomes the number that Files[0] has in the child, and so on
	Env  []string // nil: the environment of this process

	Monitors int    // number of QMP monitors
	GDB      bool   // a connection to the gdbstub
	GDBInput []byte // written to it beforehand, for when QEMU comes to read; no more than a socket holds
	QTest    bool   // a connection to qtest, beside TCG
	Dump     bool   // a file without a name that QEMU can be told to write into

	Files []*os.File // further descriptors for the child; they stay the caller's

	// Stdin and Stdout default to /dev/null. With Stdin the process stays in the foreground process group, so that it
	// may read from the terminal; without, signals from the terminal do not reach it.
	Stdin  *os.File
	Stdout io.Writer
	Stderr io.Writer // gets a copy; the last lines are kept anyway
}

// Start starts a QEMU and connects its monitors. ctx limits the start alone. An error wraps *Exit if the process ended
// by itself. Nothing is left behind after an error.
func Start(ctx context.Context, s Spec) (*Process, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, StartTimeout)
		defer cancel()
	}
	p := &Process{program: filepath.Base(s.Path), done: make(chan struct{})}
	p.stderr.tee = s.Stderr

	conns, err := connect(s, p)
	defer conns.closeTheirs()
	if err != nil {
		conns.closeOurs()
		return nil, fmt.Errorf("start QEMU: %s: %w", s.Path, err)
	}
	args := slices.Concat(s.Args, conns.args)
	files := conns.theirs
	if s.Dump {
		if p.dump, err = MemoryFile("mcdtest-dump", nil); err != nil {
			conns.closeOurs()
			return nil, fmt.Errorf("start QEMU: %s: %w", s.Path, err)
		}
		p.dumpPath = "/proc/self/fd/" + strconv.Itoa(firstFD+len(files))
		files = append(files, p.dump)
	}
	for i, f := range s.Files {
		placeholder := fmt.Sprintf("{fd:%d}", i)
		number := strconv.Itoa(firstFD + len(files))
		files = append(files, f)
		for j := range args {
			args[j] = strings.ReplaceAll(args[j], placeholder, number)
		}
	}
	p.args = args
	p.group = s.Stdin == nil

	cmd := exec.Command(s.Path, args...)
	cmd.Env = s.Env
	cmd.ExtraFiles = files
	if s.Stdin != nil {
		cmd.Stdin = s.Stdin
	}
	cmd.Stdout = s.Stdout
	cmd.Stderr = &p.stderr
	cmd.WaitDelay = exitDelay // for a stderr that something else holds open
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: p.group}

	started := make(chan error, 1)
	go p.live(cmd, started)
	if err := <-started; err != nil {
		conns.closeOurs()
		p.dump.Close()
		return nil, startError(s.Path, err)
	}
	conns.closeTheirs()
	if err := p.connectMonitors(ctx); err != nil {
		p.Kill()
		return nil, err
	}
	return p, nil
}

// live starts the process and waits for its end. The parent-death signal comes when the thread that forked ends, so
// this goroutine keeps that thread for as long as the process lives.
func (p *Process) live(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	p.process = cmd.Process
	started <- err
	if err != nil {
		return
	}
	cmd.Wait() // what it returns is in ProcessState, or tells of a copy of stderr or stdout that failed
	p.exit = newExit(p.program, cmd.ProcessState, p.stderr.Lines())
	close(p.done)
}

// connectMonitors connects all monitors at the same time: QEMU serves them in the same moment.
func (p *Process) connectMonitors(ctx context.Context) error {
	errs := make([]error, len(p.monitors))
	var wg sync.WaitGroup
	for i, m := range p.monitors {
		wg.Go(func() { errs[i] = m.ConnectContext(ctx) })
	}
	wg.Wait()
	err := errors.Join(errs...)
	if err == nil {
		return nil
	}
	if errors.Is(err, qmp.ErrEnded) {
		ctx, cancel := context.WithTimeout(ctx, exitDelay)
		defer cancel()
		select {
		case <-p.done:
			return fmt.Errorf("start QEMU: %w before it answered on QMP; is it a QEMU, and are its options right?", p.exit)
		case <-ctx.Done():
		}
	}
	return fmt.Errorf("start QEMU: %s (pid %d) did not answer on QMP, is it a QEMU? (%w)%s", p.program, p.PID(), errs[0], lastWords(p.stderr.Lines()))
}

// startError says in a sentence why the binary could not be executed.
func startError(path string, err error) error {
	if fi, serr := os.Stat(path); serr == nil && fi.IsDir() {
		return fmt.Errorf("start QEMU: %s is a folder; name the binary in it", path)
	}
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("start QEMU: there is no %s (%w)", path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("start QEMU: %s is not executable (%w)", path, err)
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("start QEMU: %s is not a program for this machine (%w)", path, err)
	}
	return fmt.Errorf("start QEMU: %s: %w", path, err)
}

// firstFD is the number of the first of exec.Cmd's ExtraFiles in the child.
const firstFD = 3

// connections are socket pairs, one end for us and one for the child, and the arguments that tell QEMU what they are.
type connections struct {
	ours   []net.Conn
	theirs []*os.File
	args   []string
}

// connect makes the connections that s asks for and gives p our ends.
func connect(s Spec, p *Process) (c connections, err error) {
	for i := range s.Monitors {
		conn, err := c.add("qmp"+strconv.Itoa(i), "-qmp", "chardev:")
		if err != nil {
			return c, err
		}
		p.monitors = append(p.monitors, qmp.New(conn))
	}
	if s.GDB {
		if p.gdb, err = c.add("gdb", "-gdb", "chardev:"); err != nil {
			return c, err
		}
		if s.GDBInput != nil {
			if _, err := p.gdb.Write(s.GDBInput); err != nil {
				return c, fmt.Errorf("write to the gdbstub's connection: %w", err)
			}
		}
	}
	if s.QTest {
		// The object and not -qtest: that option wants its chardev to be called "qtest", and selects an accelerator.
		if p.qtest, err = c.add("qtest", "-object", "qtest,id=mcdtest-qtest-server,log=none,chardev="); err != nil {
			return c, err
		}
	}
	return c, nil
}

// add makes a pair and returns our end. QEMU is told by the option, whose value is the given one and the chardev's id.
func (c *connections) add(name, option, value string) (net.Conn, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket pair: %w", err)
	}
	id := "mcdtest-" + name
	c.args = append(c.args, "-chardev", fmt.Sprintf("socket,id=%s,fd=%d", id, firstFD+len(c.theirs)), option, value+id)
	c.theirs = append(c.theirs, os.NewFile(uintptr(fds[1]), id))
	ours := os.NewFile(uintptr(fds[0]), id)
	defer ours.Close()
	conn, err := net.FileConn(ours) // a duplicate
	if err != nil {
		return nil, fmt.Errorf("make a socket pair: %w", err)
	}
	c.ours = append(c.ours, conn)
	return conn, nil
}

func (c *connections) closeTheirs() {
	for _, f := range c.theirs {
		f.Close()
	}
}

func (c *connections) closeOurs() {
	for _, conn := range c.ours {
		conn.Close()
	}
}
