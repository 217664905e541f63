// SPDX-License-Identifier: Apache-2.0

// Package hangup asks a connection whether its peer has closed it. It touches the connections that it is given and nothing
// else.
package hangup

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Seen reports whether the peer has closed the connection, which reading would tell only behind what it sent before. A peer that has ended
// its half of a unix socket and still reads has not; on TCP the two look alike, and it counts as one that has left.
func Seen(conn net.Conn) bool {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	events := int16(unix.POLLRDHUP)
	if conn.LocalAddr().Network() == "unix" {
		events = 0 // POLLHUP, which is told in any case: both halves have ended
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
		n, err := unix.Poll(fds, 0)
		gone = err == nil && n == 1 && fds[0].Revents != 0
	})
	return err == nil && gone
}
