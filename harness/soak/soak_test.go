// SPDX-License-Identifier: Apache-2.0

package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mcdtest/guest"
	"mcdtest/harness"
	"mcdtest/harness/debugger"
	"mcdtest/harness/jsonclient"
	"mcdtest/harness/rawclient"
	"mcdtest/stub"
	"mcdtest/stub/target"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// soakVariable is how long the soak goes on, seedVariable which one it is, machinesVariable how many machines are
	// started in a row.
	soakVariable     = "SOAK"
	seedVariable     = "SOAK_SEED"
	machinesVariable = "SOAK_MACHINES"

	// stuck is how long nothing may move. A client that is in nobody's way is served in milliseconds; on a loaded machine,
	// behind others that stall, it takes seconds.
	stuck = 3 * time.Minute
	// impatience is what the server has with clients and QEMU: long enough that on a machine whose load is ten times its
	// processors no client loses it by waiting for one of them. What loses it takes as long, and so is left to long runs.
	impatience = 10 * time.Second
	longRun    = 30 * time.Second
	// patience is how long a client that does nothing wrong waits for its turn and for each reply.
	patience = time.Minute
)

func build(t testing.TB) *harness.Build {
	t.Helper()
	path, err := harness.Find("arm")
	if err != nil {
		t.Skip(err)
	}
	b, err := harness.Probe(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func setting[T any](t testing.TB, variable string, otherwise T, parse func(string) (T, error)) T {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	v, err := parse(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return v
}

// life is a machine with a server of its own in front, which loses its patience soon.
type life struct {
	t       testing.TB
	m       *harness.Machine
	server  *stub.Server
	address string
	served  chan error
	places  places
	log     journal // of the server
}

// journal keeps what is written to it, for when something goes wrong.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func begin(t testing.TB, b *harness.Build, folder string, number int, allowKill, long bool) *life {
	t.Helper()
	l := &life{t: t, address: filepath.Join(folder, fmt.Sprintf("s%d", number%10)), served: make(chan error, 1)}
	var machine target.Target
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m, err := harness.Start(ctx, harness.Config{
		Build: b, Endpoint: harness.Stub,
		WrapTarget: func(t target.Target) target.Target { machine = t; return t },
	})
	if err != nil {
		t.Fatal(err)
	}
	l.m = m
	g := m.Guest()
	ram, _ := g.RAM()
	l.places = places{loop: g.Addr("loop"), scratch: g.Addr("scratch"), counter: g.Addr("counter"), ram: ram, long: long}
	l.server = stub.NewServer(machine, stub.Options{
		AllowKill: allowKill, MaxRead: 1 << 20, BusyPoll: number%2 == 0,
		WriteTimeout: 200 * time.Millisecond, RequestTimeout: impatience, IdleTimeout: impatience,
		Log: slog.New(slog.NewTextHandler(&l.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	listener, err := stub.Listen("unix:"+l.address, nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() { l.served <- l.server.Serve(context.Background(), listener) }()
	return l
}

func (l *life) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", l.address)
}

// round lets some clients loose while something happens to QEMU, and returns when all of them are done and QEMU is as it
// should be.
func (l *life) round(r *rand.Rand) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var clients sync.WaitGroup
	for range 1 + r.IntN(4) {
		b := behaviours[r.IntN(len(behaviours))]
		own := rand.New(rand.NewPCG(r.Uint64(), 0))
		clients.Go(func() {
			conn, err := l.dial(ctx)
			if err != nil {
				return // the machine has ended
			}
			defer conn.Close()
			b.run(ctx, conn, own, l.places)
		})
	}
	l.meddle(r)
	clients.Wait()
}

// meddle does something to QEMU that no client asked for.
func (l *life) meddle(r *rand.Rand) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	qmp := func(commands ...string) {
		for _, c := range commands {
			if err := l.m.QMP().Execute(ctx, c, nil, nil); err != nil && l.m.Exit() == nil {
				l.t.Errorf("%s: %v", c, err)
			}
		}
	}
	switch r.IntN(6) {
	case 0, 1: // QEMU stands still
		l.m.Signal(syscall.SIGSTOP)
		limit := 800 * time.Millisecond
		if l.places.long && r.IntN(30) == 0 {
			limit = impatience + impatience/2
		}
		still := time.NewTimer(time.Duration(r.Int64N(int64(limit))))
		<-still.C
		l.m.Signal(syscall.SIGCONT)
	case 2:
		qmp("stop", "cont", "stop", "cont")
	case 3:
		qmp("system_reset")
	case 4:
		qmp("cont", "system_reset", "stop")
	}
}

// witness is a client that does everything right, in both dialects: it has to be served.
func (l *life) witness() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := l.dial(ctx)
	if err != nil {
		return err
	}
	c := rawclient.New(conn, rawclient.Options{Timeout: patience})
	defer c.Close()
	if _, err := c.OpenServer(ctx); err != nil {
		return err
	}
	if err := c.OpenCore(ctx, 0); err != nil {
		return err
	}
	if err := c.Break(ctx, true, 0); err != nil {
		return err
	}
	if s, err := c.State(ctx, 0); err != nil {
		return err
	} else if s.Name == rawclient.Running {
		return errors.New("after a stop MCD says that the core runs")
	}
	if s, err := l.m.RunState(ctx); err != nil {
		return err
	} else if s == "running" {
		return errors.New("after a stop QMP says that the machine runs")
	}
	if _, err := c.ReadRegister(ctx, 0, 15, nil); err != nil {
		return err
	}
	var p [64]byte
	if err := c.ReadMemory(ctx, 0, 2, l.places.ram, p[:]); err != nil {
		return err
	}
	// D takes out every trigger and lets the machine run; the next request proves that it is done.
	if err := c.CloseServer(ctx); err != nil {
		return err
	}
	if _, err := c.OpenServer(ctx); err != nil {
		return err
	}
	if err := l.runs(ctx); err != nil {
		return fmt.Errorf("after the server was closed %w", err)
	}
	c.Close()

	conn, err = l.dial(ctx)
	if err != nil {
		return err
	}
	j := jsonclient.New(conn, jsonclient.Options{Timeout: patience})
	defer j.Close()
	d := debugger.NewJSON(j)
	if err := d.Open(ctx); err != nil {
		return err
	}
	if _, err := d.State(ctx, 0); err != nil {
		return err
	}
	return d.Close(ctx)
}

// runs waits until QMP says that the machine runs: the Target may pass a stop over that had no reason any more.
func (l *life) runs(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := l.m.RunState(ctx)
		if err != nil || s == "running" {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the machine does not run, QMP says %q", s)
		}
	}
}

// How a machine ends.
const (
	closed         = iota
	killedBusy     // in the middle of everything
	killedStanding // while it is stopped by a signal
	byClient       // by a client's k
)

// end ends the machine in one of the ways that there are, and demands that the server notices.
func (l *life) end(r *rand.Rand, how int) error {
	switch how {
	case killedBusy:
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			wait := time.NewTimer(time.Duration(r.Uint32()%100) * time.Millisecond)
			<-wait.C
			l.m.Kill()
		}()
		own := rand.New(rand.NewPCG(1, uint64(l.m.PID())))
		l.clientsOnly(own)
		<-killed
	case killedStanding:
		l.m.Signal(syscall.SIGSTOP)
		l.m.Kill()
	case byClient:
		l.m.ExpectExit()
		conn, err := l.dial(context.Background())
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("$k#|")); err != nil {
			return err
		}
		select {
		case <-l.m.Done():
		case <-time.After(patience):
			return errors.New("QEMU still runs long after a client's k")
		}
	}
	err := l.m.Close()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case served := <-l.served:
		if !errors.Is(served, target.ErrGone) {
			err = errors.Join(err, fmt.Errorf("the server ended with %w", served))
		}
	case <-limit.C:
		return errors.Join(err, errors.New("the server has not noticed that the machine has ended"))
	}
	l.server.Close()
	if _, statErr := os.Lstat(l.address); statErr == nil {
		err = errors.Join(err, fmt.Errorf("%s was left behind", l.address))
	}
	return err
}

func (l *life) clientsOnly(r *rand.Rand) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var clients sync.WaitGroup
	for range 4 {
		own := rand.New(rand.NewPCG(r.Uint64(), 0))
		clients.Go(func() {
			if conn, err := l.dial(ctx); err == nil {
				defer conn.Close()
				behaviours[own.IntN(len(behaviours))].run(ctx, conn, own, l.places)
			}
		})
	}
	clients.Wait()
}

// TestSoak makes machine after machine, each with several rounds of clients, until its time is over.
func TestSoak(t *testing.T) {
	length := setting(t, soakVariable, 5*time.Second, time.ParseDuration)
	seed := setting(t, seedVariable, uint64(time.Now().UnixNano()), func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) })
	t.Logf("seed %d; %s=%d repeats the choices", seed, seedVariable, seed)
	r := rand.New(rand.NewPCG(seed, 0))
	b := build(t)
	folder, err := os.MkdirTemp("", "soak-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	t.Setenv("TMPDIR", folder)
	alive := watchdog(t, stuck)
	rounds, lives := 0, 0
	live := func() {
		// Where k ends QEMU, rubbish that begins with "$k" does too; there the only client is one that means it.
		how := r.IntN(4)
		l := begin(t, b, folder, lives, how == byClient, length >= longRun)
		for range 1 + r.IntN(4) {
			if how == byClient {
				break
			}
			l.round(r)
			alive()
			if l.m.Exit() == nil {
				if err := l.witness(); err != nil {
					t.Errorf("machine %d, round %d: a client that did nothing wrong was not served: %v; the server says:\n%s", lives, rounds, err, &l.log)
				}
			}
			alive()
			rounds++
		}
		if err := l.end(r, how); err != nil {
			t.Errorf("machine %d: %v; the server says:\n%s", lives, err, &l.log)
		}
		alive()
		lives++
	}
	for range 2 {
		live() // for what is made once
	}
	before := count(t)
	for end := time.Now().Add(length); time.Now().Before(end) && !t.Failed(); {
		live()
	}
	settled(t, before)
	t.Logf("%d rounds on %d machines", rounds, lives)
}

// TestFreshMachines starts machine after machine, each with one client in the way of a short test, and counts.
func TestFreshMachines(t *testing.T) {
	machines := 20
	switch lasts := setting(t, soakVariable, 0, time.ParseDuration); {
	case lasts >= 10*time.Minute:
		machines = 10_000
	case lasts > 0:
		machines = 200
	}
	n := setting(t, machinesVariable, machines, strconv.Atoi)
	b := build(t)
	image, err := guest.Lookup("arm", guest.Loop)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	alive := watchdog(t, stuck)
	one := func() {
		defer alive()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		m, err := harness.Start(ctx, harness.Config{Build: b, Guest: image, Endpoint: harness.Stub})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}()
		conn, err := m.Dial(ctx)
		if err != nil {
			t.Fatal(err)
		}
		c := rawclient.New(conn, rawclient.Options{Timeout: patience})
		defer c.Close()
		if err := c.OpenCore(ctx, 0); err != nil {
			t.Fatal(err)
		}
		if p, err := c.ReadRegister(ctx, 0, 15, nil); err != nil || len(p) != 4 {
			t.Fatalf("pc: %x, %v", p, err)
		}
	}
	for range 5 {
		one()
	}
	before := count(t)
	for range n {
		one()
	}
	settled(t, before)
	t.Logf("%d machines", n)
}
