// SPDX-License-Identifier: Apache-2.0

// Package hangup asks a connection whether its peer has closed it. It touches the connections that it is given and nothing
// else.
package hangup

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Seen reports whether the peer has closed the connection, which reading would tell only behind what it sent before.
func Seen(conn net.Conn) bool {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(fds, 0)
		gone = err == nil && n == 1 && fds[0].Revents != 0
	})
	return err == nil && gone
}
