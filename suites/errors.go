// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"mcdtest/harness/debugger"
	"mcdtest/harness/jsonclient"
	"mcdtest/stub/jsonwire"
)

func errorSpec(name string, s Spec, body func(ctx context.Context, r *Rig, o *objectSeat)) bool {
	s.Subject, s.Name, s.Dialects = "errors", name, jsonOnly
	s.Body = func(ctx context.Context, r *Rig) { body(ctx, r, r.objectSeat(ctx)) }
	return register(s)
}

// expectSlot makes sure what mcd-qry-error-info says of a slot.
func (o *objectSeat) expectSlot(ctx context.Context, slot uint32, status jsonwire.ReturnStatus, code jsonwire.ErrorCode, when string) {
	ginkgo.GinkgoHelper()
	info, err := o.c.QryErrorInfo(ctx, slot)
	Expect(err).NotTo(HaveOccurred(), when)
	Expect([]any{info.Status, info.Code}).To(Equal([]any{status, code}), "status and error-code of slot %d %s; error-str %q", slot, when, info.Str)
	if code == jsonwire.ErrNone {
		Expect(info.Events).To(BeZero(), "error-events of slot %d %s", slot, when)
	} else {
		Expect(info.Str).NotTo(BeEmpty(), "error-str of slot %d %s", slot, when)
		Expect(len(info.Str)).To(BeNumerically("<=", 255), "length of error-str of slot %d %s", slot, when)
	}
}

// raw sends text and returns the members of "return" as they came.
func (o *objectSeat) raw(ctx context.Context, text string) map[string]json.RawMessage {
	ginkgo.GinkgoHelper()
	Expect(o.c.Send(ctx, []byte(text))).To(Succeed())
	obj, err := o.c.ReadObject(ctx)
	Expect(err).NotTo(HaveOccurred())
	var reply struct{ Return map[string]json.RawMessage }
	Expect(json.Unmarshal(obj, &reply)).To(Succeed())
	Expect(reply.Return).NotTo(BeNil(), "the answer to %s: %s", shortened(text), obj)
	return reply.Return
}

var _ = errorSpec("a slot tells of the last failure, as often as it is asked", Spec{}, func(ctx context.Context, r *Rig, o *objectSeat) {
	for range 2 {
		_, err := o.c.QryTrig(ctx, o.uids[0], 4711)
		Expect(err).To(MatchError(jsonclient.ErrRefused))
		for range 3 {
			o.expectSlot(ctx, o.uids[0], jsonwire.RetActHandleError, jsonwire.ErrTrigAccess, "after a query of a trigger that does not exist")
		}
		err = o.c.CloseServer(ctx, o.server+100)
		Expect(err).To(MatchError(jsonclient.ErrRefused))
		for range 3 {
			info, err := o.c.QryErrorInfo(ctx, 0)
			Expect(err).NotTo(HaveOccurred())
			Expect(info.Status).To(Equal(jsonwire.RetActHandleError))
		}
	}
})

var _ = errorSpec("a slot of which nothing has gone wrong tells of nothing", Spec{}, func(ctx context.Context, r *Rig, o *objectSeat) {
	o.expectSlot(ctx, 0, jsonwire.RetActNone, jsonwire.ErrNone, "after a session was opened")
	o.expectSlot(ctx, o.uids[0], jsonwire.RetActNone, jsonwire.ErrNone, "after a session was opened")
})

var _ = errorSpec("a failure of a core is in that core's slot and in no other", Spec{Cores: 3, Fast: true, Labels: []string{"smp", "ours"}},
	func(ctx context.Context, r *Rig, o *objectSeat) {
		for i, uid := range o.uids {
			_, err := o.c.QryTrig(ctx, uid, uint32(100+i))
			Expect(err).To(MatchError(jsonclient.ErrRefused))
			o.expectSlot(ctx, 0, jsonwire.RetActNone, jsonwire.ErrNone, "the server's, after a failure of a core")
			for k, other := range o.uids {
				if k <= i {
					o.expectSlot(ctx, other, jsonwire.RetActHandleError, jsonwire.ErrTrigAccess, "of a core that has failed")
				} else {
					o.expectSlot(ctx, other, jsonwire.RetActNone, jsonwire.ErrNone, "of a core that has not failed")
				}
			}
		}
		_, err := o.c.QryMemSpaces(ctx, o.uids[0], 1000, 1)
		o.refused(ctx, err, o.uids[0], jsonwire.ErrParam, "a start-index of 1000")
		o.expectSlot(ctx, o.uids[1], jsonwire.RetActHandleError, jsonwire.ErrTrigAccess, "after another failure of the first core")
	})

var _ = errorSpec("a core-uid that is not open is the server's failure", Spec{Fast: true, Labels: []string{"ours"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	for _, uid := range []uint32{0, uint32(len(o.uids)) + 1, 1000, 1 << 31, 1<<32 - 1} {
		o.refused(ctx, o.c.Run(ctx, uid, false), 0, jsonwire.ErrParam, "mcd-run of core-uid %d", uid)
		_, err := o.c.QryState(ctx, uid)
		o.refused(ctx, err, 0, jsonwire.ErrParam, "mcd-qry-state of core-uid %d", uid)
	}
	o.expectSlot(ctx, o.uids[0], jsonwire.RetActNone, jsonwire.ErrNone, "of the core that is open")
	info, err := o.c.QryErrorInfo(ctx, 1000)
	Expect(err).NotTo(HaveOccurred())
	Expect(info.Status).To(Equal(jsonwire.RetActHandleError), "mcd-qry-error-info of a core-uid that is not open")
})

var _ = errorSpec("on failure return-status is the only key", Spec{Fast: true}, func(ctx context.Context, r *Rig, o *objectSeat) {
	for _, text := range []string{
		`{"execute":"mcd-qry-state","arguments":{"core-uid":77}}`,
		`{"execute":"mcd-qry-mem-spaces","arguments":{"core-uid":1,"start-index":99,"num-mem-spaces":1}}`,
		`{"execute":"mcd-qry-trig","arguments":{"core-uid":1,"trig-id":99}}`,
		`{"execute":"mcd-qry-rst-class-info","arguments":{"core-uid":1,"rst-class":31}}`,
		`{"execute":"mcd-open-server","arguments":{"system-key":"","config-string":""}}`,
		`{"execute":"mcd-initialize","arguments":{"version-req":{"v-api-major":7,"v-api-minor":0,"author":""}}}`,
	} {
		Expect(o.raw(ctx, text)).To(Equal(map[string]json.RawMessage{"return-status": json.RawMessage("3")}), text)
	}
	// And on success it is the first of all that the table says.
	Expect(maps.Keys(o.raw(ctx, `{"execute":"mcd-qry-rst-classes","arguments":{"core-uid":1}}`))).To(ConsistOf("return-status", "rst-class-vector"))
})

var _ = errorSpec("the version must be one that is spoken", Spec{}, func(ctx context.Context, r *Rig, o *objectSeat) {
	for _, v := range []jsonwire.Version{{Major: 1, Minor: 0}, {Major: 1, Minor: 1}, {Major: 1, Minor: 1, Author: "SPRINT Release"}} {
		info, err := o.c.Initialize(ctx, v)
		Expect(err).NotTo(HaveOccurred(), "%+v", v)
		Expect(info.API.Major).To(BeEquivalentTo(1))
		Expect(info.API.Minor).To(BeNumerically("<=", 1))
	}
	for _, v := range []jsonwire.Version{{Major: 0, Minor: 0}, {Major: 0, Minor: 1}, {Major: 1, Minor: 2}, {Major: 1, Minor: 65535}, {Major: 2, Minor: 0}, {Major: 65535, Minor: 1}} {
		_, err := o.c.Initialize(ctx, v)
		o.refused(ctx, err, 0, jsonwire.ErrGeneral, "mcd-initialize of %d.%d", v.Major, v.Minor)
	}
	_, err := o.c.QryState(ctx, o.uids[0])
	Expect(err).NotTo(HaveOccurred(), "what is open stays open")
})

var _ = errorSpec("unknown commands are told from ill-formed arguments", Spec{Fast: true}, func(ctx context.Context, r *Rig, o *objectSeat) {
	for _, name := range []string{"mcd-no-such", "mcd-", "", "mcd_run", "MCD-RUN", "quit", "qmp_capabilities", strings.Repeat("x", 5000)} {
		Expect(expectErrors(ctx, o.c, fmt.Sprintf(`{"execute":%q,"arguments":{}}`, name))).To(Equal(jsonwire.CommandNotFound), shortened(name))
	}
	for i := range jsonwire.Commands {
		cmd := &jsonwire.Commands[i]
		if len(cmd.Args) > 0 {
			Expect(expectErrors(ctx, o.c, fmt.Sprintf(`{"execute":%q}`, cmd.Name))).To(Equal(jsonwire.GenericError), cmd.Name+" without arguments")
		}
		Expect(expectErrors(ctx, o.c, fmt.Sprintf(`{"execute":%q,"arguments":{"no-such-argument":1}}`, cmd.Name))).To(Equal(jsonwire.GenericError), cmd.Name+" with an unknown argument")
	}
})

// con is a CON as an object that can be damaged.
func con(c jsonwire.Con) map[string]any {
	ginkgo.GinkgoHelper()
	var m map[string]any
	Expect(json.Unmarshal(jsonwire.Append(nil, &c), &m)).To(Succeed())
	return m
}

// conKeys are the 14 keys of a CON, by type.
var conKeys = map[string]string{
	"host": "str", "server-port": "u32", "server-key": "str", "system-key": "str", "device-key": "str", "system": "str", "system-instance": "str",
	"acc-hw": "str", "device-type": "u32", "device": "str", "device-id": "u32", "core": "str", "core-type": "u32", "core-id": "u32",
}

var _ = errorSpec("each of the 14 keys of a connection info is mandatory and typed", Spec{Fast: true, Labels: []string{"hostile"}},
	func(ctx context.Context, r *Rig, o *objectSeat) {
		Expect(conKeys).To(HaveLen(14))
		good := con(o.cons[0])
		Expect(maps.Keys(good)).To(ConsistOf(maps.Keys(conKeys)))
		for command, request := range map[string]func(c map[string]any) map[string]any{
			"mcd-qry-devices": func(c map[string]any) map[string]any {
				return map[string]any{"system-con-info": c, "start-index": 0, "num-devices": 1}
			},
			"mcd-qry-cores": func(c map[string]any) map[string]any {
				return map[string]any{"connection-info": c, "start-index": 0, "num-cores": 1}
			},
			"mcd-open-core": func(c map[string]any) map[string]any { return map[string]any{"core-con-info": c} },
		} {
			send := func(c map[string]any) string {
				text, err := json.Marshal(map[string]any{"execute": command, "arguments": request(c)})
				Expect(err).NotTo(HaveOccurred())
				return string(text)
			}
			for key, typ := range conKeys {
				c := maps.Clone(good)
				delete(c, key)
				Expect(expectErrors(ctx, o.c, send(c))).To(Equal(jsonwire.GenericError), "%s without %s", command, key)
				wrong := []any{nil, true, []any{}, map[string]any{}}
				if typ == "str" {
					wrong = append(wrong, 0, 1.5)
				} else {
					wrong = append(wrong, "", "0", -1, 1<<32, 0.5)
				}
				for _, v := range wrong {
					c := maps.Clone(good)
					c[key] = v
					Expect(expectErrors(ctx, o.c, send(c))).To(Equal(jsonwire.GenericError), "%s with %s %v", command, key, v)
				}
			}
			c := maps.Clone(good)
			c["more"] = 1
			Expect(expectErrors(ctx, o.c, send(c))).To(Equal(jsonwire.GenericError), "%s with a key more", command)
		}
		// None of it has opened or closed anything.
		_, err := o.c.QryState(ctx, o.uids[0])
		Expect(err).NotTo(HaveOccurred())
	})

var _ = errorSpec("a system, device or core of another name is refused", Spec{Labels: []string{"ours"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	Expect(o.c.CloseServer(ctx, o.server)).To(Succeed())
	_, err := o.c.OpenServer(ctx, "", "")
	Expect(err).NotTo(HaveOccurred())
	for key, damage := range map[string]func(c *jsonwire.Con){
		"system": func(c *jsonwire.Con) { c.System = "qemu-system-pdp11" },
		"device": func(c *jsonwire.Con) { c.Device = "no-such-board" },
		"core":   func(c *jsonwire.Con) { c.Core = "z80" },
	} {
		c := o.cons[0]
		damage(&c)
		_, err := o.c.OpenCore(ctx, c)
		o.refused(ctx, err, 0, jsonwire.ErrParam, "mcd-open-core with another %s", key)
	}
	_, err = o.c.OpenCore(ctx, o.cons[0])
	Expect(err).NotTo(HaveOccurred())
})

var _ = errorSpec("a core beyond the last cannot be opened", Spec{Fast: true, Labels: []string{"ours"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	for _, id := range []uint32{uint32(len(o.cons)), uint32(len(o.cons)) + 1, 1000, 1 << 31, 1<<32 - 1} {
		c := o.cons[0]
		c.CoreID = id
		_, err := o.c.OpenCore(ctx, c)
		o.refused(ctx, err, 0, jsonwire.ErrParam, "mcd-open-core of core-id %d", id)
	}
})

var _ = errorSpec("opening and closing twice, and in the wrong order, is refused", Spec{Labels: []string{"ours"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	_, err := o.c.OpenServer(ctx, "", "")
	o.refused(ctx, err, 0, jsonwire.ErrConnection, "opening the server twice")
	_, err = o.c.OpenCore(ctx, o.cons[0])
	o.refused(ctx, err, 0, jsonwire.ErrConnection, "opening a core twice")
	Expect(o.c.CloseCore(ctx, o.uids[0])).To(Succeed())
	o.refused(ctx, o.c.CloseCore(ctx, o.uids[0]), 0, jsonwire.ErrConnection, "closing a core twice")
	_, err = o.c.QryState(ctx, o.uids[0])
	o.refused(ctx, err, 0, jsonwire.ErrParam, "the state of a core that was closed")
	Expect(o.c.CloseServer(ctx, o.server+1)).To(MatchError(jsonclient.ErrRefused), "closing another server")
	Expect(o.c.CloseServer(ctx, o.server)).To(Succeed())
	o.refused(ctx, o.c.CloseServer(ctx, o.server), 0, jsonwire.ErrConnection, "closing the server twice")
	_, err = o.c.OpenCore(ctx, o.cons[0])
	o.refused(ctx, err, 0, jsonwire.ErrConnection, "opening a core without a server")
	o.refused(ctx, o.c.Run(ctx, o.uids[0], true), 0, jsonwire.ErrConnection, "run without a server")
	o.refused(ctx, o.c.Stop(ctx, o.uids[0], true), 0, jsonwire.ErrConnection, "stop without a server")
	r.ExpectRunState(ctx, "prelaunch")
	o.open(ctx)
})

var _ = errorSpec("a core that was closed is opened again after the server only", Spec{Labels: []string{"ours"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	Expect(o.c.CloseCore(ctx, o.uids[0])).To(Succeed())
	_, err := o.c.OpenCore(ctx, o.cons[0])
	Expect(err).To(MatchError(jsonclient.ErrRefused), "open, close, open of a core")
	_, err = o.c.QrySystems(ctx, 0, 0)
	Expect(err).NotTo(HaveOccurred(), "the server is still there")
	Expect(o.c.CloseServer(ctx, o.server)).To(Succeed())
	o.open(ctx)
	_, err = o.c.QryState(ctx, o.uids[0])
	Expect(err).NotTo(HaveOccurred())
})

var _ = errorSpec("closing the server closes its cores", Spec{}, func(ctx context.Context, r *Rig, o *objectSeat) {
	before := o.server
	Expect(o.c.CloseServer(ctx, o.server)).To(Succeed())
	_, err := o.c.QryState(ctx, o.uids[0])
	Expect(err).To(MatchError(jsonclient.ErrRefused))
	opened, err := o.c.OpenServer(ctx, "", "x")
	Expect(err).NotTo(HaveOccurred())
	Expect(opened.ServerUID).To(BeNumerically(">", before), "server-uid counts up")
	_, err = o.c.QryState(ctx, o.uids[0])
	o.refused(ctx, err, 0, jsonwire.ErrParam, "the state of a core of a server that was closed")
})

var _ = errorSpec("exit closes everything and has no status", Spec{Fast: true}, func(ctx context.Context, r *Rig, o *objectSeat) {
	for range 2 {
		Expect(o.raw(ctx, `{"execute":"mcd-exit","arguments":{}}`)).To(BeEmpty())
		_, err := o.c.QrySystems(ctx, 0, 0)
		o.refused(ctx, err, 0, jsonwire.ErrConnection, "mcd-qry-systems after mcd-exit")
	}
	o.open(ctx)
	_, err := o.c.QryState(ctx, o.uids[0])
	Expect(err).NotTo(HaveOccurred())
})

var _ = errorSpec("a disconnect closes what the connection opened, and removes its triggers", Spec{Fast: true, Labels: []string{"observer", "ours"}},
	func(ctx context.Context, r *Rig, o *objectSeat) {
		r.ToLoop(ctx, o.d)
		for _, tr := range []debugger.Trigger{r.exec("store"), r.exec("loop"), r.watch(debugger.Write, "counter"), r.watch(debugger.Read, "counter")} {
			Expect(o.d.Insert(ctx, 0, tr)).To(Succeed())
		}
		r.hangUp()
		o = r.objectSeat(ctx) // the server can be opened
		set, err := o.c.QryTrigSet(ctx, o.uids[0], 0, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(set.NumTrigs).To(BeZero())
		r.ExpectRunState(ctx, "debug")
		Expect(debugger.PC(ctx, o.d, 0)).To(Equal(r.Guest().Addr("loop")), "the machine stands where it stood")
		r.expectRunsOn(ctx, o.d)
	})

var _ = errorSpec("a core that is closed loses its triggers", Spec{Labels: []string{"observer"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	r.ToLoop(ctx, o.d)
	Expect(o.d.Insert(ctx, 0, r.exec("store"))).To(Succeed())
	Expect(o.c.CloseCore(ctx, o.uids[0])).To(Succeed())
	Expect(o.c.CloseServer(ctx, o.server)).To(Succeed())
	r.ExpectRunState(ctx, "debug")
	o.open(ctx)
	r.expectRunsOn(ctx, o.d)
})

var _ = errorSpec("strings that do not fit the API's structures are refused", Spec{Labels: []string{"ours"}}, func(ctx context.Context, r *Rig, o *objectSeat) {
	_, err := o.c.QryServers(ctx, strings.Repeat("h", 64), true, 0, 0)
	o.refused(ctx, err, 0, jsonwire.ErrParam, "a host of 64 characters")
	_, err = o.c.QryServers(ctx, strings.Repeat("h", 63), true, 0, 0)
	Expect(err).NotTo(HaveOccurred())
	Expect(o.c.Exit(ctx)).To(Succeed())
	_, err = o.c.OpenServer(ctx, strings.Repeat("k", 64), "")
	o.refused(ctx, err, 0, jsonwire.ErrParam, "a system-key of 64 characters")
	_, err = o.c.OpenServer(ctx, strings.Repeat("k", 63), "")
	Expect(err).NotTo(HaveOccurred())
})
