// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"mcdtest/stub/jsonwire"
	"mcdtest/stub/memtarget"
	"mcdtest/stub/target"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	openServerText = `{"execute":"mcd-open-server","arguments":{"system-key":"","config-string":""}}`
	systemsText    = `{"execute":"mcd-qry-systems","arguments":{"start-index":0,"num-systems":0}}`
	systemsReply   = `{"return":{"return-status":0,"num-systems":1}}`
)

// recovered checks that the connection works, and that nothing is left in it.
func recovered(p *peer) {
	p.t.Helper()
	if got := p.ask(`{"execute":"mcd-qry-systems","id":"recovered","arguments":{"start-index":0,"num-systems":0}}`); got != strings.Replace(systemsReply, "}}", `},"id":"recovered"}`, 1) {
		p.t.Fatalf("the next good request is answered %s", got)
	}
}

// Requests come in one piece, byte by byte, several at once, in the middle of each other, over several lines.
func TestFraming(t *testing.T) {
	p := connect(t, newDialect(loop(t, 1), Options{}))
	p.ask(openServerText)
	for _, stream := range []string{systemsText, systemsText + systemsText, systemsText + "\n" + systemsText + "\r\n\n" + systemsText,
		strings.NewReplacer(",", "\n,\t", ":", " : ").Replace(systemsText), " \r\n" + systemsText} {
		for _, piece := range []int{1, 3, 50, 1000} {
			for rest := stream; rest != ""; {
				n := min(piece, len(rest))
				p.send(rest[:n])
				rest = rest[n:]
			}
			for range strings.Count(stream, "mcd-qry-systems") {
				if got := string(p.read()); got != systemsReply {
					t.Errorf("%q in pieces of %d: %s", stream, piece, got)
				}
			}
		}
	}
	recovered(p)
}

// Each reply is a line of its own.
func TestReplyIsALine(t *testing.T) {
	p := connect(t, newDialect(loop(t, 1), Options{}))
	p.send(openServerText + systemsText + `{"execute":"nope\n"}`)
	for range 3 {
		p.read()
	}
	p.send(openServerText)
	p.conn.SetReadDeadline(time.Now().Add(limit))
	var got []byte
	for !strings.Contains(string(got), "\n") {
		n, err := p.conn.Read(p.in)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p.in[:n]...)
	}
	if want := "{\"return\":{\"return-status\":3}}\r\n"; string(got) != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// What is no request is answered once, and the next request is served.
func TestNotARequest(t *testing.T) {
	p := connect(t, newDialect(loop(t, 1), Options{MaxRequest: 100 << 10}))
	p.ask(openServerText)
	for _, c := range []struct{ text, class string }{
		{"garbage\n", "GenericError"},
		{"]", "GenericError"},
		{"\xff", "GenericError"},
		{"\x00\x00\n", "GenericError"},
		{`{"execute":"mcd-nope"}`, "CommandNotFound"},
		{`{"execute":"mcd-run"}`, "GenericError"},
		{`{"execute":"mcd-run","arguments":{"core-uid":1,"global":1}}`, "GenericError"},
		{`{"execute":"mcd-run","arguments":{"core-uid":18446744073709551616,"global":true}}`, "GenericError"},
		{`{"execute":"mcd-run","arguments":{"core-uid":1,"core-uid":1,"global":true}}`, "GenericError"},
		{`{"execute":"mcd-run","arguments":{"core-uid":1,"global":true},}`, "GenericError"},
		{`{"execute":"` + "\xc3\x28" + `"}`, "GenericError"},
		{`[` + systemsText + `]`, "GenericError"},
		{`{"execute":"mcd-r`, ""},
		{"\xff", "GenericError"}, // leaves the object that was begun
		{`{"execute":[1}`, "GenericError"},
		{strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "GenericError"},
		{strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000), "GenericError"},
		{`{"execute":"mcd-nope","arguments":{"x":"` + strings.Repeat("y", 99<<10) + `"}}`, "CommandNotFound"},
		{`{"execute":"mcd-nope","arguments":{"x":"` + strings.Repeat("y", 101<<10) + `"}}`, "GenericError"},
		{`{"execute":"` + strings.Repeat("n", 2000) + `"}`, "CommandNotFound"},
		{`{}`, "GenericError"},
	} {
		p.send(c.text)
		if c.class == "" {
			continue
		}
		got := object(t, string(p.read()))
		e, _ := got["error"].(map[string]any)
		if e["class"] != c.class || e["desc"] == "" || len(got) != 1 {
			t.Errorf("%.100q is answered %v, want %s", c.text, got, c.class)
		}
		recovered(p)
	}
}

func TestID(t *testing.T) {
	p := connect(t, newDialect(loop(t, 1), Options{}))
	p.ask(openServerText)
	for id, back := range map[string]string{
		`7`: `7`, `"a\"b"`: `"a\"b"`, `{"x":[1,2.5e3,null]}`: `{"x":[1,2.5e3,null]}`, `null`: `null`,
		"{\"x\":\r\n[1,\n2]}": `{"x":[1,2]}`, // a reply is one line
	} {
		for text, reply := range map[string]string{
			`{"id":` + id + `,"execute":"mcd-qry-systems","arguments":{"start-index":0,"num-systems":0}}`: `{"return":{"return-status":0,"num-systems":1},"id":` + back + `}`,
			`{"execute":"mcd-exit2","id":` + id + `}`:                                                     `{"error":{"class":"CommandNotFound","desc":"The command mcd-exit2 has not been found"},"id":` + back + `}`,
		} {
			if got := p.ask(text); got != reply {
				t.Errorf("%s: %s, want %s", text, got, reply)
			}
		}
	}
}

// Whatever a client has opened is closed when it leaves, however it leaves, and its triggers are taken back. The machine is left
// as it is otherwise.
func TestDisconnect(t *testing.T) {
	for name, leave := range map[string]func(*peer){
		"between requests": func(*peer) {},
		"in a request":     func(p *peer) { p.send(`{"execute":"mcd-run","arg`) },
		"with a request unanswered": func(p *peer) {
			p.send(`{"execute":"mcd-qry-state","arguments":{"core-uid":1}}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := loop(t, 2)
			d := newDialect(m, Options{})
			p := connect(t, d)
			p.open(2)
			breakAt(p, 1, 0x40200000)
			breakAt(p, 1, 0x40200000)
			breakAt(p, 2, 0x40200004)
			if err := m.InsertTrigger(t.Context(), 1, target.Trigger{Type: target.Exec, Addr: 0x40200004}); err != nil {
				t.Fatal(err)
			}
			p.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 2}, nil)
			leave(p)
			p.conn.Close()
			if err := p.wait(); err != nil {
				t.Errorf("Serve: %v", err)
			}
			if a, b := m.Triggers(0), m.Triggers(1); len(a) != 0 || len(b) != 1 {
				t.Errorf("left behind: %v and %v, want the other client's alone", a, b)
			}
			if a, b := m.State(0), m.State(1); a.Running || !b.Running {
				t.Errorf("the machine was not left alone: %+v, %+v", a, b)
			}
			next := connect(t, d)
			next.open(2)
			if got := states(next, 2); got != "dr" {
				t.Errorf("the next client sees %s", got)
			}
		})
	}
}

func TestContextEndsSession(t *testing.T) {
	m := &stuck{Machine: loop(t, 1)}
	client, server := sockets(t)
	defer client.Close()
	reason := errors.New("the server is shut down")
	ctx, cancel := context.WithCancelCause(context.Background())
	finished := make(chan error, 1)
	go func() { finished <- newDialect(m, Options{}).Serve(ctx, server) }()
	p := &peer{t: t, conn: client, split: jsonwire.NewSplitter(0), in: make([]byte, 4096), finished: finished}
	p.open(1)
	breakAt(p, 1, 0x40200000)
	cancel(reason)
	if err := p.wait(); !errors.Is(err, reason) {
		t.Errorf("Serve: %v", err)
	}
	if left := m.Triggers(0); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := p.next(); err == nil {
		t.Error("the connection is still open")
	}
}

// When the machine ends, what is in progress is answered and the session ends.
func TestMachineEnds(t *testing.T) {
	m, p := openLoop(t, 1)
	breakAt(p, 1, 0x40200000)
	m.Die(errors.New("killed by a signal"))
	if err := p.wait(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := p.next(); err == nil {
		t.Error("the connection is still open")
	}
}

// Commands that reach a Target that has ended say so.
func TestMachineHasEnded(t *testing.T) {
	m := &stuck{Machine: loop(t, 1), dead: make(chan struct{})}
	p := connect(t, newDialect(m, Options{}))
	p.open(1)
	m.read = func(context.Context) error {
		close(m.dead)
		return target.Errorf(target.ErrGone, "read")
	}
	p.send(string(jsonwire.AppendRequest(nil, jsonwire.ExecuteTxList, oneTx(1, readTx(2, 0x40000000, 4)))) +
		`{"execute":"mcd-qry-error-info","arguments":{"core-uid":1}}` +
		`{"execute":"mcd-qry-state","arguments":{"core-uid":1}}`)
	if got := string(p.read()); got != `{"return":{"return-status":3}}` {
		t.Errorf("the read: %s", got)
	}
	info := object(t, string(p.read()))["return"].(map[string]any)
	if info["error-code"] != float64(jsonwire.ErrConnection) || info["error-events"] != float64(jsonwire.ErrEvtPwrDn) {
		t.Errorf("the reason: %v", info)
	}
	if got := string(p.read()); got != `{"return":{"return-status":3}}` {
		t.Errorf("the state of a machine that has ended: %s", got)
	}
	p.wait()
}

// stuck is a Target whose reads and steps do what a test wants.
type stuck struct {
	*memtarget.Machine
	dead chan struct{}
	read func(context.Context) error
	step func(context.Context) error
}

func (s *stuck) Done() <-chan struct{} {
	if s.dead != nil {
		return s.dead
	}
	return s.Machine.Done()
}

func (s *stuck) ReadMemory(ctx context.Context, core int, space target.Space, addr uint64, p []byte) error {
	if s.read != nil {
		return s.read(ctx)
	}
	return s.Machine.ReadMemory(ctx, core, space, addr, p)
}

func (s *stuck) RemoveTrigger(ctx context.Context, core int, t target.Trigger) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.Machine.RemoveTrigger(ctx, core, t)
}

func (s *stuck) Step(ctx context.Context, cores ...int) error {
	if s.step != nil {
		return s.step(ctx)
	}
	return s.Machine.Step(ctx, cores...)
}

func blocks(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// A request that the machine does not answer is answered in time, and the next one is served.
func TestRequestTimeout(t *testing.T) {
	m := &stuck{Machine: loop(t, 1), read: blocks}
	p := connect(t, newDialect(m, Options{RequestTimeout: 50 * time.Millisecond}))
	p.open(1)
	for range 2 {
		contains(t, p.refused(1, jsonwire.ErrTimedOut, jsonwire.ExecuteTxList, oneTx(1, readTx(2, 0x40000000, 4))), "in time")
	}
	steps := 0
	m.step = func(ctx context.Context) error { steps++; return nil }
	contains(t, p.refused(1, jsonwire.ErrTimedOut, jsonwire.Step, stepArgs(1, false, 1<<32-1)), "of 4294967295")
	if steps == 0 {
		t.Error("no step was done")
	}
	m.read = nil
	p.tx(1, readTx(2, 0x40000000, 4))
}

// A client that leaves while the machine does not answer holds nobody up.
func TestHangup(t *testing.T) {
	entered := make(chan struct{})
	m := &stuck{Machine: loop(t, 1), read: func(ctx context.Context) error {
		close(entered)
		return blocks(ctx)
	}}
	p := connect(t, newDialect(m, Options{RequestTimeout: time.Hour}))
	p.open(1)
	p.send(string(jsonwire.AppendRequest(nil, jsonwire.ExecuteTxList, oneTx(1, readTx(2, 0x40000000, 4)))))
	<-entered
	p.conn.Close()
	if err := p.wait(); !errors.Is(err, errHangup) {
		t.Errorf("Serve: %v", err)
	}
}

// A client that does not read its replies is dropped, and its triggers are taken back.
func TestSlowReader(t *testing.T) {
	m := loop(t, 1)
	p := connect(t, newDialect(m, Options{WriteTimeout: 50 * time.Millisecond}))
	p.open(1)
	breakAt(p, 1, 0x40200000)
	request := strings.Repeat(`{"execute":"mcd-qry-reg-map","arguments":{"core-uid":1,"reg-group-id":0,"start-index":0,"num-regs":80}}`, 100)
	p.conn.SetWriteDeadline(time.Now().Add(limit))
	for {
		if _, err := p.conn.Write([]byte(request)); err != nil {
			break
		}
	}
	err := p.wait()
	if err == nil {
		t.Fatal("Serve returned nil")
	}
	contains(t, err.Error(), "did not read its replies for 50ms")
	if left := m.Triggers(0); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestIdleTimeout(t *testing.T) {
	p := connect(t, newDialect(loop(t, 1), Options{IdleTimeout: 50 * time.Millisecond}))
	p.open(1)
	if err := p.wait(); err == nil {
		t.Error("Serve returned nil")
	} else {
		contains(t, err.Error(), "no request came for 50ms")
	}
}

// Bytes that are no request do not keep a session.
func TestIdleTimeoutOfAClientThatSendsNoRequest(t *testing.T) {
	p := connect(t, newDialect(loop(t, 1), Options{IdleTimeout: 200 * time.Millisecond}))
	p.open(1)
	go func() {
		for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
			if _, err := p.conn.Write([]byte(" ")); err != nil {
				tick.Stop()
				return
			}
		}
	}()
	if err := p.wait(); err == nil {
		t.Error("Serve returned nil")
	} else {
		contains(t, err.Error(), "no request came for 200ms")
	}
}

// A client that leaves many requests behind, none of which takes long, does not hold the server for as long as all of them take.
func TestHangupWithManyRequests(t *testing.T) {
	const requests = 300
	steps := make(chan struct{}, requests)
	m := &stuck{Machine: loop(t, 1), step: func(context.Context) error {
		steps <- struct{}{}
		<-time.After(50 * time.Millisecond)
		return nil
	}}
	p := connect(t, newDialect(m, Options{}))
	p.open(1)
	p.send(strings.Repeat(string(jsonwire.AppendRequest(nil, jsonwire.Step, stepArgs(1, false, 1))), requests))
	<-steps
	p.conn.Close()
	p.wait()
	if n := len(steps); n > 3 {
		t.Errorf("%d requests were carried out after the client had left", n)
	}
}

// A client that does not read its replies does not hold up the end of the server.
func TestEndWithAClientThatDoesNotRead(t *testing.T) {
	client, server := sockets(t)
	defer client.Close()
	ctx, cancel := context.WithCancel(context.Background())
	finished := make(chan error, 1)
	go func() { finished <- newDialect(loop(t, 1), Options{WriteTimeout: time.Hour}).Serve(ctx, server) }()
	p := &peer{t: t, conn: client, split: jsonwire.NewSplitter(0), in: make([]byte, 4096), finished: finished}
	p.open(1)
	request := strings.Repeat(`{"execute":"mcd-qry-reg-map","arguments":{"core-uid":1,"reg-group-id":0,"start-index":0,"num-regs":80}}`, 100)
	for {
		p.conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := p.conn.Write([]byte(request)); err != nil {
			break // the server is stuck with the replies
		}
	}
	cancel()
	p.wait()
}

// What large requests needed is not kept, neither that of one nor of many: each element of a list has its own memory.
func TestLargeRequestsAreLetGoOf(t *testing.T) {
	p := connect(t, newDialect(loop(t, 1), Options{}))
	p.open(1)
	held := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := held()
	const requests, size = 30, 1 << 20
	text := `{"access-type":1,"access-width":0,"addr":{"addr-space-id":0,"addr-space-type":0,"address":0,"mem-space-id":2},"core-mode":0,"num-bytes":0,"num-bytes-ok":0,"options":0,"data":[`
	for n := range requests {
		p.send(fmt.Sprintf(`{"execute":"mcd-execute-txlist","arguments":{"core-uid":1,"txlist":{"num-tx":%d,"num-tx-ok":0,"tx":[`, n+1))
		p.send(strings.Repeat(text+"]},", n) + text)
		p.send(strings.Repeat("0,", size-1) + "0]}]}}}")
		if got := string(p.read()); !strings.Contains(got, `"return-status":0`) {
			t.Fatalf("%.200s", got)
		}
	}
	if after := held(); after > before+8*size {
		t.Errorf("%d requests with a transaction of %d bytes each leave %d bytes behind", requests, size, after-before)
	}
}

// Two clients at once see one machine, and each its own handles.
func TestTwoClients(t *testing.T) {
	m := loop(t, 1)
	d := newDialect(m, Options{})
	a, b := connect(t, d), connect(t, d)
	a.open(1)
	b.refused(0, jsonwire.ErrConnection, jsonwire.QryState, jsonwire.CoreArgs{CoreUID: 1})
	b.open(1)
	breakAt(a, 1, 0x40200000)
	breakAt(a, 1, memtarget.LoopHead)
	if diff := cmp.Diff([]uint32{1, 2}, trigSet(b, 1)); diff != "" {
		t.Errorf("the other client's triggers (- want, + got):\n%s", diff)
	}
	a.do(jsonwire.RemoveTrig, jsonwire.TrigArgs{CoreUID: 1, TrigID: 2}, nil)
	if diff := cmp.Diff([]uint32{1}, trigSet(b, 1)); diff != "" {
		t.Errorf("after one of them was removed (- want, + got):\n%s", diff)
	}
	a.do(jsonwire.Run, jsonwire.RunArgs{CoreUID: 1}, nil)
	a.conn.Close()
	a.wait()
	if s := b.state(1); s.State != jsonwire.CoreStateDebug || s.Event != jsonwire.CoreEventStopped || s.TrigID != 0 {
		t.Errorf("the breakpoint at the pc stopped the core for everybody, and went with its client: %+v", s)
	}
	if left := trigSet(b, 1); left != nil {
		t.Errorf("triggers %v are left", left)
	}
}

// Every argument of every command gets every kind of wrong value; whatever the answer, it is one line of JSON, and the next good
// request is answered.
func TestHostileArguments(t *testing.T) {
	m, p := openLoop(t, 2)
	values := []string{
		"-1", "0", "1", "2", "3", "255", "256", "65535", "65536", "2147483648", "4294967295", "4294967296", "9223372036854775808", "18446744073709551615",
		"18446744073709551616", "1.0", "1e2", "-0", "0x1", "01", "1e999", "null", "true", "{}", "[]", `""`, `"1"`, `"\u0000"`, "[[]]", "[{}]", "[0,256]", "[1,2,3,4]", "nope",
		`"` + strings.Repeat("x", 64) + `"`, `"` + strings.Repeat("\\u20ac", 1000) + `"`, "[" + strings.Repeat("0,", 5000) + "0]",
		strings.Repeat("[", 500) + strings.Repeat("]", 500), `{"a":{"b":[{}]}}`, "123456789012345678901234567890",
	}
	asked := 0
	for _, c := range jsonwire.Commands {
		var ways []string
		jsonwire.AppendArgs(nil, c.Args, func(way string, _ *jsonwire.Arg) (string, jsonwire.Use) {
			ways = append(ways, way)
			return "", jsonwire.Default
		})
		for _, way := range ways {
			for i := -1; i < len(values); i++ {
				args := jsonwire.AppendArgs(nil, c.Args, func(w string, a *jsonwire.Arg) (string, jsonwire.Use) {
					switch {
					case w == way && i < 0:
						return "", jsonwire.Omit
					case w == way:
						return values[i], jsonwire.Raw
					case a.Role == jsonwire.CoreUID, a.Role == jsonwire.TrigActionKind, a.Role == jsonwire.TrigKind:
						return "1", jsonwire.Raw
					case a.Role == jsonwire.MemSpaceID, a.Role == jsonwire.StepKind:
						return "2", jsonwire.Raw
					}
					return "", jsonwire.Default
				})
				got := object(t, p.ask(`{"execute":"`+c.Name+`","arguments":`+string(args)+`}`))
				if _, ok := got["return"]; !ok && got["error"] == nil || len(got) != 1 {
					t.Errorf("%s %s: %v", c.Name, args, got)
				}
				asked++
				// Commands that close things succeed now and then.
				p.send(openServerText + `{"execute":"mcd-open-core","arguments":{"core-con-info":` + string(jsonwire.Append(nil, jsonwire.Con{})) + `}}`)
				p.read()
				if got := string(p.read()); got != `{"return":{"return-status":3}}` && !strings.Contains(got, `"core-uid":1`) {
					t.Errorf("after %s %s a core is opened: %s", c.Name, args, got)
				}
			}
		}
		recovered(p)
	}
	if asked < 5000 {
		t.Errorf("%d requests only", asked)
	}
	if err := m.Stop(t.Context(), target.AllCores); err != nil {
		t.Fatal(err)
	}
	t.Log(fmt.Sprint(asked, " requests"))
}
