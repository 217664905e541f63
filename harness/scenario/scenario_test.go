// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"bytes"
	"context"
	"debug/elf"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mcdtest/guest"
	"mcdtest/harness/debugger"
	"mcdtest/harness/rawclient"
	"mcdtest/stub"
	"mcdtest/stub/memtarget"
	"mcdtest/stub/target"
)

// machine is the guest's loop on a machine in memory, which starts at the loop head.
func machine(t *testing.T, image *guest.Image) *memtarget.Machine {
	t.Helper()
	cfg := memtarget.ARMLoop()
	cfg.Images = nil
	f, err := elf.NewFile(bytes.NewReader(image.ELF))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD || p.Filesz == 0 {
			continue
		}
		data := make([]byte, p.Filesz)
		if _, err := p.ReadAt(data, 0); err != nil {
			t.Fatal(err)
		}
		cfg.Images = append(cfg.Images, memtarget.Image{Addr: p.Vaddr, Data: data})
	}
	cfg.Entry = image.Addr("loop")
	cfg.Reset[1] = image.Addr("counter")
	m := memtarget.New(cfg)
	t.Cleanup(func() { m.Close() })
	return m
}

// observer sees the machine without MCD, and without what lies about it.
type observer struct{ *memtarget.Machine }

func (o observer) Read(ctx context.Context, addr uint64, p []byte) error {
	return o.ReadMemory(ctx, 0, target.Space{Physical: true}, addr, p)
}

func (o observer) runState(context.Context) (string, error) {
	switch s := o.State(0); {
	case s.Running:
		return "running", nil
	case s.Cause == target.CauseBoot:
		return "prelaunch", nil
	case s.Cause == target.CauseStop:
		return "paused", nil
	}
	return "debug", nil
}

// play tells the whole story of a machine that liar may stand in front of, and returns what was noted.
func play(t *testing.T, timeout time.Duration, liar func(target.Target) target.Target) (notes []string, failed string, err error) {
	t.Helper()
	image, err := guest.Lookup("arm", guest.Loop)
	if err != nil {
		t.Fatal(err)
	}
	m := machine(t, image)
	var tgt target.Target = m
	if liar != nil {
		tgt = liar(m)
	}
	server := stub.NewServer(tgt, stub.Options{})
	defer server.Close()
	here, there := net.Pipe()
	go server.ServeConn(context.Background(), there)
	client := rawclient.New(here, rawclient.Options{})
	defer client.Close()
	e := &Env{
		Debugger: debugger.NewPacket(client), Image: image, Cores: 1,
		RunState: observer{m}.runState, Memory: observer{m},
		Timeout: timeout,
		Note:    func(by, text string) { notes = append(notes, by+": "+text) },
	}
	for _, s := range Loop() {
		if err := s.Do(t.Context(), e); err != nil {
			return notes, s.Name, err
		}
	}
	return notes, "", nil
}

func TestLoop(t *testing.T) {
	notes, failed, err := play(t, 0, nil)
	if err != nil {
		t.Fatalf("%s: %v\n%s", failed, err, strings.Join(notes, "\n"))
	}
	all := strings.Join(notes, "\n")
	for _, want := range []string{"QMP: machine prelaunch", "QMP: machine running", "MCD: variable", "qtest: variable", "symbols: loop is at", "pc walks loop, after_load"} {
		if !strings.Contains(all, want) {
			t.Errorf("nobody noted %q:\n%s", want, all)
		}
	}
}

// Each of these stubs lies in one way. The step that catches it is the one that claims the opposite.
type (
	zeros  struct{ target.Target } // memory reads as zeros
	runsOn struct {                // a stop does nothing, and the state says that it did
		target.Target
		stopped atomic.Bool
	}
	leftBehind  struct{ target.Target } // a breakpoint is not taken out
	missed      struct{ target.Target } // a breakpoint is not put in
	late        struct{ target.Target } // pc is one instruction behind
	stepsTwice  struct{ target.Target }
	swallows    struct{ target.Target } // memory is not written
	stays       struct{ target.Target } // a go does nothing
	claimsToRun struct{ target.Target } // a go does nothing, and the state says that it did
)

func (z zeros) ReadMemory(_ context.Context, _ int, _ target.Space, _ uint64, p []byte) error {
	clear(p)
	return nil
}

func (l *runsOn) Stop(context.Context, int) error {
	l.stopped.Store(true)
	return nil
}

func (l *runsOn) State(core int) target.State {
	if l.stopped.Load() {
		return target.State{Cause: target.CauseStop, Stops: 1}
	}
	return l.Target.State(core)
}

func (leftBehind) RemoveTrigger(context.Context, int, target.Trigger) error { return nil }
func (missed) InsertTrigger(context.Context, int, target.Trigger) error     { return nil }

func (l late) ReadRegister(ctx context.Context, core, number int, p []byte) ([]byte, error) {
	p, err := l.Target.ReadRegister(ctx, core, number, p)
	if err == nil && number == 15 {
		p[len(p)-4] += 4
	}
	return p, err
}

func (l stepsTwice) Step(ctx context.Context, cores ...int) error {
	if err := l.Target.Step(ctx, cores...); err != nil {
		return err
	}
	return l.Target.Step(ctx, cores...)
}

func (swallows) WriteMemory(context.Context, int, target.Space, uint64, []byte) error { return nil }
func (stays) Go(context.Context, int) error                                           { return nil }
func (claimsToRun) Go(context.Context, int) error                                     { return nil }
func (claimsToRun) State(int) target.State                                            { return target.State{Running: true} }

func TestLiesAreCaught(t *testing.T) {
	tests := []struct {
		name string
		liar func(target.Target) target.Target
		step string // a part of the name of the step that fails
	}{
		{"memory reads as zeros", func(t target.Target) target.Target { return zeros{t} }, "the loop runs"},
		{"a stop that does not stop", func(t target.Target) target.Target { return &runsOn{Target: t} }, "the core stands"},
		{"a breakpoint is left behind", func(t target.Target) target.Target { return leftBehind{t} }, "patched"},
		{"a breakpoint is not put in", func(t target.Target) target.Target { return missed{t} }, "a breakpoint"},
		{"pc is one instruction late", func(t target.Target) target.Target { return late{t} }, "a breakpoint"},
		{"a step of two", func(t target.Target) target.Target { return stepsTwice{t} }, "single steps"},
		{"a write is swallowed", func(t target.Target) target.Target { return swallows{t} }, "patched"},
		{"a go that does nothing", func(t target.Target) target.Target { return stays{t} }, "the loop runs"},
		{"a go that is only claimed", func(t target.Target) target.Target { return claimsToRun{t} }, "the server opens"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			notes, failed, err := play(t, 2*time.Second, tt.liar)
			if err == nil {
				t.Fatalf("nobody noticed:\n%s", strings.Join(notes, "\n"))
			}
			if !strings.Contains(failed, tt.step) {
				t.Errorf("want it caught by %q, got %q: %v", tt.step, failed, err)
			}
			t.Log(failed, "→", err)
		})
	}
}
