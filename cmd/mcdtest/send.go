// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"mcdtest/harness/exchange"
	"mcdtest/harness/rawclient"
	"mcdtest/harness/transcript"
)

type sendCmd struct {
	endpointFlags
	Timeout time.Duration `default:"5s" help:"How long an answer may take of which the protocol says that it comes."`
	Quiet   time.Duration `default:"200ms" help:"How long to wait for more where it does not say."`
	JSON    bool          `name:"json" help:"Print one JSON object for what was sent and what came back."`
	Packet  []string      `arg:"" help:"Bytes to send, one after the other, each when the one before is answered."`
}

func (sendCmd) Help() string {
	return `Sends bytes exactly as they are given and shows what comes back, to see how a stub answers. $PAYLOAD#| is a packet; \xNN is a byte and
X{N} is X, N times, as in transcripts. (Quote for the shell: $ and ; and # mean something to it.)

The endpoint is that of a QEMU which is started for this, with a program that counts in a loop and stands before its first
instruction; or any other with --connect.
The exit status is 0 if everything was answered, 1 if something was not, 2 if it could not be sent. An error is an answer, too: so
$qstate9#| ends with status 0 where there is no core 9, and shows what the stub says to it.

Examples:
  mcdtest send '$qsystem#|'
  mcdtest send '$I#|' '$i0#|' '$p0;15#|' '$qstate0#|'
  mcdtest send '$qsystem#x' '$x{1024}#|' '$qsystem#|\x00{1014}'
  mcdtest send --connect 127.0.0.1:1235 '$qcores#|'`
}

// unescapeError is an error of transcript.Unescape without the number of a line, since there is one alone.
func unescapeError(err error) error {
	if e := (*transcript.Error)(nil); errors.As(err, &e) {
		return fmt.Errorf("column %d: %s", e.Column, e.Msg)
	}
	return err
}

func (c *sendCmd) Run(ctx context.Context, con *console) error {
	if c.Timeout <= 0 {
		return fmt.Errorf("--timeout=%v: an answer takes some time", c.Timeout)
	}
	if c.Quiet < 0 {
		return fmt.Errorf("--quiet=%v: it is to be 0 or more", c.Quiet)
	}
	data := make([][]byte, len(c.Packet))
	for i, text := range c.Packet {
		var err error
		if data[i], err = transcript.Unescape(text); err != nil {
			return fmt.Errorf("%q is no data: %w", text, unescapeError(err))
		}
		if len(data[i]) == 0 {
			return errors.New("there is nothing to send")
		}
	}
	e, err := c.open(ctx)
	if err != nil {
		return err
	}
	err = c.send(ctx, con, e, data)
	if closing := e.close(); err == nil {
		err = closing
	}
	return err
}

func (c *sendCmd) send(ctx context.Context, con *console, e *endpoint, data [][]byte) error {
	rec := transcript.NewRecorder(0)
	client, err := e.client(ctx, rec)
	if err != nil {
		return err
	}
	defer client.Close()
	for i, p := range data {
		shown := len(rec.Entries())
		a, err := ask(ctx, client, p, c.Timeout, c.Quiet)
		c.show(con, rec.Entries()[shown:])
		what := ""
		switch {
		case err != nil:
			return err
		case a.ended != nil && kills(p):
			// As it was asked to. Which is seen first, QEMU's end or that of the connection, is left to chance.
			if !errors.Is(a.ended, rawclient.ErrClosed) && !c.JSON {
				fmt.Fprintln(con.out, con.style.Dim("("+a.ended.Error()+")"))
			}
			if left := len(data) - i - 1; left > 0 {
				return fmt.Errorf("%d of the packets were not sent: %s ended the machine", left, transcript.Escape(p))
			}
			return nil
		case a.ended != nil:
			what = fmt.Sprintf("%v after %s (%s): what it printed may say why", a.ended, transcript.Escape(p), e.name)
		case a.missing:
			what = fmt.Sprintf("no answer to %s within %v from %s: is it an MCD stub, and is no other client connected to it?", transcript.Escape(p), c.Timeout, e.name)
		default:
			continue
		}
		fmt.Fprintf(con.err, "mcdtest send: %s\n", what)
		return failed(statusFailed)
	}
	return nil
}

func (c *sendCmd) show(con *console, entries []transcript.Entry) {
	list := exchange.Pair(entries)
	if !c.JSON {
		paint := exchange.Paint{Client: con.style.Client, Stub: con.style.Stub, Dim: con.style.Dim}
		for _, line := range exchange.DrawAll(list, 0, paint) {
			fmt.Fprintln(con.out, line)
		}
		return
	}
	for _, x := range list {
		if len(x.Sent) == 0 && len(x.Answer) == 0 {
			continue
		}
		json.NewEncoder(con.out).Encode(map[string]any{
			"sent": transcript.Escape(x.Sent), "answer": transcript.Escape(x.Answer), "took_us": x.Took.Microseconds(),
		})
	}
}
