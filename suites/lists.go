// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"mcdtest/harness/debugger"
	"mcdtest/stub/jsonwire"
)

// objectList is a command of the JSON dialect that gives a list.
type objectList struct {
	command string
	count   string                     // key of the number of elements, in the arguments and in the result
	list    string                     // key of the list
	args    func(o *objectSeat) string // the other arguments, as members of an object
	slot    func(o *objectSeat) uint32 // where its failures are
}

func ofServer(*objectSeat) uint32 { return 0 }
func ofCore(o *objectSeat) uint32 { return o.uids[0] }

func coreArgument(o *objectSeat) string { return fmt.Sprintf(`"core-uid":%d`, o.uids[0]) }

func conArgument(name string) func(o *objectSeat) string {
	return func(o *objectSeat) string {
		c := o.cons[0]
		c.Core, c.CoreID = "", 0
		return fmt.Sprintf(`%q:%s`, name, jsonwire.Append(nil, &c))
	}
}

var objectLists = []objectList{
	{jsonwire.QryServers, "num-servers", "server-info", func(*objectSeat) string { return `"host":"","running":true` }, ofServer},
	{jsonwire.QrySystems, "num-systems", "system-con-info", nil, ofServer},
	{jsonwire.QryDevices, "num-devices", "device-con-info", conArgument("system-con-info"), ofServer},
	{jsonwire.QryCores, "num-cores", "core-con-info", conArgument("connection-info"), ofServer},
	{jsonwire.QryMemSpaces, "num-mem-spaces", "mem-spaces", coreArgument, ofCore},
	{jsonwire.QryRegGroups, "num-reg-groups", "reg-groups", coreArgument, ofCore},
	{jsonwire.QryRegMap, "num-regs", "reg-info", func(o *objectSeat) string { return coreArgument(o) + `,"reg-group-id":0` }, ofCore},
	{jsonwire.QryRegMap, "num-regs", "reg-info", func(o *objectSeat) string { return coreArgument(o) + `,"reg-group-id":1` }, ofCore},
	{jsonwire.QryCtrigs, "num-ctrigs", "ctrig-info", coreArgument, ofCore},
	{jsonwire.QryTrigSet, "num-trigs", "trig-ids", coreArgument, ofCore},
}

// ask sends the command and returns status, count and elements. It fails if keys are there that must not be.
func (l objectList) ask(ctx context.Context, o *objectSeat, start, num uint64) (status string, count int, list []json.RawMessage) {
	ginkgo.GinkgoHelper()
	args := fmt.Sprintf(`"start-index":%d,%q:%d`, start, l.count, num)
	if l.args != nil {
		args += "," + l.args(o)
	}
	what := fmt.Sprintf("%s from %d on, %s %d", l.command, start, l.count, num)
	got := o.raw(ctx, fmt.Sprintf(`{"execute":%q,"arguments":{%s}}`, l.command, args))
	status = string(got["return-status"])
	want := []string{"return-status"}
	if status == "0" {
		want = append(want, l.count)
		Expect(json.Unmarshal(got[l.count], &count)).To(Succeed(), what)
		if num > 0 {
			want = append(want, l.list)
			Expect(json.Unmarshal(got[l.list], &list)).To(Succeed(), what)
			Expect(list).To(HaveLen(count), "%s: elements, and their number in %s", what, l.count)
		}
	}
	var keys []string
	for k := range got {
		keys = append(keys, k)
	}
	Expect(keys).To(ConsistOf(want), "keys of the result of %s", what)
	return status, count, list
}

// refused makes sure that the command fails with 0x102.
func (l objectList) refused(ctx context.Context, o *objectSeat, start, num uint64) {
	ginkgo.GinkgoHelper()
	what := fmt.Sprintf("after %s from %d on, %s %d", l.command, start, l.count, num)
	status, _, _ := l.ask(ctx, o, start, num)
	Expect(status).To(Equal("3"), "return-status "+what)
	o.expectSlot(ctx, l.slot(o), jsonwire.RetActHandleError, jsonwire.ErrParam, what)
}

var _ = func() bool {
	names := make(map[string]int)
	for _, l := range objectLists {
		name := l.command
		if names[l.command]++; names[l.command] > 1 {
			name += " of one group"
		}
		register(Spec{
			Subject: "lists", Name: name + " gives what is asked for, from any index on", Dialects: jsonOnly, Cores: 3,
			// One list of each kind: of the server, of a core, and of what the client has made.
			Fast:   slices.Contains([]string{jsonwire.QryCores, jsonwire.QryRegMap, jsonwire.QryTrigSet}, name),
			Labels: []string{"hostile", "ours"}, Body: func(ctx context.Context, r *Rig) { walkObjects(ctx, r, l) },
		})
	}
	return true
}()

func walkObjects(ctx context.Context, r *Rig, l objectList) {
	o := r.objectSeat(ctx)
	for _, label := range r.Guest().Labels()[:4] {
		Expect(o.d.Insert(ctx, 0, debugger.Trigger{Type: debugger.Exec, Addr: r.Guest().Addr(label)})).To(Succeed())
	}
	status, n, _ := l.ask(ctx, o, 0, 0)
	Expect(status).To(Equal("0"), "the number of elements is asked for")
	if l.command == jsonwire.QryCtrigs {
		Expect(n).To(BeZero(), "custom triggers")
	} else {
		Expect(n).To(BeNumerically(">", 0))
	}
	var all []json.RawMessage
	if n > 0 {
		status, _, all = l.ask(ctx, o, 0, uint64(n))
		Expect(status).To(Equal("0"))
		Expect(all).To(HaveLen(n), "all elements at once")
		for _, num := range []uint64{uint64(n) + 1, uint64(n) + 100, 65535} {
			_, _, more := l.ask(ctx, o, 0, num)
			Expect(more).To(Equal(all), "%d of %d elements", num, n)
		}
	}
	seen := make(map[string]int)
	for i, want := range all {
		_, _, one := l.ask(ctx, o, uint64(i), 1)
		Expect(one).To(Equal([]json.RawMessage{want}), "element %d by itself", i)
		Expect(seen).NotTo(HaveKey(string(want)), "element %d is there twice", i)
		seen[string(want)] = i
	}
	for _, start := range []int{1, n / 2, n - 1} {
		if start < 0 || start >= n {
			continue
		}
		for _, num := range []int{1, 2, n - start, n, n + 7} {
			_, _, part := l.ask(ctx, o, uint64(start), uint64(num))
			Expect(part).To(Equal(all[start:min(n, start+num)]), "%d elements from %d on", num, start)
		}
	}
	for _, start := range []uint64{uint64(n), uint64(n) + 1, 1 << 16, 1 << 31, 1<<32 - 1} {
		l.refused(ctx, o, start, 1)
		l.refused(ctx, o, start, 65535)
	}
	l.refused(ctx, o, 0, 1<<32-1)
	l.refused(ctx, o, 1<<32-1, 1<<32-1)
	_, again, _ := l.ask(ctx, o, 0, 0)
	Expect(again).To(Equal(n), "the number of elements, asked again")
}

var _ = register(Spec{
	Subject: "lists", Name: "a group that does not exist has no registers", Dialects: jsonOnly, Fast: true,
	Body: func(ctx context.Context, r *Rig) {
		o := r.objectSeat(ctx)
		groups, err := o.c.RegGroups(ctx, o.uids[0])
		Expect(err).NotTo(HaveOccurred())
		for _, id := range []uint32{uint32(len(groups)) + 1, 1000, 1 << 31, 1<<32 - 1} {
			for _, num := range []uint32{0, 1} {
				_, err := o.c.QryRegMap(ctx, o.uids[0], id, 0, num)
				o.refused(ctx, err, o.uids[0], jsonwire.ErrRegGroupID, "mcd-qry-reg-map of group %d", id)
			}
		}
	},
})

var _ = register(Spec{
	Subject: "lists", Name: "a hundred registers fit into the real client's buffer", Dialects: jsonOnly, Labels: []string{"wire"},
	Body: func(ctx context.Context, r *Rig) {
		o := r.objectSeat(ctx)
		Expect(o.c.Send(ctx, []byte(fmt.Sprintf(`{"execute":"mcd-qry-reg-map","arguments":{"core-uid":%d,"reg-group-id":0,"start-index":0,"num-regs":100}}`, o.uids[0])))).To(Succeed())
		obj, err := o.c.ReadObject(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(len(obj)).To(BeNumerically("<", jsonwire.ClientBuffer))
	},
})
