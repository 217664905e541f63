// SPDX-License-Identifier: Apache-2.0

package rsp_test

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"mcdtest/stub/rsp"
)

// TestWhatIsThereIsRead holds that a reply which has arrived is found however short the wait: a busy machine may let the
// deadline pass before the read begins.
func TestWhatIsThereIsRead(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "gdb"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ours, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	c := rsp.New(ours)
	for range 20 {
		if _, err := theirs.Write([]byte("$T05thread:01;#07")); err != nil {
			t.Fatal(err)
		}
		reply, err := c.WaitStop(-time.Second) // over before it begins
		if err != nil {
			t.Fatalf("a stop reply that was there: %v", err)
		}
		if string(reply) != "T05thread:01;" {
			t.Fatalf("read %q", reply)
		}
	}
	if _, err := c.WaitStop(-time.Second); err == nil {
		t.Error("a stop reply that nobody sent")
	}
}
