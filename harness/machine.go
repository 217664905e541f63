// SPDX-License-Identifier: Apache-2.0

// Package harness starts and watches QEMUs under test.
//
// A Machine is one QEMU process with a guest program, an MCD endpoint (QEMU's own or our stub in front of it) and two
// observers that do not speak MCD: QMP and qtest. Nothing of it outlives the Machine or this process: sockets have no
// paths, the guest program is a file without a name, and the kernel ends a QEMU whose parent is gone.
package harness

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/digitalocean/go-qemu/qemu"
	"golang.org/x/sys/unix"

	"mcdtest/guest"
	"mcdtest/harness/launch"
	"mcdtest/stub/gdbtarget"
	"mcdtest/stub/qmp"
	"mcdtest/stub/qtest"
	"mcdtest/stub/target"
)

// EndpointKind is where MCD is spoken.
type EndpointKind string

// Kinds of endpoints.
const (
	Auto   EndpointKind = ""       // Native if the build has one that fits the rest of the Config, otherwise Stub
	Native EndpointKind = "native" // QEMU's own -mcd
	Stub   EndpointKind = "stub"   // our server in front of any QEMU
)

// Config says what Machine to start. The zero value is a machine for arm with one core that stands at its reset pc.
type Config struct {
	Build    *Build       // nil: Find and Probe for the guest's architecture
	Guest    *guest.Image // nil: the loop for the build's architecture
	Cores    int          // 0: one
	Endpoint EndpointKind
	Dialect  Dialect  // empty: what the endpoint prefers
	Running  bool     // the guest runs from the start
	Args     []string // appended to QEMU's command line

	// WrapTarget puts something between our stub and its Target. It makes no sense with a native endpoint.
	WrapTarget func(target.Target) target.Target
	Log        *slog.Logger // nil: nothing is logged
}

// Machine is a QEMU under test. It is safe for concurrent use.
type Machine struct {
	cfg      Config
	endpoint EndpointKind
	dialect  Dialect
	process  *launch.Process
	qtest    *qtest.Client
	address  string // of the MCD endpoint: an abstract unix socket
	stub     *stubEndpoint
	history  *history

	domain func() (*qemu.Domain, error)

	mu     sync.Mutex
	wanted wantedEnd

	closeOnce sync.Once
	closeErr  error
}

// wantedEnd is which end of QEMU a test has announced.
type wantedEnd int

const (
	endUnwanted wantedEnd = iota
	endSuccess            // with exit status 0
	endAny
)

// Start starts a Machine. ctx limits the start alone. Nothing is left behind after an error.
func Start(ctx context.Context, cfg Config) (*Machine, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, launch.StartTimeout)
		defer cancel()
	}
	if err := cfg.complete(ctx); err != nil {
		return nil, err
	}
	m := &Machine{cfg: cfg}
	if err := m.chooseEndpoint(); err != nil {
		return nil, err
	}
	if err := m.start(ctx); err != nil {
		return nil, m.startError(err)
	}
	return m, nil
}

// complete puts in what the caller left open.
func (cfg *Config) complete(ctx context.Context) error {
	if cfg.Build == nil {
		arch := ""
		if cfg.Guest != nil {
			arch = cfg.Guest.Arch
		}
		path, err := Find(arch)
		if err != nil {
			return err
		}
		if cfg.Build, err = Probe(ctx, path); err != nil {
			return err
		}
	}
	if cfg.Guest == nil {
		image, err := guest.Lookup(cfg.Build.Arch, guest.Loop)
		if err != nil {
			return err
		}
		cfg.Guest = image
	}
	if cfg.Guest.Arch != cfg.Build.Arch {
		return fmt.Errorf("start a machine: the guest program is for %s, but %v is not; choose a QEMU for %s", cfg.Guest.Arch, cfg.Build, cfg.Guest.Arch)
	}
	if cfg.Cores == 0 {
		cfg.Cores = 1
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

func (m *Machine) chooseEndpoint() error {
	b := m.cfg.Build
	m.endpoint, m.dialect = m.cfg.Endpoint, m.cfg.Dialect
	if m.endpoint == Auto {
		m.endpoint = Stub
		if b.MCD != "" && (m.dialect == "" || b.Speaks(m.dialect)) && m.cfg.WrapTarget == nil {
			m.endpoint = Native
		}
	}
	switch m.endpoint {
	case Native:
		if b.MCD == "" {
			return fmt.Errorf("start a machine with a native endpoint: %v has no option -mcd; use a build that has it, or the stub", b)
		}
		if m.dialect == "" {
			m.dialect = b.MCD
		}
		if !b.Speaks(m.dialect) {
			return fmt.Errorf("start a machine with a native endpoint: the -mcd of %v does not speak the %s dialect; it speaks %v", b, m.dialect, b.dialects)
		}
		if m.cfg.WrapTarget != nil {
			return errors.New("start a machine with a native endpoint: it has no Target that could be wrapped; use the stub")
		}
	case Stub:
		if m.dialect == "" {
			m.dialect = Packet
		}
	default:
		return fmt.Errorf("start a machine: there is no endpoint %q; choose %q or %q", m.endpoint, Native, Stub)
	}
	return nil
}

// baseArgs is what every QEMU under test is started with: no devices beyond the machine's own, no network, no window,
// and no way to start programs.
func (b *Build) baseArgs() []string {
	args := []string{"-nodefaults", "-nic", "none", "-display", "none"}
	if b.sandbox {
		args = append(args, launch.Sandbox...)
	}
	return args
}

// guestArgs is the command line without connections, with the guest program in the given file.
func (m *Machine) guestArgs(file string) []string {
	args := append(m.cfg.Build.baseArgs(), m.cfg.Guest.QEMUArgs(file, m.cfg.Cores)...)
	if !m.cfg.Running {
		args = append(args, "-S")
	}
	return append(args, m.cfg.Args...)
}

func (m *Machine) start(ctx context.Context) (err error) {
	program, err := launch.MemoryFile("guest.elf", m.cfg.Guest.ELF)
	if err != nil {
		return err
	}
	defer program.Close()
	listener, err := listen()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			listener.Close()
		}
	}()
	m.address = listener.Addr().String()

	spec := launch.Spec{
		Path: m.cfg.Build.Path, Args: m.guestArgs("/proc/self/fd/{fd:0}"), Files: []*os.File{program},
		Monitors: 1, QTest: true,
	}
	switch m.endpoint {
	case Native:
		inherited, err := listener.File()
		if err != nil {
			return fmt.Errorf("hand a listener to QEMU: %w", err)
		}
		defer inherited.Close()
		spec.Files = append(spec.Files, inherited)
		spec.Args = append(spec.Args, nativeArgs("{fd:1}")...)
	case Stub:
		spec.Monitors, spec.GDB, spec.Dump = 2, true, true
		if !m.cfg.Running {
			spec.GDBInput = gdbtarget.FirstQuestions()
		}
	}
	began := time.Now()
	if m.process, err = launch.Start(ctx, spec); err != nil {
		return err
	}
	m.history = watch(m.process.Monitors()[0])
	m.qtest = qtest.New(m.process.QTest())
	m.domain = sync.OnceValues(func() (*qemu.Domain, error) { return qemu.NewDomain(m.QMP(), m.cfg.Guest.Machine()) })

	switch m.endpoint {
	case Native:
		listener.Close() // QEMU has it now; nobody must be able to connect when QEMU is gone
	case Stub:
		if m.stub, err = startStub(ctx, m, listener); err != nil {
			err = m.because(fmt.Errorf("put the stub in front of %v: %w", m.cfg.Build, err))
			m.process.Kill()
			return err
		}
	}
	m.cfg.Log.Info("machine started", "pid", m.PID(), "endpoint", m.endpoint, "took", time.Since(began))
	return nil
}

// listen makes a listener that needs no file: an abstract unix socket with a name that nobody guesses.
func listen() (*net.UnixListener, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: "@mcdtest-" + rand.Text(), Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("make a listener for MCD: %w", err)
	}
	return l, nil
}

// Dial makes a new connection to the MCD endpoint. The connection waits in the endpoint's backlog while another client
// is served.
func (m *Machine) Dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", m.address)
	if err != nil {
		return nil, m.because(fmt.Errorf("connect to the %s endpoint: %w", m.endpoint, err))
	}
	return conn, nil
}

// endLag is how long the end of a process may show in its connections before it is known.
const endLag = time.Second

// Ended is how QEMU ended, or nil. Where its connections show that it does not live, its end is waited for, a second at
// most.
func (m *Machine) Ended() *launch.Exit {
	select {
	case <-m.process.Done():
		return m.process.Exit()
	case <-m.process.Monitors()[0].Done():
	default:
		return nil
	}
	lag := time.NewTimer(endLag)
	defer lag.Stop()
	select {
	case <-m.process.Done():
	case <-lag.C:
	}
	return m.process.Exit()
}

// because adds QEMU's end to an error, if there was one: it explains most others.
func (m *Machine) because(err error) error {
	if exit := m.Ended(); exit != nil {
		return fmt.Errorf("%w; %w", err, exit)
	}
	select {
	case <-m.process.Monitors()[0].Done():
		return fmt.Errorf("%w; QEMU has closed its monitor", err)
	default:
		return err
	}
}

// QMP is the observer's own monitor. It is the Machine's to close.
func (m *Machine) QMP() *qmp.Monitor { return m.process.Monitors()[0] }

// Domain is go-qemu's view of the machine, over QMP. It is the Machine's to close.
func (m *Machine) Domain() (*qemu.Domain, error) { return m.domain() }

// QTest is the observer of memory. The stub uses the same client, since QEMU serves only one. It is the Machine's to
// close.
func (m *Machine) QTest() *qtest.Client { return m.qtest }

// RunState asks QEMU for its run state: "prelaunch", "running", "paused", "debug".
func (m *Machine) RunState(ctx context.Context) (string, error) {
	var status struct {
		Status string `json:"status"`
	}
	if err := m.QMP().Execute(ctx, "query-status", nil, &status); err != nil {
		return "", m.because(err)
	}
	return status.Status, nil
}

// ReadPhysical fills p with physical memory from addr on, without stopping the machine. Where nothing is mapped, it
// reads zeros.
func (m *Machine) ReadPhysical(ctx context.Context, addr uint64, p []byte) error {
	if err := m.qtest.Read(ctx, addr, p); err != nil {
		return m.because(err)
	}
	return nil
}

// Uint32At reads a 32-bit number in the guest's byte order from physical memory.
func (m *Machine) Uint32At(ctx context.Context, addr uint64) (uint32, error) {
	var p [4]byte
	if err := m.ReadPhysical(ctx, addr, p[:]); err != nil {
		return 0, err
	}
	if m.cfg.Guest.BigEndian() {
		slices.Reverse(p[:])
	}
	return uint32(p[0]) | uint32(p[1])<<8 | uint32(p[2])<<16 | uint32(p[3])<<24, nil
}

// Done is closed when QEMU has ended.
func (m *Machine) Done() <-chan struct{} { return m.process.Done() }

// Exit says how QEMU ended, or is nil.
func (m *Machine) Exit() *launch.Exit { return m.process.Exit() }

// Stderr returns the last lines that QEMU printed.
func (m *Machine) Stderr() []string { return m.process.Stderr() }

// Complaints returns what QEMU printed about failures inside itself: assertions, fatal errors, sanitizers.
func (m *Machine) Complaints() []string { return m.process.Complaints() }

// PID is QEMU's process number.
func (m *Machine) PID() int { return m.process.PID() }

// Endpoint is the endpoint that was chosen, never Auto.
func (m *Machine) Endpoint() EndpointKind { return m.endpoint }

// Dialect is the dialect to speak.
func (m *Machine) Dialect() Dialect { return m.dialect }

// Build is the QEMU that runs.
func (m *Machine) Build() *Build { return m.cfg.Build }

// Guest is the program that runs.
func (m *Machine) Guest() *guest.Image { return m.cfg.Guest }

// Cores is the number of cores.
func (m *Machine) Cores() int { return m.cfg.Cores }

// Args is QEMU's command line without the program and without connections, so that it can be repeated by hand.
func (m *Machine) Args() []string {
	name := "GUEST.elf"
	if v := m.cfg.Guest.Variant; v != "" {
		name = fmt.Sprintf("guest/elf/%s-%s.elf", m.cfg.Guest.Arch, v)
	}
	return m.guestArgs(name)
}

// Signal sends a signal to QEMU.
func (m *Machine) Signal(s unix.Signal) error { return m.process.Signal(s) }

// ExpectExit announces that QEMU will end with exit status 0, so that Close does not report it.
func (m *Machine) ExpectExit() { m.want(endSuccess) }

// Kill ends QEMU with SIGKILL. Close does not report it.
func (m *Machine) Kill() {
	m.want(endAny)
	m.process.Signal(unix.SIGKILL)
	<-m.process.Done()
}

func (m *Machine) want(w wantedEnd) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wanted = max(m.wanted, w)
}

// EndExpected reports whether an end of QEMU, if there is one, has been announced, or was Close's doing.
func (m *Machine) EndExpected() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wanted != endUnwanted
}

// Close ends QEMU and everything that belongs to the Machine. It returns an error if QEMU had ended before and nobody
// had announced it, or did not end cleanly. A second Close returns the same.
func (m *Machine) Close() error {
	m.closeOnce.Do(func() { m.closeErr = m.close() })
	return m.closeErr
}

func (m *Machine) close() error {
	before := m.process.Exit()
	if before == nil {
		defer m.want(endAny) // what Exit says from now on is this Close
	}
	// QEMU goes first, so that nothing can wait for it any more. It quits as it would for a user: a crash at the end
	// is a crash, too.
	ctx, cancel := context.WithTimeout(context.Background(), launch.StartTimeout)
	defer cancel()
	err := m.process.Stop(ctx)
	if exit := m.process.Exit(); before == nil && err == nil && exit.Status != 0 {
		before = exit // it ended between the two looks: Stop tells of a crash only if QEMU was asked to quit
	}
	if m.stub != nil {
		err = errors.Join(err, m.stub.close())
	}
	m.qtest.Close()
	m.history.wait()
	m.cfg.Log.Info("machine ended", "pid", m.PID(), "exit", m.Exit())

	m.mu.Lock()
	defer m.mu.Unlock()
	if before == nil {
		return err
	}
	if m.wanted == endAny || m.wanted == endSuccess && before.Status == 0 {
		return err
	}
	return errors.Join(fmt.Errorf("unexpected end of QEMU: %w", before), err)
}
