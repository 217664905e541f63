// SPDX-License-Identifier: Apache-2.0

package jsonclient

import (
	"bytes"
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcdtest/harness/transcript"
	"mcdtest/stub/jsonwire"
	"mcdtest/stub/memtarget"
)

// A session with every command in it; each does what it says, and what went over the wire is in the transcript.
func TestEveryCommand(t *testing.T) {
	rec := transcript.NewRecorder(0)
	m, c := served(t, 2, Options{Recorder: rec})
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	same := func(what string, want, got any) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (- want, + got):\n%s", what, diff)
		}
	}

	impl, err := c.Initialize(ctx, jsonwire.Version{Major: 1, Minor: 1, Author: "test"})
	must(err)
	same("version", uint16(1), impl.API.Major)
	servers, err := c.QryServers(ctx, "", true, 0, 1)
	must(err)
	same("servers", []jsonwire.ServerInfo{{Server: "QEMU"}}, servers.ServerInfo)
	server, err := c.OpenServer(ctx, "", "config")
	must(err)
	same("server", jsonwire.OpenServerResult{ServerUID: 1, Host: "QEMU", ConfigString: "config"}, server)
	systems, err := c.QrySystems(ctx, 0, 1)
	must(err)
	devices, err := c.QryDevices(ctx, systems.SystemConInfo[0], 0, 1)
	must(err)
	cores, err := c.QryCores(ctx, devices.DeviceConInfo[0], 0, 2)
	must(err)
	same("cores", uint32(2), cores.NumCores)
	for i, con := range cores.CoreConInfo {
		core, err := c.OpenCore(ctx, con)
		must(err)
		same("core", jsonwire.OpenCoreResult{CoreUID: uint32(i) + 1, CoreConInfo: con}, core)
	}
	spaces, err := c.QryMemSpaces(ctx, 1, 0, 10)
	must(err)
	same("spaces", uint32(5), spaces.NumMemSpaces)
	groups, err := c.QryRegGroups(ctx, 1, 0, 1)
	must(err)
	same("group", "org.gnu.gdb.arm.core", groups.RegGroups[0].Name)
	regs, err := c.QryRegMap(ctx, 1, 1, 15, 1)
	must(err)
	pc := regs.RegInfo[0]
	same("pc", "pc", pc.Name)

	list, err := c.ExecuteTxList(ctx, 1,
		jsonwire.Tx{Addr: pc.Addr, AccessType: jsonwire.TxRead, Data: make([]byte, 4), NumBytes: 4},
		jsonwire.Tx{Addr: jsonwire.Addr{Address: memtarget.LoopScratch, MemSpaceID: 1}, AccessType: jsonwire.TxWrite, Data: []byte{1, 2}, NumBytes: 2})
	must(err)
	same("transactions", uint32(2), list.NumTxOK)
	same("pc", jsonwire.Bytes{0, 0, 0x20, 0x40}, list.Tx[0].Data)

	must(c.Step(ctx, 1, false, jsonwire.StepInstructions, 2))
	must(c.SetGlobal(ctx, 2, true))
	info, err := c.QryTrigInfo(ctx, 1)
	must(err)
	same("trigger types", jsonwire.TrigType(15), info.Type)
	ctrigs, err := c.QryCtrigs(ctx, 1, 0, 0)
	must(err)
	same("custom triggers", jsonwire.QryCtrigsResult{}, ctrigs)
	trig := jsonwire.Trig{SimpleCore: &jsonwire.TrigSimpleCore{Type: jsonwire.TrigTypeIP, Action: 1, AddrStart: jsonwire.Addr{Address: memtarget.LoopStore, MemSpaceID: 2}}}
	created, err := c.CreateTrig(ctx, 1, trig)
	must(err)
	same("created", jsonwire.CreateTrigResult{Trig: trig, TrigID: 1}, created)
	asked, err := c.QryTrig(ctx, 1, 1)
	must(err)
	same("asked", trig, asked)
	must(c.Run(ctx, 1, true))
	m.Run(100)
	state, err := c.QryState(ctx, 1)
	must(err)
	same("hit", uint32(1), state.TrigID)
	must(c.Stop(ctx, 2, false))
	trigState, err := c.QryTrigState(ctx, 1, 1)
	must(err)
	same("trigger state", jsonwire.TrigState{Active: true, Captured: true, CapturedValid: true}, trigState)
	must(c.ActivateTrigSet(ctx, 1))
	set, err := c.QryTrigSet(ctx, 1, 0, 5)
	must(err)
	same("set", []uint32{1}, set.TrigIDs)
	setState, err := c.QryTrigSetState(ctx, 1)
	must(err)
	same("set state", true, setState.Active)
	must(c.RemoveTrig(ctx, 1, 1))
	must(c.RemoveTrigSet(ctx, 1))
	vector, err := c.QryRstClasses(ctx, 1)
	must(err)
	class, err := c.QryRstClassInfo(ctx, 1, 0)
	must(err)
	same("reset class", jsonwire.RstInfo{ClassVector: vector, InfoStr: "System Reset"}, class)
	must(c.Rst(ctx, 1, vector, true))
	errorInfo, err := c.QryErrorInfo(ctx, 1)
	must(err)
	same("error info", jsonwire.ErrorInfo{}, errorInfo)
	must(c.CloseCore(ctx, 1))
	must(c.CloseServer(ctx, server.ServerUID))
	must(c.Exit(ctx))

	text := recorded(t, rec)
	for _, cmd := range jsonwire.Commands {
		if !strings.Contains(text, `> {"execute":"`+cmd.Name+`"`) {
			t.Errorf("%s is not in the transcript", cmd.Name)
		}
	}
	if n := strings.Count(text, "\n< {"); n < len(jsonwire.Commands) {
		t.Errorf("%d replies in the transcript", n)
	}
}

// There is a method for every command, under the command's name.
func TestMethods(t *testing.T) {
	word := regexp.MustCompile(`-(\w)`)
	for _, cmd := range jsonwire.Commands {
		name := word.ReplaceAllStringFunc(strings.TrimPrefix(cmd.Name, "mcd"), func(s string) string { return strings.ToUpper(s[1:]) })
		name = strings.Replace(name, "Txlist", "TxList", 1)
		if _, ok := reflect.TypeFor[*Client]().MethodByName(name); !ok {
			t.Errorf("no method %s for %s", name, cmd.Name)
		}
	}
}

func TestWholeLists(t *testing.T) {
	_, c := served(t, 3, Options{})
	ctx := t.Context()
	if _, err := c.OpenServer(ctx, "", ""); err != nil {
		t.Fatal(err)
	}
	cores, err := c.Cores(ctx)
	if err != nil || len(cores) != 3 || cores[2].CoreID != 2 {
		t.Fatalf("cores: %+v, %v", cores, err)
	}
	if _, err := c.OpenCore(ctx, cores[0]); err != nil {
		t.Fatal(err)
	}
	spaces, err := c.MemSpaces(ctx, 1)
	if err != nil || len(spaces) != 5 || spaces[4].Name != "GDB Registers" {
		t.Errorf("spaces: %+v, %v", spaces, err)
	}
	groups, err := c.RegGroups(ctx, 1)
	if err != nil || len(groups) != 3 {
		t.Errorf("groups: %+v, %v", groups, err)
	}
	regs, err := c.Regs(ctx, 1, 0)
	if want := len(memtarget.ARMCore(true).Registers); err != nil || len(regs) != want {
		t.Errorf("%d registers, want %d: %v", len(regs), want, err)
	}
	for i, r := range memtarget.ARMCore(true).Registers {
		if regs[i].Name != r.Name || regs[i].Addr.Address != uint64(r.Number) {
			t.Errorf("register %d: %+v, want %+v", i, regs[i], r)
		}
	}
}

// A list whose count is a lie is an error, not an endless loop.
func TestListThatLies(t *testing.T) {
	for name, replies := range map[string][]string{
		"none comes":  {`{"return":{"return-status":0,"num-mem-spaces":2}}`, `{"return":{"return-status":0,"num-mem-spaces":0}}`},
		"count alone": {`{"return":{"return-status":0,"num-mem-spaces":2}}`, `{"return":{"return-status":0,"num-mem-spaces":1}}`},
		"too many":    {`{"return":{"return-status":0,"num-mem-spaces":4000000000}}`},
	} {
		t.Run(name, func(t *testing.T) {
			c, server := scripted(t, Options{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				for _, reply := range replies {
					answer(t, server, reply)
				}
			}()
			_, err := c.MemSpaces(t.Context(), 1)
			<-done
			contains(t, err, "mcd-qry-mem-spaces")
			if !errors.Is(err, ErrBadReply) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestRefusal(t *testing.T) {
	_, c := served(t, 1, Options{})
	ctx := t.Context()
	err := c.Run(ctx, 1, false)
	var r *Refusal
	if !errors.As(err, &r) || !errors.Is(err, ErrRefused) || r.Status != jsonwire.RetActHandleError {
		t.Fatalf("run before the server is open: %v", err)
	}
	contains(t, c.Explain(ctx, err, 0), "mcd-run", "MCD_ERR_CONNECTION (0x200)", "mcd-open-server comes first")

	err = c.Call(ctx, jsonwire.Run, jsonwire.NoArgs{}, nil)
	if !errors.As(err, &r) || r.Reply == nil || r.Reply.Class != jsonwire.GenericError {
		t.Errorf("run without arguments: %v", err)
	}
	contains(t, err, "mcd-run", "GenericError", "'core-uid' is missing")
	if again := c.Explain(ctx, err, 0); again != err {
		t.Errorf("an error reply needs no explanation: %v", again)
	}
	contains(t, c.Call(ctx, "mcd-nope", jsonwire.NoArgs{}, nil), "mcd-nope", "no such command")
}

func TestBadReplies(t *testing.T) {
	for reply, want := range map[string]string{
		`{"return":{}}`: "return-status", `{"return":{"return-status":0}}`: "num-systems", `{"return":{"return-status":0,"num-systems":"1"}}`: "num-systems",
		`{"QMP":{"version":{}}}`: "neither", `{"return":[]}`: "not an object", `[1]`: "expecting an object", `{"return":{"return-status":0,"num-systems":1,}}`: "JSON",
	} {
		c, server := scripted(t, Options{})
		done := make(chan struct{})
		go func() { defer close(done); answer(t, server, reply+"\r\n") }()
		_, err := c.QrySystems(t.Context(), 0, 0)
		<-done
		contains(t, err, "mcd-qry-systems", want)
		if !errors.Is(err, ErrBadReply) {
			t.Errorf("%s: %v", reply, err)
		}
	}
}

// Large data goes both ways, however the reply is cut.
func TestLargeData(t *testing.T) {
	_, c := served(t, 1, Options{})
	ctx := t.Context()
	if _, err := c.OpenServer(ctx, "", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := c.OpenCore(ctx, jsonwire.Con{}); err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte{0, 1, 22, 255, 100}, 1<<16)
	tx := jsonwire.Tx{Addr: jsonwire.Addr{Address: memtarget.LoopScratch, MemSpaceID: 2}, AccessType: jsonwire.TxWrite, Data: data, NumBytes: uint32(len(data))}
	if _, err := c.ExecuteTxList(ctx, 1, tx); err != nil {
		t.Fatal(err)
	}
	tx.AccessType, tx.Data = jsonwire.TxRead, make([]byte, len(data))
	list, err := c.ExecuteTxList(ctx, 1, tx)
	if err != nil || !bytes.Equal(list.Tx[0].Data, data) {
		t.Errorf("%d bytes are not read back: %v", len(data), err)
	}
}
