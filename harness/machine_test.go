// SPDX-License-Identifier: Apache-2.0

package harness_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/digitalocean/go-qemu/qemu"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"mcdtest/guest"
	"mcdtest/harness"
	"mcdtest/harness/debugger"
	"mcdtest/harness/fakeqemu"
	"mcdtest/harness/jsonclient"
	"mcdtest/harness/launch"
	"mcdtest/harness/rawclient"
	"mcdtest/stub/target"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(fakeEnv) != "":
		os.Exit(fakeqemu.Main(os.Getenv(fakeEnv), fakeMCD))
	case os.Getenv(orphanEnv) != "":
		orphanMain()
	default:
		goleak.VerifyTestMain(m)
	}
}

// start starts a machine that the test's end closes, with its own check that it ended well.
func start(t testing.TB, cfg harness.Config) *harness.Machine {
	t.Helper()
	if cfg.Endpoint == harness.Auto {
		cfg.Endpoint = harness.Stub
	}
	m, err := harness.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func startArch(t testing.TB, arch string, cfg harness.Config) *harness.Machine {
	t.Helper()
	cfg.Build = probe(t, qemuPath(t, arch))
	return start(t, cfg)
}

// ask sends bytes to the MCD endpoint and returns the answer up to the given end.
func ask(t testing.TB, conn net.Conn, say, end string) string {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, say); err != nil {
		t.Fatalf("send %q: %v", say, err)
	}
	var got []byte
	for buf := make([]byte, 4096); !bytes.HasSuffix(got, []byte(end)); {
		n, err := conn.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil {
			t.Fatalf("sent %q, waited for %q, got %q: %v", say, end, got, err)
		}
	}
	return string(got)
}

func dial(t testing.TB, m *harness.Machine) net.Conn {
	t.Helper()
	conn, err := m.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestMachine(t *testing.T) {
	for _, arch := range guest.Architectures() {
		t.Run(arch, func(t *testing.T) {
			m := startArch(t, arch, harness.Config{})
			if m.Endpoint() != harness.Stub || m.Dialect() != harness.Packet || m.Guest().Arch != arch || m.Build().Arch != arch || m.Cores() != 1 {
				t.Errorf("got a machine with %v, %v, %v, %v, %d cores", m.Endpoint(), m.Dialect(), m.Guest(), m.Build(), m.Cores())
			}
			if got, want := ask(t, dial(t, m), "$qsystem#|", "#|"), "+$qemu-system#|"; got != want {
				t.Errorf("over MCD: got %q, want %q", got, want)
			}
			if s, err := m.RunState(t.Context()); err != nil || s != "prelaunch" {
				t.Errorf("run state: %q, %v", s, err)
			}
			domain, err := m.Domain()
			if err != nil {
				t.Fatal(err)
			}
			if s, err := domain.Status(); err != nil || s != qemu.StatusPreLaunch {
				t.Errorf("status of the domain: %v, %v", s, err)
			}
		})
	}
}

// The guest program really is in the machine's memory, although its file has no name.
func TestGuestIsLoaded(t *testing.T) {
	for _, arch := range guest.Architectures() {
		t.Run(arch, func(t *testing.T) {
			m := startArch(t, arch, harness.Config{})
			g := m.Guest()
			loop := g.Addr("loop")
			want, err := g.Data(loop, 16)
			if err != nil {
				t.Fatal(err)
			}
			phys, err := g.Phys(loop)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(want))
			// x86 firmware loads the program when it runs; QEMU's loader does elsewhere.
			if strings.Contains(arch, "86") {
				if err := m.QMP().Execute(t.Context(), "cont", nil, nil); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "the guest program in memory", func() (string, bool) {
				if err := m.ReadPhysical(t.Context(), phys, got); err != nil {
					t.Fatal(err)
				}
				return fmt.Sprintf("% x, want % x", got, want), bytes.Equal(got, want)
			})
		})
	}
}

// eventually asks f until it reports success, and quotes its last words if that takes too long.
func eventually(t testing.TB, what string, f func() (string, bool)) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		saw, ok := f()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited 5 s for %s; last seen: %s", what, saw)
		}
	}
}

func TestRunning(t *testing.T) {
	m := start(t, harness.Config{Running: true})
	if s, err := m.RunState(t.Context()); err != nil || s != "running" {
		t.Errorf("run state: %q, %v", s, err)
	}
	counter, err := m.Guest().Phys(m.Guest().Addr("counter"))
	if err != nil {
		t.Fatal(err)
	}
	first, err := m.Uint32At(t.Context(), counter)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the counter to change", func() (string, bool) {
		n, err := m.Uint32At(t.Context(), counter)
		return fmt.Sprintf("%d, %v", n, err), err == nil && n != first
	})
}

// A second client waits in the backlog, and is served when the first has left.
func TestDialAgain(t *testing.T) {
	m := start(t, harness.Config{})
	first := dial(t, m)
	ask(t, first, "$qsystem#|", "#|")
	second := dial(t, m)
	if _, err := io.WriteString(second, "$qsystem#|"); err != nil {
		t.Fatal(err)
	}
	first.Close()
	if got := ask(t, second, "", "#|"); got != "+$qemu-system#|" {
		t.Errorf("the second client got %q", got)
	}
}

func TestDialectOfTheStub(t *testing.T) {
	const object = `{"execute":"mcd-qry-error-info","arguments":{"core-uid":0}}`
	tests := []struct {
		asked, got      harness.Dialect
		packets, object bool
	}{
		{"", harness.Packet, true, true},
		{harness.Packet, harness.Packet, true, false},
		{harness.JSON, harness.JSON, false, true},
	}
	for _, tt := range tests {
		t.Run(string(tt.asked), func(t *testing.T) {
			m := start(t, harness.Config{Dialect: tt.asked})
			if m.Dialect() != tt.got {
				t.Errorf("got %q, want %q", m.Dialect(), tt.got)
			}
			if tt.packets {
				conn := dial(t, m)
				if got := ask(t, conn, "$#|", "#|"); got != "+$#|" {
					t.Errorf("an empty packet is answered %q", got)
				}
				conn.Close()
			}
			if tt.object {
				if got := ask(t, dial(t, m), object, "\n"); !strings.HasPrefix(got, `{"return"`) {
					t.Errorf("an object is answered %q", got)
				}
			}
		})
	}
}

// blind is a Target that reads all memory as 0x55.
type blind struct{ target.Target }

func (blind) ReadMemory(_ context.Context, _ int, _ target.Space, _ uint64, p []byte) error {
	copy(p, bytes.Repeat([]byte{0x55}, len(p)))
	return nil
}

func TestWrapTarget(t *testing.T) {
	m := start(t, harness.Config{WrapTarget: func(t target.Target) target.Target { return blind{t} }})
	conn := dial(t, m)
	ask(t, conn, "$i0#|", "+")
	if got := ask(t, conn, fmt.Sprintf("$m0;1;%d;4#|", m.Guest().Addr("loop")), "#|"); got != "+$55555555#|" {
		t.Errorf("got %q", got)
	}
}

func TestEndOfQEMU(t *testing.T) {
	m, err := harness.Start(t.Context(), harness.Config{Endpoint: harness.Stub})
	if err != nil {
		t.Fatal(err)
	}
	conn := dial(t, m)
	ask(t, conn, "$qsystem#|", "#|")
	if err := m.Signal(syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-m.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("QEMU was sent SIGABRT and lives on")
	}
	want := fmt.Sprintf(`qemu-system-arm \(pid %d\) was ended by SIGABRT`, m.PID())
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the client read %d bytes, %v", n, err)
	}
	_, err = m.RunState(t.Context())
	matches(t, err, "QMP query-status: .*"+want)
	matches(t, m.ReadPhysical(t.Context(), 0, make([]byte, 4)), "qtest read .*"+want)
	eventually(t, "the endpoint to refuse clients", func() (string, bool) {
		c, err := m.Dial(t.Context())
		if err == nil {
			c.Close()
			return "a connection", false
		}
		matches(t, err, "connect to the stub endpoint: .*refused; "+want)
		return "", true
	})
	if d := m.Describe(); !strings.Contains(d, "was ended by SIGABRT") {
		t.Errorf("Describe: %s", d)
	}
	err = m.Close()
	matches(t, err, "unexpected end of QEMU: "+want)
	var exit *launch.Exit
	if !errors.As(err, &exit) || exit.Signal != "SIGABRT" {
		t.Errorf("Close: no *launch.Exit in %v", err)
	}
	if again := m.Close(); again != err {
		t.Errorf("the second Close: got %v, the first %v", again, err)
	}
}

func TestAnnouncedEnds(t *testing.T) {
	quit := func(m *harness.Machine) {
		m.QMP().Execute(context.Background(), "quit", nil, nil)
		<-m.Done()
	}
	abort := func(m *harness.Machine) {
		m.Signal(syscall.SIGABRT)
		<-m.Done()
	}
	tests := []struct {
		name string
		end  func(*harness.Machine)
		says string
	}{
		{"nothing", func(m *harness.Machine) {}, ""},
		{"Kill", func(m *harness.Machine) { m.Kill() }, ""},
		{"ExpectExit, quit", func(m *harness.Machine) { m.ExpectExit(); quit(m) }, ""},
		{"ExpectExit, still alive", func(m *harness.Machine) { m.ExpectExit() }, ""},
		{"ExpectExit, crash", func(m *harness.Machine) { m.ExpectExit(); abort(m) }, "unexpected end of QEMU: .*SIGABRT"},
		{"quit", quit, "unexpected end of QEMU: .*ended with exit status 0"},
		{"hang", func(m *harness.Machine) { m.Signal(syscall.SIGSTOP) }, ".*had to be killed.*"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, err := harness.Start(t.Context(), harness.Config{Endpoint: harness.Stub})
			if err != nil {
				t.Fatal(err)
			}
			tt.end(m)
			err = m.Close()
			if tt.says != "" {
				matches(t, err, tt.says)
			} else if err != nil {
				t.Error(err)
			}
			if m.Exit() == nil {
				t.Error("QEMU lives on")
			}
		})
	}
}

func TestMCDKillEndsQEMU(t *testing.T) {
	m := start(t, harness.Config{})
	m.ExpectExit()
	conn := dial(t, m)
	ask(t, conn, "$k#|", "+")
	select {
	case <-m.Done():
	case <-time.After(5 * time.Second):
		t.Fatalf("QEMU was told to end and lives on: %s", m.Describe())
	}
	if e := m.Exit(); e.Status != 0 {
		t.Errorf("got %v", e)
	}
}

func TestDescribe(t *testing.T) {
	m := start(t, harness.Config{})
	for _, c := range []string{"cont", "stop"} {
		if err := m.QMP().Execute(t.Context(), c, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a description with run state and events", func() (string, bool) {
		d := m.Describe()
		return d, strings.Contains(d, fmt.Sprintf("pid %d, stub endpoint, packet dialect: process S (sleeping), run state \"paused\"", m.PID())) &&
			strings.Contains(d, "last events: RESUME ") && strings.Contains(d, ", STOP ")
	})
	if err := m.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	d := m.Describe()
	if !strings.Contains(d, "process T (stopped); QMP query-status: sent, but no answer") {
		t.Errorf("of a stopped QEMU: %s", d)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("of a stopped QEMU: took %v", took)
	}
	m.Kill()
}

func TestComplaints(t *testing.T) {
	real := qemuPath(t, "arm")
	b := probe(t, script(t, t.TempDir(), `echo "**" >&2; echo "ERROR:../x.c:1:f: assertion failed: (y)" >&2; exec '`+real+`' "$@"`))
	m := start(t, harness.Config{Build: b})
	want := []string{"ERROR:../x.c:1:f: assertion failed: (y)"}
	eventually(t, "the complaint", func() (string, bool) { return fmt.Sprintf("%q", m.Stderr()), len(m.Complaints()) > 0 })
	if diff := cmp.Diff(want, m.Complaints()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if d := m.Describe(); !strings.Contains(d, "complaint: "+want[0]) {
		t.Errorf("Describe: %s", d)
	}
}

func TestStartErrors(t *testing.T) {
	b := probe(t, qemuPath(t, "arm"))
	riscv, err := guest.Lookup("riscv64", guest.Loop)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		cfg  harness.Config
		says string
	}{
		{"no such CPU", harness.Config{Args: []string{"-cpu", "nonsense"}}, `start QEMU: qemu-system-arm \(pid \d+\) ended with exit status 1, having printed ".*'nonsense'.*`},
		{"too many cores", harness.Config{Cores: 10000}, `start QEMU: .*ended with exit status 1, having printed ".*SMP CPUs.*10000.*`},
		{"wrong guest", harness.Config{Guest: riscv}, `start a machine: the guest program is for riscv64, but .*/qemu-system-arm \(QEMU .*, arm\) is not; choose a QEMU for riscv64`},
		{"no such endpoint", harness.Config{Endpoint: "remote"}, `start a machine: there is no endpoint "remote"; choose "native" or "stub"`},
		{"no -mcd", harness.Config{Endpoint: harness.Native}, `start a machine with a native endpoint: .* has no option -mcd; use a build that has it, or the stub`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Build = b
			m, err := harness.Start(t.Context(), tt.cfg)
			if err == nil {
				m.Close()
			}
			matches(t, err, tt.says)
		})
	}
}

// Polling the state of a core asks QEMU nothing: it is answered while QEMU can answer nothing.
func TestPollingAsksQEMUNothing(t *testing.T) {
	for _, dialect := range []harness.Dialect{harness.Packet, harness.JSON} {
		m := start(t, harness.Config{Build: probe(t, qemuPath(t, "arm")), Endpoint: harness.Stub, Dialect: dialect, Running: true})
		conn, err := m.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var d debugger.Debugger = debugger.NewPacket(rawclient.New(conn, rawclient.Options{}))
		if dialect == harness.JSON {
			d = debugger.NewJSON(jsonclient.New(conn, jsonclient.Options{}))
		}
		if err := d.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := m.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		for i := range 1000 {
			if s, err := d.State(t.Context(), 0); err != nil || s.Status != debugger.Running {
				t.Fatalf("%s, poll %d of a QEMU that is stopped with SIGSTOP: %v, %v", dialect, i, s, err)
			}
		}
		if err := m.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
}

// What is left of a QEMU that ends while the stub is put in front of it is in the error.
func TestStartErrorHasTheEvidence(t *testing.T) {
	real := qemuPath(t, "arm")
	b := probe(t, script(t, t.TempDir(), `case "$*" in *-gdb*) echo "ERROR:../x.c:1:f: assertion failed" >&2; kill -SEGV $$;; *) exec '`+real+`' "$@";; esac`))
	m, err := harness.Start(t.Context(), harness.Config{Build: b, Endpoint: harness.Stub})
	if err == nil {
		m.Close()
	}
	var e *harness.StartError
	if !errors.As(err, &e) {
		t.Fatalf("%T: %v", err, err)
	}
	if e.Build != b || !slices.Contains(e.Args, "-kernel") || e.Exit == nil || e.Exit.Signal != "SIGSEGV" || !slices.Contains(e.Stderr, "ERROR:../x.c:1:f: assertion failed") {
		t.Errorf("%+v", e)
	}
	matches(t, err, `start QEMU: .* was ended by SIGSEGV, having printed "ERROR:.*assertion failed".*`)
}

func TestNative(t *testing.T) {
	b := probe(t, fakeBuild(t, "packet"))
	m := start(t, harness.Config{Build: b, Endpoint: harness.Native})
	if m.Endpoint() != harness.Native || m.Dialect() != harness.Packet {
		t.Errorf("got %v, %v", m.Endpoint(), m.Dialect())
	}
	// Connections reach QEMU's own listener, one after the other.
	for i := range 3 {
		conn := dial(t, m)
		if got, want := ask(t, conn, "$#|", "#|"), fmt.Sprintf("+$client %d#|", i+1); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		conn.Close()
	}
	if s, err := m.RunState(t.Context()); err != nil || s != "prelaunch" {
		t.Errorf("run state: %q, %v", s, err)
	}
	if _, err := m.Uint32At(t.Context(), m.Guest().Addr("loop")); err != nil {
		t.Errorf("memory: %v", err)
	}
	m.Kill()
	if _, err := m.Dial(t.Context()); err == nil {
		t.Error("something still listens where QEMU did")
	}
}

func TestChoiceOfEndpoint(t *testing.T) {
	packets, objects, none := probe(t, fakeBuild(t, "packet")), probe(t, fakeBuild(t, "json")), probe(t, qemuPath(t, "arm"))
	wrap := func(t target.Target) target.Target { return t }
	tests := []struct {
		name     string
		cfg      harness.Config
		endpoint harness.EndpointKind
		dialect  harness.Dialect
		says     string
	}{
		{"none", harness.Config{Build: none}, harness.Stub, harness.Packet, ""},
		{"packets", harness.Config{Build: packets}, harness.Native, harness.Packet, ""},
		{"objects", harness.Config{Build: objects}, harness.Native, harness.JSON, ""},
		{"stub by wish", harness.Config{Build: packets, Endpoint: harness.Stub}, harness.Stub, harness.Packet, ""},
		{"a dialect that the build lacks", harness.Config{Build: packets, Dialect: harness.JSON}, harness.Stub, harness.JSON, ""},
		{"native with a dialect that the build lacks", harness.Config{Build: packets, Dialect: harness.JSON, Endpoint: harness.Native}, "", "",
			`start a machine with a native endpoint: the -mcd of .* does not speak the json dialect; it speaks \[packet\]`},
		{"native with a fault in its Target", harness.Config{Build: packets, Endpoint: harness.Native, WrapTarget: wrap}, "", "",
			"start a machine with a native endpoint: it has no Target that could be wrapped; use the stub"},
		{"a fault in the Target", harness.Config{Build: packets, WrapTarget: wrap}, harness.Stub, harness.Packet, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := harness.Start(t.Context(), tt.cfg)
			if tt.says != "" {
				matches(t, err, tt.says)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.Endpoint() != tt.endpoint || m.Dialect() != tt.dialect {
				t.Errorf("got %v, %v", m.Endpoint(), m.Dialect())
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestArgs(t *testing.T) {
	m := start(t, harness.Config{Cores: 2, Args: []string{"-name", "x"}})
	args := m.Args()
	for _, want := range []string{"-S", "-nodefaults", "guest/elf/arm-loop.elf", "-name"} {
		if !slices.Contains(args, want) {
			t.Errorf("no %q in %q", want, args)
		}
	}
	if s := strings.Join(args, " "); strings.Contains(s, "fd") || !strings.Contains(s, "-smp 2") {
		t.Errorf("got %q", args)
	}
	if m.Cores() != 2 {
		t.Errorf("got %d cores", m.Cores())
	}
}

func TestNoDescriptorIsLeft(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collected file is closed
	count := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	build, fake := probe(t, qemuPath(t, "arm")), probe(t, fakeBuild(t, "packet"))
	var before int
	for i, cfg := range []harness.Config{
		{Build: build, Endpoint: harness.Stub}, // for what the runtime opens once
		{Build: build, Endpoint: harness.Stub},
		{Build: fake, Endpoint: harness.Native},
		{Build: build, Endpoint: harness.Stub, Args: []string{"-cpu", "nonsense"}},
	} {
		if m, err := harness.Start(t.Context(), cfg); err == nil {
			conn, err := m.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ask(t, conn, "$#|", "#|")
			conn.Close()
			if _, err := m.Domain(); err != nil {
				t.Error(err)
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
		if after := count(); i == 0 {
			before = after
		} else if after != before {
			t.Errorf("%+v: %d descriptors before, %d afterwards", cfg, before, after)
		}
	}
}

// A read of memory or of a register allocates nothing on its way from a client to QEMU and back, whichever of them it is counted for.
func TestASmallRequestAllocatesNothing(t *testing.T) {
	m := start(t, harness.Config{Build: probe(t, qemuPath(t, "arm")), Endpoint: harness.Stub})
	conn, err := m.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := rawclient.New(conn, rawclient.Options{})
	defer c.Close()
	if err := c.OpenCore(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	var memory, register [4]byte
	for what, once := range map[string]func() error{
		"4 bytes of memory": func() error { return c.ReadMemory(t.Context(), 0, 1, m.Guest().Addr("counter"), memory[:]) },
		"a register": func() error {
			_, err := c.ReadRegister(t.Context(), 0, 15, register[:0])
			return err
		},
	} {
		var failed error
		if n := testing.AllocsPerRun(1000, func() { failed = errors.Join(failed, once()) }); n > 0 || failed != nil {
			t.Errorf("a read of %s allocates %v times, %v", what, n, failed)
		}
	}
}
