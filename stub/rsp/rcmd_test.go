// SPDX-License-Identifier: Apache-2.0

package rsp_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"mcdtest/stub/rsp"
)

// Monitor lines are answered in order, whatever they print and in however many packets.
func TestRcmd(t *testing.T) {
	var silent atomic.Bool
	var say func(string)
	prints := map[string][]string{"cpu 1": nil, "info version": {"7.2", ".22\r\n"}, "info cpus": {"* CPU #0\r\n"}}
	c, say := forgetful(t, func(request string) (string, bool) {
		var line []byte
		if _, err := fmt.Sscanf(request, "qRcmd,%x", &line); err != nil {
			return "00102040", true // a register
		}
		if silent.Load() {
			return "", false
		}
		texts, ok := prints[string(line)]
		if !ok {
			return "", true
		}
		for _, text := range texts {
			say("O" + hex.EncodeToString([]byte(text)))
		}
		return "OK", true
	})
	for range 2 {
		lines := []struct{ line, want string }{{"info version", "7.2.22\r\n"}, {"cpu 1", ""}, {"info cpus", "* CPU #0\r\n"}}
		for _, l := range lines {
			c.QueueRcmd(l.line)
		}
		c.Queue("pf")
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			if text, err := c.ReceiveRcmd(rsp.Timeout); err != nil || string(text) != l.want {
				t.Errorf("%s: %q, %v", l.line, text, err)
			}
		}
		if reply, err := c.Receive(rsp.Timeout); err != nil || string(reply) != "00102040" {
			t.Errorf("what was sent behind them: %q, %v", reply, err)
		}
	}
	c.QueueRcmd("no such line")
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	refused := new(rsp.ReplyError)
	if _, err := c.ReceiveRcmd(rsp.Timeout); !errors.As(err, &refused) {
		t.Errorf("a stub without a monitor: %v", err)
	}
	// What comes late, when its line was given up, is not what the next one has printed.
	silent.Store(true)
	c.QueueRcmd("info cpus")
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReceiveRcmd(10 * time.Millisecond); !errors.Is(err, rsp.ErrTimeout) {
		t.Fatalf("a line that is not answered: %v", err)
	}
	silent.Store(false)
	say("O" + hex.EncodeToString([]byte("late")))
	say("OK")
	c.QueueRcmd("info version")
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	if text, err := c.ReceiveRcmd(rsp.Timeout); err != nil || string(text) != "7.2.22\r\n" {
		t.Errorf("behind a late one: %q, %v", text, err)
	}
	// What comes unasked is no answer.
	say("O" + hex.EncodeToString([]byte("late")))
	if reply, err := c.Exchange("pf"); err != nil || string(reply) != "00102040" {
		t.Errorf("behind what was printed: %q, %v", reply, err)
	}
}
