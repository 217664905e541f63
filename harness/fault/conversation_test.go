// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// end is the stub's end of a connection, without a stub: what is written is kept, and what is to be read is put there.
type end struct {
	net.Conn
	written, toRead []byte
	closed          bool
}

func (e *end) Write(p []byte) (int, error) {
	e.written = append(e.written, p...)
	return len(p), nil
}

func (e *end) Read(p []byte) (int, error) {
	switch {
	case e.closed:
		return 0, net.ErrClosed
	case len(e.toRead) == 0:
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p, e.toRead)
	e.toRead = e.toRead[n:]
	return n, nil
}

func (e *end) Close() error                     { e.closed = true; return nil }
func (e *end) SetDeadline(time.Time) error      { return nil }
func (e *end) SetReadDeadline(time.Time) error  { return nil }
func (e *end) SetWriteDeadline(time.Time) error { return nil }

func (e *end) takeWritten() string {
	p := string(e.written)
	e.written = nil
	return p
}

// The scripts below are conversations through a fault, a step a line, with the escapes of Go's strings:
//
//	> text   the client writes it in one go, and the stub gets it,
//	= text   or this instead
//	< text   the stub sends it, and the client gets it,
//	= text   or this instead
//	* text   the client gets it without the stub
//	~ text   the client hangs up, and the stub gets this before; a new client connects
//	+        a second client connects beside the first, and speaks from here on
//	.        the stub's end is closed by now
func converse(t *testing.T, wrap ConnWrapper, script string) {
	t.Helper()
	stub := new(end)
	client := wrap(stub)
	var steps [][2]string
	for line := range strings.Lines(script) {
		line = strings.TrimRight(strings.TrimLeft(line, "\t"), "\n")
		if line == "" {
			continue
		}
		kind, quoted, _ := strings.Cut(line, " ")
		text, err := strconv.Unquote(`"` + strings.ReplaceAll(quoted, `"`, `\"`) + `"`)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		steps = append(steps, [2]string{kind, text})
	}
	for i, step := range steps {
		kind, text := step[0], step[1]
		want := text
		if i+1 < len(steps) && steps[i+1][0] == "=" {
			want = steps[i+1][1]
		}
		got := ""
		switch kind {
		case ">":
			if n, err := client.Write([]byte(text)); n != len(text) || err != nil {
				t.Fatalf("> %q: %d, %v", text, n, err)
			}
			got = stub.takeWritten()
		case "<":
			stub.toRead = append(stub.toRead, text...)
			got = receive(t, client)
		case "*":
			got = receive(t, client)
		case "~":
			if err := client.Close(); err != nil {
				t.Fatal(err)
			}
			got = stub.takeWritten()
			stub = new(end)
			client = wrap(stub)
		case "+":
			stub = new(end)
			client = wrap(stub)
		case ".":
			if !stub.closed {
				t.Errorf("step %d: the connection is still there", i+1)
			}
		case "=":
			continue
		default:
			t.Fatalf("no step %q", kind)
		}
		if got != want {
			t.Errorf("step %d, %s %q:\n- want %q\n+ got  %q", i+1, kind, text, want, got)
		}
	}
	if rest := stub.takeWritten(); rest != "" {
		t.Errorf("the stub also got %q", rest)
	}
}

// receive reads what there is.
func receive(t *testing.T, c net.Conn) string {
	t.Helper()
	var all []byte
	for {
		p := make([]byte, 7) // so that it comes in pieces
		n, err := c.Read(p)
		all = append(all, p[:n]...)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed), errors.Is(err, io.EOF):
			return string(all)
		case err != nil:
			t.Fatal(err)
		}
	}
}

// plain are exchanges that hardly any fault changes.
var plain = map[string]string{
	Packet: "> $d0#|\n< +\n> $T0;1;5#|\n< +$success#|",
	JSON:   `> {"execute":"mcd-close-core","arguments":{"core-uid":1}}` + "\n" + `< {"return": {"return-status": 0}}\r\n`,
}

// plainOf are exchanges that those faults leave alone that do not leave the others alone; empty: there are none.
var plainOf = map[string]string{
	"ack-missing": "> $d0#x\n< -", "ack-twice": "> $d0#x\n< -", "reply-to-all": "> $qsystem#|\n< +$qemu-system#|",
	"ack-late": "> $d0#|\n< +", "reply-end": "> $d0#|\n< +", "status-word": "> $d0#|\n< +",
	"disconnect-closes-server": "> $d0#|\n< +", "disconnect-stops": "> $d0#|\n< +",
	"no-newline": "", "reply-in-two-lines": "", "greeting": "", "status-missing": `< {"error": {}}\n`,
	"lines-only": `> {"execute":"mcd-exit"}\n` + "\n" + `< {"return": {}}\n`,
}

func TestConnFaults(t *testing.T) {
	seen := make(map[string]bool)
	for _, f := range Catalogue {
		if f.Conns == nil {
			continue
		}
		seen[f.Name] = true
		t.Run(f.Name, func(t *testing.T) {
			script, ok := shows[f.Name]
			if !ok {
				t.Fatalf("nothing shows that %s", f.Meaning)
			}
			if !strings.ContainsAny(script, "=*~.") {
				t.Error("the script shows no difference")
			}
			converse(t, f.Conns(), script)
			harmless, ok := plainOf[f.Name]
			if !ok {
				harmless = plain[f.Dialects[0]]
			}
			converse(t, f.Conns(), harmless)
		})
	}
	for name := range shows {
		if !seen[name] {
			t.Errorf("there is no fault %s of a connection", name)
		}
	}
}

// TestConnIsTransparent: without a hook every byte comes through as it was, however it is cut.
func TestConnIsTransparent(t *testing.T) {
	stream := []byte("junk\x00$qsystem#|$x#y+-\xff{\"execute\":\"mcd-exit\"}\n]{\"a\":[1,{\"b\":\"\\\"}\"}]}$half#|")
	for name, conns := range map[string]func() ConnWrapper{
		"packets": packets(func() packetHooks { return packetHooks{} }),
		"objects": objects(func() jsonHooks { return jsonHooks{} }),
		"items": packets(func() packetHooks {
			return packetHooks{item: pass, back: pass}
		}),
	} {
		for cut := range stream {
			stub := new(end)
			c := conns()(stub)
			for _, part := range [][]byte{stream[:cut], stream[cut:]} {
				if _, err := c.Write(part); err != nil {
					t.Fatal(err)
				}
			}
			if got := stub.takeWritten(); got != string(stream) {
				t.Fatalf("%s, cut at %d:\n- want %q\n+ got  %q", name, cut, stream, got)
			}
		}
	}
}
