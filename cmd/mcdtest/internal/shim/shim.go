// SPDX-License-Identifier: Apache-2.0

// Package shim makes any QEMU look like one that has -mcd. Installed under the name of a QEMU it takes -mcd off the
// command line, starts the stub beside, and becomes the real QEMU with everything else: process id, standard streams,
// descriptors, signals and exit status are QEMU's own because the process is QEMU's.
//
// The stub runs in a child process, the endpoint. It has the other ends of QEMU's gdbstub, QMP and qtest, so it sees
// QEMU's end, whatever the cause, as the end of its connections.
package shim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mcdtest/cmd/mcdtest/internal/chardev"
	"mcdtest/stub/wire"
)

// Environment variables that the shim obeys.
const (
	EnvQEMU    = "MCDTEST_SHIM_QEMU"    // the real QEMU, or a folder of them; else PATH is searched
	EnvDialect = "MCDTEST_SHIM_DIALECT" // packet, json or auto
)

// EndpointCommand is the first argument by which the shim starts itself as the endpoint.
const EndpointCommand = "qemu-shim-endpoint"

// helpLine is how QEMU's -help describes an option; the suite looks for it to tell whether a build has -mcd.
const helpLine = "-mcd dev        accept MCD connections on 'dev' (by mcdtest's stub)\n"

// Prefix is how the names begin under which the shim acts as a QEMU.
const Prefix = "qemu-system-"

// Is reports whether a program called by this name is to be a QEMU.
func Is(argv0 string) bool { return strings.HasPrefix(filepath.Base(argv0), Prefix) }

// Run becomes the QEMU that argv[0] names. It returns only if that fails, or when -help is done.
func Run(ctx context.Context, argv []string, stdout io.Writer) (status int, err error) {
	c, err := Parse(argv[1:])
	if err != nil {
		return 1, err
	}
	program, err := find(filepath.Base(argv[0]))
	if err == nil {
		err = pass()
	}
	if err != nil {
		return 1, err
	}
	switch {
	case c.Help:
		return help(ctx, program, c.Rest, stdout)
	case c.MCD == "":
		return 1, become(program, append(argv[:1:1], c.Rest...))
	}
	if err := c.CheckOwnStub("-mcd of this QEMU", "drop -mcd"); err != nil {
		return 1, err
	}
	args, err := startEndpoint(ctx, filepath.Base(argv[0]), c)
	if err != nil {
		return 1, err
	}
	confined, missing := c.Confine(ctx, program)
	if missing != "" {
		fmt.Fprintf(os.Stderr, "%s: -mcd: %s\n", filepath.Base(argv[0]), missing)
	}
	return 1, become(program, slices.Concat(argv[:1], confined, args))
}

func become(program string, argv []string) error {
	return fmt.Errorf("start %s: %w", program, syscall.Exec(program, argv, os.Environ()))
}

// help runs QEMU's own help and adds what is not in it.
func help(ctx context.Context, program string, args []string, stdout io.Writer) (int, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, stdout, os.Stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, fmt.Errorf("start %s: %w", program, err)
	}
	for _, a := range args {
		if strings.HasSuffix(a, "-h") || strings.HasSuffix(a, "-help") {
			_, err = io.WriteString(stdout, helpLine)
			break
		}
	}
	return 0, err
}

// envShims lists the shims that have run already, so that copies of this program do not run each other for ever.
const envShims = "MCDTEST_SHIMS"

// pass notes this shim in the environment of whatever it runs.
func pass() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return os.Setenv(envShims, strings.TrimPrefix(os.Getenv(envShims)+string(filepath.ListSeparator)+self, string(filepath.ListSeparator)))
}

// find looks for the real QEMU of the given name: never this program, under whatever name, nor a copy of it that runs this one.
func find(name string) (string, error) {
	self, err := os.Stat("/proc/self/exe")
	if err != nil {
		return "", fmt.Errorf("find the real %s: %w", name, err)
	}
	shims := []os.FileInfo{self}
	for _, path := range filepath.SplitList(os.Getenv(envShims)) {
		if st, err := os.Stat(path); err == nil {
			shims = append(shims, st)
		}
	}
	usable := func(path string) bool {
		st, err := os.Stat(path)
		return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 &&
			!slices.ContainsFunc(shims, func(shim os.FileInfo) bool { return os.SameFile(st, shim) })
	}
	if at := os.Getenv(EnvQEMU); at != "" {
		for _, path := range []string{at, filepath.Join(at, name)} {
			if usable(path) {
				return filepath.Abs(path)
			}
		}
		return "", fmt.Errorf("%s=%s: neither a QEMU nor a folder that has %s in it: set it to the real one", EnvQEMU, at, name)
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if path := filepath.Join(dir, name); usable(path) {
			return filepath.Abs(path)
		}
	}
	return "", fmt.Errorf("no %s in PATH besides this shim: install QEMU, or set %s to one or to a folder of them", name, EnvQEMU)
}

// settings is what the endpoint is told on its command line.
type settings struct {
	Device  string // the argument of -mcd, for messages
	Program string
	Machine string
	Dialect string
	Unlink  string // socket file to remove at the end
	QTest   bool
	Running bool
	// Which of the descriptors are there, from 3 on, behind those to QEMU.
	Listener, Conn bool
	// Stream is the number of descriptors of a device that is no socket: input, output, and perhaps one that is kept.
	Stream int
	// Dial is what to connect to, time and again.
	Dial *chardev.Device
}

// startEndpoint opens the device, starts the endpoint on it and returns the real QEMU's arguments.
func startEndpoint(ctx context.Context, name string, c *CommandLine) ([]string, error) {
	d, err := c.Device(wire.DefaultPort)
	if err != nil {
		return nil, err
	}
	s := settings{
		Device: c.MCD, Program: name, Machine: c.Machine, Dialect: os.Getenv(EnvDialect),
		QTest: !c.QTest, Running: c.Running,
	}
	switch s.Dialect {
	case "", "auto", "packet", "json":
	default:
		return nil, fmt.Errorf("%s=%s: the dialects are packet, json and auto", EnvDialect, s.Dialect)
	}
	if d.IsNull() {
		return c.Rest, nil // nobody can come
	}
	var listener net.Listener
	var conn net.Conn
	var files []*os.File
	switch {
	case d.IsStream():
		stream, err := d.OpenStream()
		if err != nil {
			return nil, err
		}
		defer stream.Close()
		files = append(files, stream.In, stream.Out)
		if stream.Keep != nil {
			files = append(files, stream.Keep)
		}
		s.Stream = len(files)
		if stream.Note != "" {
			fmt.Fprintf(os.Stderr, "%s: %s\n", name, stream.Note)
		}
	case d.Reconnect > 0 && !d.Server:
		s.Dial = &d
	default:
		if listener, conn, err = openDevice(ctx, d); err != nil {
			return nil, err
		}
	}
	if d.Network == "unix" && d.Server && !d.Abstract() {
		s.Unlink = d.Address
	}
	started := false
	defer func() {
		if !started && s.Unlink != "" {
			os.Remove(s.Unlink)
		}
	}()
	if listener != nil {
		if d.Wait {
			if conn, err = listener.Accept(); err != nil {
				return nil, fmt.Errorf("-mcd %s: wait for a client: %w", c.MCD, err)
			}
		}
		f, err := listener.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			return nil, fmt.Errorf("-mcd %s: %w", c.MCD, err)
		}
		s.Listener, files = true, append(files, f)
	}
	if conn != nil {
		f, err := conn.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			return nil, fmt.Errorf("-mcd %s: %w", c.MCD, err)
		}
		s.Conn, files = true, append(files, f)
	}

	gdb, gdbArg, err := socketpair()
	if err != nil {
		return nil, err
	}
	mon, monArg, err := socketpair()
	if err != nil {
		return nil, err
	}
	monitor, err := monitorConfig()
	if err != nil {
		return nil, err
	}
	ours, theirs := []*os.File{gdb, mon}, []int{gdbArg, monArg, monitor}
	args := append(c.Rest[:len(c.Rest):len(c.Rest)],
		"-chardev", fmt.Sprintf("socket,id=mcdtest-gdb,fd=%d", gdbArg), "-gdb", "chardev:mcdtest-gdb",
		"-chardev", fmt.Sprintf("socket,id=mcdtest-qmp,fd=%d", monArg), "-readconfig", fmt.Sprintf("/proc/self/fd/%d", monitor))
	if s.QTest {
		qt, qtArg, err := socketpair()
		if err != nil {
			return nil, err
		}
		ours, theirs = append(ours, qt), append(theirs, qtArg)
		// QEMU looks for a device that is called qtest, whatever stands behind chardev:.
		args = append(args, "-chardev", fmt.Sprintf("socket,id=qtest,fd=%d", qtArg), "-qtest", "chardev:qtest", "-qtest-log", "none")
	}

	// The endpoint must have no descriptor of QEMU's, or nobody would see it closed when QEMU ends.
	theirs, err = closedOnExec(theirs)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{
		Path:       "/proc/self/exe",
		Args:       []string{"mcdtest", EndpointCommand, string(text)},
		Stderr:     os.Stderr,
		ExtraFiles: append(ours, files...),
		// What a terminal sends to QEMU is not meant for the endpoint, which ends when QEMU does.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if s.Unlink == "" {
		// Whoever waits for QEMU's end and starts the next one must find the port free, so the kernel ends the endpoint
		// with QEMU. It goes by the thread that forks, which is the one that becomes QEMU. With a socket file the
		// endpoint ends by itself, a little later, to remove it.
		runtime.LockOSThread()
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the MCD endpoint: %w", err)
	}
	started = true
	for _, fd := range theirs {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return nil, fmt.Errorf("hand a descriptor to QEMU: %w", err)
		}
	}
	return args, nil
}

// predecessorTime is how long the endpoint of a QEMU that has just ended may take to free its address.
const predecessorTime = time.Second

// openDevice opens the device. An address in use may be that of a QEMU that has ended a moment before.
func openDevice(ctx context.Context, d chardev.Device) (net.Listener, net.Conn, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	limit := time.After(predecessorTime)
	for {
		listener, conn, err := d.Open(ctx, log)
		if !errors.Is(err, syscall.EADDRINUSE) {
			return listener, conn, err
		}
		select {
		case <-limit:
			return nil, nil, err
		case <-ctx.Done():
			return nil, nil, err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// closedOnExec keeps the descriptors that this process inherited from the endpoint as well, and returns all that QEMU is
// to have.
func closedOnExec(fds []int) ([]int, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, fmt.Errorf("list the descriptors that are QEMU's: %w", err)
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= 2 {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue // that of the list itself, or our own
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return nil, fmt.Errorf("keep descriptor %d for QEMU: %w", fd, err)
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

// socketpair makes a connection: our end and the number of the other one, which is QEMU's for most.
func socketpair() (*os.File, int, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("make a socket pair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "a socket pair"), fds[1], nil
}

// monitorConfig is a file for -readconfig that has a QMP monitor in it. Said by -qmp or -mon it would take QEMU's default
// monitor away, which the program that calls us may use.
func monitorConfig() (int, error) {
	fd, err := unix.MemfdCreate("mcdtest-monitor", unix.MFD_CLOEXEC)
	if err != nil {
		return 0, fmt.Errorf("make a configuration for QEMU: %w", err)
	}
	const text = "[mon \"mcdtest\"]\n  chardev = \"mcdtest-qmp\"\n  mode = \"control\"\n"
	if _, err := unix.Pwrite(fd, []byte(text), 0); err != nil {
		return 0, fmt.Errorf("make a configuration for QEMU: %w", err)
	}
	return fd, nil
}
