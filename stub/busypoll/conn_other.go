// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package busypoll

import (
	"net"
	"time"
)

// New returns conn, which sleeps at once.
func New(conn net.Conn, _ time.Duration) net.Conn { return conn }
