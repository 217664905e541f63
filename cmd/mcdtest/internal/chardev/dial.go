// SPDX-License-Identifier: Apache-2.0

package chardev

import (
	"context"
	"fmt"
	"net"
	"strings"

	"mcdtest/stub"
)

// Dial connects to an address as stub.Listen takes it: HOST:PORT, or unix:PATH. hint is what the user can do if nobody listens there.
func Dial(ctx context.Context, addr, hint string) (net.Conn, error) {
	network, at := "tcp", addr
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		if err := stub.CheckSocketPath(path); err != nil {
			return nil, fmt.Errorf("connect to %s: %w", addr, err)
		}
		network, at = "unix", path
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, at)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w (%s)", addr, cause(err), hint)
	}
	return conn, nil
}
