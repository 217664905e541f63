// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcdtest/stub/jsonwire"
	"mcdtest/stub/memtarget"
)

func TestTopology(t *testing.T) {
	_, p := openLoop(t, 3)
	system := jsonwire.Con{System: "qemu-system-arm"}
	device := system
	device.Device = "virt"

	var systems jsonwire.QrySystemsResult
	p.do(jsonwire.QrySystems, jsonwire.QrySystemsArgs{NumSystems: 7}, &systems)
	if diff := cmp.Diff(jsonwire.QrySystemsResult{NumSystems: 1, SystemConInfo: []jsonwire.Con{system}}, systems); diff != "" {
		t.Errorf("systems (- want, + got):\n%s", diff)
	}
	for _, con := range []jsonwire.Con{system, {}, {Host: "h", ServerPort: 1235, SystemKey: "k"}} {
		var devices jsonwire.QryDevicesResult
		p.do(jsonwire.QryDevices, jsonwire.QryDevicesArgs{SystemConInfo: con, NumDevices: 1}, &devices)
		if diff := cmp.Diff(jsonwire.QryDevicesResult{NumDevices: 1, DeviceConInfo: []jsonwire.Con{device}}, devices); diff != "" {
			t.Errorf("devices of %+v (- want, + got):\n%s", con, diff)
		}
	}
	for _, con := range []jsonwire.Con{device, system, {}} {
		var cores jsonwire.QryCoresResult
		p.do(jsonwire.QryCores, jsonwire.QryCoresArgs{ConnectionInfo: con, StartIndex: 1, NumCores: 9}, &cores)
		if cores.NumCores != 2 || len(cores.CoreConInfo) != 2 {
			t.Fatalf("cores from 1 on: %+v", cores)
		}
		want := device
		want.Core, want.CoreID = "cortex-a15-arm-cpu", 2
		if cores.CoreConInfo[1] != want {
			t.Errorf("core 2 is %+v, want %+v", cores.CoreConInfo[1], want)
		}
	}
	for _, con := range []jsonwire.Con{{System: "qemu-system-ar"}, {Host: strings.Repeat("h", 64)}, {System: strings.Repeat("s", 64)}, {AccHW: strings.Repeat("a", 64)}} {
		p.refused(0, jsonwire.ErrParam, jsonwire.QryDevices, jsonwire.QryDevicesArgs{SystemConInfo: con, NumDevices: 1})
		p.refused(0, jsonwire.ErrParam, jsonwire.QryCores, jsonwire.QryCoresArgs{ConnectionInfo: con, NumCores: 1})
	}
	p.refused(0, jsonwire.ErrParam, jsonwire.QryCores, jsonwire.QryCoresArgs{ConnectionInfo: jsonwire.Con{Device: "pc"}, NumCores: 1})
}

// Names that do not fit are cut, and a client may hand the cut ones back.
func TestLongNames(t *testing.T) {
	core := memtarget.ARMCore(false)
	core.Type = strings.Repeat("t", 62) + "äää"
	p := connect(t, newDialect(memtarget.New(memtarget.Config{Machine: strings.Repeat("m", 100), Core: core}), Options{}))
	p.do(jsonwire.OpenServer, jsonwire.OpenServerArgs{}, nil)
	var cores jsonwire.QryCoresResult
	p.do(jsonwire.QryCores, jsonwire.QryCoresArgs{NumCores: 1}, &cores)
	if con := cores.CoreConInfo[0]; con.Device != strings.Repeat("m", 63) || con.Core != strings.Repeat("t", 62) {
		t.Errorf("names: %+v", con)
	}
	p.do(jsonwire.OpenCore, jsonwire.OpenCoreArgs{CoreConInfo: cores.CoreConInfo[0]}, nil)
}

// The rules of lists hold for each of them: with 0 the count, from start-index on what is asked for or what is left, an index
// past the end and a monstrous number refused.
func TestLists(t *testing.T) {
	_, p := openLoop(t, 2)
	for i := range 3 {
		breakAt(p, 1, uint64(0x40200000+4*i))
	}
	simple := func(name, num, list, more string, slot uint32, total int) {
		t.Run(name, func(t *testing.T) {
			p.t = t
			ask := func(start, n uint64) map[string]any {
				return object(t, p.ask(strings.NewReplacer("NAME", name, "NUM", num, "START", text(start), "N", text(n), "MORE", more).Replace(
					`{"execute":"NAME","arguments":{MORE"start-index":START,"NUM":N}}`)))["return"].(map[string]any)
			}
			check := func(start, n uint64, count, elements int) {
				t.Helper()
				r := ask(start, n)
				if r["return-status"] != 0.0 || r[num] != float64(count) {
					t.Errorf("start-index %d, %s %d: %v, want %d", start, num, n, r, count)
				}
				got, there := r[list].([]any)
				if there != (elements >= 0) || len(got) != max(0, elements) {
					t.Errorf("start-index %d, %s %d: a list of %d (%v), want %d", start, num, n, len(got), there, elements)
				}
			}
			refused := func(start, n uint64) {
				t.Helper()
				if r := ask(start, n); r["return-status"] != 3.0 || len(r) != 1 {
					t.Errorf("start-index %d, %s %d: %v", start, num, n, r)
				}
				if info := p.info(slot); info.Code != jsonwire.ErrParam {
					t.Errorf("start-index %d, %s %d: %+v", start, num, n, info)
				}
			}
			check(0, 0, total, -1)
			check(7, 0, total, -1)
			for start := range total {
				check(uint64(start), 1, 1, 1)
				for _, n := range []uint64{65535, 65536, 1 << 31, 1<<32 - 2} {
					check(uint64(start), n, total-start, total-start)
				}
			}
			for _, start := range []uint64{uint64(total), uint64(total) + 1, 1 << 31, 1<<32 - 1} {
				refused(start, 1)
			}
			refused(0, 1<<32-1)
		})
	}
	empty := string(jsonwire.Append(nil, jsonwire.Con{}))
	simple(jsonwire.QryServers, "num-servers", "server-info", `"host":"","running":true,`, 0, 1)
	simple(jsonwire.QrySystems, "num-systems", "system-con-info", "", 0, 1)
	simple(jsonwire.QryDevices, "num-devices", "device-con-info", `"system-con-info":`+empty+`,`, 0, 1)
	simple(jsonwire.QryCores, "num-cores", "core-con-info", `"connection-info":`+empty+`,`, 0, 2)
	simple(jsonwire.QryMemSpaces, "num-mem-spaces", "mem-spaces", `"core-uid":1,`, 1, 3)
	simple(jsonwire.QryRegGroups, "num-reg-groups", "reg-groups", `"core-uid":1,`, 1, 3)
	simple(jsonwire.QryRegMap, "num-regs", "reg-info", `"core-uid":1,"reg-group-id":1,`, 1, 17)
	simple(jsonwire.QryCtrigs, "num-ctrigs", "ctrig-info", `"core-uid":1,`, 1, 0)
	simple(jsonwire.QryTrigSet, "num-trigs", "trig-ids", `"core-uid":1,`, 1, 3)
	p.t = t
}
