// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"strings"
	"testing"

	"mcdtest/stub/jsonwire"
	"mcdtest/stub/target"
)

func openArgs(core uint32) jsonwire.OpenCoreArgs {
	return jsonwire.OpenCoreArgs{CoreConInfo: jsonwire.Con{CoreID: core}}
}

func TestOpenCore(t *testing.T) {
	m := loop(t, 2)
	p := connect(t, newDialect(m, Options{}))
	p.open(0)
	full := jsonwire.Con{System: "qemu-system-arm", Device: "virt", Core: "cortex-a15-arm-cpu", CoreID: 1, Host: "here", ServerPort: 7}
	var r jsonwire.OpenCoreResult
	p.do(jsonwire.OpenCore, jsonwire.OpenCoreArgs{CoreConInfo: full}, &r)
	if r.CoreUID != 2 || r.CoreConInfo != full {
		t.Errorf("core 1: %+v", r)
	}
	p.do(jsonwire.OpenCore, openArgs(0), &r)
	want := jsonwire.Con{System: "qemu-system-arm", Device: "virt", Core: "cortex-a15-arm-cpu"}
	if r.CoreUID != 1 || r.CoreConInfo != want {
		t.Errorf("core 0: %+v", r)
	}
	p.refused(0, jsonwire.ErrConnection, jsonwire.OpenCore, openArgs(0))
	for _, id := range []uint32{2, 3, 1 << 31, 1<<32 - 1} {
		p.refused(0, jsonwire.ErrParam, jsonwire.OpenCore, openArgs(id))
	}
	for _, con := range []jsonwire.Con{{System: "x"}, {Device: "x"}, {Core: "x"}, {Core: strings.Repeat("x", 64)}} {
		p.refused(0, jsonwire.ErrParam, jsonwire.OpenCore, jsonwire.OpenCoreArgs{CoreConInfo: con})
	}
}

func TestCloseCore(t *testing.T) {
	m, p := openLoop(t, 2)
	breakAt(p, 1, 0x40200010)
	breakAt(p, 2, 0x40200014)
	p.refused(0, jsonwire.ErrParam, jsonwire.QryState, jsonwire.CoreArgs{CoreUID: 3})
	p.do(jsonwire.CloseCore, jsonwire.CoreArgs{CoreUID: 1}, nil)
	if info := p.info(0); info != (jsonwire.ErrorInfo{}) {
		t.Errorf("closing a core is a success of the server, whose slot holds %+v", info)
	}
	if left := m.Triggers(target.AllCores); len(left) != 1 || left[0].Addr != 0x40200014 {
		t.Errorf("after core 0 was closed there are %v", left)
	}
	// Closed twice, opened again, used: each is refused and harms nothing.
	p.refused(0, jsonwire.ErrConnection, jsonwire.CloseCore, jsonwire.CoreArgs{CoreUID: 1})
	p.refused(0, jsonwire.ErrConnection, jsonwire.OpenCore, openArgs(0))
	p.refused(0, jsonwire.ErrParam, jsonwire.QryState, jsonwire.CoreArgs{CoreUID: 1})
	for _, uid := range []uint32{0, 3, 1 << 31, 1<<32 - 1} {
		p.refused(0, jsonwire.ErrParam, jsonwire.CloseCore, jsonwire.CoreArgs{CoreUID: uid})
	}
	p.state(2)
	// A server that is opened anew has all its cores.
	p.do(jsonwire.CloseServer, jsonwire.CloseServerArgs{ServerUID: 1}, nil)
	if left := m.Triggers(target.AllCores); len(left) != 0 {
		t.Errorf("after the server was closed there are %v", left)
	}
	p.open(2)
	p.state(1)
}

// Why a core cannot be closed twice is told of the core-uid as well, which has no slot any more.
func TestErrorOfAClosedCore(t *testing.T) {
	_, p := openLoop(t, 2)
	p.do(jsonwire.CloseCore, jsonwire.CoreArgs{CoreUID: 1}, nil)
	p.refused(0, jsonwire.ErrConnection, jsonwire.CloseCore, jsonwire.CoreArgs{CoreUID: 1})
	if info := p.info(1); info.Status != jsonwire.RetActHandleError || info.Code != jsonwire.ErrConnection {
		t.Errorf("the closed core: %+v", info)
	}
	if info := p.info(3); info.Code != jsonwire.ErrParam {
		t.Errorf("a core that never was: %+v", info)
	}
}

// A core-uid that is not open is refused by every command that takes one, in the server's slot.
func TestUnknownCore(t *testing.T) {
	p := connect(t, newDialect(loop(t, 2), Options{}))
	p.open(1)
	for _, c := range jsonwire.Commands {
		if len(c.Args) == 0 || c.Args[0].Role != jsonwire.CoreUID || c.Name == jsonwire.QryErrorInfo {
			continue
		}
		for _, uid := range []string{"0", "2", "3", "4294967295"} {
			args := jsonwire.AppendArgs(nil, c.Args, func(way string, _ *jsonwire.Arg) (string, jsonwire.Use) {
				if way == "core-uid" {
					return uid, jsonwire.Raw
				}
				return "", jsonwire.Default
			})
			if got := p.ask(`{"execute":"` + c.Name + `","arguments":` + string(args) + `}`); got != `{"return":{"return-status":3}}` {
				t.Errorf("%s of core-uid %s: %s", c.Name, uid, got)
			}
			if info := p.info(0); info.Code != jsonwire.ErrParam {
				t.Errorf("%s of core-uid %s: the server's slot holds %+v", c.Name, uid, info)
			}
			p.do(jsonwire.QrySystems, jsonwire.QrySystemsArgs{}, nil) // empty the slot
		}
		if info := p.info(1); info != (jsonwire.ErrorInfo{}) {
			t.Errorf("%s of another core-uid: core 0's slot holds %+v", c.Name, info)
		}
	}
}
