// SPDX-License-Identifier: Apache-2.0

package rsp

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"time"
)

// QueueRcmd adds a qRcmd packet, a line of QEMU's human monitor, to the next Flush. Many of them at once take a fraction of the time that
// QMP needs for as many lines.
func (c *Client) QueueRcmd(line string) {
	c.Queue("qRcmd," + hex.EncodeToString([]byte(line)))
}

// ReceiveRcmd reads what the line of the oldest unanswered qRcmd has printed. The slice is valid until the next call. A stub that has no
// monitor, or refuses the line, is a ReplyError.
func (c *Client) ReceiveRcmd(limit time.Duration) (text []byte, err error) {
	c.printed, c.prints = c.printed[:0], true
	reply, err := c.Receive(limit)
	c.prints = false
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(reply, []byte("OK")) {
		return nil, &ReplyError{Packet: "qRcmd", Code: fmt.Sprintf("%q", reply)}
	}
	return c.printed, nil
}

// printing takes in a packet that is no answer: it tells what a monitor line has printed.
func (c *Client) printing() bool {
	digits, ok := bytes.CutPrefix(c.packet, []byte("O"))
	if !ok || len(digits) < 2 || digits[0] == 'K' {
		return false
	}
	if c.prints && (c.mark == 0 || c.ahead > 0) { // else it belongs to a request that was given up
		c.printed, _ = hex.AppendDecode(c.printed, digits)
	}
	return true
}
