// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// doubling sends everything twice.
type doubling struct{}

func (doubling) up(p []byte) []byte   { return append(append([]byte(nil), p...), p...) }
func (doubling) down(p []byte) []byte { return p }
func (doubling) rest() []byte         { return nil }
func (doubling) farewell() []byte     { return nil }

// A client may set a deadline that has passed, say because an earlier request was given up. Its bytes are not lost: what
// it writes again arrives once, changed by the fault once.
func TestWriteAtADeadline(t *testing.T) {
	client, stub := net.Pipe()
	defer stub.Close()
	c := &conn{Conn: client, stream: doubling{}, local: new(mailbox)}
	defer c.Close()
	if err := c.SetDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if n, err := c.Write([]byte("ab")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%d bytes were taken, %v", n, err)
		}
	}
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() {
		for _, p := range []string{"ab", "c"} {
			if n, err := c.Write([]byte(p)); n != len(p) || err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	got := make([]byte, len("ababcc"))
	if _, err := io.ReadFull(stub, got); err != nil || string(got) != "ababcc" {
		t.Errorf("the stub got %q, %v", got, err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}

// A reply is late, and a connection that is closed does not wait for it.
func TestRepliesLate(t *testing.T) {
	client, stub := net.Pipe()
	defer stub.Close()
	c := repliesLate()(client)
	defer c.Close()
	go stub.Write([]byte("+"))
	began := time.Now()
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil || time.Since(began) < lateness {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}
