// SPDX-License-Identifier: Apache-2.0

package published_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"mcdtest/harness/published"
	"mcdtest/stub/memtarget"
	"mcdtest/stub/packet"
	"mcdtest/stub/target"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func load(t *testing.T, name string) *published.Recording {
	t.Helper()
	r, err := published.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// machine is one in memory that is like the recording's QEMU; its registers are those that the recording lists.
func machine(t *testing.T, r *published.Recording) *memtarget.Machine {
	t.Helper()
	cfg := memtarget.ARMLoop()
	cfg.Secure = strings.Contains(strings.Join(r.QEMU, " "), "secure=on")
	cfg.Images = []memtarget.Image{
		{Addr: published.CodeAddr, Data: published.Code},
		{Addr: published.CounterAddr, Data: make([]byte, 4)},
	}
	if r.Name == published.Client { // without a guest it starts in the flash
		cfg.Images, cfg.Entry = nil, 0
	}
	core := memtarget.ARMCore(cfg.Secure)
	var listed []target.Register
	for _, e := range r.Connections[0].Exchanges {
		if len(e.Want) == 0 {
			continue
		}
		_, element, _ := strings.Cut(e.Want[len(e.Want)-1].Payload, "!")
		var reg target.Register
		fields := strings.NewReplacer(".", " ", "=", " ").Replace(element)
		if _, err := fmt.Sscanf(fields, "id %d name %s size %d reggroupid %d", &reg.Number, &reg.Name, &reg.Bits, &reg.Group); err == nil {
			reg.Group = 2 * (reg.Group - 1) // the features core and sys.regs
			listed = append(listed, reg)
		}
	}
	if listed != nil {
		core.Registers = listed
		cfg.Core = core
		cfg.Fixed = func(group string) bool { return group == core.Groups[2].Name }
	}
	m := memtarget.New(cfg)
	t.Cleanup(func() { m.Close() })
	return m
}

func dialer(t *testing.T, tg target.Target) func(context.Context) (net.Conn, error) {
	d := packet.NewDialect(tg, new(target.Reports), packet.Options{AllowKill: true})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if err := d.Serve(context.Background(), conn); err != nil {
				t.Errorf("Serve: %v", err)
			}
		}
	}()
	t.Cleanup(func() { l.Close(); <-served })
	return func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}
}

// met is which differences each recording shows, and how often.
var met = map[string]map[string]int{
	published.Framing: {
		"no null strings": 7, "numbers": 5, "cores that do not exist": 2, "packets behind a NUL": 1, "a NUL inside a packet": 1,
	},
	published.Control: {"stop by b": 2, "spelling of the strings": 19, "global step": 4, "no null strings": 1},
	published.Client: {
		"stop by b": 3, "spelling of the strings": 3, "no null strings": 1, "end of a memory space": 12, "reset classes": 6,
	},
	published.Tables: {
		"no null strings": 1, "end of a memory space": 6, "reset classes": 3, "registers that do not exist": 1, "writes to unmapped memory": 2,
	},
}

func TestReplay(t *testing.T) {
	total := make(map[string]int)
	for name, want := range met {
		r := load(t, name)
		report, err := published.Replay(t.Context(), r, dialer(t, machine(t, r)), published.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Mismatches) > 0 {
			t.Errorf("%s: %v", name, report)
		}
		if diff := cmp.Diff(want, report.Met); diff != "" {
			t.Errorf("%s: differences (-want +got):\n%s", name, diff)
		}
		for d, n := range report.Met {
			total[d] += n
		}
	}
	for _, d := range published.Differences {
		if total[d.Name] == 0 {
			t.Errorf("no recording shows the difference %q", d.Name)
		}
	}
}

// With registers of another QEMU the lists differ, and nothing else.
func TestReplayWithOtherRegisters(t *testing.T) {
	r := load(t, published.Tables)
	cfg := memtarget.ARMLoop()
	cfg.Secure = true
	play := func(o published.Options) []published.Mismatch {
		m := memtarget.New(cfg)
		defer m.Close()
		report, err := published.Replay(t.Context(), r, dialer(t, m), o)
		if err != nil {
			t.Fatal(err)
		}
		return report.Mismatches
	}
	if got := play(published.Options{OtherQEMU: true}); len(got) > 0 {
		t.Errorf("%v", got)
	}
	if got := play(published.Options{}); len(got) == 0 {
		t.Error("a list of other registers is taken for the recorded one")
	}
}

// recorded serves the stub's half of a recording, a connection of it for each that is made. What the recording leaves out of
// long data is made up.
func recorded(t *testing.T, r *published.Recording) func(context.Context) (net.Conn, error) {
	next := 0
	return func(context.Context) (net.Conn, error) {
		ours, theirs := net.Pipe()
		exchanges := r.Connections[next].Exchanges
		next++
		served := make(chan struct{})
		t.Cleanup(func() { theirs.Close(); <-served })
		go func() {
			defer close(served)
			defer theirs.Close()
			for _, e := range append(slices.Clone(exchanges), published.Exchange{
				Sent: []byte("$qsystem#|"), Want: []published.Token{{Kind: '+'}, {Kind: '$', Payload: "qemu-system"}},
			}) {
				sent := make([]byte, len(e.Sent))
				if _, err := io.ReadFull(theirs, sent); err != nil {
					return
				}
				if !bytes.Equal(sent, e.Sent) {
					t.Errorf("%s:%d: sent %.80q", r.Name, e.Line, sent)
				}
				for _, token := range e.Want {
					if token.Kind == 'E' {
						return
					}
					text := string(token.Kind)
					if token.Kind == '$' {
						text += whole(string(e.Sent), token.Payload) + "#|"
					}
					if _, err := theirs.Write([]byte(text)); err != nil {
						return
					}
				}
			}
		}()
		return ours, nil
	}
}

// whole is the reply to a read of memory without what a recording leaves out.
func whole(request, payload string) string {
	start, _, cut := strings.Cut(payload, "…")
	var core, space, addr, count int
	if _, err := fmt.Sscanf(request, "$m%d;%d;%d;%d", &core, &space, &addr, &count); !cut || err != nil {
		return payload
	}
	return start + strings.Repeat("0", 2*count-len(start))
}

// What the published stub answered is right of the published stub, and not of ours.
func TestReplayToThePublishedStub(t *testing.T) {
	for name := range met {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := load(t, name)
			report, err := published.Replay(t.Context(), r, recorded(t, r), published.Options{Published: true})
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Mismatches) > 0 {
				t.Error(report)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second) // what does not come is waited for
			defer cancel()
			if report, err = published.Replay(ctx, r, recorded(t, r), published.Options{}); err == nil && len(report.Mismatches) == 0 {
				t.Error("it is taken for ours")
			}
			// Nor is ours wrong where both are right.
			if report, err = published.Replay(t.Context(), r, dialer(t, machine(t, r)), published.Options{Published: true}); err != nil || len(report.Mismatches) > 0 {
				t.Errorf("ours: %v, %v", report, err)
			}
		})
	}
}

// A stub that answers something else is found, wherever it does.
func TestMistakesAreFound(t *testing.T) {
	r := load(t, published.Control)
	for _, test := range []struct{ name, from, to string }{
		{"a word", "success", "succcss"},
		{"a missing acknowledgement", "+$success", "$success"},
		{"an acknowledgement too many", "+$success", "++$success"},
		{"the type of a trigger", "type=3", "type=2"},
		{"an address", "address=1075904512", "address=1075904516"},
		{"a register", "$18002040", "$1c002040"},
		{"the published spelling", "because", "beacuse"},
		{"the form of what varies", "#|", "z#|"},
		{"bytes between packets", "+$success", "+?$success"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second) // what does not come is waited for
			defer cancel()
			stub := dialer(t, machine(t, r))
			report, err := published.Replay(ctx, r, func(ctx context.Context) (net.Conn, error) {
				conn, err := stub(ctx)
				return &lying{Conn: conn, from: []byte(test.from), to: []byte(test.to)}, err
			}, published.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Mismatches) == 0 {
				t.Error("not found")
			}
		})
	}
}

// lying replaces what it reads.
type lying struct {
	net.Conn
	from, to []byte
	left     []byte
}

func (l *lying) Read(p []byte) (int, error) {
	if len(l.left) == 0 {
		buf := make([]byte, len(p)/2)
		n, err := l.Conn.Read(buf)
		if err != nil {
			return 0, err
		}
		l.left = bytes.ReplaceAll(buf[:n], l.from, l.to)
	}
	n := copy(p, l.left)
	l.left = l.left[n:]
	return n, nil
}

func TestLoad(t *testing.T) {
	for name, want := range map[string]int{published.Client: 2, published.Control: 1, published.Framing: 1, published.Tables: 1} {
		r := load(t, name)
		if len(r.Connections) != want || len(r.QEMU) == 0 || r.QEMU[0] != "qemu-system-arm" {
			t.Errorf("%s: %d connections to %q", name, len(r.Connections), r.QEMU)
		}
		for _, c := range r.Connections {
			if first := c.Exchanges[0]; !bytes.HasPrefix(first.Sent, []byte("$I#|")) || len(first.Want) != 2 {
				t.Errorf("%s:%d begins with %q and %v", name, first.Line, first.Sent, first.Want)
			}
		}
	}
	if _, err := published.Load("nothing.txt"); err == nil {
		t.Error("a recording that is not there is loaded")
	}
}
