// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"mcdtest/stub/jsonwire"
)

// For each command of the JSON dialect: one spec that varies its arguments one at a time, however deep they are, one that
// sends it in every state of a session.
var _ = func() bool {
	for i := range jsonwire.Commands {
		cmd := &jsonwire.Commands[i]
		register(Spec{
			Subject: "hostile", Name: fmt.Sprintf("%s (%s), its arguments wrong in every way", cmd.Name, cmd.Meaning), Dialects: jsonOnly,
			Labels: []string{"hostile", "wire", "observer", "ours"}, Fast: cmd.Name == jsonwire.QryState || cmd.Name == jsonwire.RemoveTrig,
			Body: func(ctx context.Context, r *Rig) { hostileObjects(ctx, r, cmd) },
		})
		register(Spec{
			Subject: "hostile", Name: fmt.Sprintf("%s (%s), in every state of a session", cmd.Name, cmd.Meaning), Dialects: jsonOnly,
			Labels: []string{"hostile", "wire", "observer", "ours"},
			Body:   func(ctx context.Context, r *Rig) { hostileCommandStates(ctx, r, cmd) },
		})
	}
	return true
}()

// ending is how a command ends.
type ending uint8

const (
	malformed ending = 1 << iota // {"error": …}
	done                         // return-status 0
	refused                      // return-status 3
)

func (o ending) String() string {
	var list []string
	for i, name := range []string{"an error", "return-status 0", "return-status 3"} {
		if o&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	return strings.Join(list, " or ")
}

// hostileSeat is a client of the JSON dialect in front of a machine that stands at the loop head, with one trigger that
// nothing ever hits.
type hostileSeat struct {
	*objectSeat
	trigger uint32
	groups  int
}

func (m *Machine) hostileSeat(ctx context.Context) (*hostileSeat, witness) {
	ginkgo.GinkgoHelper()
	s := &hostileSeat{objectSeat: m.objectSeat(ctx)}
	r, err := s.c.QryRegGroups(ctx, s.uids[0], 0, 0)
	Expect(err).NotTo(HaveOccurred())
	s.groups = int(r.NumRegGroups)
	want := m.settle(ctx, s.d)
	s.trigger = s.create(ctx, s.simple(jsonwire.TrigTypeIP, "untouched"))
	return s, want
}

// home opens everything anew, and brings core 0 back into the loop.
func (s *hostileSeat) home(ctx context.Context) {
	ginkgo.GinkgoHelper()
	Expect(s.c.Exit(ctx)).To(Succeed())
	s.open(ctx)
	Expect(s.c.Stop(ctx, s.uids[0], true)).To(Succeed())
	s.ToLoop(ctx, s.d)
	s.trigger = s.create(ctx, s.simple(jsonwire.TrigTypeIP, "untouched"))
}

// way leads to an argument: "txlist.tx[0].addr.address".
type way struct {
	path string
	arg  *jsonwire.Arg
}

// complexTrigger is the second member of the one union there is; AppendArgs takes the first unless it is told.
const complexTrigger = "trig.trig-complex-core"

// ways lists every argument of a command, however deep.
func (s *hostileSeat) ways(cmd *jsonwire.Command) []way {
	var list []way
	seen := make(map[string]bool)
	for _, complex := range []bool{false, true} {
		s.render(cmd, complex, func(path string, a *jsonwire.Arg) (string, jsonwire.Use) {
			if !seen[path] {
				seen[path] = true
				list = append(list, way{path, a})
			}
			return "", jsonwire.Default
		})
	}
	return list
}

// render makes arguments of a command. choose is asked first, for each; what it leaves open is a good value.
func (s *hostileSeat) render(cmd *jsonwire.Command, complex bool, choose func(path string, a *jsonwire.Arg) (string, jsonwire.Use)) string {
	var pick func(prefix string) func(path string, a *jsonwire.Arg) (string, jsonwire.Use)
	pick = func(prefix string) func(path string, a *jsonwire.Arg) (string, jsonwire.Use) {
		return func(path string, a *jsonwire.Arg) (string, jsonwire.Use) {
			path = prefix + path
			if text, use := choose(path, a); use != jsonwire.Default {
				return text, use
			}
			switch {
			case complex && path == "trig.trig-simple-core":
				return "", jsonwire.Omit
			case complex && path == complexTrigger:
				return string(jsonwire.AppendArgs(nil, a.Fields, pick(path+"."))), jsonwire.Raw
			}
			if text := s.good(cmd, path, a); text != "" {
				return text, jsonwire.Raw
			}
			return "", jsonwire.Default
		}
	}
	return string(jsonwire.AppendArgs(nil, cmd.Args, pick("")))
}

// good is a good value of an argument if it is not zero.
func (s *hostileSeat) good(cmd *jsonwire.Command, path string, a *jsonwire.Arg) string {
	switch a.Role {
	case jsonwire.CoreUID:
		return strconv.FormatUint(uint64(s.uids[0]), 10)
	case jsonwire.ServerUID:
		return strconv.FormatUint(uint64(s.server), 10)
	case jsonwire.Count, jsonwire.Length, jsonwire.AccessKind, jsonwire.Steps, jsonwire.TrigKind, jsonwire.TrigActionKind, jsonwire.ResetClassVec:
		return "1"
	case jsonwire.MemSpaceID:
		return strconv.FormatUint(uint64(s.logical()), 10)
	case jsonwire.Address:
		label := "scratch"
		if cmd.Name == jsonwire.CreateTrig {
			label = "untouched"
		}
		return strconv.FormatUint(s.Guest().Addr(label), 10)
	case jsonwire.StepKind:
		return "2"
	case jsonwire.TrigID:
		return strconv.FormatUint(uint64(s.trigger), 10)
	}
	if strings.HasPrefix(path, "version-req.v-api-") {
		return "1"
	}
	return ""
}

// notJSON are texts in the place of a value that make the whole object invalid.
var notJSON = []string{"01", "+1", "-", ".5", "1.", "1e", "0x10", "1a", "nul", "True", "undefined", "NaN", "'", `"\x"`, `"\u12"`, "\"\x80\"", "\"\xc3(\""}

// anyType are values of which at most one type fits an argument.
var anyType = []string{
	"null", "true", "false", "0", "1", "-1", "1.5", "1e400", `""`, `"x"`, `"0"`, `"-1"`, `"%s%n"`, `"\u0000"`, `"` + "\u0663" + `"`, "[]", "[0]", "[null]", `["x"]`, "[[]]", "[{}]", "{}", `{"x":1}`,
	`[256]`, `[-1]`, `[0.5]`, `[0,"x"]`, `{"execute":"mcd-exit"}`,
}

// values is everything that is tried in place of an argument.
func (s *hostileSeat) values(cmd *jsonwire.Command, w way) []string {
	list := append(slices.Clone(notJSON), anyType...)
	switch w.arg.Kind {
	case jsonwire.U8, jsonwire.U16, jsonwire.U32, jsonwire.U64:
		valid := s.good(cmd, w.path, w.arg)
		if valid == "" {
			valid = "0"
		}
		list = append(list, valid, plusOne(valid), strconv.Itoa(len(s.uids)), strconv.Itoa(len(s.uids)+1), strconv.Itoa(len(s.spaces)), strconv.Itoa(len(s.spaces)+1),
			strconv.Itoa(s.groups), strconv.Itoa(s.groups+1))
		list = append(list, boundaries...)
		list = append(list, "-2147483648", "-9223372036854775808", "-9223372036854775809", "18446744073709551616", strings.Repeat("9", 64), strings.Repeat("9", 1000))
	case jsonwire.String:
		for _, n := range []int{1, 63, 64, 65, 255, 256, 1000, 65536} {
			list = append(list, `"`+strings.Repeat("s", n)+`"`)
		}
		list = append(list, `"\ud83d\ude00"`, `"\\\"}{"`)
	case jsonwire.ByteArray:
		list = append(list, "[255]", "[0,1,2,3]", "["+strings.Repeat("0,", 9999)+"0]", "[18446744073709551616]", "[1,]", "[1 2]")
	}
	return unique(list)
}

var integer = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)

// judge says what has to be answered to a value in place of an argument, when all else is good.
func (s *hostileSeat) judge(cmd *jsonwire.Command, w way, text string) ending {
	if !json.Valid([]byte(text)) || strings.Contains(text, "\x80") || strings.Contains(text, "\xc3(") {
		return malformed
	}
	var v any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return malformed
	}
	switch w.arg.Kind {
	case jsonwire.U8, jsonwire.U16, jsonwire.U32, jsonwire.U64:
		n, ok := v.(json.Number)
		if !ok || !integer.MatchString(string(n)) {
			return malformed
		}
		value, _ := new(big.Int).SetString(string(n), 10)
		if !value.IsUint64() || value.Uint64() > w.arg.Kind.Max() {
			return malformed
		}
		return s.judgeNumber(cmd, w, value.Uint64())
	case jsonwire.String:
		if _, ok := v.(string); !ok {
			return malformed
		}
	case jsonwire.Bool:
		global, ok := v.(bool)
		switch {
		case !ok:
			return malformed
		case global && cmd.Name == jsonwire.Step && len(s.uids) > 1:
			return done | refused // a core that waits to be started executes nothing
		}
		return done
	case jsonwire.Object, jsonwire.Union:
		return malformed // none of the values has the keys that are mandatory
	case jsonwire.List:
		if list, ok := v.([]any); !ok || len(list) > 0 {
			return malformed
		}
		return refused // the length beside it says more
	case jsonwire.ByteArray:
		list, ok := v.([]any)
		if !ok {
			return malformed
		}
		for _, e := range list {
			n, ok := e.(json.Number)
			if !ok || !integer.MatchString(string(n)) || len(n) > 3 || len(n) == 3 && n > "255" {
				return malformed
			}
		}
		if len(list) == 0 {
			return refused // the length beside it says more
		}
		return done
	}
	return done | refused
}

// judgeNumber is for numbers that fit their type.
func (s *hostileSeat) judgeNumber(cmd *jsonwire.Command, w way, v uint64) ending {
	is := func(good bool) ending {
		if good {
			return done
		}
		return refused
	}
	ctrigs := cmd.Name == jsonwire.QryCtrigs // the one list that is empty
	switch w.arg.Role {
	case jsonwire.CoreUID:
		switch {
		case v > 1 && v <= uint64(len(s.uids)) && cmd.Name == jsonwire.Step:
			return done | refused // a core that waits to be started executes nothing
		case v != uint64(s.uids[0]) && (cmd.Name == jsonwire.QryTrigSet || slices.ContainsFunc(cmd.Args, func(a jsonwire.Arg) bool { return a.Role == jsonwire.TrigID })):
			return refused // the one trigger is core 0's
		}
		return is(v >= 1 && v <= uint64(len(s.uids)) || cmd.Name == jsonwire.QryErrorInfo && v == 0)
	case jsonwire.ServerUID:
		return is(v == uint64(s.server))
	case jsonwire.CoreID:
		if cmd.Name == jsonwire.OpenCore {
			return refused // no such core, or one that is open
		}
	case jsonwire.Index:
		switch {
		case ctrigs || v >= 1<<16:
			return refused
		case v == 0:
			return done
		}
	case jsonwire.Count:
		switch {
		case v == 0:
			return done
		case ctrigs || v == 1<<32-1:
			return refused
		case v < 1<<16:
			return done
		}
	case jsonwire.MemSpaceID:
		if cmd.Name == jsonwire.CreateTrig {
			return is(v == uint64(s.logical()))
		}
		if v == 0 || v > uint64(len(s.spaces)) {
			return refused
		}
	case jsonwire.RegGroupID:
		return is(v <= uint64(s.groups))
	case jsonwire.Length:
		if v > 1 {
			return refused
		} else if v == 1 {
			return done
		}
	case jsonwire.AccessKind:
		return is(v == 1 || v == 2)
	case jsonwire.AccessWidth:
		return is(v <= 1)
	case jsonwire.StepKind:
		return is(v == 2)
	case jsonwire.Steps:
		return done // a watchpoint ends it early, see before
	case jsonwire.TrigKind:
		return is(v == 1 || v == 2 || v == 4 || v == 8)
	case jsonwire.TrigActionKind:
		return is(v == 1)
	case jsonwire.TrigID:
		return is(v == uint64(s.trigger))
	case jsonwire.ResetClass:
		return is(v == 0)
	case jsonwire.ResetClassVec:
		return is(v == 1)
	}
	switch w.path {
	case "version-req.v-api-major":
		return is(v == 1)
	case "version-req.v-api-minor":
		return is(v <= 1)
	}
	return done | refused
}

// send sends a command, and behind it a good one: the query of the server's slot, which changes nothing and is always answered.
// It says how the first was answered, and what the slot holds. It fails unless each is answered once.
func (s *hostileSeat) send(ctx context.Context, cmd *jsonwire.Command, args string) (ending, jsonwire.ErrorInfo) {
	ginkgo.GinkgoHelper()
	text := fmt.Sprintf(`{"execute":%q,"arguments":%s}`, cmd.Name, args)
	if args == "" {
		text = fmt.Sprintf(`{"execute":%q}`, cmd.Name)
	}
	Expect(s.c.Send(ctx, []byte(text+`{"execute":"mcd-qry-error-info","arguments":{"core-uid":0}}`))).To(Succeed())
	reply, err := s.c.ReadReply(ctx)
	Expect(err).NotTo(HaveOccurred(), "the answer to %s %s", cmd.Name, shortened(args))
	got := malformed
	switch {
	case reply.Error != nil:
		Expect(reply.Error.Class).To(Equal(jsonwire.GenericError), "class of the error that answers %s %s: %v", cmd.Name, shortened(args), reply.Error)
		Expect(reply.Error.Desc).NotTo(BeEmpty(), "desc of the error that answers %s %s", cmd.Name, shortened(args))
	default:
		Expect(reply.Return).NotTo(BeNil(), "%s %s was answered with neither an error nor a return", cmd.Name, shortened(args))
		var status struct {
			Status *int `json:"return-status"`
		}
		Expect(json.Unmarshal(reply.Return, &status)).To(Succeed())
		if cmd.NoStatus {
			Expect(reply.Return).To(MatchJSON("{}"), "the result of %s", cmd.Name)
			got = done
		} else {
			Expect(status.Status).NotTo(BeNil(), "return-status in %s", reply.Return)
			Expect(*status.Status).To(BeElementOf(0, 3), "return-status of %s %s", cmd.Name, shortened(args))
			got = done
			if *status.Status == 3 {
				got = refused
			}
		}
		if got == refused && cmd.Name != jsonwire.QryErrorInfo {
			Expect(reply.Return).To(MatchJSON(`{"return-status":3}`), "the result of %s %s", cmd.Name, shortened(args))
		}
		if got == done {
			Expect(cmd.DecodeReturn(reply.Return, cmd.NewResult())).To(BeZero(), "the result of %s %s: %s", cmd.Name, shortened(args), reply.Return)
		}
	}
	next, err := s.c.ReadReply(ctx)
	Expect(err).NotTo(HaveOccurred(), "the answer to the command after %s %s", cmd.Name, shortened(args))
	var info jsonwire.ErrorInfo
	info.Status, err = jsonwire.Lookup(jsonwire.QryErrorInfo).DecodeReturn(next.Return, &info)
	Expect(err).NotTo(HaveOccurred(), "the answer to the command after %s %s: %s%v", cmd.Name, shortened(args), next.Return, next.Error)
	return got, info
}

// actingCommands change the run state, the session or the triggers when they are carried out.
var actingCommands = []string{
	jsonwire.Exit, jsonwire.OpenServer, jsonwire.CloseServer, jsonwire.OpenCore, jsonwire.CloseCore, jsonwire.Run, jsonwire.Stop, jsonwire.Step, jsonwire.SetGlobal, jsonwire.Rst,
	jsonwire.CreateTrig, jsonwire.RemoveTrig, jsonwire.RemoveTrigSet,
}

// before prepares what a command needs for its good arguments to be good.
func (s *hostileSeat) before(ctx context.Context, cmd *jsonwire.Command) {
	ginkgo.GinkgoHelper()
	switch cmd.Name {
	case jsonwire.OpenServer:
		Expect(s.c.Exit(ctx)).To(Succeed())
	case jsonwire.Step:
		// So that 4,294,967,295 steps do not take minutes.
		s.create(ctx, s.simple(jsonwire.TrigTypeRW, "counter"))
	}
}

// hostileObjects sends a command with every input, to a machine that stands at the loop head with everything open.
func hostileObjects(ctx context.Context, r *Rig, cmd *jsonwire.Command) {
	s, want := r.hostileSeat(ctx)
	acts := slices.Contains(actingCommands, cmd.Name)
	prepared := false
	try := func(args string, allowed ending, what string) {
		ginkgo.GinkgoHelper()
		if !prepared {
			s.before(ctx, cmd)
			prepared = true
		}
		got, info := s.send(ctx, cmd, args)
		Expect(got&allowed).NotTo(BeZero(), "%s with %s was answered with %v; the specification has %v", cmd.Name, what, got, allowed)
		if got == refused && cmd.Name != jsonwire.QryErrorInfo {
			told := []jsonwire.ReturnStatus{info.Status}
			for _, uid := range s.uids {
				if info, err := s.c.QryErrorInfo(ctx, uid); err == nil {
					told = append(told, info.Status)
				}
			}
			Expect(told).To(ContainElement(jsonwire.RetActHandleError), "statuses of the slots after %s with %s was refused", cmd.Name, what)
		}
		if got == done && acts {
			s.home(ctx)
			prepared = false
		}
	}
	fine := done
	if cmd.Name == jsonwire.OpenCore || cmd.Name == jsonwire.QryCtrigs {
		fine = refused // it is open; there is none
	}
	try(s.render(cmd, false, nothingChosen), fine, "good arguments")
	if len(cmd.Args) > 0 {
		try("", malformed, "no arguments")
	}
	for _, args := range append(slices.Clone(anyType), notJSON...) {
		if args != "{}" || len(cmd.Args) > 0 {
			try(args, malformed, "arguments "+shortened(args))
		}
	}
	extra := strings.TrimSuffix(s.render(cmd, false, nothingChosen), "}")
	if len(cmd.Args) > 0 {
		extra += ","
	}
	try(extra+`"no-such-argument":0}`, malformed, "an argument more")
	for _, w := range s.ways(cmd) {
		complex := strings.HasPrefix(w.path, complexTrigger)
		with := func(text string, use jsonwire.Use) string {
			return s.render(cmd, complex, func(path string, a *jsonwire.Arg) (string, jsonwire.Use) {
				if path == w.path {
					return text, use
				}
				return "", jsonwire.Default
			})
		}
		if strings.HasSuffix(w.path, "]") {
			try(with("", jsonwire.Omit), refused, w.path+" missing") // an empty list
		} else if !w.arg.Optional || complex == (w.path == complexTrigger) {
			try(with("", jsonwire.Omit), malformed, w.path+" missing")
		}
		for _, text := range s.values(cmd, w) {
			allowed := s.judge(cmd, w, text)
			if fine == refused && allowed&done != 0 {
				allowed |= refused
			}
			if complex && allowed&done != 0 {
				allowed = refused // there are simple ones
			}
			try(with(text, jsonwire.Raw), allowed, fmt.Sprintf("%s = %s", w.path, shortened(text)))
		}
	}
	s.home(ctx)
	if acts {
		want = s.settle(ctx, s.d)
	}
	s.expectUndisturbed(ctx, want)
}

func nothingChosen(string, *jsonwire.Arg) (string, jsonwire.Use) { return "", jsonwire.Default }

// objectState is a state of a session of the JSON dialect.
type objectState struct {
	name                  string
	server, core, running bool
	enter                 func(ctx context.Context, s *hostileSeat) error // from everything open
}

var objectStates = []objectState{
	{"with everything open", true, true, false, func(context.Context, *hostileSeat) error { return nil }},
	{"before anything is open", false, false, false, func(ctx context.Context, s *hostileSeat) error {
		s.hangUp()
		s.c = s.Objects(ctx)
		return nil
	}},
	{"with the server open and no core", true, false, false, func(ctx context.Context, s *hostileSeat) error {
		if err := s.c.Exit(ctx); err != nil {
			return err
		}
		r, err := s.c.OpenServer(ctx, "", "")
		s.server = r.ServerUID
		return err
	}},
	{"after the core was closed", true, false, false, func(ctx context.Context, s *hostileSeat) error { return s.c.CloseCore(ctx, s.uids[0]) }},
	{"after the server was closed", false, false, false, func(ctx context.Context, s *hostileSeat) error { return s.c.CloseServer(ctx, s.server) }},
	{"after mcd-exit", false, false, false, func(ctx context.Context, s *hostileSeat) error { return s.c.Exit(ctx) }},
	{"while the core runs", true, true, true, func(ctx context.Context, s *hostileSeat) error { return s.c.Run(ctx, s.uids[0], true) }},
	{"while the core runs and is not open", false, false, true, func(ctx context.Context, s *hostileSeat) error {
		if err := s.c.Run(ctx, s.uids[0], true); err != nil {
			return err
		}
		return s.c.Exit(ctx)
	}},
}

// judgeIn says what has to be answered to good arguments in a state of the session.
func (s *hostileSeat) judgeIn(state objectState, cmd *jsonwire.Command) (allowed ending, code jsonwire.ErrorCode) {
	hasCore := slices.ContainsFunc(cmd.Args, func(a jsonwire.Arg) bool { return a.Role == jsonwire.CoreUID })
	switch cmd.Name {
	case jsonwire.Initialize, jsonwire.Exit, jsonwire.QryServers:
		return done, 0
	case jsonwire.QryErrorInfo:
		if state.core {
			return done, 0
		}
		return refused, 0
	case jsonwire.OpenServer:
		if state.server {
			return refused, jsonwire.ErrConnection
		}
		return done, 0
	}
	if !state.server {
		return refused, jsonwire.ErrConnection
	}
	switch {
	case cmd.Name == jsonwire.OpenCore && state.core:
		return refused, jsonwire.ErrConnection
	case cmd.Name == jsonwire.OpenCore:
		return done | refused, 0 // whether it was closed before is another spec's claim
	case hasCore && !state.core:
		return refused, 0
	case cmd.Name == jsonwire.QryCtrigs, cmd.Name == jsonwire.Step && state.running:
		return refused, 0
	}
	return done, 0
}

// hostileCommandStates sends a command, right and wrong, in every state of a session.
func hostileCommandStates(ctx context.Context, r *Rig, cmd *jsonwire.Command) {
	s, want := r.hostileSeat(ctx)
	for _, state := range objectStates {
		for _, form := range []string{"good", "empty", "wrong"} {
			Expect(state.enter(ctx, s)).To(Succeed(), state.name)
			if state.running {
				s.ExpectGrowth(ctx, 0)
			}
			allowed, code := s.judgeIn(state, cmd)
			args := s.render(cmd, false, nothingChosen)
			if form != "good" {
				allowed, code = malformed, 0
				args = `{"x":"y"}`
			}
			if form == "empty" {
				args = "{}"
				if len(cmd.Args) == 0 {
					allowed, code = s.judgeIn(state, cmd)
				}
			}
			got, info := s.send(ctx, cmd, args)
			Expect(got&allowed).NotTo(BeZero(), "%s (%s arguments) %s was answered with %v; the specification has %v", cmd.Name, form, state.name, got, allowed)
			if code != jsonwire.ErrNone {
				Expect([]any{info.Status, info.Code}).To(Equal([]any{jsonwire.RetActHandleError, code}), "the server's slot after %s %s: %s", cmd.Name, state.name, info.Str)
			}
			runControl := got == done && slices.Contains([]string{jsonwire.Run, jsonwire.Stop, jsonwire.Rst, jsonwire.Step}, cmd.Name)
			switch {
			case runControl:
			case state.running:
				Expect(s.RunState(ctx)).To(Equal("running"), "QMP's run state after %s %s", cmd.Name, state.name)
				s.ExpectGrowth(ctx, 0)
			default:
				Expect(s.RunState(ctx)).To(Equal(want.runState), "QMP's run state after %s %s", cmd.Name, state.name)
				s.ExpectNoGrowth(ctx, 0)
			}
			s.home(ctx)
		}
	}
	s.expectUndisturbed(ctx, s.settle(ctx, s.d))
}
