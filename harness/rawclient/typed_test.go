// SPDX-License-Identifier: Apache-2.0

package rawclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcdtest/harness/transcript"
	"mcdtest/stub/wire"
)

// Every request of the protocol has a typed method that sends exactly this and understands that.
func TestTypedRequests(t *testing.T) {
	type result struct {
		V   any
		Err error
	}
	only := func(err error) result { return result{nil, err} }
	covered := make(map[string]bool)
	for _, test := range []struct {
		run    func(context.Context, *Client) result
		sent   string
		answer string
		want   any
		is     error
	}{
		{func(ctx context.Context, c *Client) result { v, err := c.OpenServer(ctx); return result{v, err} }, "I", "$shaking your hand#|", "shaking your hand", nil},
		{func(ctx context.Context, c *Client) result { return only(c.CloseServer(ctx)) }, "D", "", nil, nil},
		{func(ctx context.Context, c *Client) result { return only(c.OpenCore(ctx, 1)) }, "i1", "", nil, nil},
		{func(ctx context.Context, c *Client) result { return only(c.CloseCore(ctx, 2)) }, "d2", "", nil, nil},
		{func(ctx context.Context, c *Client) result { return only(c.Go(ctx, true, 0)) }, "C1;0", "", nil, nil},
		{func(ctx context.Context, c *Client) result { return only(c.Go(ctx, false, 3)) }, "C0;3", "", nil, nil},
		{func(ctx context.Context, c *Client) result { return only(c.Step(ctx, false, 1)) }, "c0;1", "", nil, nil},
		{func(ctx context.Context, c *Client) result { return only(c.Break(ctx, true, 1)) }, "b1;1", "", nil, nil},
		{func(ctx context.Context, c *Client) result { return only(c.Reset(ctx, 0)) }, "r0", "", nil, nil},
		{func(ctx context.Context, c *Client) result {
			v, err := c.ReadRegister(ctx, 0, 15, []byte{9})
			return result{v, err}
		}, "p0;15", "$04002040#|", []byte{9, 4, 0, 32, 64}, nil},
		{func(ctx context.Context, c *Client) result {
			v, err := c.ReadRegister(ctx, 0, 999, nil)
			return result{v, err}
		}, "p0;999", "$#|", []byte(nil), ErrRefused},
		{func(ctx context.Context, c *Client) result {
			v, err := c.ReadRegister(ctx, 0, 1, nil)
			return result{v, err}
		}, "p0;1", "$123#|", []byte(nil), ErrBadReply},
		{func(ctx context.Context, c *Client) result {
			return only(c.WriteRegister(ctx, 0, 15, []byte{0, 0, 0x20, 0x4f}))
		}, "P0;15;4;0000204f", "$success#|", nil, nil},
		{func(ctx context.Context, c *Client) result { return only(c.WriteRegister(ctx, 0, 15, []byte{1})) }, "P0;15;1;01", "$error#|", nil, ErrRefused},
		{func(ctx context.Context, c *Client) result {
			p := make([]byte, 4)
			err := c.ReadMemory(ctx, 0, 1, 0xffffffffffffffff, p)
			return result{p, err}
		}, "m0;1;18446744073709551615;4", "$0a0B0c0d#|", []byte{10, 11, 12, 13}, nil},
		{func(ctx context.Context, c *Client) result { return only(c.ReadMemory(ctx, 0, 1, 0, make([]byte, 4))) }, "m0;1;0;4", "$error#|", nil, ErrRefused},
		{func(ctx context.Context, c *Client) result { return only(c.ReadMemory(ctx, 0, 1, 0, make([]byte, 4))) }, "m0;1;0;4", "$#|", nil, ErrRefused},
		{func(ctx context.Context, c *Client) result { return only(c.ReadMemory(ctx, 0, 1, 0, make([]byte, 4))) }, "m0;1;0;4", "$00#|", nil, ErrBadReply},
		{func(ctx context.Context, c *Client) result { return only(c.ReadMemory(ctx, 0, 1, 0, make([]byte, 1))) }, "m0;1;0;1", "$0g#|", nil, ErrBadReply},
		{func(ctx context.Context, c *Client) result { return only(c.ReadMemory(ctx, 0, 1, 0, nil)) }, "m0;1;0;0", "$#|", nil, nil},
		{func(ctx context.Context, c *Client) result {
			return only(c.WriteMemory(ctx, 0, 2, 4096, []byte{0xab}))
		}, "M0;2;4096;1;ab", "$success#|", nil, nil},
		{func(ctx context.Context, c *Client) result { return only(c.WriteMemory(ctx, 0, 2, 4096, nil)) }, "M0;2;4096;0;", "$yes#|", nil, ErrBadReply},
		{func(ctx context.Context, c *Client) result { return only(c.InsertTrigger(ctx, 0, 1, 64)) }, "t0;1;64", "$success#|", nil, nil},
		{func(ctx context.Context, c *Client) result { return only(c.RemoveTrigger(ctx, 0, 4, 64)) }, "T0;4;64", "$error#|", nil, ErrRefused},
		{func(ctx context.Context, c *Client) result { v, err := c.System(ctx); return result{v, err} }, "qsystem", "$qemu-system#|", "qemu-system", nil},
		{func(ctx context.Context, c *Client) result { v, err := c.Cores(ctx); return result{v, err} }, "qcores", "$device=qemu-arm-device.core=cortex-a15-arm-cpu.nr_cores=2.#|",
			Cores{"qemu-arm-device", "cortex-a15-arm-cpu", 2}, nil},
		{func(ctx context.Context, c *Client) result { v, err := c.Cores(ctx); return result{v, err} }, "qcores", "$device=a.core=b.nr_cores=.#|", Cores{"a", "b", 0}, ErrBadReply},
		{func(ctx context.Context, c *Client) result { v, err := c.Triggers(ctx); return result{v, err} }, "qtrigger", "$nr_trigger=16.type=1,2,3,4.option=break_on_trigger.action=check_data_value.#|",
			Triggers{16, []int{1, 2, 3, 4}, "break_on_trigger", "check_data_value"}, nil},
		{func(ctx context.Context, c *Client) result { v, err := c.State(ctx, 0); return result{v, err} }, "qstate0",
			"$state=debug.event=0.thread=0.type=2.address=1075904512.stop_str=stopped beacuse of read access at cpu->watchpoint_hit->hitaddr.info_str=cpu 0 in debug state.#|",
			State{Name: "debug", Type: 2, Address: 1075904512, Stop: "stopped because of read access at cpu->watchpoint_hit->hitaddr", Info: "cpu 0 in debug state"}, nil},
		{func(ctx context.Context, c *Client) result { v, err := c.State(ctx, 0); return result{v, err} }, "qstate0",
			"$state=halted.event=0.thread=0.type=0.address=0.stop_str=(null).info_str=vm halted since boot.#|", State{Name: "halted", Info: "vm halted since boot"}, nil},
		{func(ctx context.Context, c *Client) result { v, err := c.State(ctx, 7); return result{v, err} }, "qstate7", "$state=halted#|", State{}, ErrBadReply},
		{func(ctx context.Context, c *Client) result { v, err := c.ResetClasses(ctx); return result{v, err} }, "qresetf", "$0!name=full_system_reset.id=0.#|", []ResetClass{{0, "full_system_reset"}}, nil},
		{func(ctx context.Context, c *Client) result { v, err := c.Spaces(ctx, 0); return result{v, err} }, "qmemoryf0", "$0!name=Non Secure.id=1.type=34.bpm=8.i=1.e=1.min=0.max=-1.sao=0.#|",
			[]Space{{ID: 1, Name: "Non Secure", Type: 34, BitsPerUnit: 8, Invariance: 1, Endian: 1, Max: 1<<64 - 1}}, nil},
		{func(ctx context.Context, c *Client) result { v, err := c.Groups(ctx, 0); return result{v, err} }, "qreggroupf0", "$0!id=1.name=GPR Registers.#|", []Group{{1, "GPR Registers"}}, nil},
		{func(ctx context.Context, c *Client) result { v, err := c.Registers(ctx, 0); return result{v, err} }, "qregf0",
			"$0!id=15.name=pc.size=32.reggroupid=1.memspaceid=5.type=0.thread=0.opcode=0.#|", []Register{{ID: 15, Name: "pc", Bits: 32, Group: 1, Space: 5}}, nil},
		{func(ctx context.Context, c *Client) result { v, err := c.Registers(ctx, 0); return result{v, err} }, "qregf0", "$x!id=1.#|", []Register(nil), ErrBadReply},
		{func(ctx context.Context, c *Client) result {
			v, err := c.Next(ctx, wire.QueryRegNext, 17)
			return result{v, err}
		}, "qregc17", "$18!a=b.#|", Element{18, Fields{"a": "b"}}, nil},
		{func(ctx context.Context, c *Client) result {
			v, err := c.First(ctx, wire.QueryRegFirst, 9)
			return result{v, err}
		}, "qregf9", "$error#|", Element{}, ErrRefused},
		{func(ctx context.Context, c *Client) result { v, err := c.Do(ctx, "qfoo"); return result{v, err} }, "qfoo", "$#|", []byte{}, nil},
		{func(ctx context.Context, c *Client) result { v, err := c.Do(ctx, "b"); return result{v, err} }, "b", "", []byte(nil), nil},
	} {
		if r, _ := wire.Match([]byte(test.sent)); r != nil {
			covered[r.Name] = true
		}
		t.Run(test.sent, func(t *testing.T) {
			var got []string
			c := answering(t, Options{}, func(payload string) string {
				got = append(got, payload)
				if len(got) > 1 {
					return "+"
				}
				return "+" + test.answer
			})
			r := test.run(bounded(t), c)
			if !errors.Is(r.Err, test.is) || (test.is == nil && r.Err != nil) {
				t.Errorf("want error %v, got %v", test.is, r.Err)
			}
			if r.Err != nil && !strings.Contains(r.Err.Error(), test.sent) {
				t.Errorf("the error does not name the request: %v", r.Err)
			}
			if d := cmp.Diff(test.want, r.V); d != "" {
				t.Errorf("- want / + got\n%s", d)
			}
			// The connection is in step: the next request is answered.
			if r.Err = c.CloseServer(bounded(t)); r.Err != nil {
				t.Error(r.Err)
			}
			if d := cmp.Diff([]string{test.sent, "D"}, got); d != "" {
				t.Errorf("sent: - want / + got\n%s", d)
			}
		})
	}
	for _, r := range wire.Requests {
		switch r.Name {
		case wire.Kill, wire.QueryResetNext, wire.QueryMemoryNext, wire.QueryGroupNext: // have tests of their own
		default:
			if !covered[r.Name] {
				t.Errorf("no typed request for %q (%s)", r.Name, r.Meaning)
			}
		}
	}
}

func TestKill(t *testing.T) {
	rec := transcript.NewRecorder(0)
	gone := make(chan struct{})
	c, server := silent(t, Options{Recorder: rec, Gone: gone})
	go func() {
		server.Read(make([]byte, 10))
		server.Write([]byte("+"))
		close(gone)
		server.Close()
	}()
	if err := c.Kill(bounded(t)); err != nil {
		t.Error(err)
	}
	if got, want := string(transcript.Format(rec.Entries())), "> $k#|\n< +\n< EOF\n"; got != want {
		t.Errorf("want %q, got %q", want, got)
	}
}

// The lists of a real stub, from its recording.
func TestRecordedLists(t *testing.T) {
	c := answering(t, Options{Pad: true}, recorded(t, "../transcript/testdata/published-tables.txt"))
	ctx := bounded(t)
	spaces, err := c.Spaces(ctx, 0)
	if err != nil || len(spaces) != 6 || spaces[5].Name != "CP15 Registers" || spaces[3].Max != 1<<64-1 {
		t.Errorf("spaces: %v, %v", spaces, err)
	}
	groups, err := c.Groups(ctx, 0)
	if err != nil || len(groups) != 2 || groups[1].ID != 2 {
		t.Errorf("groups: %v, %v", groups, err)
	}
	registers, err := c.Registers(ctx, 0)
	if err != nil || len(registers) != 328 || registers[15].Name != "pc" || registers[327].ID != 336 {
		t.Errorf("registers: %d, %v", len(registers), err)
	}
	classes, err := c.ResetClasses(ctx)
	if err != nil || len(classes) != 3 || classes[2].Name != "memory_reset" {
		t.Errorf("reset classes: %v, %v", classes, err)
	}
}

// recorded answers as a recording does, whatever the order of the requests.
func recorded(t testing.TB, file string) func(string) string {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	entries, err := transcript.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	answers := make(map[string]string)
	var request string
	for _, e := range entries {
		switch e.Kind {
		case transcript.Sent:
			request = strings.TrimSuffix(strings.TrimPrefix(string(e.Data), "$"), "#|")
		case transcript.Received:
			answers[request] += string(e.Data)
		}
	}
	answers["qresetf"] = answers["qresetf0"]
	return func(payload string) string { return answers[payload] }
}

func TestEndlessList(t *testing.T) {
	n := 0
	c := answering(t, Options{}, func(payload string) string {
		n++
		return fmt.Sprintf("+$%d!id=1.name=x.#|", n%2+1)
	})
	_, err := c.Groups(bounded(t), 0)
	if !errors.Is(err, ErrBadReply) || !strings.Contains(err.Error(), "no end") {
		t.Errorf("want a list without an end, got %v", err)
	}
}

func TestPadding(t *testing.T) {
	c, server := silent(t, Options{Pad: true})
	go server.Write([]byte("+"))
	if err := c.CloseServer(bounded(t)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	n, err := server.Read(buf)
	if want := "$D#|" + strings.Repeat("\x00", 1020); err != nil || string(buf[:n]) != want {
		t.Errorf("want %q, got %q, %v", want, buf[:n], err)
	}
}

// Bytes in the wrong order or number are found out by the request that meets them.
func TestUnexpectedAnswers(t *testing.T) {
	for _, test := range []struct {
		answer string
		is     error
		text   string
	}{
		{"$qemu-system#|", ErrUnexpected, `waiting for the acknowledgement of "qsystem": unexpected bytes: $qemu-system#|`},
		{"-", ErrUnexpected, `waiting for the acknowledgement of "qsystem": unexpected bytes: -`},
		{"++$qemu-system#|", ErrUnexpected, `waiting for the reply to "qsystem": unexpected bytes: +$qemu-system#|`},
		{"+", ErrTimeout, `waiting for the reply to "qsystem": timed out`},
		{"+$qemu-sys", ErrTimeout, `the packet so far: $qemu-sys`},
	} {
		c := answering(t, Options{Timeout: 20 * time.Millisecond}, func(string) string { return test.answer })
		_, err := c.System(bounded(t))
		if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("answer %q: want error %q, got: %v", test.answer, test.text, err)
		}
		// Whatever comes now may belong to the request that failed.
		if _, err := c.System(bounded(t)); !errors.Is(err, ErrOutOfStep) {
			t.Errorf("answer %q: the next request: want %v, got %v", test.answer, ErrOutOfStep, err)
		}
	}
	c := answering(t, Options{}, func(string) string { return "+$qemu-system#|+" })
	if _, err := c.System(bounded(t)); err != nil {
		t.Fatal(err)
	}
	_, err := c.System(bounded(t))
	if !errors.Is(err, ErrUnexpected) || !strings.Contains(err.Error(), `sending "qsystem": bytes came that nobody asked for`) {
		t.Errorf("a byte too many: got %v", err)
	}
}

// A stub refuses a malformed request that has no reply with the empty packet. That is an error of this request, or, if it came late, of the
// next one, and everything is in step afterwards.
func TestRefusedCommand(t *testing.T) {
	c := answering(t, Options{}, func(payload string) string {
		if payload == "qsystem" {
			return "+$qemu-system#|"
		}
		return "+$#|"
	})
	if err := c.Go(bounded(t), false, -1); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), `"C0;-1"`) {
		t.Errorf("a core of -1: %v", err)
	}
	if answer, err := c.Do(bounded(t), "C"); err != nil || answer == nil || len(answer) > 0 {
		t.Errorf("a request without its arguments: %q, %v", answer, err)
	}
	if s, err := c.System(bounded(t)); err != nil || s != "qemu-system" {
		t.Errorf("the next request: %q, %v", s, err)
	}

	c, server := silent(t, Options{})
	send(t, server, "+")
	if err := c.Go(bounded(t), false, -1); err != nil {
		t.Errorf("an answer that has only begun: %v", err)
	}
	send(t, server, "$#|")
	if _, err := c.ReadPacket(bounded(t)); err != nil { // so that it has come
		t.Fatal(err)
	}
	c.r -= len("$#|")
	if _, err := c.System(bounded(t)); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), `"qsystem" was not sent`) {
		t.Errorf("the request behind a refused one: %v", err)
	}
	send(t, server, "+$qemu-system#|")
	if s, err := c.System(bounded(t)); err != nil || s != "qemu-system" {
		t.Errorf("the same request again: %q, %v", s, err)
	}
}

func TestResync(t *testing.T) {
	requests := 0
	c := answering(t, Options{Timeout: 20 * time.Millisecond}, func(string) string {
		requests++
		if requests == 1 {
			return "" // no answer at all
		}
		return "+"
	})
	if err := c.CloseServer(bounded(t)); !errors.Is(err, ErrTimeout) {
		t.Fatal(err)
	}
	c.Resync()
	if err := c.CloseServer(bounded(t)); err != nil {
		t.Error(err)
	}
}

func TestParseFields(t *testing.T) {
	got, err := ParseFields("a=1.b=.c d=x y (z).")
	if d := cmp.Diff(Fields{"a": "1", "b": "", "c d": "x y (z)"}, got); d != "" || err != nil {
		t.Errorf("%v: - want / + got\n%s", err, d)
	}
	for _, bad := range []string{"a=1", "a.", "=1.", "a=1.b", "a=1.a=2.", "a=b=c.", "."} {
		if f, err := ParseFields(bad); err == nil {
			t.Errorf("%q is read as %v", bad, f)
		}
	}
}

// pong answers every chunk with the same bytes.
func pong(server net.Conn, answer string) {
	buf, bytes := make([]byte, 100), []byte(answer)
	for {
		if _, err := server.Read(buf); err != nil {
			return
		}
		server.Write(bytes)
	}
}

// What a typed read costs beside the same bytes sent and received without any client.
func BenchmarkReadMemory(b *testing.B) {
	const answer = "+$0a0B0c0d#|"
	b.Run("client", func(b *testing.B) {
		client, server := pair(b)
		go pong(server, answer)
		c := New(client, Options{Recorder: transcript.NewRecorder(1 << 20)})
		defer c.Close()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		p := make([]byte, 4)
		b.ReportAllocs()
		for b.Loop() {
			if err := c.ReadMemory(ctx, 0, 1, 0x40210000, p); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bytes", func(b *testing.B) {
		client, server := pair(b)
		go pong(server, answer)
		request, buf := []byte("$m0;1;1075904512;4#|"), make([]byte, 100)
		for b.Loop() {
			client.Write(request)
			if _, err := client.Read(buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A typed read into the caller's buffer allocates nothing, also with a Recorder and a context that can be cancelled.
func TestReadMemoryAllocatesNothing(t *testing.T) {
	client, server := pair(t)
	go pong(server, "+$0a0B0c0d#|")
	c := New(client, Options{Recorder: transcript.NewRecorder(10_000)})
	defer c.Close()
	ctx := bounded(t)
	p := make([]byte, 4)
	if n := testing.AllocsPerRun(1000, func() {
		if err := c.ReadMemory(ctx, 0, 1, 0x40210000, p); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a read", n)
	}
}
