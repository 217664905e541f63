// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcdtest/harness/result"
	"mcdtest/harness/transcript"
)

// said is a request and its reply, before they are cut into chunks.
type said struct{ request, reply string }

// session is a conversation of the packet dialect with all forms of replies in it.
func session() []said {
	return []said{
		{"$I#|", "+$shaking your hand#|"},
		{"$qcores#|", "+$device=qemu-arm-device.core=cortex-a15-arm-cpu.nr_cores=1.#|"},
		{"$i0#|", "+"},
		{"$qmemoryf0#|", "+$1!name=Non Secure.id=1.type=34.bpm=8.#|"},
		{"$qmemoryc1#|", "+$0!name=Physical.id=2.type=18.bpm=8.#|"},
		{"$t0;1;1075838988#|", "+$success#|"},
		{"$C0;0#|", "+"},
		{"$qstate0#|", "+$state=debug.event=0.type=1.address=0.stop_str=stopped because of HW breakpoint.info_str=cpu 0 in debug state.#|"},
		{"$p0;15#|", "+$0c002040#|"},
		{"$m0;1;1075904512;4#|", "+$05000000#|"},
		{"$M0;1;1075904512;4;01020304#|", "+$success#|"},
		{"$nonsense#|", "+$#|"},
		{"$D#|", "+"},
	}
}

// written makes a transcript of a conversation. rnd, if there is one, cuts replies into chunks at random, polls the
// state more often, and takes its time.
func written(list []said, rnd *rand.Rand) string {
	var entries []transcript.Entry
	at := time.Duration(0)
	tick := func() time.Duration {
		at += 20 * time.Microsecond
		if rnd != nil {
			at += time.Duration(rnd.IntN(1000)) * time.Microsecond
		}
		return at
	}
	say := func(s said) {
		entries = append(entries, transcript.Entry{Kind: transcript.Sent, Data: []byte(s.request), At: tick()})
		for reply := s.reply; reply != ""; {
			if rnd != nil && rnd.IntN(4) == 0 {
				entries = append(entries, transcript.Entry{Kind: transcript.Comment, Text: "VM STOP", At: at})
			}
			n := len(reply)
			if rnd != nil {
				n = 1 + rnd.IntN(n)
			}
			entries = append(entries, transcript.Entry{Kind: transcript.Received, Data: []byte(reply[:n]), At: tick()})
			reply = reply[n:]
		}
	}
	for _, s := range list {
		if rnd != nil && strings.HasPrefix(s.request, "$qstate") {
			for range rnd.IntN(5) {
				say(said{s.request, "+$state=running.event=0.type=0.address=0.stop_str=.info_str=cpu 0 running.#|"})
			}
		}
		say(s)
	}
	return string(transcript.FormatTimed(entries))
}

const specID = "arm packet loop: the loop runs"

func passed(id string, round int, transcripts ...string) result.Spec {
	ev := &result.Evidence{}
	for _, t := range transcripts {
		ev.Machines = append(ev.Machines, result.Machine{Transcript: t})
	}
	subject := strings.Fields(strings.SplitN(id, ":", 2)[0])
	return result.Spec{ID: id, Subject: subject[len(subject)-1], Outcome: result.Passed, Round: round, Evidence: ev}
}

func sideOf(t *testing.T, specs ...result.Spec) *side {
	t.Helper()
	s := newSide(make(texts))
	for _, spec := range specs {
		if err := s.add(spec); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// runs makes a side of n runs of a spec.
func runs(t *testing.T, n int, conversation func(round int) string) *side {
	t.Helper()
	var specs []result.Spec
	for round := 1; round <= n; round++ {
		specs = append(specs, passed(specID, round, conversation(round)))
	}
	return sideOf(t, specs...)
}

func steady(list []said) func(int) string { return func(int) string { return written(list, nil) } }

// short describes findings.
func short(list []Finding) []string {
	var lines []string
	for _, f := range list {
		line := string(f.Kind)
		for _, part := range []string{f.Request, f.Field, f.Base + " -> " + f.Head} {
			if part != "" {
				line += "; " + part
			}
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

// with changes a reply of the session.
func with(request, reply string) []said {
	list := session()
	for i := range list {
		if strings.HasPrefix(list[i].request, request) {
			list[i].reply = reply
			return list
		}
	}
	panic("the session has no " + request)
}

func without(request string) []said {
	return slices.DeleteFunc(session(), func(s said) bool { return strings.HasPrefix(s.request, request) })
}

func TestWhatVariesIsNoDifference(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		noisy := func(int) string { return written(session(), rnd) }
		for _, n := range []int{1, 3} {
			if got := compare(runs(t, n, noisy), runs(t, 3, noisy)); len(got) > 0 {
				t.Fatalf("%d runs of base: %q", n, short(got))
			}
		}
	}
}

// A value that is another one in each run says nothing, however few runs of base there are. The form that it has does.
func TestValuesThatVary(t *testing.T) {
	n := 0
	counting := func(int) string {
		n++
		list := with("$m0;1;1075904512", fmt.Sprintf("+$%02x000000#|", n))
		for i := range list { // data that is written depends on it
			if strings.HasPrefix(list[i].request, "$M") {
				list[i].request = fmt.Sprintf("$M0;1;1075904512;4;%02x000000#|", n)
			}
		}
		return written(list, nil)
	}
	for _, base := range []int{1, 3} {
		if got := compare(runs(t, base, counting), runs(t, 3, counting)); len(got) > 0 {
			t.Errorf("%d runs of base: %q", base, short(got))
		}
	}
	shorter := func(int) string {
		n++
		return written(with("$m0;1;1075904512", fmt.Sprintf("+$%02x00#|", n)), nil)
	}
	got := short(compare(runs(t, 3, counting), runs(t, 3, shorter)))
	want := []string{"reply changed; m; <4 bytes> -> <2 bytes>"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("- want, + got:\n%s", diff)
	}
}

func TestWireChanges(t *testing.T) {
	base := session()
	for _, c := range []struct {
		name string
		head []said
		want []string
	}{
		{"no ack", with("$qcores", "$device=qemu-arm-device.core=cortex-a15-arm-cpu.nr_cores=1.#|"), []string{
			"framing changed; qcores; +$device=qemu-arm-device.core=cortex-a15-arm-cpu.nr_cores=1.#| -> $device=qemu-arm-device.core=cortex-a15-arm-cpu.nr_cores=1.#|"}},
		{"two acks", with("$i0", "++"), []string{"framing changed; i; + -> ++"}},
		{"reply before ack", with("$p0;15", "$0c002040#|+"), []string{"framing changed; p; +$0c002040#| -> $0c002040#|+"}},
		{"another end mark", with("$p0;15", "+$0c002040#~"), []string{"framing changed; p; +$0c002040#| -> +$0c002040#~"}},
		{"reply twice", with("$p0;15", "+$0c002040#|$0c002040#|"), []string{"framing changed; p; +$0c002040#| -> +$0c002040#|$0c002040#|"}},
		{"no reply", with("$t0", "+"), []string{"framing changed; t; +$success#| -> +"}},
		{"a value", with("$p0;15", "+$0c002041#|"), []string{"reply changed; p; 0c002040 -> 0c002041"}},
		{"a text", with("$I", "+$shaking hands#|"), []string{"reply changed; I; shaking your hand -> shaking hands"}},
		{"refused", with("$t0", "+$error#|"), []string{"reply changed; t; success -> error"}},
		{"value of a field", with("$qmemoryc1", "+$0!name=Physical.id=2.type=16.bpm=8.#|"), []string{"reply changed; qmemoryc; type; 18 -> 16"}},
		{"handle", with("$qmemoryc1", "+$2!name=Physical.id=2.type=18.bpm=8.#|"), []string{"reply changed; qmemoryc; handle; 0 -> 2"}},
		{"field gone", with("$qmemoryc1", "+$0!name=Physical.id=2.type=18.#|"), []string{"field vanished; qmemoryc; bpm; bpm=8 -> "}},
		{"field new", with("$qmemoryc1", "+$0!name=Physical.id=2.type=18.bpm=8.sao=0.#|"), []string{"field appeared; qmemoryc; sao;  -> sao=0"}},
		{"field renamed", with("$qmemoryc1", "+$0!name=Physical.id=2.kind=18.bpm=8.#|"), []string{"field appeared; qmemoryc; kind;  -> kind=18", "field vanished; qmemoryc; type; type=18 -> "}},
		{"fields in another order", with("$qmemoryc1", "+$0!id=2.name=Physical.type=18.bpm=8.#|"), []string{"reply changed; qmemoryc; order of the fields; name id type bpm -> id name type bpm"}},
		{"no fields any more", with("$qmemoryc1", "+$error#|"), []string{"reply changed; qmemoryc; 0!name=Physical.id=2.type=18.bpm=8. -> error"}},
		{"request gone", without("$qcores"), []string{"request vanished; qcores; sent -> not sent"}},
		{"request of a kind gone", append(without("$m0"), said{"$m0;2;16;4#|", "+$00000000#|"}), []string{
			"request appeared; m; not sent -> $m0;2;16;4#|", "request vanished; m; $m0;1;1075904512;4#| -> not sent"}},
		{"bytes that are no request", with("$nonsense", "+$error#|"), []string{"reply changed;  -> error"}},
		{"reply to what is polled", with("$qstate0", "+$state=halted.event=0.type=1.address=0.stop_str=stopped because of HW breakpoint.info_str=cpu 0 in debug state.#|"), []string{
			"reply changed; qstate; state; debug -> halted"}},
	} {
		got := short(compare(runs(t, 3, steady(base)), runs(t, 3, steady(c.head))))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (- want, + got):\n%s", c.name, diff)
		}
		// The other way round it is a difference as well.
		if back := compare(runs(t, 3, steady(c.head)), runs(t, 3, steady(base))); len(back) != len(c.want) {
			t.Errorf("%s, the other way round: %q", c.name, short(back))
		}
		// A base that ran once, and noise on top.
		rnd := rand.New(rand.NewPCG(3, 4))
		noisy := func(int) string { return written(c.head, rnd) }
		if got := short(compare(runs(t, 1, steady(base)), runs(t, 3, noisy))); len(got) != len(c.want) {
			t.Errorf("%s, with noise: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestConnectionThatTheStubCloses(t *testing.T) {
	closed := func(int) string { return written(session(), nil) + "9.000000 < EOF\n" }
	got := short(compare(runs(t, 3, steady(session())), runs(t, 3, closed)))
	want := []string{"framing changed; D; + -> + EOF"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("- want, + got:\n%s", diff)
	}
}

// The same request at different stops is not polling: each of its replies counts.
func TestRequestAtEachStop(t *testing.T) {
	talk := func(first string) func(int) string {
		return steady([]said{{"$p0;15#|", first}, {"$C0;0#|", "+"}, {"$p0;15#|", "+$0c002040#|"}})
	}
	got := short(compare(runs(t, 3, talk("+$00002040#|")), runs(t, 3, talk("+$04002040#|"))))
	want := []string{"reply changed; p; 00002040 -> 04002040"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("- want, + got:\n%s", diff)
	}
}

// What only some runs of a side show is a difference only if the other side never shows it.
func TestWhatSomeRunsShow(t *testing.T) {
	other := with("$p0;15", "+$ffffffff#|")
	third := with("$p0;15", "+$eeeeeeee#|")
	mixed := func(lists ...[]said) func(int) string {
		return func(round int) string { return written(lists[(round-1)%len(lists)], nil) }
	}
	for _, c := range []struct {
		name       string
		base, head func(int) string
		n          int
	}{
		{"head has it sometimes", steady(session()), mixed(session(), other, other), 0},
		{"base had it sometimes", mixed(session(), other, session()), steady(other), 0},
		{"both have it sometimes", mixed(session(), other, other), mixed(other, session(), session()), 0},
		{"head never has what base always had, but varies", steady(session()), mixed(other, third, other), 1},
	} {
		if got := compare(runs(t, 3, c.base), runs(t, 3, c.head)); len(got) != c.n {
			t.Errorf("%s: %q, want %d", c.name, short(got), c.n)
		}
	}
}

func TestJSONDialect(t *testing.T) {
	talk := func(reply string) func(int) string {
		return steady([]said{
			{`{"execute":"mcd-open-server","arguments":{"system-key":"","config-string":""}}`, `{"return":{"return-status":0,"server-uid":1}}` + "\r\n"},
			{`{"execute":"mcd-qry-mem-spaces","arguments":{"core-uid":1}}`, reply},
		})
	}
	base := talk(`{"return":{"return-status":0,"mem-spaces":[{"mem-space-id":1,"mem-type":16},{"mem-space-id":2,"mem-type":32}]}}` + "\r\n")
	for _, c := range []struct {
		name, reply string
		want        []string
	}{
		{"order of keys", `{"return":{"mem-spaces":[{"mem-type":16,"mem-space-id":1},{"mem-space-id":2,"mem-type":32}],"return-status":0}}` + "\r\n", nil},
		{"white space", `{ "return" : {"return-status":0,"mem-spaces":[{"mem-space-id":1,"mem-type":16},{"mem-space-id":2,"mem-type":32}]}}` + "\r\n", nil},
		{"value", `{"return":{"return-status":0,"mem-spaces":[{"mem-space-id":1,"mem-type":16},{"mem-space-id":2,"mem-type":99}]}}` + "\r\n", []string{"reply changed; mcd-qry-mem-spaces; return.mem-spaces[].mem-type; 32 -> 99"}},
		{"field gone", `{"return":{"return-status":0,"mem-spaces":[{"mem-space-id":1},{"mem-space-id":2}]}}` + "\r\n", []string{"field vanished; mcd-qry-mem-spaces; return.mem-spaces[].mem-type; 16 -> "}},
		{"field new", `{"return":{"return-status":0,"mem-spaces":[{"mem-space-id":1,"mem-type":16},{"mem-space-id":2,"mem-type":32}],"more":true}}` + "\r\n", []string{"field appeared; mcd-qry-mem-spaces; return.more;  -> true"}},
		{"end of line", `{"return":{"return-status":0,"mem-spaces":[{"mem-space-id":1,"mem-type":16},{"mem-space-id":2,"mem-type":32}]}}` + "\n", []string{`framing changed; mcd-qry-mem-spaces; end; \r\n -> \n`}},
	} {
		got := short(compare(runs(t, 3, base), runs(t, 3, talk(c.reply))))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (- want, + got):\n%s", c.name, diff)
		}
	}
}

// A conversation of which the beginning was not kept is not compared.
func TestPartialConversation(t *testing.T) {
	partial := func(int) string {
		return "0.000001 # (the first 17 entries are left out)\n" + written(session()[5:], nil)
	}
	if got := compare(runs(t, 3, steady(session())), runs(t, 3, partial)); len(got) > 0 {
		t.Errorf("%q", short(got))
	}
}

// outcome makes runs of a spec from letters: p passed, f failed, s skipped.
func outcome(t *testing.T, letters string) *side {
	t.Helper()
	var specs []result.Spec
	for i, c := range letters {
		s := result.Spec{ID: specID, Subject: "loop", Round: i + 1}
		switch c {
		case 'p':
			s.Outcome = result.Passed
		case 'f':
			s.Outcome, s.Failure, s.Evidence = result.Failed, "it does not run at all, as qtest sees it\nmore", &result.Evidence{Reproduce: "so"}
		case 's':
			s.Outcome, s.Reason = result.Skipped, "not applicable"
		}
		specs = append(specs, s)
	}
	return sideOf(t, specs...)
}

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		base, head string
		kind       Kind
		was, is    string
	}{
		{"ppp", "ppp", "", "", ""},
		{"fff", "fff", "", "", ""},
		{"sss", "sss", "", "", ""},
		{"ppp", "fff", NewlyFailing, "passed", "failed: it does not run at all, as qtest sees it"},
		{"p", "f", NewlyFailing, "passed", "failed: it does not run at all, as qtest sees it"},
		{"sss", "fff", NewlyFailing, "skipped: not applicable", "failed: it does not run at all, as qtest sees it"},
		{"fff", "ppp", NewlyPassing, "failed: it does not run at all, as qtest sees it", "passed"},
		{"ppp", "sss", NewlySkipped, "passed", "skipped: not applicable"},
		{"fff", "sss", NewlySkipped, "failed: it does not run at all, as qtest sees it", "skipped: not applicable"},
		{"sss", "ppp", NoLongerSkipped, "skipped: not applicable", "passed"},
		{"ppp", "pfp", Unsteady, "passed", "failed 1 of 3 times"},
		{"fpp", "ppp", Unsteady, "failed 1 of 3 times", "passed"},
		{"pfp", "fpf", Unsteady, "failed 1 of 3 times", "failed 2 of 3 times"},
		{"pppppppppp", "fffffpppff", NewlyFailing, "passed", "failed 7 of 10 times: it does not run at all, as qtest sees it"},
		{"pppfpppppp", "fffffpppfp", Unsteady, "failed 1 of 10 times", "failed 6 of 10 times"},
		{"pppfpppppp", "fffffffpff", NewlyFailing, "failed 1 of 10 times", "failed 9 of 10 times: it does not run at all, as qtest sees it"},
		{"fffffffpff", "pppfpppppp", NewlyPassing, "failed 9 of 10 times", "failed 1 of 10 times"},
		{"", "ppp", SpecAppeared, "", ""},
		{"ppp", "", SpecVanished, "", ""},
	} {
		got := compare(outcome(t, c.base), outcome(t, c.head))
		if c.kind == "" {
			if len(got) > 0 {
				t.Errorf("%s, %s: %q", c.base, c.head, short(got))
			}
			continue
		}
		if len(got) != 1 || got[0].Kind != c.kind || got[0].Base != c.was || got[0].Head != c.is || got[0].Case != "arm packet" || got[0].Specs[0] != specID {
			t.Errorf("%s, %s: %+v, want %s, %q, %q", c.base, c.head, got, c.kind, c.was, c.is)
			continue
		}
		if c.kind == NewlyFailing && got[0].Evidence == nil {
			t.Errorf("%s, %s: without evidence", c.base, c.head)
		}
	}
}

// The wire is compared of specs that pass on both sides. That one of them fails once in a while hides nothing.
func TestWireOfSpecsThatFail(t *testing.T) {
	for fails := range 4 {
		base, head := runs(t, 3, steady(session())), runs(t, 3-fails, steady(without("$qcores")))
		for round := range fails {
			if err := head.add(result.Spec{ID: specID, Subject: "loop", Outcome: result.Failed, Failure: "it fails", Round: 4 + round}); err != nil {
				t.Fatal(err)
			}
		}
		wire := 0
		for _, f := range compare(base, head) {
			if f.Kind == RequestVanished {
				wire++
			}
		}
		if want := map[int]int{0: 1, 1: 1}[fails]; wire != want {
			t.Errorf("%d of 3 runs fail: %d findings on the wire, want %d", fails, wire, want)
		}
	}
}

func TestTheSameChangeInManySpecsIsOneFinding(t *testing.T) {
	var base, head []result.Spec
	for _, id := range []string{"arm packet loop: one", "arm packet loop: two", "riscv64 packet loop: one"} {
		for round := 1; round <= 3; round++ {
			base = append(base, passed(id, round, written(session(), nil)))
			list := with("$qmemoryc1", "+$0!name=Physical.id=2.type=18.#|")
			list[3].reply = "+$1!name=Non Secure.id=1.type=34.#|"
			head = append(head, passed(id, round, written(list, nil)))
		}
	}
	got := compare(sideOf(t, base...), sideOf(t, head...))
	var lines []string
	for _, f := range got {
		lines = append(lines, fmt.Sprintf("%s %s %s %s %d %d", f.Case, f.Kind, f.Request, f.Field, f.Count, len(f.Specs)))
	}
	slices.Sort(lines)
	want := []string{
		"arm packet field vanished qmemoryc bpm 2 2", "arm packet field vanished qmemoryf bpm 2 2",
		"riscv64 packet field vanished qmemoryc bpm 1 1", "riscv64 packet field vanished qmemoryf bpm 1 1",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("- want, + got:\n%s", diff)
	}
}

func TestTranscriptThatIsDamaged(t *testing.T) {
	err := newSide(make(texts)).add(passed(specID, 1, "this is no transcript"))
	if err == nil || !strings.Contains(err.Error(), specID) {
		t.Errorf("%v", err)
	}
}

func TestFisher(t *testing.T) {
	for _, c := range []struct {
		a, n, b, m int
		low, high  float64
	}{
		{0, 3, 3, 3, 0.0499, 0.0501}, // 1/20
		{0, 10, 7, 10, 0.0015, 0.0016},
		{1, 10, 1, 10, 0.7, 0.8},
		{0, 3, 1, 3, 0.49, 0.51},
	} {
		for _, p := range []float64{fisher(c.a, c.n, c.b, c.m), fisher(c.b, c.m, c.a, c.n)} {
			if p < c.low || p > c.high {
				t.Errorf("%d of %d and %d of %d: %v, want %v to %v", c.a, c.n, c.b, c.m, p, c.low, c.high)
			}
		}
	}
}
