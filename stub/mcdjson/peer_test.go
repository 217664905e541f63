// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcdtest/stub/jsonwire"
	"mcdtest/stub/memtarget"
	"mcdtest/stub/target"
)

// limit bounds every wait of the tests.
const limit = 10 * time.Second

// peer is the client's end of a connection that is being served.
type peer struct {
	t        testing.TB
	conn     net.Conn
	split    *jsonwire.Splitter
	in       []byte
	rest     []byte
	out      []byte
	finished chan error // what Serve returned
}

// sockets makes the two ends of a unix stream socket.
func sockets(t testing.TB) (client, server net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	conns := make([]net.Conn, 2)
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socketpair")
		if conns[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return conns[0], conns[1]
}

// connect serves a new connection until the test ends.
func connect(t testing.TB, d *Dialect) *peer {
	t.Helper()
	client, server := sockets(t)
	p := &peer{t: t, conn: client, split: jsonwire.NewSplitter(0), in: make([]byte, 128<<10), finished: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { p.finished <- d.Serve(ctx, server) }()
	t.Cleanup(func() {
		p.conn.Close()
		cancel()
		p.wait()
	})
	return p
}

// wait waits until Serve has returned, and gives what it did.
func (p *peer) wait() error {
	p.t.Helper()
	select {
	case err := <-p.finished:
		p.finished <- err
		return err
	case <-time.After(limit):
		p.t.Fatalf("Serve has not returned after %v", limit)
		return nil
	}
}

// send sends bytes as they are.
func (p *peer) send(text string) {
	p.t.Helper()
	p.conn.SetWriteDeadline(time.Now().Add(limit))
	if _, err := p.conn.Write([]byte(text)); err != nil {
		p.t.Fatalf("send %.200q: %v", text, err)
	}
}

// read waits for the next reply. It is valid until the next call.
func (p *peer) read() []byte {
	p.t.Helper()
	obj, err := p.next()
	if err != nil {
		p.t.Fatalf("waited %v for a reply: %v; unread %.200q", limit, err, p.rest)
	}
	return obj
}

func (p *peer) next() ([]byte, error) {
	p.conn.SetReadDeadline(time.Now().Add(limit))
	for {
		for len(p.rest) > 0 {
			n, ev := p.split.Next(p.rest)
			p.rest = p.rest[n:]
			if ev == jsonwire.Complete {
				return p.split.Object(), nil
			}
			if ev != jsonwire.NeedMore {
				return nil, ev.Err()
			}
		}
		n, err := p.conn.Read(p.in)
		if n == 0 {
			return nil, err
		}
		p.rest = p.in[:n]
	}
}

// ask sends a request and gives the reply.
func (p *peer) ask(text string) string {
	p.t.Helper()
	p.send(text)
	return string(p.read())
}

// try carries a command out and fills result, which may be nil.
func (p *peer) try(name string, args, result any) jsonwire.ReturnStatus {
	p.t.Helper()
	p.out = jsonwire.AppendRequest(p.out[:0], name, args)
	p.send(string(p.out))
	obj := p.read()
	var r jsonwire.Reply
	if err := jsonwire.ParseReply(obj, &r); err != nil {
		p.t.Fatalf("%s: reply %.200q: %v", name, obj, err)
	}
	if r.Error != nil {
		p.t.Fatalf("%s %s: %v", name, p.out, r.Error)
	}
	if !json.Valid(obj) {
		p.t.Fatalf("%s: the reply is not JSON: %s", name, obj)
	}
	c := jsonwire.Lookup(name)
	if result == nil {
		result = c.NewResult()
	}
	status, err := c.DecodeReturn(r.Return, result)
	if err != nil {
		p.t.Fatalf("%s: reply %.400q: %v", name, obj, err)
	}
	if status == jsonwire.RetActHandleError && name != jsonwire.QryErrorInfo && string(r.Return) != `{"return-status":3}` {
		p.t.Fatalf("%s: a failure with more than the status: %s", name, r.Return)
	}
	return status
}

// do carries out a command that must succeed.
func (p *peer) do(name string, args, result any) {
	p.t.Helper()
	if status := p.try(name, args, result); status != jsonwire.RetActNone {
		p.t.Fatalf("%s %+v: %v, %s", name, args, status, p.info(0).Str+"; "+p.info(1).Str)
	}
}

// refused carries out a command that must fail with a code in a slot: 0 the server's, else the core's. The other slot must stay
// as it was.
func (p *peer) refused(slot uint32, code jsonwire.ErrorCode, name string, args any) string {
	p.t.Helper()
	var before jsonwire.ErrorInfo
	if slot > 0 {
		before = p.info(0)
	}
	if status := p.try(name, args, nil); status != jsonwire.RetActHandleError {
		p.t.Fatalf("%s %+v: %v, want status 3, %v", name, args, status, code)
	}
	info := p.info(slot)
	if info.Status != jsonwire.RetActHandleError || info.Code != code || info.Str == "" {
		p.t.Errorf("%s %+v: slot %d holds %+v, want 3 with code %#x (%v) and a text", name, args, slot, info, uint32(code), code)
	}
	if slot > 0 {
		if after := p.info(0); after != before {
			p.t.Errorf("%s %+v: changed the server's slot from %+v to %+v", name, args, before, after)
		}
	}
	return info.Str
}

func (p *peer) info(core uint32) (info jsonwire.ErrorInfo) {
	p.t.Helper()
	p.try(jsonwire.QryErrorInfo, jsonwire.CoreArgs{CoreUID: core}, &info)
	return info
}

// open opens the server and the first n cores.
func (p *peer) open(n int) (server uint32) {
	p.t.Helper()
	var r jsonwire.OpenServerResult
	p.do(jsonwire.OpenServer, jsonwire.OpenServerArgs{}, &r)
	for i := range n {
		var core jsonwire.OpenCoreResult
		p.do(jsonwire.OpenCore, jsonwire.OpenCoreArgs{CoreConInfo: jsonwire.Con{CoreID: uint32(i)}}, &core)
		if core.CoreUID != uint32(i)+1 {
			p.t.Fatalf("core %d has core-uid %d", i, core.CoreUID)
		}
	}
	return r.ServerUID
}

// state asks for the state of a core.
func (p *peer) state(core uint32) jsonwire.State {
	p.t.Helper()
	var r jsonwire.QryStateResult
	p.do(jsonwire.QryState, jsonwire.CoreArgs{CoreUID: core}, &r)
	return r.State
}

// register reads a 32-bit register by its number.
func (p *peer) register(core uint32, number uint64, space uint32) uint32 {
	p.t.Helper()
	tx := jsonwire.Tx{Addr: jsonwire.Addr{Address: number, MemSpaceID: space}, AccessType: jsonwire.TxRead, Data: make(jsonwire.Bytes, 4), NumBytes: 4}
	d := p.tx(core, tx).Data
	return uint32(d[0]) | uint32(d[1])<<8 | uint32(d[2])<<16 | uint32(d[3])<<24
}

// tx carries one transaction out.
func (p *peer) tx(core uint32, tx jsonwire.Tx) jsonwire.Tx {
	p.t.Helper()
	var r jsonwire.ExecuteTxListResult
	p.do(jsonwire.ExecuteTxList, oneTx(core, tx), &r)
	if len(r.TxList.Tx) != 1 || r.TxList.NumTxOK != 1 {
		p.t.Fatalf("the reply to one transaction: %+v", r.TxList)
	}
	return r.TxList.Tx[0]
}

func oneTx(core uint32, tx ...jsonwire.Tx) jsonwire.ExecuteTxListArgs {
	return jsonwire.ExecuteTxListArgs{CoreUID: core, TxList: jsonwire.TxList{Tx: tx, NumTx: uint32(len(tx))}}
}

// loop is a machine with ARMLoop and as many cores, which run in Machine.Run only.
func loop(t testing.TB, cores int) *memtarget.Machine {
	cfg := memtarget.ARMLoop()
	cfg.Cores = cores
	cfg.Manual = true
	m := memtarget.New(cfg)
	t.Cleanup(func() { m.Close() })
	return m
}

// newDialect makes a Dialect whose log goes to the test.
func newDialect(t target.Target, opts Options) *Dialect {
	return NewDialect(t, &target.Reports{}, opts)
}

// openLoop is a machine with a connection on which everything is open.
func openLoop(t testing.TB, cores int) (*memtarget.Machine, *peer) {
	m := loop(t, cores)
	p := connect(t, newDialect(m, Options{}))
	p.open(cores)
	return m, p
}

func contains(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not contain %q", text, part)
		}
	}
}

// object reads a JSON object the way that others do.
func object(t testing.TB, text string) (m map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%.200s: %v", text, err)
	}
	return m
}

func text(n uint64) string { return strconv.FormatUint(n, 10) }
