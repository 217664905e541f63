// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"strings"
	"testing"
	"time"
)

// The end of QEMU, which is what k asks for, is waited for longer than for bytes that may come or not.
func TestSendWaitsForTheEnd(t *testing.T) {
	t.Parallel()
	ends := endpointThat(t, func(c net.Conn) {
		c.Read(make([]byte, 16))
		c.Write([]byte("+"))
		time.AfterFunc(100*time.Millisecond, func() { c.Close() })
	})
	got := mcdtest(t, nil, "send", "--quiet", "1ms", "--connect", ends, "$k#|")
	if got.status != 0 || !strings.Contains(got.out, "stub closes the connection") {
		t.Errorf("exit status %d\n%s%s", got.status, got.out, got.errors)
	}
	// One that does not end is asked in vain, and that is no mistake.
	stays := endpointThat(t, func(c net.Conn) {
		c.Read(make([]byte, 16))
		c.Write([]byte("+"))
	})
	got = mcdtest(t, nil, "send", "--timeout", "10ms", "--connect", stays, "$k#|")
	if got.status != 0 || strings.Contains(got.out, "closes") || got.errors != "" {
		t.Errorf("exit status %d\n%s%s", got.status, got.out, got.errors)
	}
}
