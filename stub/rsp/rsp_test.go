// SPDX-License-Identifier: Apache-2.0

package rsp_test

import (
	"bytes"
	"fmt"
	"net"
	"testing"

	"mcdtest/stub/rsp"
)

// A reply may be longer than any buffer, and come in pieces of any size.
func TestLongReplies(t *testing.T) {
	for _, n := range []int{10, 64<<10 - 4, 64 << 10, 64<<10 + 1, 131104, 300_000} {
		ours, theirs := net.Pipe()
		payload := make([]byte, n)
		var sum byte
		for i := range payload {
			payload[i] = "0123456789abcdef"[i*7%16]
			sum += payload[i]
		}
		done := make(chan error, 1)
		go func() {
			defer theirs.Close()
			if _, err := theirs.Read(make([]byte, 100)); err != nil {
				done <- err
				return
			}
			reply := fmt.Appendf(nil, "+$%s#%02x", payload, sum)
			for len(reply) > 0 {
				m := min(len(reply), 5000)
				if _, err := theirs.Write(reply[:m]); err != nil {
					done <- err
					return
				}
				reply = reply[m:]
			}
			done <- nil
		}()
		c := rsp.New(ours)
		got, err := c.Exchange("m0,1")
		if err != nil {
			t.Errorf("%d bytes: %v", n, err)
		} else if !bytes.Equal(got, payload) {
			t.Errorf("%d bytes: %d others came", n, len(got))
		}
		ours.Close()
		if sent := <-done; sent != nil && err == nil {
			t.Error(sent)
		}
	}
}
