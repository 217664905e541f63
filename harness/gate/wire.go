// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// change is a difference between the conversations of a spec that passes on both sides.
type change struct {
	kind       Kind
	request    string // name
	field      string
	example    string // the whole request
	base, head string
}

// wireKey is what the changes have in common that make one finding.
type wireKey struct {
	kind               Kind
	of, request, field string
}

func (c change) addTo(to map[wireKey]*Finding, of, id string) {
	key := wireKey{c.kind, of, c.request, c.field}
	f := to[key]
	if f == nil {
		f = &Finding{Kind: c.kind, Case: of, Request: c.request, Field: c.field, Example: c.example, Base: c.base, Head: c.head}
		to[key] = f
	}
	f.Count++
	if !slices.Contains(f.Specs, id) {
		f.Specs = append(f.Specs, id)
	}
}

// enough is the number of runs of each side from which on something may be called a difference that not all runs of a
// side agree on.
const enough = 3

// conversations compares what was said in all runs of a spec. What varies between the runs of one side is no
// difference between the sides.
func conversations(base, head []*digest) []change {
	for _, d := range slices.Concat(base, head) {
		if d.partial {
			return nil
		}
	}
	v := &verdict{base: base, head: head}
	v.names()
	unsteady := v.level(func(d *digest) map[string]*asked { return d.exact }, nil)
	// Where exact bytes say nothing, their form may.
	if len(unsteady) > 0 {
		v.level(func(d *digest) map[string]*asked { return d.shapes }, unsteady)
	}
	return v.changes
}

type verdict struct {
	base, head []*digest
	changes    []change
	gone       map[string]bool // names that are reported as a whole
}

// names compares which requests there are at all.
func (v *verdict) names() {
	v.gone = make(map[string]bool)
	all := make(map[string]bool)
	for _, d := range slices.Concat(v.base, v.head) {
		maps.Copy(all, d.names)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		b, h := 0, 0
		for _, d := range v.base {
			if d.names[name] {
				b++
			}
		}
		for _, d := range v.head {
			if d.names[name] {
				h++
			}
		}
		switch {
		case b == len(v.base) && h == 0:
			v.gone[name] = true
			v.changes = append(v.changes, change{kind: RequestVanished, request: name, base: "sent", head: "not sent"})
		case h == len(v.head) && b == 0:
			v.gone[name] = true
			v.changes = append(v.changes, change{kind: RequestAppeared, request: name, base: "not sent", head: "sent"})
		}
	}
}

// level compares at one level of detail, and returns the names of the requests that it can say nothing about. only
// restricts it to some names.
func (v *verdict) level(of func(*digest) map[string]*asked, only map[string]bool) (unsteady map[string]bool) {
	unsteady = make(map[string]bool)
	names := make(map[string]string) // by request
	for _, d := range slices.Concat(v.base, v.head) {
		for request, a := range of(d) {
			if (only == nil || only[a.name]) && !v.gone[a.name] {
				names[request] = a.name
			}
		}
	}
	steady := v.steadyNames(of, names)
	for _, request := range slices.Sorted(maps.Keys(names)) {
		name := names[request]
		b, h := having(v.base, of, request), having(v.head, of, request)
		switch {
		case b == len(v.base) && h == len(v.head):
			if !v.replies(of, request, name) {
				unsteady[name] = true
			}
		case !steady[name]:
			unsteady[name] = true
		case h == 0:
			v.changes = append(v.changes, change{RequestVanished, name, "", request, request, "not sent"})
		case b == 0:
			v.changes = append(v.changes, change{RequestAppeared, name, "", request, "not sent", request})
		}
	}
	return unsteady
}

// steadyNames are the requests of which each side sends the same ones in each run.
func (v *verdict) steadyNames(of func(*digest) map[string]*asked, names map[string]string) map[string]bool {
	steady := make(map[string]bool)
	for _, name := range names {
		steady[name] = true
	}
	for request, name := range names {
		b, h := having(v.base, of, request), having(v.head, of, request)
		if b > 0 && b < len(v.base) || h > 0 && h < len(v.head) {
			steady[name] = false
		}
	}
	return steady
}

func having(list []*digest, of func(*digest) map[string]*asked, request string) (n int) {
	for _, d := range list {
		if of(d)[request] != nil {
			n++
		}
	}
	return n
}

// replies compares the replies to a request that all runs sent. It reports whether it could.
func (v *verdict) replies(of func(*digest) map[string]*asked, request, name string) bool {
	sets := func(list []*digest) (common, any map[string]bool, same bool) {
		common, any, same = make(map[string]bool), make(map[string]bool), true
		for i, d := range list {
			a := of(d)[request]
			for r := range a.replies {
				any[r] = true
				if i == 0 {
					common[r] = true
				}
			}
			for r := range common {
				if !a.replies[r] {
					delete(common, r)
				}
			}
			same = same && a.set() == of(list[0])[request].set()
		}
		return common, any, same
	}
	bCommon, bAny, bSame := sets(v.base)
	hCommon, hAny, hSame := sets(v.head)
	if (!bSame || !hSame) && (len(v.base) < enough || len(v.head) < enough) {
		return false
	}
	minus := func(a, b map[string]bool) (list []string) {
		for r := range a {
			if !b[r] {
				list = append(list, r)
			}
		}
		slices.Sort(list)
		return list
	}
	was, is := minus(bCommon, hAny), minus(hCommon, bAny)
	for i := range max(len(was), len(is)) {
		switch {
		case i >= len(is):
			v.changes = append(v.changes, change{ReplyChanged, name, "", request, was[i], "no such reply"})
		case i >= len(was):
			v.changes = append(v.changes, change{ReplyChanged, name, "", request, "no such reply", is[i]})
		default:
			v.changes = append(v.changes, differences(name, request, was[i], is[i])...)
		}
	}
	return bSame && hSame
}

// differences says in what two replies differ.
func differences(name, request, was, is string) []change {
	one := func(kind Kind, field, base, head string) change {
		return change{kind, name, field, request, base, head}
	}
	if a, ok := decodeReply(was); ok {
		if b, ok := decodeReply(is); ok {
			return jsonDifferences(one, a, b, was, is)
		}
		return []change{one(ReplyChanged, "", was, is)}
	}
	a, b := parseReply(was), parseReply(is)
	var list []change
	if a.frame != b.frame {
		list = append(list, one(FramingChanged, "", brief(was), brief(is)))
	}
	if len(a.packets) != len(b.packets) {
		return list
	}
	for i := range a.packets {
		if a.packets[i] == b.packets[i] {
			continue
		}
		fa, fb := parseFields(a.packets[i]), parseFields(b.packets[i])
		if fa == nil || fb == nil {
			list = append(list, one(ReplyChanged, "", a.packets[i], b.packets[i]))
			continue
		}
		list = append(list, fieldDifferences(one, fa, fb)...)
	}
	return list
}

func fieldDifferences(one func(Kind, string, string, string) change, a, b *fields) []change {
	var list []change
	values := func(f *fields) map[string]string {
		m := make(map[string]string)
		for _, p := range f.pairs {
			m[p.key] = p.value
		}
		return m
	}
	va, vb := values(a), values(b)
	if a.handle != b.handle {
		list = append(list, one(ReplyChanged, "handle", a.handle, b.handle))
	}
	var order []string
	for _, p := range a.pairs {
		value, ok := vb[p.key]
		switch {
		case !ok:
			list = append(list, one(FieldVanished, p.key, p.key+"="+p.value, ""))
		case value != p.value:
			list = append(list, one(ReplyChanged, p.key, p.value, value))
		}
		if ok {
			order = append(order, p.key)
		}
	}
	var order2 []string
	for _, p := range b.pairs {
		if _, ok := va[p.key]; !ok {
			list = append(list, one(FieldAppeared, p.key, "", p.key+"="+p.value))
		} else {
			order2 = append(order2, p.key)
		}
	}
	if !slices.Equal(order, order2) {
		list = append(list, one(ReplyChanged, "order of the fields", strings.Join(order, " "), strings.Join(order2, " ")))
	}
	return list
}

func decodeReply(text string) (any, bool) {
	return decode([]byte(strings.NewReplacer(`\r`, "\r", `\n`, "\n", endOfStream, "").Replace(text)))
}

// jsonDifferences compares objects by their paths. A number in a path is the place in a list; findings leave it out.
func jsonDifferences(one func(Kind, string, string, string) change, a, b any, was, is string) []change {
	va, vb := make(map[string]string), make(map[string]string)
	flatten(va, "", a)
	flatten(vb, "", b)
	var list []change
	for _, path := range slices.Sorted(maps.Keys(va)) {
		value, ok := vb[path]
		switch {
		case !ok:
			list = append(list, one(FieldVanished, withoutPlaces(path), va[path], ""))
		case value != va[path]:
			list = append(list, one(ReplyChanged, withoutPlaces(path), va[path], value))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(vb)) {
		if _, ok := va[path]; !ok {
			list = append(list, one(FieldAppeared, withoutPlaces(path), "", vb[path]))
		}
	}
	if end := func(text string) string { return text[strings.LastIndexByte(text, '}')+1:] }; end(was) != end(is) {
		list = append(list, one(FramingChanged, "end", end(was), end(is)))
	}
	return list
}

func flatten(to map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			to[path] = "{}"
		}
		for key, value := range v {
			flatten(to, strings.TrimPrefix(path+"."+key, "."), value)
		}
	case []any:
		if len(v) == 0 {
			to[path] = "[]"
		}
		for i, value := range v {
			flatten(to, path+"["+strconv.Itoa(i)+"]", value)
		}
	case json.Number:
		to[path] = v.String()
	case string:
		to[path] = v
	default:
		to[path] = fmt.Sprint(v)
	}
}

func withoutPlaces(path string) string {
	var b strings.Builder
	inside := false
	for _, c := range path {
		if c == ']' {
			inside = false
		}
		if !inside {
			b.WriteRune(c)
		}
		if c == '[' {
			inside = true
		}
	}
	return b.String()
}

// brief cuts a long reply in the middle, where it says least about framing.
func brief(text string) string {
	const most = 80
	r := []rune(text)
	if len(r) <= most {
		return text
	}
	return string(r[:most/2]) + "…" + string(r[len(r)-most/2:])
}
