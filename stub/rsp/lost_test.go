// SPDX-License-Identifier: Apache-2.0

package rsp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"mcdtest/stub/rsp"
)

// forgetful is a gdbstub that answers marks as QEMU does, and everything else as reply says; ok is false for no answer.
func forgetful(t *testing.T, reply func(request string) (text string, ok bool)) (c *rsp.Client, say func(string)) {
	ours, theirs := net.Pipe()
	out := make(chan string, 100)
	ended := make(chan struct{}, 2)
	t.Cleanup(func() {
		ours.Close()
		theirs.Close()
		for range cap(ended) {
			<-ended
		}
	})
	say = func(text string) {
		var sum byte
		for i := range len(text) {
			sum += text[i]
		}
		out <- fmt.Sprintf("$%s#%02x", text, sum)
	}
	go func() {
		for text := range out {
			theirs.Write([]byte(text))
		}
		ended <- struct{}{}
	}()
	go func() {
		defer func() { ended <- struct{}{} }()
		defer close(out)
		in := bufio.NewReader(theirs)
		for {
			text, err := in.ReadString('#')
			if err != nil {
				return
			}
			if _, err := in.Discard(2); err != nil {
				return
			}
			request := text[strings.IndexByte(text, '$')+1 : len(text)-1]
			var n int
			if _, err := fmt.Sscanf(request, "qXfer:features:read:target.xml:0,%x", &n); err == nil {
				say("m" + `<?xml version="1.0"?><!DOCTYPE target>`[:n])
			} else if text, ok := reply(request); ok {
				say(text)
			}
		}
	}()
	return rsp.New(ours), say
}

// A request that the stub has swallowed is told from one that takes long: what is sent behind it is answered.
func TestALostRequestIsNoticed(t *testing.T) {
	lost := true
	c, _ := forgetful(t, func(request string) (string, bool) {
		if request == "pf" && lost {
			lost = false
			return "", false
		}
		return map[string]string{"pf": "00102040", "p0": "00000001"}[request], true
	})
	begun := time.Now()
	if _, err := c.Exchange("pf"); !errors.Is(err, rsp.ErrLost) {
		t.Fatalf("got %v", err)
	}
	if took := time.Since(begun); took > rsp.Timeout-time.Second {
		t.Errorf("it took %v to notice", took)
	}
	for request, want := range map[string]string{"p0": "00000001", "pf": "00102040"} {
		if reply, err := c.Exchange(request); err != nil || string(reply) != want {
			t.Errorf("the next request, %s: %q, %v", request, reply, err)
		}
	}
	if c.Owed() {
		t.Error("replies are waited for that nobody owes")
	}
}

// However many replies are late or lost, each request gets its own.
func TestLateRepliesAreDropped(t *testing.T) {
	for _, late := range []int{0, 1, 3} {
		c, say := forgetful(t, func(request string) (string, bool) { return "ok" + request, request != "silent" })
		for range 3 {
			c.Queue("silent")
		}
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Receive(20 * time.Millisecond); !errors.Is(err, rsp.ErrTimeout) {
			t.Fatalf("no reply: %v", err)
		}
		for range late {
			say("0123")
		}
		for _, request := range []string{"a", "b"} {
			if reply, err := c.Exchange(request); err != nil || string(reply) != "ok"+request {
				t.Errorf("%d late ones, %s: %q, %v", late, request, reply, err)
			}
		}
	}
}

// They are dropped as well when nobody asks for anything.
func TestDropOwed(t *testing.T) {
	c, say := forgetful(t, func(string) (string, bool) { return "", false })
	c.Queue("pf")
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Receive(20 * time.Millisecond); !errors.Is(err, rsp.ErrTimeout) || !c.Owed() {
		t.Fatalf("no reply: %v; owed: %v", err, c.Owed())
	}
	say("00102040")
	if err := c.DropOwed(rsp.Timeout); err != nil || c.Owed() {
		t.Errorf("%v; owed: %v", err, c.Owed())
	}
}

// Nothing is asked of a VM that runs, as that would stop it; and a stop reply is kept.
func TestDrain(t *testing.T) {
	asked := make(chan string, 10)
	c, say := forgetful(t, func(request string) (string, bool) { asked <- request; return "", false })
	c.Queue("pf")
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Receive(20 * time.Millisecond); !errors.Is(err, rsp.ErrTimeout) {
		t.Fatalf("no reply: %v", err)
	}
	say("00102040")
	say("T05thread:p01.01;")
	for end := time.Now().Add(rsp.Timeout); ; {
		if err := c.Drain(); err != nil {
			t.Fatal(err)
		}
		if reply, err := c.WaitStop(time.Millisecond); err == nil && string(reply) == "T05thread:p01.01;" {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the stop reply is lost")
		}
	}
	if !c.Owed() || len(asked) != 1 {
		t.Errorf("owed: %v; %d requests were sent, and one was asked for", c.Owed(), len(asked))
	}
}

// A wait whose context has ended does not go on.
func TestTheContextEndsAWait(t *testing.T) {
	c, _ := forgetful(t, func(string) (string, bool) { return "", false })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.SetContext(ctx)
	begun := time.Now()
	if _, err := c.Exchange("pf"); !errors.Is(err, rsp.ErrTimeout) {
		t.Fatalf("got %v", err)
	}
	if took := time.Since(begun); took > rsp.Timeout/2 {
		t.Errorf("it took %v", took)
	}
}
