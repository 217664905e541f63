// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mcdtest/guest"
	"mcdtest/harness"
	"mcdtest/harness/debugger"
	"mcdtest/harness/jsonclient"
	"mcdtest/harness/launch"
	"mcdtest/harness/rawclient"
	"mcdtest/stub/busypoll"
	"mcdtest/stub/rsp"
)

// echoVariable makes this program the peer of the floor.
const echoVariable = "MCDTEST_BENCH_ECHO"

func TestMain(m *testing.M) {
	if os.Getenv(echoVariable) != "" {
		echo()
		return
	}
	runtime.GOMAXPROCS(1) // docs/benchmarks.md says why
	var err error
	if commandDir, err = os.MkdirTemp("", "mcdtest-bench-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	os.RemoveAll(commandDir)
	os.Exit(status)
}

// image is the guest program of all benchmarks but those for several cores.
func image(b testing.TB, v guest.Variant) *guest.Image {
	b.Helper()
	i, err := guest.Lookup("arm", v)
	if err != nil {
		b.Fatal(err)
	}
	return i
}

var builds sync.Map

func build(b testing.TB) *harness.Build {
	b.Helper()
	path, err := harness.Find("arm")
	if err != nil {
		b.Skip(err)
	}
	if p, ok := builds.Load(path); ok {
		return p.(*harness.Build)
	}
	p, err := harness.Probe(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	builds.Store(path, p)
	return p
}

// guestFile writes the program where QEMU can read it.
func guestFile(b testing.TB, i *guest.Image) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "guest.elf")
	if err := os.WriteFile(path, i.ELF, 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// bareArgs is QEMU's command line for a program, without connections: that of the harness, so that all ways have the same machine.
func bareArgs(file string, i *guest.Image, cores int) []string {
	return append([]string{"-nodefaults", "-nic", "none", "-display", "none", "-S"}, i.QEMUArgs(file, cores)...)
}

// direct is QEMU's gdbstub with nothing in front of it, on a socket pair.
func direct(b testing.TB, i *guest.Image, cores int) (*launch.Process, *rsp.Client) {
	b.Helper()
	return directOn(b, i, cores, func(conn net.Conn) net.Conn { return conn })
}

// threads are the ways of the gdbstub and of serve with a client whose thread waits in a system call for what it reads, nearly as one in C
// does. The runtime's poller, which has all connections otherwise, wants to know of room to write, too: it is woken once more for each
// request, when the peer takes it from a unix socket.
func threads(b testing.TB, i *guest.Image, gdbstub func(*rsp.Client) func() error, serve func(*rawclient.Client) func() error) []way {
	b.Helper()
	if runtime.NumCPU() == 1 { // where busypoll leaves connections alone
		return nil
	}
	waiting := func(conn net.Conn) net.Conn { return busypoll.New(conn, 0) }
	_, g := directOn(b, i, 1, waiting)
	conn, _ := served(b, i, 1)
	return []way{
		each("gdbstub, a thread waits", gdbstub(g)),
		each("serve, a thread waits", serve(packets(b, waiting(conn), 1))),
	}
}

// directOn is direct on a connection of another kind.
func directOn(b testing.TB, i *guest.Image, cores int, kind func(net.Conn) net.Conn) (*launch.Process, *rsp.Client) {
	b.Helper()
	p, err := launch.Start(b.Context(), launch.Spec{Path: build(b).Path, Args: bareArgs(guestFile(b, i), i, cores), GDB: true, Monitors: 1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.Kill)
	conn := kind(p.GDB())
	b.Cleanup(func() { conn.Close() })
	g := rsp.New(conn)
	features, err := g.Exchange(rsp.Supported)
	if err == nil {
		err = g.Announced(string(features))
	}
	if err != nil {
		b.Fatal(err)
	}
	if _, err := g.ReadXfer("features", "target.xml"); err != nil { // 7.2 knows registers only afterwards
		b.Fatal(err)
	}
	return p, g
}

// machine is a Machine of the harness, with the server in this process or, if there is one, QEMU's own.
func machine(b testing.TB, cfg harness.Config) *harness.Machine {
	b.Helper()
	cfg.Build = build(b)
	if cfg.Endpoint == harness.Auto {
		cfg.Endpoint = harness.Stub
	}
	m, err := harness.Start(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := m.Close(); err != nil {
			b.Error(err)
		}
	})
	return m
}

func dial(b testing.TB, m *harness.Machine) net.Conn {
	b.Helper()
	conn, err := m.Dial(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return conn
}

// packets opens a session of the packet dialect with all cores.
func packets(b testing.TB, conn net.Conn, cores int) *rawclient.Client {
	b.Helper()
	c := rawclient.New(conn, rawclient.Options{})
	b.Cleanup(func() { c.Close() })
	_, err := c.OpenServer(b.Context())
	for i := range cores {
		err = errors.Join(err, c.OpenCore(b.Context(), i))
	}
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// objects opens a session of the JSON dialect.
func objects(b testing.TB, conn net.Conn) (*jsonclient.Client, debugger.Debugger) {
	b.Helper()
	c := jsonclient.New(conn, jsonclient.Options{})
	b.Cleanup(func() { c.Close() })
	d := debugger.NewJSON(c)
	if err := d.Open(b.Context()); err != nil {
		b.Fatal(err)
	}
	return c, d
}

var commandPath = flag.String("command", "", "the mcdtest command; empty: it is built")

// command finds or builds the mcdtest command.
var command = sync.OnceValues(func() (string, error) {
	if *commandPath != "" {
		return filepath.Abs(*commandPath)
	}
	path := filepath.Join(commandDir, "mcdtest")
	if out, err := exec.Command("go", "build", "-o", path, "mcdtest/cmd/mcdtest").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the command: %w: %s", err, out)
	}
	return path, nil
})

// commandDir is where it is built.
var commandDir string

// served is `mcdtest serve` in a process of its own. It returns a new connection to it, and its process number.
func served(b testing.TB, i *guest.Image, cores int) (net.Conn, int) {
	b.Helper()
	path, err := command()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	socket := filepath.Join(dir, "s")
	args := append([]string{"serve", "--listen", "unix:" + socket, "--", build(b).Path}, bareArgs(guestFile(b, i), i, cores)...)
	cmd := exec.Command(path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr := new(strings.Builder)
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		cmd.Wait()
		b.Fatalf("mcdtest serve says %q: %v: %s", line, err, stderr)
	}
	var d net.Dialer
	conn, err := d.DialContext(b.Context(), "unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return conn, cmd.Process.Pid
}

// floor is an exchange of as many bytes as a 4-byte read has, with another process that only answers.
func floor(b testing.TB) way {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "floor"), os.NewFile(uintptr(fds[1]), "floor")
	defer ours.Close()
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), echoVariable+"=1")
	cmd.ExtraFiles = []*os.File{theirs}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		conn.Close()
		cmd.Wait()
	})
	request, reply := []byte("$m0;1;1075904512;4#|"), make([]byte, 64)
	return each("floor", func() error {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		_, err := conn.Read(reply)
		return err
	})
}

// echo answers every request with as many bytes as the reply to a 4-byte read.
func echo() {
	conn, err := net.FileConn(os.NewFile(3, "floor"))
	if err != nil {
		os.Exit(1)
	}
	buf, reply := make([]byte, 4096), []byte("+$1d29a406#|")
	for {
		if _, err := conn.Read(buf); err != nil {
			return
		}
		if _, err := conn.Write(reply); err != nil {
			return
		}
	}
}

// gdb is a gdb-multiarch in batch mode that is connected to a QEMU of its own and runs lines of Python on demand, n times each; it
// times them itself, so that what is compared is the work alone. ok is false if there is no such GDB.
func gdb(b testing.TB, i *guest.Image, setup, line string) (w way, ok bool) {
	b.Helper()
	path, err := exec.LookPath("gdb-multiarch")
	if err != nil {
		return w, false
	}
	if exec.Command(path, "-batch", "-ex", "python print(1)").Run() != nil {
		return w, false
	}
	dir := b.TempDir()
	p, err := launch.Start(b.Context(), launch.Spec{
		Path: build(b).Path, Monitors: 1,
		Args: append(bareArgs(guestFile(b, i), i, 1), "-gdb", "unix:"+filepath.Join(dir, "g")+",server=on,wait=off"),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.Kill)
	script := fmt.Sprintf(`
import gdb, sys, time
gdb.execute("set confirm off"); gdb.execute("set pagination off"); gdb.execute("set architecture arm")
gdb.execute("target remote %s", to_string=True)
inf = gdb.selected_inferior()
%s
for request in iter(sys.stdin.readline, ""):
    n = int(request)
    began = time.perf_counter_ns()
    for _ in range(n):
        %s
    sys.__stdout__.write("took %%d\n" %% (time.perf_counter_ns() - began)); sys.__stdout__.flush()
`, filepath.Join(dir, "g"), setup, line)
	file := filepath.Join(dir, "bench.py")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(path, "-nx", "-batch", "-x", file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	stderr := new(strings.Builder)
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		go io.Copy(io.Discard, out)
		p.Kill()
		cmd.Process.Kill()
		cmd.Wait()
	})
	lines := bufio.NewReader(out)
	return way{"gdb-multiarch", func(n int) (time.Duration, error) {
		if _, err := fmt.Fprintln(in, n); err != nil {
			return 0, err
		}
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return 0, fmt.Errorf("gdb says %q: %w: %s", line, err, stderr)
			}
			if ns, ok := strings.CutPrefix(strings.TrimSpace(line), "took "); ok {
				v, err := strconv.ParseInt(ns, 10, 64)
				return time.Duration(v), err
			}
		}
	}}, true
}

// exchange sends packets to a gdbstub in one write and hands their replies over.
func exchange(g *rsp.Client, n int, take func(i int, reply []byte) error) error {
	if err := g.Flush(); err != nil {
		return err
	}
	for i := range n {
		reply, err := g.Receive(rsp.Timeout)
		if err != nil {
			return err
		}
		if err := take(i, reply); err != nil {
			return err
		}
	}
	return nil
}

// native is a session with QEMU's own endpoint, if the build has one that speaks packets.
func native(b testing.TB, cfg harness.Config) (*rawclient.Client, bool) {
	b.Helper()
	if !build(b).Speaks(harness.Packet) {
		return nil, false
	}
	cfg.Endpoint, cfg.Dialect = harness.Native, harness.Packet
	return packets(b, dial(b, machine(b, cfg)), max(cfg.Cores, 1)), true
}

var background = context.Background()
