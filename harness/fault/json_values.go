// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"strconv"
	"strings"

	"mcdtest/stub/jsonwire"
)

// Faults of the JSON dialect.

// lists are the commands that answer with a list, with its keys.
var lists = map[string]struct{ count, list string }{
	jsonwire.QryServers:   {"num-servers", "server-info"},
	jsonwire.QrySystems:   {"num-systems", "system-con-info"},
	jsonwire.QryDevices:   {"num-devices", "device-con-info"},
	jsonwire.QryCores:     {"num-cores", "core-con-info"},
	jsonwire.QryMemSpaces: {"num-mem-spaces", "mem-spaces"},
	jsonwire.QryRegGroups: {"num-reg-groups", "reg-groups"},
	jsonwire.QryRegMap:    {"num-regs", "reg-info"},
	jsonwire.QryCtrigs:    {"num-ctrigs", "ctrig-info"},
	jsonwire.QryTrigSet:   {"num-trigs", "trig-ids"},
}

// listCalls is for faults that change the arguments of commands that answer with a list; count is the name of the one that
// says how many elements are wanted.
func listCalls(edit func(args object, count string) bool) func() ConnWrapper {
	return objects(func() jsonHooks {
		return jsonHooks{request: func(_ *jsonLink, c *call) []byte {
			if l, ok := lists[c.name]; ok && c.args != nil && edit(c.args, l.count) {
				return c.encode()
			}
			return c.raw
		}}
	})
}

// listReturns is for faults that change lists.
func listReturns(edit func(args, result object, count, list string) bool) func() ConnWrapper {
	return objects(func() jsonHooks {
		return jsonHooks{reply: func(_ *jsonLink, c *call, line []byte) []byte {
			if c == nil {
				return line
			}
			l, ok := lists[c.name]
			if !ok {
				return line
			}
			return editReturn(line, func(result object) bool { return edit(c.args, result, l.count, l.list) })
		}}
	})
}

var (
	noNewline = objects(func() jsonHooks {
		return jsonHooks{reply: func(_ *jsonLink, _ *call, line []byte) []byte { return bytes.TrimRight(line, "\r\n") }}
	})

	twoLines = objects(func() jsonHooks {
		return jsonHooks{reply: func(_ *jsonLink, _ *call, line []byte) []byte {
			if len(line) < 2 {
				return line
			}
			return append([]byte("{\n"), line[1:]...)
		}}
	})

	greets = objects(func() jsonHooks {
		greeted := false
		return jsonHooks{reply: func(_ *jsonLink, _ *call, line []byte) []byte {
			if greeted {
				return line
			}
			greeted = true
			return append([]byte(`{"QMP": {"version": {}, "capabilities": []}}`+"\n"), line...)
		}}
	})

	oneObjectPerChunk = objects(func() jsonHooks {
		return jsonHooks{chunk: func(p []byte) []byte {
			s := jsonwire.NewSplitter(0)
			for i := 0; i < len(p); {
				n, ev := s.Next(p[i:])
				if i += n; ev == jsonwire.Complete {
					return p[:i]
				}
			}
			return p
		}}
	})

	wholeObjects = objects(func() jsonHooks {
		return jsonHooks{chunk: func(p []byte) []byte {
			s := jsonwire.NewSplitter(0)
			end := 0
			for i := 0; i < len(p); {
				n, ev := s.Next(p[i:])
				if i += n; ev != jsonwire.NeedMore || !s.Inside() {
					end = i
				}
			}
			return p[:end]
		}}
	})

	// linesOnly takes an object when the line ends that it stands on.
	linesOnly = objects(func() jsonHooks {
		var kept []byte
		return jsonHooks{chunk: func(p []byte) []byte {
			kept = append(kept, p...)
			i := bytes.LastIndexByte(kept, '\n')
			p = bytes.Clone(kept[:i+1])
			kept = kept[i+1:]
			return p
		}}
	})

	// smallBuffer loses an object of 4 KiB and more.
	smallBuffer = objects(func() jsonHooks {
		return jsonHooks{request: func(_ *jsonLink, c *call) []byte {
			if len(c.raw) >= 4096 {
				return []byte("\n")
			}
			return c.raw
		}}
	})

	mistakesUnanswered = objects(func() jsonHooks {
		return jsonHooks{reply: func(_ *jsonLink, _ *call, line []byte) []byte {
			if bytes.HasPrefix(line, []byte(`{"error"`)) {
				return nil
			}
			return line
		}}
	})

	wrongClass = objects(func() jsonHooks {
		return jsonHooks{reply: func(_ *jsonLink, _ *call, line []byte) []byte {
			return bytes.Replace(line, []byte(jsonwire.CommandNotFound), []byte(jsonwire.GenericError), 1)
		}}
	})

	// lastKeyCounts takes an object in which a key comes twice.
	lastKeyCounts = objects(func() jsonHooks {
		return jsonHooks{request: func(_ *jsonLink, c *call) []byte {
			if c.name == "" || !repeatedKey(c.raw) {
				return c.raw
			}
			return c.encode() // made from a map, so each key is there once
		}}
	})

	idDropped = objects(func() jsonHooks {
		return jsonHooks{request: func(_ *jsonLink, c *call) []byte {
			var r object
			if d := json.NewDecoder(bytes.NewReader(c.raw)); c.name == "" || d.Decode(&r) != nil || r["id"] == nil {
				return c.raw
			}
			text, _ := json.Marshal(object{"execute": c.name, "arguments": c.args})
			return text
		}}
	})

	statusMissing = returns(nil, func(_, result object) bool {
		if _, ok := result["return-status"]; !ok || !succeeded(result) {
			return false
		}
		delete(result, "return-status")
		return true
	})

	refusalIsSuccess = returns(nil, func(_, result object) bool {
		if succeeded(result) || len(result) > 1 {
			return false
		}
		result["return-status"] = 0
		return true
	})

	refusalSaysMore = returns(nil, func(_, result object) bool {
		if succeeded(result) || len(result) > 1 {
			return false
		}
		result["error-str"] = "refused"
		return true
	})

	serverSlot = calls([]string{jsonwire.QryErrorInfo}, func(args object) bool {
		args["core-uid"] = 0
		return true
	})

	generalError = returns([]string{jsonwire.QryErrorInfo}, func(_, result object) bool {
		if number(result, "error-code") == 0 {
			return false
		}
		result["error-code"] = jsonwire.ErrGeneral
		return true
	})

	noErrorText = returns([]string{jsonwire.QryErrorInfo}, func(_, result object) bool {
		result["error-str"] = ""
		return true
	})

	versionUnchecked = calls([]string{jsonwire.Initialize}, func(args object) bool {
		v := in(args, "version-req")
		if v == nil {
			return false
		}
		v["v-api-major"], v["v-api-minor"] = jsonwire.APIMajor, jsonwire.APIMinor
		return true
	})

	serverOpensTwice = returns([]string{jsonwire.OpenServer}, func(_, result object) bool {
		if succeeded(result) {
			return false
		}
		maps.Copy(result, object{"return-status": 0, "server-uid": 1, "host": "", "config-string": ""})
		return true
	})

	// conKeysOptional fills in what is missing of the keys that are all mandatory.
	conKeysOptional = calls(nil, func(args object) bool {
		changed := false
		for _, key := range []string{"system-con-info", "connection-info", "core-con-info"} {
			con := in(args, key)
			if con == nil {
				continue
			}
			for _, k := range []string{"host", "server-key", "system-key", "device-key", "system", "system-instance", "acc-hw", "device", "core"} {
				if _, ok := con[k]; !ok {
					con[k], changed = "", true
				}
			}
			for _, k := range []string{"server-port", "device-type", "device-id", "core-type", "core-id"} {
				if _, ok := con[k]; !ok {
					con[k], changed = 0, true
				}
			}
		}
		return changed
	})

	conKeyMissing = returns([]string{jsonwire.QryCores}, func(_, result object) bool {
		changed := false
		for _, con := range elements(result, "core-con-info") {
			delete(con, "acc-hw")
			changed = true
		}
		return changed
	})

	countWrong = listReturns(func(args, result object, count, _ string) bool {
		if number(args, count) == 0 || !succeeded(result) {
			return false
		}
		add(result, count, 1)
		return true
	})

	totalWrong = listReturns(func(args, result object, count, _ string) bool {
		if number(args, count) != 0 || !succeeded(result) || number(result, count) == 0 {
			return false
		}
		add(result, count, -1)
		return true
	})

	startIgnored = listCalls(func(args object, _ string) bool {
		if number(args, "start-index") == 0 {
			return false
		}
		args["start-index"] = 0
		return true
	})

	limitIgnored = listCalls(func(args object, count string) bool {
		n := number(args, count)
		if n <= 0 || n > 1000 {
			return false
		}
		args[count] = 1000
		return true
	})

	countListsAll = listCalls(func(args object, count string) bool {
		if n, ok := args[count].(json.Number); !ok || n != "0" {
			return false
		}
		args[count] = 1000
		return true
	})

	pastEndIsEmpty = listReturns(func(args, result object, count, list string) bool {
		if succeeded(result) || len(result) > 1 || number(args, "start-index") == 0 {
			return false
		}
		maps.Copy(result, object{"return-status": 0, count: 0, list: []any{}})
		return true
	})

	elementDropped = returns([]string{jsonwire.QryRegMap}, func(args, result object) bool {
		list, _ := result["reg-info"].([]any)
		if len(list) < 2 {
			return false
		}
		result["reg-info"], result["num-regs"] = list[:len(list)-1], len(list)-1
		return true
	})

	elementTwice = returns([]string{jsonwire.QryRegMap}, func(_, result object) bool {
		list, _ := result["reg-info"].([]any)
		if len(list) < 2 {
			return false
		}
		list[1] = list[0]
		return true
	})

	registersSpace = returns([]string{jsonwire.QryRegMap}, func(_, result object) bool {
		changed := false
		for _, r := range elements(result, "reg-info") {
			if addr := in(r, "addr"); addr != nil {
				add(addr, "mem-space-id", 10)
				changed = true
			}
		}
		return changed
	})

	threadZero = returns([]string{jsonwire.QryRegMap}, func(_, result object) bool {
		changed := false
		for _, r := range elements(result, "reg-info") {
			r["hw-thread-id"] = 0
			changed = true
		}
		return changed
	})

	groupSize = returns([]string{jsonwire.QryRegGroups}, func(_, result object) bool {
		changed := false
		for _, g := range elements(result, "reg-groups") {
			add(g, "n-registers", 1)
			changed = true
		}
		return changed
	})

	txOKZero = returns([]string{jsonwire.ExecuteTxList}, func(_, result object) bool {
		if list := in(result, "txlist"); list != nil {
			list["num-tx-ok"] = 0
			return true
		}
		return false
	})

	bytesOKZero = returns([]string{jsonwire.ExecuteTxList}, func(_, result object) bool {
		changed := false
		for _, tx := range elements(in(result, "txlist"), "tx") {
			tx["num-bytes-ok"] = 0
			changed = true
		}
		return changed
	})

	// txFirstOnly carries out the first transaction of a list alone.
	txFirstOnly = objects(func() jsonHooks {
		return jsonHooks{
			request: func(_ *jsonLink, c *call) []byte {
				list := in(c.args, "txlist")
				all, _ := list["tx"].([]any)
				if c.name != jsonwire.ExecuteTxList || len(all) < 2 || number(list, "num-tx") != int64(len(all)) {
					return c.raw
				}
				list["tx"], list["num-tx"] = all[:1], 1
				return c.encode()
			},
		}
	})

	widthUnchecked = txCalls(func(tx object) bool {
		if number(tx, "access-width") == 0 {
			return false
		}
		tx["access-width"] = 0
		return true
	})

	accessTypeUnchecked = txCalls(func(tx object) bool {
		if n := number(tx, "access-type"); n == int64(jsonwire.TxRead) || n == int64(jsonwire.TxWrite) {
			return false
		}
		tx["access-type"] = jsonwire.TxRead
		return true
	})

	bytesUnchecked = txCalls(func(tx object) bool {
		data, ok := tx["data"].([]any)
		if !ok || number(tx, "num-bytes") <= int64(len(data)) {
			return false
		}
		tx["num-bytes"] = len(data)
		return true
	})

	txCountUnchecked = calls([]string{jsonwire.ExecuteTxList}, func(args object) bool {
		list := in(args, "txlist")
		tx, ok := list["tx"].([]any)
		if !ok || number(list, "num-tx") <= int64(len(tx)) {
			return false
		}
		list["num-tx"] = len(tx)
		return true
	})

	trigIDWrong = returns([]string{jsonwire.QryState}, func(_, result object) bool {
		s := in(result, "state")
		if s == nil || number(s, "trig-id") == 0 {
			return false
		}
		add(s, "trig-id", 1)
		return true
	})

	eventWrong = returns([]string{jsonwire.QryState}, func(_, result object) bool {
		s := in(result, "state")
		if s == nil || number(s, "event") != int64(jsonwire.CoreEventTriggerChange) {
			return false
		}
		s["event"] = jsonwire.CoreEventStopped
		return true
	})

	haltedForDebug = returns([]string{jsonwire.QryState}, func(_, result object) bool {
		s := in(result, "state")
		if s == nil || number(s, "state") != int64(jsonwire.CoreStateDebug) {
			return false
		}
		s["state"] = jsonwire.CoreStateHalted
		return true
	})

	stopStrEmpty = returns([]string{jsonwire.QryState}, func(_, result object) bool {
		s := in(result, "state")
		if s == nil {
			return false
		}
		s["stop-str"] = ""
		return true
	})

	capturedNever  = captured(false)
	capturedAlways = captured(true)

	triggerEcho = returns([]string{jsonwire.CreateTrig}, func(_, result object) bool {
		t := in(result, "trig", "trig-simple-core")
		if t == nil {
			return false
		}
		t["state-mask"], t["action-param"], t["modified"] = 0, 0, false
		return true
	})

	triggerKind = returns([]string{jsonwire.QryTrig}, func(_, result object) bool {
		t := in(result, "trig", "trig-simple-core")
		if t == nil {
			return false
		}
		t["type"] = jsonwire.TrigTypeIP
		return true
	})

	unknownTriggerRemoved = returns([]string{jsonwire.RemoveTrig}, func(_, result object) bool {
		if succeeded(result) {
			return false
		}
		result["return-status"] = 0
		return true
	})

	setEmpty = returns([]string{jsonwire.QryTrigSet}, func(_, result object) bool {
		if !succeeded(result) {
			return false
		}
		result["num-trigs"] = 0
		if result["trig-ids"] != nil {
			result["trig-ids"] = []any{}
		}
		return true
	})

	// setStays answers the removal of a core's triggers and does not carry it out.
	setStays = objects(func() jsonHooks {
		changed := false // the request that is under way
		return jsonHooks{
			request: func(_ *jsonLink, c *call) []byte {
				if c.name != jsonwire.RemoveTrigSet {
					return c.raw
				}
				c.name, changed = jsonwire.QryTrigSetState, true
				return c.encode()
			},
			reply: func(_ *jsonLink, c *call, line []byte) []byte {
				if !changed {
					return line
				}
				changed = false
				return editReturn(line, func(result object) bool {
					delete(result, "trig-state")
					return true
				})
			},
		}
	})

	physicalTrigger = calls([]string{jsonwire.CreateTrig}, func(args object) bool {
		addr := in(args, "trig", "trig-simple-core", "addr-start")
		if number(addr, "mem-space-id")%2 == 0 { // physical ones have odd numbers
			return false
		}
		add(addr, "mem-space-id", 1)
		return true
	})

	stepsOne = calls([]string{jsonwire.Step}, func(args object) bool {
		if number(args, "n-steps") == 1 {
			return false
		}
		args["n-steps"] = 1
		return true
	})

	stepTypeUnchecked = calls([]string{jsonwire.Step}, func(args object) bool {
		args["step-type"] = jsonwire.StepInstructions
		return true
	})

	alwaysGlobal = calls([]string{jsonwire.SetGlobal}, func(args object) bool {
		if args["enable"] != false {
			return false
		}
		args["enable"] = true
		return true
	})

	resetVectorUnchecked = calls([]string{jsonwire.Rst}, func(args object) bool {
		args["rst-class-vector"] = 1
		return true
	})

	// rounded has numbers go through a double, which has 53 bits for them.
	rounded = objects(func() jsonHooks {
		return jsonHooks{reply: func(_ *jsonLink, _ *call, line []byte) []byte {
			return editReply(line, roundNumbers)
		}}
	})

	numbersAsStrings = calls(nil, stringsToNumbers)

	unknownArguments = objects(func() jsonHooks {
		return jsonHooks{request: func(_ *jsonLink, c *call) []byte {
			cmd := jsonwire.Lookup(c.name)
			if cmd == nil || c.args == nil {
				return c.raw
			}
			changed := false
			for key := range c.args {
				known := false
				for _, a := range cmd.Args {
					known = known || a.Name == key
				}
				if !known {
					delete(c.args, key)
					changed = true
				}
			}
			if changed {
				return c.encode()
			}
			return c.raw
		}}
	})

	saturating = calls(nil, saturateNumbers)
)

// txCalls is for faults that change the transactions of requests.
func txCalls(edit func(tx object) bool) func() ConnWrapper {
	return calls([]string{jsonwire.ExecuteTxList}, func(args object) bool {
		changed := false
		for _, tx := range elements(in(args, "txlist"), "tx") {
			changed = edit(tx) || changed
		}
		return changed
	})
}

func captured(always bool) func() ConnWrapper {
	return returns([]string{jsonwire.QryTrigState}, func(_, result object) bool {
		s := in(result, "trig-state")
		if s == nil {
			return false
		}
		s["captured"] = always
		return true
	})
}

// repeatedKey reports whether an object, or one inside it, has a key twice.
func repeatedKey(text []byte) bool {
	d := json.NewDecoder(bytes.NewReader(text))
	type level struct {
		keys map[string]bool // nil for an array
		key  bool            // a key comes next
	}
	var levels []level
	for {
		token, err := d.Token()
		if err != nil {
			return false
		}
		if delim, ok := token.(json.Delim); ok && (delim == '}' || delim == ']') {
			levels = levels[:len(levels)-1]
			continue
		}
		if n := len(levels); n > 0 && levels[n-1].keys != nil {
			top := &levels[n-1]
			if top.key {
				name := token.(string)
				if top.keys[name] {
					return true
				}
				top.keys[name], top.key = true, false
				continue
			}
			top.key = true
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{make(map[string]bool), true})
		case json.Delim('['):
			levels = append(levels, level{})
		}
	}
}

// edited walks through a value and has each scalar changed.
func edited(v any, change func(v any) (any, bool)) bool {
	changed := false
	switch v := v.(type) {
	case object:
		for k, e := range v {
			if to, ok := change(e); ok {
				v[k], changed = to, true
			} else {
				changed = edited(e, change) || changed
			}
		}
	case []any:
		for i, e := range v {
			if to, ok := change(e); ok {
				v[i], changed = to, true
			} else {
				changed = edited(e, change) || changed
			}
		}
	}
	return changed
}

func roundNumbers(o object) bool {
	return edited(o, func(v any) (any, bool) {
		n, ok := v.(json.Number)
		if !ok {
			return nil, false
		}
		u, err := strconv.ParseUint(string(n), 10, 64)
		if err != nil || u < 1<<53 {
			return nil, false
		}
		f := float64(u)
		if f >= math.MaxUint64 {
			return uint64(math.MaxUint64 - 2047), true
		}
		return uint64(f), true
	})
}

// stringsToNumbers takes a string of digits for the number.
func stringsToNumbers(o object) bool {
	return edited(o, func(v any) (any, bool) {
		s, ok := v.(string)
		if !ok {
			return nil, false
		}
		if _, err := strconv.ParseUint(s, 10, 64); err != nil {
			return nil, false
		}
		return json.Number(s), true
	})
}

// saturateNumbers takes numbers above 2^32-1 where they are too large for that. It cannot know where; addresses stay.
func saturateNumbers(o object) bool {
	changed := false
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case object:
			for k, e := range v {
				if n, ok := e.(json.Number); ok && k != "address" && !strings.HasPrefix(k, "data") && k != "addr-range" && k != "sw-thread-id" {
					if u, err := strconv.ParseUint(string(n), 10, 64); err == nil && u > math.MaxUint32 {
						v[k], changed = uint64(math.MaxUint32), true
					}
				} else {
					walk(e)
				}
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(o)
	return changed
}
