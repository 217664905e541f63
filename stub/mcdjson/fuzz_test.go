// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"mcdtest/stub/jsonwire"
	"mcdtest/stub/memtarget"
	"mcdtest/stub/target"
)

// FuzzSession sends any bytes to a session over a machine in memory. Every reply must be one JSON object; afterwards the client
// finds its place again and is served, and nothing of it is left in the machine.
func FuzzSession(f *testing.F) {
	var all strings.Builder
	for _, e := range realClient(f) {
		f.Add([]byte(lengthen(e.request)))
		all.WriteString(lengthen(e.request))
	}
	f.Add([]byte(all.String()))
	opened := openServerText + `{"execute":"mcd-open-core","arguments":{"core-con-info":` + string(jsonwire.Append(nil, jsonwire.Con{})) + `}}`
	f.Add([]byte(opened))
	for _, c := range jsonwire.Commands {
		args := jsonwire.AppendArgs(nil, c.Args, func(_ string, a *jsonwire.Arg) (string, jsonwire.Use) {
			switch a.Role {
			case jsonwire.CoreUID, jsonwire.TrigID, jsonwire.TrigKind, jsonwire.TrigActionKind, jsonwire.ResetClassVec, jsonwire.AccessKind, jsonwire.Length, jsonwire.Count:
				return "1", jsonwire.Raw
			case jsonwire.MemSpaceID, jsonwire.StepKind:
				return "2", jsonwire.Raw
			case jsonwire.Address:
				return "1075838976", jsonwire.Raw
			}
			return "", jsonwire.Default
		})
		f.Add([]byte(opened + `{"execute":"` + c.Name + `","arguments":` + string(args) + `}`))
	}
	f.Add([]byte(opened + "\xff{\"a\":[1}garbage\n{\"execute\":\"mcd-exit\",\"id\":[{}]}"))

	f.Fuzz(func(t *testing.T, stream []byte) {
		cfg := memtarget.ARMLoop()
		cfg.Secure = true
		cfg.Manual = true
		m := memtarget.New(cfg)
		defer m.Close()
		client, server := sockets(t)
		defer client.Close()
		finished := make(chan error, 1)
		// A step of 4 billion instructions is legal; it shall not last.
		d := NewDialect(m, &target.Reports{}, Options{RequestTimeout: 20 * time.Millisecond, MaxRequest: 1 << 20})
		go func() { finished <- d.Serve(t.Context(), server) }()
		p := &peer{t: t, conn: client, split: jsonwire.NewSplitter(0), in: make([]byte, 64<<10), finished: finished}

		sent := make(chan error, 1)
		go func() {
			client.SetWriteDeadline(time.Now().Add(limit))
			// 0xFF leaves whatever has been begun.
			_, err := client.Write(append(stream[:len(stream):len(stream)], "\xff{\"execute\":\"mcd-exit\",\"id\":\"the end\"}"...))
			sent <- err
		}()
		for end := false; !end; {
			obj := p.read()
			if !json.Valid(obj) {
				t.Fatalf("not JSON: %q", obj)
			}
			end = string(obj) == `{"return":{},"id":"the end"}`
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if left := m.Triggers(target.AllCores); len(left) != 0 {
			t.Fatalf("left behind: %v", left)
		}
		client.Close()
		p.wait()
	})
}
