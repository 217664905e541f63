// SPDX-License-Identifier: Apache-2.0

package jsonclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mcdtest/harness/transcript"
)

func TestSendAndReceive(t *testing.T) {
	rec := transcript.NewRecorder(0)
	c, server := scripted(t, Options{Recorder: rec})
	ctx := t.Context()
	if err := errors.Join(c.Send(ctx, []byte("{\x00\xff")), c.SendBytewise(ctx, []byte("ab"))); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(server, got); err != nil || string(got) != "{\x00\xffab" {
		t.Errorf("sent %q: %v", got, err)
	}
	write(t, server, "xyz")
	if p, err := c.Receive(ctx); err != nil || string(p) != "xyz" || len(c.Pending()) != 0 {
		t.Errorf("received %q: %v", p, err)
	}
	write(t, server, "hello, world")
	if err := errors.Join(c.Expect(ctx, []byte("hel")), c.Expect(ctx, nil), c.Expect(ctx, []byte("lo, "))); err != nil {
		t.Error(err)
	}
	if got := string(c.Pending()); got != "world" {
		t.Errorf("pending: %q", got)
	}
	err := c.Expect(ctx, []byte("worm"))
	contains(t, err, "waiting for worm", "unexpected bytes: world")
	if got := string(c.Pending()); got != "world" || !errors.Is(err, ErrUnexpected) {
		t.Errorf("pending: %q, %v", got, err)
	}
	c.Comment("a remark about %s", "it")
	c.Close()
	if want := "> {\\x00\\xff\n> a\n> b\n< xyz\n< hello, world\n# a remark about it\n"; !strings.HasPrefix(recorded(t, rec), want) {
		t.Errorf("transcript %q, want %q", recorded(t, rec), want)
	}
}

// Objects are found by structure, several in a chunk, or one in several chunks.
func TestReadObject(t *testing.T) {
	c, server := scripted(t, Options{})
	long := `{"return":{"x":"` + strings.Repeat("y}", 100_000) + `"}}`
	stream := "{\"a\":\n1}\r\n{\"b\":[2]}{\"c\":\"}\"} \n" + long + "\r\n{\"error\":{\"class\":\"A\",\"desc\":\"b\"}}{\"return\":{}}"
	for _, piece := range []int{len(stream), 10_007, 100} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for rest := stream; rest != ""; {
				n := min(piece, len(rest))
				write(t, server, rest[:n])
				rest = rest[n:]
			}
		}()
		for _, want := range []string{"{\"a\":\n1}", `{"b":[2]}`, `{"c":"}"}`, long} {
			if got, err := c.ReadObject(t.Context()); err != nil || string(got) != want {
				t.Errorf("pieces of %d: %.100q, %v, want %.100q", piece, got, err, want)
			}
		}
		if r, err := c.ReadReturn(t.Context()); err != nil || string(r) != "{}" {
			t.Errorf("pieces of %d: the first return is %q, %v", piece, r, err)
		}
		<-done
	}
	write(t, server, "\r\nnonsense\n")
	_, err := c.ReadObject(t.Context())
	contains(t, err, "waiting for an object", "unexpected bytes", "nonsense")
}

func TestTimeouts(t *testing.T) {
	const short = 20 * time.Millisecond
	c, server := scripted(t, Options{Timeout: short})
	for name, wait := range map[string]func() error{
		"waiting for bytes":              func() error { _, err := c.Receive(t.Context()); return err },
		"waiting for abc":                func() error { return c.Expect(t.Context(), []byte("abc")) },
		"waiting for an object":          func() error { _, err := c.ReadObject(t.Context()); return err },
		"expecting the end of the":       func() error { return c.ExpectEOF(t.Context()) },
		"waiting for an object: timed o": func() error { _, err := c.ReadReturn(t.Context()); return err },
	} {
		err := wait()
		contains(t, err, name, "timed out after", "nothing had been received")
		if !errors.Is(err, ErrTimeout) {
			t.Errorf("%s: %v", name, err)
		}
	}
	write(t, server, `{"return":{"retu`)
	_, err := c.ReadObject(t.Context())
	contains(t, err, "16 bytes of it have come", `{"return":{"retu`)

	// The typed layer does not go on with an answer outstanding.
	c, server = scripted(t, Options{Timeout: short})
	err = c.Run(t.Context(), 1, true)
	contains(t, err, "waiting for the reply to mcd-run", "timed out after")
	contains(t, c.Run(t.Context(), 1, true), "mcd-run", "the answer to an earlier request is outstanding")
	_ = server
}

// A context that ends, before or during a wait, ends it; the next wait has its whole time.
func TestContext(t *testing.T) {
	c, server := scripted(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	_, err := c.Receive(ctx)
	contains(t, err, "waiting for bytes", "context canceled")
	if _, err := c.Receive(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.ReadObject(ctx); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrTimeout) {
		t.Errorf("with a deadline: %v", err)
	}
	write(t, server, "{}")
	if _, err := c.ReadObject(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSilenceAndEOF(t *testing.T) {
	rec := transcript.NewRecorder(0)
	c, server := scripted(t, Options{Recorder: rec})
	ctx := t.Context()
	if err := c.ExpectSilence(ctx, 10*time.Millisecond); err != nil {
		t.Error(err)
	}
	write(t, server, "\r\n")
	if err := c.ExpectSilence(ctx, 10*time.Millisecond); err != nil {
		t.Errorf("line ends are silence: %v", err)
	}
	write(t, server, "{}")
	contains(t, c.ExpectSilence(ctx, time.Minute), "expecting 1m0s of silence", "unexpected bytes: {}")
	contains(t, c.ExpectEOF(ctx), "expecting the end of the stream", "unexpected bytes: {}")
	if _, err := c.ReadObject(ctx); err != nil {
		t.Error(err)
	}
	server.Close()
	if err := c.ExpectEOF(ctx); err != nil {
		t.Error(err)
	}
	_, err := c.ReadObject(ctx)
	contains(t, err, "the endpoint closed the connection")
	if !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := c.ExpectSilence(ctx, time.Millisecond); !errors.Is(err, ErrClosed) {
		t.Errorf("silence of a stream that has ended: %v", err)
	}
	contains(t, c.Run(ctx, 1, true), "mcd-run")
}

func TestCloseWrite(t *testing.T) {
	c, server := scripted(t, Options{})
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the other end reads %v", err)
	}
	a, b := net.Pipe()
	defer b.Close()
	p := New(a, Options{})
	defer p.Close()
	contains(t, p.CloseWrite(), "no halves")
}

// When the machine ends every wait ends, with the reason; what it sent last is read before.
func TestGone(t *testing.T) {
	gone := make(chan struct{})
	c, server := scripted(t, Options{Gone: gone, GoneErr: func() error { return fmt.Errorf("killed by a signal: 9") }})
	write(t, server, "{}")
	close(gone)
	if _, err := c.ReadObject(t.Context()); err != nil {
		t.Errorf("what the machine sent before: %v", err)
	}
	_, err := c.ReadObject(t.Context())
	contains(t, err, "the machine has ended", "killed by a signal: 9")
	if !errors.Is(err, ErrGone) {
		t.Error(err)
	}
	contains(t, c.Run(t.Context(), 1, true), "the machine has ended")

	// The end of the stream is that of the machine, if the news of that comes soon.
	gone = make(chan struct{})
	c, server = scripted(t, Options{Gone: gone})
	server.Close()
	time.AfterFunc(5*time.Millisecond, func() { close(gone) })
	if _, err := c.ReadObject(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("%v", err)
	}
}

func TestClosedHere(t *testing.T) {
	c, _ := scripted(t, Options{})
	c.Close()
	if err := c.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	_, err := c.ReadObject(t.Context())
	contains(t, err, "closed on this side")
}

// Bytes that nobody asked for are not taken for the reply to the next request.
func TestUnaskedBytes(t *testing.T) {
	c, server := scripted(t, Options{})
	write(t, server, "{\"return\":{}}\r\n{\"return\":{\"return-status\":0}}\r\n")
	if _, err := c.ReadObject(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := c.Run(t.Context(), 1, true)
	contains(t, err, "sending mcd-run", "bytes came that nobody asked for", `{"return-status":0}`)
}
