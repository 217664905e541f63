// SPDX-License-Identifier: Apache-2.0

package rsp

import (
	"bytes"
	"net"
	"os"
	"testing"
	"time"
)

// mute is the connection to a QEMU that stands still.
type mute struct {
	net.Conn
	sent bytes.Buffer
}

func (m *mute) Write(p []byte) (int, error)        { return m.sent.Write(p) }
func (m *mute) Read([]byte) (int, error)           { return 0, os.ErrDeadlineExceeded }
func (m *mute) SetReadDeadline(time.Time) error    { return nil }
func (m *mute) SetWriteDeadline(t time.Time) error { return nil }

// A QEMU that stands still for hours is not sent a mark each second: the socket would be full some time, and the connection given up.
func TestMarksToAQEMUThatStandsStill(t *testing.T) {
	conn := &mute{}
	c := New(conn)
	c.adrift = true // a request has timed out
	const hours = 10
	for range hours * 3600 {
		if err := c.DropOwed(0); err == nil || c.Err() != nil {
			t.Fatalf("dropped: %v, %v", err, c.Err())
		}
		c.markedAt = c.markedAt.Add(-time.Second)
	}
	if n := bytes.Count(conn.sent.Bytes(), []byte("$qXfer")); n < 10 || n > 20 {
		t.Errorf("%d marks in %d hours", n, hours)
	}
}
