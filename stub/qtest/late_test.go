// SPDX-License-Identifier: Apache-2.0

package qtest_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"mcdtest/stub/qtest"
)

// A request that is given up, as QEMU stands still, does not cost the next ones: each gets its own answer.
func TestALateAnswer(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c := qtest.New(ours)
	defer c.Close()
	requests, answers := make(chan string, 10), make(chan string)
	go func() {
		defer close(requests)
		in := bufio.NewReader(theirs)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			requests <- line
			if _, err := theirs.Write([]byte(<-answers)); err != nil {
				return
			}
		}
	}()
	for _, late := range []string{"OK 0x11\n", "IRQ raise 1\nOK 0x11\n"} {
		short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		var p [1]byte
		err := c.Read(short, 0x10, p[:])
		cancel()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("no answer: %v", err)
		}
		<-requests
		// Nor does one that comes meanwhile.
		short, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
		err = c.Read(short, 0x20, p[:])
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || len(requests) > 0 {
			t.Fatalf("behind a request that is not answered: %v; %d were sent", err, len(requests))
		}
		answers <- late
		go func() { answers <- "OK 0x22\n" }()
		if err := c.Read(t.Context(), 0x30, p[:]); err != nil || p[0] != 0x22 {
			t.Fatalf("the next one: %x, %v", p, err)
		}
		if r := <-requests; !strings.HasPrefix(r, "read 0x30 ") {
			t.Errorf("it was %q", r)
		}
	}
	theirs.Close()
	close(answers)
	if err := c.Read(t.Context(), 0x30, make([]byte, 1)); err == nil {
		t.Error("an end of the connection went unnoticed")
	}
}

// The end of a request's context ends its wait, also where it has no deadline.
func TestACancelledRequest(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c := qtest.New(ours)
	defer c.Close()
	in := bufio.NewReader(theirs)
	limit := errors.New("a limit of the caller's")
	for range 20 {
		ctx, end := context.WithCancelCause(t.Context())
		answered := make(chan error, 1)
		go func() {
			answered <- c.Read(ctx, 0x10, make([]byte, 1))
		}()
		if _, err := in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		end(limit)
		if err := <-answered; !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, limit) || time.Since(began) > qtest.Timeout/2 {
			t.Fatalf("after %v: %v", time.Since(began), err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if err := c.Settle(short); err == nil {
			t.Fatal("a request that is not answered has settled")
		}
		cancel()
		if _, err := theirs.Write([]byte("OK 0x11\n")); err != nil {
			t.Fatal(err)
		}
		if err := c.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// A request that ends before QEMU takes any of it is not sent afterwards.
func TestARequestThatIsNotSent(t *testing.T) {
	ours, theirs := net.Pipe() // which takes nothing until somebody reads
	defer theirs.Close()
	c := qtest.New(ours)
	defer c.Close()
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.Write(short, 0x10, []byte{1}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("nobody reads: %v", err)
	}
	if err := c.Settle(t.Context()); err != nil {
		t.Errorf("it was not sent, and is waited for: %v", err)
	}
	answered := make(chan error, 1)
	go func() { answered <- c.Write(t.Context(), 0x20, []byte{2}) }()
	line, err := bufio.NewReader(theirs).ReadString('\n')
	if err != nil || line != "write 0x20 0x1 0x02\n" {
		t.Errorf("QEMU gets %q, %v", line, err)
	}
	if _, err := theirs.Write([]byte("OK\n")); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
}
