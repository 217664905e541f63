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
	Quiet  time.Duration `default:"200ms" help:"How long to wait for more when the protocol does not say what is to come."`
	JSON   bool          `name:"json" help:"Print one JSON object for what was sent and what came back."`
	Packet []string      `arg:"" help:"Bytes to send, one after the other, each when the one before is answered."`
}

func (sendCmd) Help() string {
	return `Sends bytes exactly as they are given and shows what comes back, to see how a stub answers. $PAYLOAD#| is a packet; \xNN is a byte and
X{N} is X, N times, as in transcripts. (Quote for the shell: $ and ; and # mean something to it.)

The endpoint is that of a QEMU which is started for this, with a program that counts in a loop and stands before its first
instruction; or any other with --connect.
The exit status is 0 if everything was answered, 1 if something was not, 2 if it could not be sent.

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

// answerTimeout is how long an answer may take of which the protocol says that it comes.
const answerTimeout = 5 * time.Second

func (c *sendCmd) Run(ctx context.Context, con *console) error {
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
	for _, p := range data {
		shown := len(rec.Entries())
		a, err := ask(ctx, client, p, c.Quiet)
		c.show(con, rec.Entries()[shown:])
		switch {
		case err != nil && !errors.Is(err, rawclient.ErrGone):
			return err
		case err != nil || a.closed:
			return c.ended(con, e, p, err)
		case a.missing:
			fmt.Fprintf(con.err, "mcdtest send: no answer to %s within %v from %s: is it an MCD stub, and is no other client connected to it?\n", transcript.Escape(p), answerTimeout, e.name)
			return failed(statusFailed)
		}
	}
	return nil
}

// ended is the error for an endpoint that closed the connection; after a kill that is what was asked for.
func (c *sendCmd) ended(con *console, e *endpoint, sent []byte, err error) error {
	if kills(sent) {
		return nil
	}
	reason := "the endpoint closed the connection"
	if err != nil {
		reason = err.Error()
	}
	fmt.Fprintf(con.err, "mcdtest send: %s after %s (%s)\n", reason, transcript.Escape(sent), e.name)
	return failed(statusFailed)
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
