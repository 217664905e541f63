// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"strings"
	"testing"

	"mcdtest/stub/jsonwire"
	"mcdtest/stub/target"
)

func TestInitialize(t *testing.T) {
	p := connect(t, newDialect(loop(t, 1), Options{}))
	for _, v := range []jsonwire.Version{{Major: 1, Minor: 0, Author: "x"}, {Major: 1, Minor: 1}} {
		var r jsonwire.InitializeResult
		p.do(jsonwire.Initialize, jsonwire.InitializeArgs{VersionReq: v}, &r)
		if r.ImplInfo.API.Major != 1 || r.ImplInfo.API.Minor != 1 || r.ImplInfo.Vendor == "" {
			t.Errorf("version %+v: %+v", v, r.ImplInfo)
		}
	}
	for _, v := range []jsonwire.Version{{Major: 0, Minor: 1}, {Major: 2}, {Major: 1, Minor: 2}, {Major: 65535, Minor: 65535}} {
		contains(t, p.refused(0, jsonwire.ErrGeneral, jsonwire.Initialize, jsonwire.InitializeArgs{VersionReq: v}), "1.1")
	}
}

func TestExit(t *testing.T) {
	m, p := openLoop(t, 1)
	breakAt(p, 1, 0x40200010)
	for range 2 {
		if got := p.ask(`{"execute":"mcd-exit"}`); got != `{"return":{}}` {
			t.Errorf("mcd-exit: %s", got)
		}
	}
	if left := m.Triggers(target.AllCores); len(left) != 0 {
		t.Errorf("mcd-exit leaves %v", left)
	}
	p.refused(0, jsonwire.ErrConnection, jsonwire.QryState, jsonwire.CoreArgs{CoreUID: 1})
	p.open(1)
	p.state(1)
}

func TestQryServers(t *testing.T) {
	p := connect(t, newDialect(loop(t, 1), Options{}))
	for _, running := range []bool{true, false} {
		var r jsonwire.QryServersResult
		p.do(jsonwire.QryServers, jsonwire.QryServersArgs{Host: "localhost", Running: running, NumServers: 3}, &r)
		if r.NumServers != 1 || len(r.ServerInfo) != 1 || r.ServerInfo[0].Server != "QEMU" {
			t.Errorf("running %v: %+v", running, r)
		}
	}
	p.refused(0, jsonwire.ErrParam, jsonwire.QryServers, jsonwire.QryServersArgs{Host: strings.Repeat("h", 64), NumServers: 1})
	p.do(jsonwire.QryServers, jsonwire.QryServersArgs{Host: strings.Repeat("h", 63), NumServers: 1}, nil)
}

func TestOpenAndCloseServer(t *testing.T) {
	d := newDialect(loop(t, 1), Options{})
	p := connect(t, d)
	p.refused(0, jsonwire.ErrConnection, jsonwire.CloseServer, jsonwire.CloseServerArgs{ServerUID: 1})
	p.refused(0, jsonwire.ErrConnection, jsonwire.CloseServer, jsonwire.CloseServerArgs{})
	p.refused(0, jsonwire.ErrParam, jsonwire.OpenServer, jsonwire.OpenServerArgs{SystemKey: strings.Repeat("k", 64)})

	var r jsonwire.OpenServerResult
	p.do(jsonwire.OpenServer, jsonwire.OpenServerArgs{SystemKey: strings.Repeat("k", 63), ConfigString: "some \"config\""}, &r)
	if r != (jsonwire.OpenServerResult{ServerUID: 1, Host: "QEMU", ConfigString: "some \"config\""}) {
		t.Errorf("opened: %+v", r)
	}
	p.refused(0, jsonwire.ErrConnection, jsonwire.OpenServer, jsonwire.OpenServerArgs{})
	for _, uid := range []uint32{0, 2, 1 << 31, 1<<32 - 1} {
		p.refused(0, jsonwire.ErrConnection, jsonwire.CloseServer, jsonwire.CloseServerArgs{ServerUID: uid})
	}
	p.do(jsonwire.CloseServer, jsonwire.CloseServerArgs{ServerUID: 1}, nil)
	p.refused(0, jsonwire.ErrConnection, jsonwire.CloseServer, jsonwire.CloseServerArgs{ServerUID: 1})

	// The numbers count up, over connections too.
	if uid := p.open(1); uid != 2 {
		t.Errorf("the second server has number %d", uid)
	}
	if uid := connect(t, d).open(1); uid != 3 {
		t.Errorf("the third server has number %d", uid)
	}
}

// Before the server is open nothing else works, and each of the commands says so.
func TestNothingWithoutServer(t *testing.T) {
	p := connect(t, newDialect(loop(t, 1), Options{}))
	free := map[string]bool{jsonwire.Initialize: true, jsonwire.Exit: true, jsonwire.QryServers: true, jsonwire.OpenServer: true, jsonwire.QryErrorInfo: true}
	check := func() {
		t.Helper()
		for _, c := range jsonwire.Commands {
			if free[c.Name] {
				continue
			}
			args := c.NewArgs()
			if a, ok := args.(*jsonwire.CreateTrigArgs); ok {
				a.Trig.SimpleCore = &jsonwire.TrigSimpleCore{}
			}
			p.refused(0, jsonwire.ErrConnection, c.Name, args)
		}
		p.refused(0, jsonwire.ErrConnection, jsonwire.Run, jsonwire.RunArgs{CoreUID: 1})
		p.refused(0, jsonwire.ErrConnection, jsonwire.Stop, jsonwire.RunArgs{CoreUID: 1, Global: true})
	}
	check()
	uid := p.open(1)
	p.state(1)
	p.do(jsonwire.CloseServer, jsonwire.CloseServerArgs{ServerUID: uid}, nil)
	check()
}

func TestErrorInfo(t *testing.T) {
	_, p := openLoop(t, 2)
	none := jsonwire.ErrorInfo{}
	for core := range uint32(3) {
		if got := p.info(core); got != none {
			t.Errorf("slot %d before any error: %+v", core, got)
		}
	}
	// Each core has a slot of its own, and so has the server.
	p.refused(1, jsonwire.ErrMemSpaceID, jsonwire.ExecuteTxList, oneTx(1, jsonwire.Tx{AccessType: jsonwire.TxRead}))
	p.refused(2, jsonwire.ErrTxListTx, jsonwire.ExecuteTxList, oneTx(2, jsonwire.Tx{}))
	p.refused(0, jsonwire.ErrParam, jsonwire.QryState, jsonwire.CoreArgs{CoreUID: 3})
	for core, want := range []jsonwire.ErrorCode{jsonwire.ErrParam, jsonwire.ErrMemSpaceID, jsonwire.ErrTxListTx} {
		for range 2 { // asking changes nothing
			if got := p.info(uint32(core)); got.Code != want || got.Status != 3 {
				t.Errorf("slot %d: %+v, want %v", core, got, want)
			}
		}
	}
	// A success empties the slot that it goes to, and no other.
	p.state(1)
	if a, b, c := p.info(1), p.info(2), p.info(0); a != none || b.Code != jsonwire.ErrTxListTx || c.Code != jsonwire.ErrParam {
		t.Errorf("after a success on core 0: %+v, %+v, server %+v", a, b, c)
	}
	p.do(jsonwire.QrySystems, jsonwire.QrySystemsArgs{}, nil)
	if a, b := p.info(0), p.info(2); a != none || b.Code != jsonwire.ErrTxListTx {
		t.Errorf("after a success of the server: %+v, core 1 %+v", a, b)
	}
	// A core that is not open is answered at once, and the server's slot does not notice.
	for _, uid := range []uint32{3, 1<<32 - 1} {
		if got := p.info(uid); got.Status != 3 || got.Code != jsonwire.ErrParam {
			t.Errorf("slot of core-uid %d: %+v", uid, got)
		}
	}
	if got := p.info(0); got != none {
		t.Errorf("the server's slot holds %+v after questions", got)
	}
	// The text is limited.
	p.refused(0, jsonwire.ErrParam, jsonwire.QryDevices, jsonwire.QryDevicesArgs{SystemConInfo: jsonwire.Con{System: strings.Repeat("\x01", 63)}})
	if got := p.info(0).Str; len(got) != jsonwire.MaxInfo {
		t.Errorf("an error-str of %d bytes", len(got))
	}
}
