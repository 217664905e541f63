// SPDX-License-Identifier: Apache-2.0

package qmp_test

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"mcdtest/stub/qmp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const greeting = `{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}` + "\r\n"

// fakeQEMU is QEMU's side of a connection, driven step by step by a test.
type fakeQEMU struct {
	t    *testing.T
	conn net.Conn
	dec  *json.Decoder
}

type request struct {
	Execute   string          `json:"execute"`
	Arguments json.RawMessage `json:"arguments"`
	ID        json.RawMessage `json:"id"`
}

func newFake(t *testing.T) (*fakeQEMU, net.Conn) {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return &fakeQEMU{t, ours, json.NewDecoder(ours)}, theirs
}

// connected returns a monitor that has finished its negotiation with a fake.
func connected(t *testing.T) (*fakeQEMU, *qmp.Monitor) {
	t.Helper()
	q, conn := newFake(t)
	m := qmp.New(conn)
	t.Cleanup(func() { m.Disconnect() })
	go q.negotiate()
	if err := m.Connect(); err != nil {
		t.Fatal(err)
	}
	return q, m
}

func (q *fakeQEMU) negotiate() {
	q.send(greeting)
	q.reply(q.receive(), `"return": {}`)
}

func (q *fakeQEMU) send(s string) {
	if _, err := q.conn.Write([]byte(s)); err != nil {
		q.t.Errorf("fake QEMU cannot send %.60q: %v", s, err)
	}
}

func (q *fakeQEMU) receive() request {
	var r request
	if err := q.dec.Decode(&r); err != nil {
		q.t.Errorf("fake QEMU waited for a command: %v", err)
	}
	return r
}

func (q *fakeQEMU) reply(r request, body string) {
	if r.ID != nil {
		body += `, "id": ` + string(r.ID)
	}
	q.send("{" + body + "}\r\n")
}

func (q *fakeQEMU) event(n int) {
	q.send(fmt.Sprintf(`{"timestamp": {"seconds": %d, "microseconds": 1}, "event": "TICK", "data": {"n": %d}}`+"\r\n", n, n))
}

// serve answers every command until the connection ends: with the arguments of the command, or with size letters where
// the command is "letters".
func (q *fakeQEMU) serve() {
	for {
		var r request
		if q.dec.Decode(&r) != nil {
			return
		}
		body := `"return": {}`
		var args struct {
			Letter string
			Size   int
		}
		if json.Unmarshal(r.Arguments, &args) == nil && r.Execute == "letters" {
			body = fmt.Sprintf(`"return": %q`, strings.Repeat(args.Letter, args.Size))
		}
		q.reply(r, body)
	}
}
