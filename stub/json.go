// SPDX-License-Identifier: Apache-2.0

package stub

import (
	"context"
	"errors"
	"net"

	"mcdtest/stub/target"
)

// newJSON makes the JSON dialect.
func newJSON(target.Target, *target.Reports, Options) dialect { return noJSON{} }

type noJSON struct{}

func (noJSON) Serve(_ context.Context, conn net.Conn) error {
	conn.Close()
	return errors.New("client dropped: it speaks the JSON dialect, which this server does not have yet")
}
