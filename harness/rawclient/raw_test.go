// SPDX-License-Identifier: Apache-2.0

package rawclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"mcdtest/harness/transcript"
)

func TestRawBytes(t *testing.T) {
	rec := transcript.NewRecorder(0)
	c, server := silent(t, Options{Recorder: rec})
	ctx := bounded(t)
	if err := c.Send(ctx, []byte("$I#\x00")); err != nil {
		t.Fatal(err)
	}
	if err := c.SendBytewise(ctx, []byte("$D")); err != nil {
		t.Fatal(err)
	}
	if err := c.SendPacket(ctx, "a#|$b"); err != nil {
		t.Fatal(err)
	}
	const want = "$I#\x00$D$a#|$b#|"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(server, got); err != nil || string(got) != want {
		t.Fatalf("want %q, got %q, %v", want, got, err)
	}
	send(t, server, "+$x.y#|-$$#~junk+$z#|")
	for _, step := range []struct {
		name string
		err  error
	}{
		{"ack", c.ExpectAck(ctx)},
		{"packet", c.ExpectPacket(ctx, "x.y")},
		{"nack", c.ExpectNack(ctx)},
		{"packet with ~", c.ExpectPacket(ctx, "$")},
		{"some bytes", c.Expect(ctx, []byte("ju"))},
		{"ack further on", c.AwaitAck(ctx)},
		{"packet behind it", c.ExpectPacket(ctx, "z")},
		{"silence", c.ExpectSilence(ctx, time.Millisecond)},
	} {
		if step.err != nil {
			t.Fatalf("%s: %v", step.name, step.err)
		}
	}
	send(t, server, "noise")
	p, err := c.Receive(ctx)
	if err != nil || string(p) != "noise" {
		t.Fatalf("want noise, got %q, %v", p, err)
	}
	send(t, server, "++x$late#|")
	if p, err := c.AwaitPacket(ctx); err != nil || string(p) != "late" {
		t.Fatalf("want late, got %q, %v", p, err)
	}
	server.Close()
	if err := c.ExpectEOF(ctx); err != nil {
		t.Fatal(err)
	}
	c.Close()
	const record = "> $I#\\x00\n> $\n> D\n> $a#|$b#|\n< +$x.y#|-$$#~junk+$z#|\n# (no answer)\n< noise\n< ++x$late#|\n< EOF\n> EOF\n"
	if got := string(transcript.Format(rec.Entries())); got != record {
		t.Errorf("transcript: want\n%s\ngot\n%s", record, got)
	}
}

// Packets may arrive in any chunks.
func TestPacketInPieces(t *testing.T) {
	c, server := silent(t, Options{})
	ctx := bounded(t)
	long := strings.Repeat("ab", 40_000)
	go func() {
		for _, b := range []byte("$one#|$two#|") {
			server.Write([]byte{b})
		}
		server.Write([]byte("$" + long + "#"))
		server.Write([]byte("|"))
	}()
	for _, want := range []string{"one", "two", long} {
		if err := c.ExpectPacket(ctx, want); err != nil {
			t.Fatal(err)
		}
	}
}

// Each way in which a wait can fail has its own reason and says what had been seen.
func TestReasons(t *testing.T) {
	short := Options{Timeout: 10 * time.Millisecond}
	cause := errors.New("qemu-system-arm: killed by SIGKILL")
	gone := func() (Options, chan struct{}) {
		ch := make(chan struct{})
		return Options{Gone: ch, GoneErr: func() error { return cause }}, ch
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, test := range []struct {
		name string
		run  func(t *testing.T) error
		is   error
		text []string
	}{
		{"timed out, nothing seen", func(t *testing.T) error {
			c, _ := silent(t, short)
			return c.ExpectAck(bounded(t))
		}, ErrTimeout, []string{"waiting for +: timed out after ", "nothing had been received"}},
		{"timed out in a packet", func(t *testing.T) error {
			c, server := silent(t, short)
			send(t, server, "+$abc")
			if err := c.ExpectAck(bounded(t)); err != nil {
				t.Fatal(err)
			}
			_, err := c.ReadPacket(bounded(t))
			return err
		}, ErrTimeout, []string{"waiting for a packet", "the packet so far: $abc"}},
		{"timed out, something seen", func(t *testing.T) error {
			c, server := silent(t, short)
			send(t, server, "+-")
			if err := c.Expect(bounded(t), []byte("+-")); err != nil {
				t.Fatal(err)
			}
			return c.ExpectAck(bounded(t))
		}, ErrTimeout, []string{"the last bytes received: +-"}},
		{"context's deadline", func(t *testing.T) error {
			c, _ := silent(t, Options{})
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
			defer cancel()
			return c.ExpectAck(ctx)
		}, context.DeadlineExceeded, []string{"context deadline exceeded after "}},
		{"context cancelled before", func(t *testing.T) error {
			c, _ := silent(t, Options{})
			return c.ExpectAck(cancelled)
		}, context.Canceled, nil},
		{"context cancelled meanwhile", func(t *testing.T) error {
			c, server := silent(t, Options{})
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				server.Read(make([]byte, 1))
				cancel()
			}()
			if err := c.Send(ctx, []byte("x")); err != nil {
				t.Fatal(err)
			}
			return c.ExpectAck(ctx)
		}, context.Canceled, nil},
		{"closed", func(t *testing.T) error {
			c, server := silent(t, Options{})
			send(t, server, "+")
			server.Close()
			if err := c.ExpectAck(bounded(t)); err != nil {
				t.Fatal(err)
			}
			_, err := c.ReadPacket(bounded(t))
			return err
		}, ErrClosed, []string{"the endpoint closed the connection; the last bytes received: +"}},
		{"closed in a packet", func(t *testing.T) error {
			c, server := silent(t, Options{})
			send(t, server, "$abc#")
			server.Close()
			_, err := c.ReadPacket(bounded(t))
			return err
		}, ErrTruncated, []string{"in the middle of a packet; the packet so far: $abc#"}},
		{"reset by the peer", func(t *testing.T) error {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			server, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			server.(*net.TCPConn).SetLinger(0)
			server.Close()
			c := New(conn, Options{})
			defer c.Close()
			_, err = c.ReadPacket(bounded(t))
			return err
		}, ErrClosed, []string{"connection reset by peer"}},
		{"closed on this side", func(t *testing.T) error {
			c, _ := silent(t, Options{})
			c.Close()
			return c.ExpectAck(bounded(t))
		}, errClosedHere, nil},
		{"machine gone while waiting", func(t *testing.T) error {
			opt, ch := gone()
			c, server := silent(t, opt)
			go func() {
				server.Read(make([]byte, 1))
				close(ch)
			}()
			if err := c.Send(bounded(t), []byte("x")); err != nil {
				t.Fatal(err)
			}
			return c.ExpectAck(bounded(t))
		}, ErrGone, []string{"the machine has ended: qemu-system-arm: killed by SIGKILL"}},
		{"machine gone before", func(t *testing.T) error {
			opt, ch := gone()
			close(ch)
			c, _ := silent(t, opt)
			return c.ExpectAck(bounded(t))
		}, cause, nil},
		{"machine gone after its socket", func(t *testing.T) error {
			opt, ch := gone()
			c, server := silent(t, opt)
			server.Close()
			time.AfterFunc(20*time.Millisecond, func() { close(ch) })
			return c.ExpectAck(bounded(t))
		}, cause, nil},
		{"socket closed, machine lives", func(t *testing.T) error {
			opt, _ := gone()
			c, server := silent(t, opt)
			server.Close()
			return c.ExpectAck(bounded(t))
		}, ErrClosed, nil},
		{"unexpected byte", func(t *testing.T) error {
			c, server := silent(t, Options{})
			send(t, server, "-")
			return c.ExpectAck(bounded(t))
		}, ErrUnexpected, []string{"waiting for +: unexpected bytes: -"}},
		{"unexpected bytes at once", func(t *testing.T) error {
			c, server := silent(t, Options{})
			send(t, server, "abX")
			return c.Expect(bounded(t), []byte("abcdefgh"))
		}, ErrUnexpected, []string{"waiting for abcdefgh: unexpected bytes: abX"}},
		{"no packet", func(t *testing.T) error {
			c, server := silent(t, Options{})
			send(t, server, "+$x#|")
			_, err := c.ReadPacket(bounded(t))
			return err
		}, ErrUnexpected, []string{"waiting for a packet: unexpected bytes: +$x#|"}},
		{"another packet", func(t *testing.T) error {
			c, server := silent(t, Options{})
			send(t, server, "$x#|")
			return c.ExpectPacket(bounded(t), "y")
		}, ErrUnexpected, []string{`waiting for the packet "y": unexpected bytes: the packet x`}},
		{"bad end mark", func(t *testing.T) error {
			c, server := silent(t, Options{})
			send(t, server, "$x#y")
			_, err := c.ReadPacket(bounded(t))
			return err
		}, ErrUnexpected, []string{`'y' as end mark in $x#y`}},
		{"silence broken", func(t *testing.T) error {
			c, server := silent(t, Options{})
			send(t, server, "x")
			return c.ExpectSilence(bounded(t), 10*time.Second)
		}, ErrUnexpected, []string{"expecting 10s of silence: unexpected bytes: x"}},
		{"silence ended by EOF", func(t *testing.T) error {
			c, server := silent(t, Options{})
			server.Close()
			return c.ExpectSilence(bounded(t), 10*time.Second)
		}, ErrClosed, nil},
		{"bytes for EOF", func(t *testing.T) error {
			c, server := silent(t, Options{})
			send(t, server, "x")
			return c.ExpectEOF(bounded(t))
		}, ErrUnexpected, nil},
		{"no EOF", func(t *testing.T) error {
			c, _ := silent(t, short)
			return c.ExpectEOF(bounded(t))
		}, ErrTimeout, nil},
		{"endpoint does not read", func(t *testing.T) error {
			c, _ := silent(t, short)
			return c.Send(bounded(t), make([]byte, 64<<20))
		}, ErrTimeout, []string{"sending \\x00"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			err := test.run(t)
			if !errors.Is(err, test.is) {
				t.Fatalf("want %v, got %v", test.is, err)
			}
			for _, text := range test.text {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("want %q in the error, got: %v", text, err)
				}
			}
			if d := time.Since(start); d > 4*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

// What a machine said before it ended is still read.
func TestLastWordsOfAMachine(t *testing.T) {
	gone := make(chan struct{})
	c, server := silent(t, Options{Gone: gone})
	send(t, server, "+")
	close(gone)
	if err := c.ExpectAck(bounded(t)); err != nil {
		t.Error(err)
	}
	server.Close()
	if err := c.ExpectEOF(bounded(t)); err != nil {
		t.Error(err)
	}
}

// A cancelled context ends only the waits that have it: what interrupts a wait may come late, in the next one.
func TestLateInterrupt(t *testing.T) {
	c, server := silent(t, Options{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for range 20 {
			<-tick.C
			c.interrupt()
		}
		server.Write([]byte("-"))
	}()
	if err := c.ExpectNack(bounded(t)); err != nil {
		t.Error(err)
	}
	<-done
	cancelled, cancel := context.WithCancel(context.Background())
	send(t, server, "+")
	if err := c.ExpectAck(cancelled); err != nil {
		t.Fatal(err)
	}
	cancel()
	send(t, server, "-")
	if err := c.ExpectNack(bounded(t)); err != nil {
		t.Error(err)
	}
}

// Unread bytes survive the reuse of the buffer.
func TestManyPacketsAtOnce(t *testing.T) {
	c, server := silent(t, Options{})
	const count = 20_000
	go func() {
		var all []byte
		for n := range count {
			all = fmt.Appendf(all, "$%d#|", n)
		}
		server.Write(all)
	}()
	ctx := bounded(t)
	for n := range count {
		if err := c.ExpectPacket(ctx, strconv.Itoa(n)); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.buf) > 64<<10 {
		t.Errorf("the buffer has grown to %d bytes", len(c.buf))
	}
}
