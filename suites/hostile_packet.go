// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"mcdtest/harness/debugger"
	"mcdtest/harness/rawclient"
	"mcdtest/stub/wire"
)

// For each request of the packet dialect: one spec that varies its arguments one at a time, one that sends it in every
// state of a session.
var _ = func() bool {
	for i := range wire.Requests {
		r := &wire.Requests[i]
		if r.Name == wire.Kill {
			continue // it ends the machine whatever follows it; see the end of this file
		}
		register(Spec{
			Subject: "hostile", Name: fmt.Sprintf("%s (%s), its arguments wrong in every way", r.Name, r.Meaning), Dialects: packetOnly,
			Labels: []string{"hostile", "wire", "observer", "ours"}, Fast: r.Name == wire.WriteMemory || r.Name == wire.QueryState,
			Body: func(ctx context.Context, rig *Rig) { hostileArguments(ctx, rig, r) },
		})
		register(Spec{
			Subject: "hostile", Name: fmt.Sprintf("%s (%s), in every state of a session", r.Name, r.Meaning), Dialects: packetOnly,
			Labels: []string{"hostile", "wire", "observer", "ours"},
			Body:   func(ctx context.Context, rig *Rig) { hostileStates(ctx, rig, r) },
		})
	}
	return true
}()

// packetSeat is a client in front of a machine whose particulars it knows.
type packetSeat struct {
	*Machine
	c *rawclient.Client
	d *debugger.Packet // a session on the same connection

	spaces    []rawclient.Space
	registers map[uint64]rawclient.Register
	free      uint64         // number of the register that hostile writes may change: not the witness's
	lists     map[string]int // lengths by the name of the request for the first element
	classes   []rawclient.ResetClass
}

// packetSeat opens a session and asks what the machine has.
func (m *Machine) packetSeat(ctx context.Context) *packetSeat {
	ginkgo.GinkgoHelper()
	s := &packetSeat{Machine: m, registers: make(map[uint64]rawclient.Register), lists: make(map[string]int)}
	s.connect(ctx)
	Expect(s.d.Open(ctx)).To(Succeed())
	var err error
	s.spaces, err = s.c.Spaces(ctx, 0)
	Expect(err).NotTo(HaveOccurred())
	registers, err := s.c.Registers(ctx, 0)
	Expect(err).NotTo(HaveOccurred())
	for _, r := range registers {
		s.registers[uint64(r.ID)] = r
		if r.Name == m.Guest().FreeRegisters()[1].Name {
			s.free = uint64(r.ID)
		}
	}
	groups, err := s.c.Groups(ctx, 0)
	Expect(err).NotTo(HaveOccurred())
	s.classes, err = s.c.ResetClasses(ctx)
	Expect(err).NotTo(HaveOccurred())
	s.lists[wire.QueryMemoryFirst] = len(s.spaces)
	s.lists[wire.QueryRegFirst] = len(registers)
	s.lists[wire.QueryGroupFirst] = len(groups)
	s.lists[wire.QueryResetFirst] = len(s.classes)
	return s
}

// connect drops the connection and makes a new one, on which nothing is open.
func (s *packetSeat) connect(ctx context.Context) {
	ginkgo.GinkgoHelper()
	s.hangUp()
	s.c = s.Packets(ctx)
	s.d = debugger.NewPacket(s.c)
}

// logical is the memory space that the core sees, non-secure.
func (s *packetSeat) logical() rawclient.Space {
	for _, sp := range s.spaces {
		if sp.Type&rawclient.SpaceLogical != 0 {
			return sp
		}
	}
	ginkgo.Fail("no logical memory space is listed")
	panic("unreachable")
}

// list is the length of the list that a request with a handle goes through.
func (s *packetSeat) list(r *wire.Request) (n int, known bool) {
	n, known = s.lists[strings.TrimSuffix(r.Name, "c")+"f"]
	return n, known
}

// ramEnd is where RAM ends, on the bus and as the core sees it without translation.
func (s *packetSeat) ramEnd() uint64 {
	base, size := s.Guest().RAM()
	return base + size
}

// hostileData is what hostile writes write.
var hostileData = []byte{0xde, 0xad, 0xbe, 0xef, 0x01, 0x23, 0x45, 0x67}

// valid gives good arguments for a request.
func (s *packetSeat) valid(r *wire.Request) []string {
	count := 4
	if has(r, wire.Register) {
		count = bytesOf(s.registers[s.free])
	}
	var args []string
	for _, a := range r.Args {
		switch a.Kind {
		case wire.Register:
			args = append(args, strconv.FormatUint(s.free, 10))
		case wire.Space:
			args = append(args, strconv.Itoa(s.logical().ID))
		case wire.Address:
			label := "scratch"
			if has(r, wire.Trigger) {
				label = "untouched"
			}
			args = append(args, strconv.FormatUint(s.Guest().Addr(label), 10))
		case wire.Count:
			args = append(args, strconv.Itoa(count))
		case wire.Data:
			args = append(args, hex.EncodeToString(hostileData[:count]))
		case wire.Trigger:
			args = append(args, "1")
		case wire.Handle:
			if n, known := s.list(r); known && n > 1 {
				args = append(args, "1")
			} else {
				args = append(args, "0")
			}
		default: // core, global, reset id, and kinds to come
			args = append(args, "0")
		}
	}
	return args
}

func bytesOf(r rawclient.Register) int { return (r.Bits + 7) / 8 }

func has(r *wire.Request, k wire.Kind) bool {
	return slices.ContainsFunc(r.Args, func(a wire.Arg) bool { return a.Kind == k })
}

// last is the last valid value of a number, given the other arguments.
func (s *packetSeat) last(r *wire.Request, i int, args []string) string {
	switch r.Args[i].Kind {
	case wire.Core:
		return strconv.Itoa(s.Cores() - 1)
	case wire.Global:
		return "1"
	case wire.Register:
		var last uint64
		for n := range s.registers {
			last = max(last, n)
		}
		return strconv.FormatUint(last, 10)
	case wire.Space:
		last := 0
		for _, sp := range s.spaces {
			if sp.Type&rawclient.SpaceRegisters == 0 {
				last = sp.ID
			}
		}
		return strconv.Itoa(last)
	case wire.Address:
		return strconv.FormatUint(s.ramEnd()-4, 10)
	case wire.Trigger:
		return "4"
	case wire.ResetID:
		last := 0
		for _, c := range s.classes {
			last = max(last, c.ID)
		}
		return strconv.Itoa(last)
	case wire.Handle:
		if n, known := s.list(r); known {
			return strconv.Itoa(n - 1)
		}
	}
	return args[i]
}

// inputs is everything that is tried with the arguments of a request.
func (s *packetSeat) inputs(r *wire.Request) []input {
	valid := s.valid(r)
	list := []input{
		{"good arguments", valid},
		{"an extra argument", append(slices.Clone(valid), "7")},
		{"extra arguments that are no numbers", append(slices.Clone(valid), "x", "-1", "", "%s")},
		{"an extra separator", append(slices.Clone(valid), "")},
		{"an extra argument of 900 characters", append(slices.Clone(valid), strings.Repeat("z", 900))},
		{"nothing but separators", []string{"", "", "", "", "", "", "", ""}},
	}
	with := func(i int, base []string, text string) {
		args := slices.Clone(base)
		args[i] = text
		list = append(list, input{fmt.Sprintf("%s is %s", r.Args[i].Name, shortened(text)), args})
	}
	for i, a := range r.Args {
		list = append(list, input{a.Name + " is missing", valid[:i]})
		base := valid
		if a.Kind == wire.Data {
			for _, text := range wrongData(valid[i]) {
				with(i, base, text)
			}
			continue
		}
		if a.Kind == wire.Count && r.Reply == wire.Hex {
			// A count has a last valid value where RAM ends.
			base = slices.Clone(valid)
			for k, b := range r.Args {
				if b.Kind == wire.Address {
					base[k] = strconv.FormatUint(s.ramEnd()-64, 10)
				}
			}
			for _, text := range []string{"63", "64", "65", "66"} {
				with(i, base, text)
			}
		}
		for _, text := range wrongNumbers(valid[i], s.last(r, i, valid)) {
			with(i, base, text)
		}
		if a.Kind == wire.Address {
			for _, addr := range []uint64{s.ramEnd() - 3, s.ramEnd() - 1, s.ramEnd(), s.Guest().Addr("unmapped"), s.Guest().Addr("unmapped") + 1} {
				with(i, base, strconv.FormatUint(addr, 10))
			}
		}
	}
	return list
}

// wrongData is what can be wrong with digits.
func wrongData(valid string) []string {
	list := []string{
		"", valid, strings.ToUpper(valid), valid[:len(valid)-1], valid[:len(valid)-2], valid[:1], valid + "0", valid + "00", valid + valid,
		"zz" + valid[2:], valid[:len(valid)-1] + "g", "0x" + valid[2:], "-1" + valid[2:], " " + valid[1:], valid[:len(valid)-1] + " ", "\xff\xff" + valid[2:],
		"%s%n" + valid[4:], "٣" + valid[2:],
	}
	for _, n := range lengths {
		list = append(list, strings.Repeat("a", n), strings.Repeat("z", n))
	}
	return unique(list)
}

// answer is a form of what comes back for a request.
type answer uint8

const (
	silence answer = 1 << iota // nothing: the packet was dropped
	ack                        // '+' and no reply
	empty                      // '+' and the empty packet
	refusal                    // '+' and error
	good                       // '+' and a reply of the form that the table says
)

func (a answer) String() string {
	var list []string
	for i, name := range []string{"nothing", "'+' alone", "the empty packet", "error", "a reply of the request's form"} {
		if a&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	return strings.Join(list, " or ")
}

// verdict is what the specification says of an input.
type verdict struct {
	allowed answer
	// idle: it is acknowledged, and nothing may be done.
	idle bool
	// open: it is acknowledged, and either core 0's next qstate says why nothing was done, or it is carried out.
	open bool
}

var decimal = regexp.MustCompile(`^[0-9]+$`)

// number reads an argument as section 4 has it: strictly decimal digits, at most 2^64-1.
func number(text string) (n uint64, ok bool) {
	if !decimal.MatchString(text) {
		return 0, false
	}
	v, _ := new(big.Int).SetString(text, 10)
	return v.Uint64(), v.IsUint64()
}

// judge says what has to be answered when the server is open and core 0 is.
func (s *packetSeat) judge(r *wire.Request, args []string) verdict {
	fine := good
	if r.Reply == wire.NoReply {
		fine = ack
	}
	if len(r.Name)+len(strings.Join(args, ";")) > wire.MaxPayload {
		return verdict{allowed: silence}
	}
	// Form first: whatever a well-formed request would do, a malformed one gets the empty packet.
	var n [8]uint64
	by := make(map[wire.Kind]uint64)
	digits := ""
	for i, a := range r.Args {
		if a.Optional {
			return s.judgeOptional(r, args[min(i, len(args)):], i, fine, by)
		}
		if i >= len(args) {
			return verdict{allowed: empty}
		}
		if a.Kind == wire.Data {
			digits = args[i]
			continue
		}
		var ok bool
		if n[i], ok = number(args[i]); !ok {
			return verdict{allowed: empty}
		}
		by[a.Kind] = n[i]
	}
	return s.judgeMeaning(r, by, digits, fine)
}

// judgeOptional is for requests that end in optional arguments. The id of a trigger is ignored whatever it is. The arguments of b may
// both be missing; the specification does not say what one of them alone, or a malformed one, is worth, but it is not obeyed
// and refused at once.
func (s *packetSeat) judgeOptional(r *wire.Request, rest []string, first int, fine answer, by map[wire.Kind]uint64) verdict {
	if r.Args[first].Kind == wire.TriggerID || len(rest) == 0 {
		return s.judgeMeaning(r, by, "", fine)
	}
	for i, a := range r.Args[first:] {
		if i >= len(rest) {
			return verdict{allowed: fine | empty}
		}
		v, ok := number(rest[i])
		if !ok {
			return verdict{allowed: empty}
		}
		by[a.Kind] = v
	}
	return s.judgeMeaning(r, by, "", fine)
}

// judgeMeaning is for well-formed requests.
func (s *packetSeat) judgeMeaning(r *wire.Request, by map[wire.Kind]uint64, digits string, fine answer) verdict {
	refused := verdict{allowed: refusal}
	if r.Reply == wire.NoReply {
		refused = verdict{allowed: ack, idle: true}
	}
	core, hasCore := by[wire.Core]
	if hasCore && core >= uint64(s.Cores()) {
		return refused
	}
	if global, has := by[wire.Global]; has && global > 1 {
		return verdict{allowed: fine, open: true} // section 3 has 0 and 1, and section 4 does not call others a mistake
	}
	if class, has := by[wire.ResetID]; has && !slices.ContainsFunc(s.classes, func(c rawclient.ResetClass) bool { return uint64(c.ID) == class }) {
		return refused
	}
	if typ, has := by[wire.Trigger]; has {
		switch {
		case typ < 1 || typ > 4:
			return refused
		case r.Name == wire.RemoveTrigger && (core != 0 || typ != uint64(debugger.Exec) || by[wire.Address] != s.Guest().Addr("untouched")):
			return refused // there is one, see before
		case by[wire.Address] == s.Guest().Addr("untouched"):
			return verdict{allowed: fine}
		}
		return verdict{allowed: fine | refusal} // not every address can have every trigger
	}
	if handle, has := by[wire.Handle]; has {
		n, known := s.list(r)
		switch {
		case !known:
			return verdict{allowed: fine | refusal}
		case handle >= uint64(n):
			return refused
		case handle == 0:
			return verdict{allowed: fine | refusal} // no handle of an element that follows another
		}
		return verdict{allowed: fine}
	}
	count, counted := by[wire.Count]
	misfit := refused
	if isHex(digits) && uint64(len(digits)/2) > count {
		misfit = verdict{allowed: fine | refusal} // more digits than are asked for: refused, or the first ones written
	}
	if number, has := by[wire.Register]; has {
		reg, exists := s.registers[number]
		switch {
		case !exists && r.Reply == wire.Hex:
			return verdict{allowed: empty}
		case !exists || counted && count != uint64(bytesOf(reg)):
			return refused
		case counted && !fits(digits, count):
			return misfit
		case counted && number != s.free:
			return verdict{allowed: fine | refusal} // not every register can be written
		case !counted && absentRegister(s.Guest().Arch, reg.Name):
			return verdict{allowed: fine | empty | refusal}
		}
		return verdict{allowed: fine}
	}
	if space, has := by[wire.Space]; has {
		i := slices.IndexFunc(s.spaces, func(sp rawclient.Space) bool { return uint64(sp.ID) == space })
		if i < 0 || s.spaces[i].Type&(rawclient.SpaceLogical|rawclient.SpacePhysical) == 0 {
			return refused
		}
		addr := by[wire.Address]
		if r.Reply == wire.Status {
			if !fits(digits, count) {
				return misfit
			}
			if count == 0 {
				return verdict{allowed: fine}
			}
		} else if count == 0 {
			return verdict{allowed: fine | empty | refusal}
		}
		base, size := s.Guest().RAM()
		switch {
		case addr >= base && count <= size && addr-base <= size-count && (addr >= s.Guest().Addr("phys") || r.Reply == wire.Hex):
			return verdict{allowed: fine}
		case addr >= base && addr-base < size && count > size-(addr-base), addr+count-1 < addr, addr == s.Guest().Addr("unmapped"):
			return refused
		}
		return verdict{allowed: fine | refusal}
	}
	return verdict{allowed: fine}
}

func isHex(s string) bool {
	return strings.Trim(s, "0123456789abcdefABCDEF") == "" && len(s)%2 == 0
}

// fits reports whether digits are exactly count bytes.
func fits(digits string, count uint64) bool { return isHex(digits) && uint64(len(digits)/2) == count }

// exchange sends a request and a good one behind it, and returns what answered the first: the form, and the payload of the
// reply if there was one. It fails unless the acknowledgement comes first, then at most one reply, then the answer to the
// good request: that is the recovery, and the proof that nothing else came.
func (s *packetSeat) exchange(ctx context.Context, r *wire.Request, payload string, dropped bool) (answer, string) {
	ginkgo.GinkgoHelper()
	Expect(s.c.Send(ctx, []byte("$"+payload+"#|$qsystem#|"))).To(Succeed())
	if dropped {
		Expect(s.c.Expect(ctx, []byte("+"+systemReply))).To(Succeed(), "the next request after %s", shortened(payload))
		return silence, ""
	}
	Expect(s.c.ExpectAck(ctx)).To(Succeed(), "the acknowledgement of %s", shortened(payload))
	for len(s.c.Pending()) == 0 {
		Expect(s.c.Fill(ctx)).To(Succeed(), "what follows the acknowledgement of %s", shortened(payload))
	}
	got, reply := ack, ""
	if s.c.Pending()[0] != wire.Ack {
		p, err := s.c.ReadPacket(ctx)
		Expect(err).NotTo(HaveOccurred(), "the reply to %s", shortened(payload))
		reply = string(p)
		switch {
		case reply == "":
			got = empty
		case reply == wire.Failure:
			got = refusal
		default:
			got = good
		}
	}
	Expect(s.c.Expect(ctx, []byte("+"+systemReply))).To(Succeed(), "the next request after %s", shortened(payload))
	return got, reply
}

// expectForm checks a reply that is no refusal.
func (s *packetSeat) expectForm(r *wire.Request, args []string, reply string) {
	ginkgo.GinkgoHelper()
	switch r.Reply {
	case wire.Text:
		Expect(reply).To(BeElementOf("shaking your hand", "qemu-system"))
	case wire.Hex:
		Expect(isHex(reply)).To(BeTrue(), "hex digits, two a byte: %s", shortened(reply))
		want := ""
		for i, a := range r.Args {
			if a.Kind == wire.Count {
				want = args[i]
			} else if a.Kind == wire.Register {
				n, _ := number(args[i])
				want = strconv.Itoa(bytesOf(s.registers[n]))
			}
		}
		n, _ := number(want)
		Expect(len(reply)/2).To(BeEquivalentTo(n), "bytes in the reply %s", shortened(reply))
	case wire.Status:
		Expect(reply).To(Equal("success"))
	case wire.Fields:
		_, err := rawclient.ParseFields(reply)
		Expect(err).NotTo(HaveOccurred(), shortened(reply))
	case wire.List:
		handle, fields, ok := strings.Cut(reply, "!")
		Expect(ok && decimal.MatchString(handle)).To(BeTrue(), "a handle and '!' in %s", shortened(reply))
		_, err := rawclient.ParseFields(fields)
		Expect(err).NotTo(HaveOccurred(), shortened(reply))
	}
}

// acting are the requests that change the run state or the session when they are carried out.
var acting = []string{wire.CloseServer, wire.OpenCore, wire.CloseCore, wire.Go, wire.Step, wire.Break, wire.Reset}

// hostileArguments sends a request with every input, to a machine that stands at the loop head and has its core open.
func hostileArguments(ctx context.Context, rig *Rig, r *wire.Request) {
	s := rig.packetSeat(ctx)
	want := s.settle(ctx, s.d)
	var acts []input
	try := func(in input) {
		payload := r.Name + strings.Join(in.args, ";")
		v := s.judge(r, in.args)
		before := s.before(ctx, r, in.args)
		if n, ok := number(argument(in.args, 1)); ok && r.Name == wire.WriteRegister && n != s.free {
			if reg, exists := s.registers[n]; exists && !absentRegister(s.Guest().Arch, reg.Name) {
				// The program may need it.
				old := s.readRegister(ctx, n)
				defer func() { s.c.WriteRegister(ctx, 0, int(n), old) }()
			}
		}
		var untouched witness
		if v.open {
			untouched = s.look(ctx, s.d)
		}
		got, reply := s.exchange(ctx, r, payload, v.allowed == silence)
		Expect(v.allowed&got).NotTo(BeZero(), "%s (%s) was answered with %v (%s); the specification has %v", shortened(payload), in, got, shortened(reply), v.allowed)
		if got == good {
			s.expectForm(r, in.args, reply)
		}
		if v.idle || v.open {
			told := s.told(ctx, payload)
			switch {
			case v.idle: // the next look says whether it was
			case told:
				Expect(s.look(ctx, s.d)).To(Equal(untouched), "the machine after %s, which is said to have done nothing", shortened(payload))
			case r.Name != wire.Break: // which has nothing to do
				Eventually(func() witness { return s.look(ctx, s.d) }).WithContext(ctx).WithTimeout(growTimeout).
					ShouldNot(Equal(untouched), "the machine after %s, which is not said to have done nothing", shortened(payload))
			}
		}
		s.after(ctx, r, in.args, before, got == good)
	}
	for _, in := range s.inputs(r) {
		v := s.judge(r, in.args)
		if slices.Contains(acting, r.Name) && v.allowed&(ack|good) != 0 && !v.idle {
			acts = append(acts, in) // what is carried out comes last
			continue
		}
		try(in)
	}
	Expect(s.look(ctx, s.d)).To(Equal(want), "the machine after hostile input, as qtest, QMP and its registers show it")
	if len(acts) == 0 {
		s.expectUndisturbed(ctx, want)
		return
	}
	for _, in := range acts {
		try(in)
		s.home(ctx)
	}
	want = s.settle(ctx, s.d)
	s.expectUndisturbed(ctx, want)
}

// told reports whether core 0's next qstate says why a command without a reply did nothing, and makes sure that the one behind it
// does not say so again.
func (s *packetSeat) told(ctx context.Context, payload string) bool {
	ginkgo.GinkgoHelper()
	const mistake = "error: "
	st, err := s.c.State(ctx, 0)
	Expect(err).NotTo(HaveOccurred())
	again, err := s.c.State(ctx, 0)
	Expect(err).NotTo(HaveOccurred())
	Expect(again.Info).NotTo(HavePrefix(mistake), "info_str of core 0, asked again after %s", shortened(payload))
	return strings.HasPrefix(st.Info, mistake)
}

// home brings core 0 back into the loop, whatever a request has done.
func (s *packetSeat) home(ctx context.Context) {
	ginkgo.GinkgoHelper()
	s.d = debugger.NewPacket(s.c)
	Expect(s.d.Open(ctx)).To(Succeed())
	Expect(s.d.Stop(ctx, debugger.AllCores)).To(Succeed())
	_, err := s.d.WaitStopped(ctx, 0)
	Expect(err).NotTo(HaveOccurred())
	s.ToLoop(ctx, s.d)
}

// before is what a write may change, so that after can tell whether it did what it said.
func (s *packetSeat) before(ctx context.Context, r *wire.Request, args []string) []byte {
	ginkgo.GinkgoHelper()
	switch r.Name {
	case wire.RemoveTrigger:
		Expect(s.d.Insert(ctx, 0, s.theTrigger())).To(Succeed())
	case wire.WriteMemory:
		if addr, ok := s.observable(args); ok {
			return s.Observe(ctx, addr, observed)
		}
	case wire.WriteRegister:
		return s.readRegister(ctx, s.free)
	}
	return nil
}

func (s *packetSeat) readRegister(ctx context.Context, number uint64) []byte {
	ginkgo.GinkgoHelper()
	p, err := s.c.ReadRegister(ctx, 0, int(number), nil)
	Expect(err).NotTo(HaveOccurred())
	return p
}

// observed is how much of the memory from the address of a write on is looked at: more than a write of 1,023 characters has.
const observed = 600

// observable is the address of a write if all around it is RAM that qtest sees.
func (s *packetSeat) observable(args []string) (uint64, bool) {
	if len(args) < 3 {
		return 0, false
	}
	addr, ok := number(args[2])
	base, _ := s.Guest().RAM()
	if !ok || addr < base || addr >= s.ramEnd() {
		return 0, false
	}
	return min(addr, s.ramEnd()-observed), true
}

// after makes sure that a write that succeeded has written what it named, and that one that did not has written nothing; and
// takes a trigger out again.
func (s *packetSeat) after(ctx context.Context, r *wire.Request, args []string, before []byte, done bool) {
	ginkgo.GinkgoHelper()
	what := shortened(r.Name + strings.Join(args, ";"))
	switch {
	case r.Name == wire.InsertTrigger:
		payload := wire.RemoveTrigger + strings.Join(args, ";")
		if len(payload) > wire.MaxPayload {
			return
		}
		got, _ := s.exchange(ctx, nil, payload, false)
		Expect(got == good).To(Equal(done), "T after %s: a trigger is there if and only if its insertion succeeded", what)
	case r.Name == wire.RemoveTrigger:
		err := s.d.Remove(ctx, 0, s.theTrigger())
		Expect(err == nil).To(Equal(!done), "removal after %s: the trigger is there unless that removed it; %v", what, err)
	case before == nil:
	case r.Name == wire.WriteMemory:
		addr, _ := s.observable(args)
		want := bytes.Clone(before)
		if done {
			at, _ := number(args[2])
			count, _ := number(args[3])
			data, err := hex.DecodeString(args[4])
			Expect(err).NotTo(HaveOccurred())
			copy(want[at-addr:], data[:count])
		}
		Expect(s.Observe(ctx, addr, observed)).To(Equal(want), "memory after %s, as qtest sees it", what)
	case r.Name == wire.WriteRegister:
		got := s.readRegister(ctx, s.free)
		if n, ok := number(argument(args, 1)); done && ok && n == s.free {
			count, _ := number(args[2])
			data, err := hex.DecodeString(args[3])
			Expect(err).NotTo(HaveOccurred())
			Expect(got).To(Equal(data[:count]), "the register after %s", what)
			return
		}
		Expect(got).To(Equal(before), "the register after %s", what)
	}
}

// theTrigger is there while hostile removals are tried. Nothing ever executes it.
func (s *packetSeat) theTrigger() debugger.Trigger {
	return debugger.Trigger{Type: debugger.Exec, Addr: s.Guest().Addr("untouched")}
}

// argument is one of the arguments, empty if it is missing.
func argument(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}

// sessionState is a state of a session that a request may come in.
type sessionState struct {
	name    string
	running bool
	opened  bool                                           // core 0 is open
	enter   func(ctx context.Context, s *packetSeat) error // from a new connection
}

var sessionStates = []sessionState{
	{"before anything is open", false, false, func(context.Context, *packetSeat) error { return nil }},
	{"with the server open and no core", false, false, func(ctx context.Context, s *packetSeat) error {
		_, err := s.c.OpenServer(ctx)
		return err
	}},
	{"with a core open and no server", false, true, func(ctx context.Context, s *packetSeat) error { return s.c.OpenCore(ctx, 0) }},
	{"after the core was closed", false, false, func(ctx context.Context, s *packetSeat) error {
		if err := s.d.Open(ctx); err != nil {
			return err
		}
		return s.c.CloseCore(ctx, 0)
	}},
	{"with everything open", false, true, func(ctx context.Context, s *packetSeat) error { return s.d.Open(ctx) }},
	{"while the core runs", true, true, func(ctx context.Context, s *packetSeat) error {
		if err := s.d.Open(ctx); err != nil {
			return err
		}
		return s.d.Go(ctx, debugger.AllCores)
	}},
	{"while the core runs and is not open", true, false, func(ctx context.Context, s *packetSeat) error {
		return s.c.Go(ctx, true, 0)
	}},
	{"after the server was closed", true, false, func(ctx context.Context, s *packetSeat) error {
		if err := s.d.Open(ctx); err != nil {
			return err
		}
		return s.c.CloseServer(ctx)
	}},
}

// needsOpen are the requests that ask for tables that only `i` builds. That registers and memory are entries of them, too,
// the specification does not say, so either is right for those.
var (
	needsOpen   = []string{wire.QueryMemoryFirst, wire.QueryMemoryNext, wire.QueryGroupFirst, wire.QueryGroupNext, wire.QueryRegFirst, wire.QueryRegNext}
	mayNeedOpen = []string{wire.ReadMemory, wire.WriteMemory, wire.ReadRegister, wire.WriteRegister, wire.InsertTrigger, wire.RemoveTrigger}
)

// hostileStates sends a request, right and wrong, in every state of a session.
func hostileStates(ctx context.Context, rig *Rig, r *wire.Request) {
	s := rig.packetSeat(ctx)
	s.settle(ctx, s.d)
	valid := s.valid(r)
	inputs := []input{
		{"good arguments", valid},
		{"no arguments", nil},
		{"an argument that is no number", []string{"x", "x", "x", "x", "x"}},
		{"a number that is too large", []string{"18446744073709551616", "0", "0", "0", "00"}},
		{"good arguments, again", valid},
	}
	for i, a := range r.Args {
		if a.Kind == wire.Core {
			beyond := slices.Clone(valid)
			beyond = append(beyond[:i], append([]string{strconv.Itoa(s.Cores())}, beyond[min(i+1, len(beyond)):]...)...)
			inputs = append(inputs, input{"a core that does not exist", beyond})
		}
	}
	for _, state := range sessionStates {
		want := s.settle(ctx, s.d)
		for _, in := range inputs {
			s.connect(ctx)
			Expect(state.enter(ctx, s)).To(Succeed(), state.name)
			if state.running {
				s.ExpectGrowth(ctx, 0)
			}
			payload := r.Name + strings.Join(in.args, ";")
			v := s.judgeIn(state, r, in.args)
			got, reply := s.exchange(ctx, r, payload, false)
			Expect(v.allowed&got).NotTo(BeZero(), "%s (%s) %s was answered with %v (%s); the specification has %v",
				shortened(payload), in, state.name, got, shortened(reply), v.allowed)
			if got == good {
				s.expectForm(r, in.args, reply)
			}
			if r.Name == wire.InsertTrigger && got == good {
				got, _ := s.exchange(ctx, nil, wire.RemoveTrigger+strings.Join(in.args, ";"), false)
				Expect(got).To(Equal(good), "the removal of what %s inserted %s", shortened(payload), state.name)
			}
			carriedOut := slices.Contains(acting, r.Name) && v.allowed == ack && !v.idle
			switch {
			case carriedOut && !slices.Contains([]string{wire.OpenCore, wire.CloseCore}, r.Name):
			case state.running:
				Expect(s.RunState(ctx)).To(Equal("running"), "QMP's run state after %s %s", shortened(payload), state.name)
				s.ExpectGrowth(ctx, 0)
			default:
				Expect(s.RunState(ctx)).To(Equal(want.runState), "QMP's run state after %s %s", shortened(payload), state.name)
				s.ExpectNoGrowth(ctx, 0)
			}
			s.home(ctx)
		}
	}
	s.expectUndisturbed(ctx, s.settle(ctx, s.d))
}

// judgeIn is judge for another state of the session.
func (s *packetSeat) judgeIn(state sessionState, r *wire.Request, args []string) verdict {
	v := s.judge(r, args)
	if v.allowed == empty && r.Reply != wire.Hex || v.allowed == silence {
		return v // malformed
	}
	if r.Name == wire.RemoveTrigger {
		return verdict{allowed: v.allowed&empty | refusal} // there is none
	}
	if !state.opened {
		switch {
		case slices.Contains(needsOpen, r.Name) && v.allowed&good != 0:
			return verdict{allowed: refusal}
		case slices.Contains(mayNeedOpen, r.Name) && v.allowed&good != 0:
			return verdict{allowed: v.allowed | refusal}
		}
	}
	return v
}

var _ = register(Spec{
	Subject: "hostile", Name: "k (end QEMU), whatever follows it, in every state of a session", Dialects: packetOnly, NoStart: true,
	Labels: []string{"hostile", "wire", "observer"},
	Body: func(ctx context.Context, r *Rig) {
		for i, state := range sessionStates {
			s := r.StartMachine(ctx, r.Spec.Config()).packetSeat(ctx)
			s.connect(ctx)
			Expect(state.enter(ctx, s)).To(Succeed(), state.name)
			r.ExpectExit()
			payload := "k" + []string{"", "0", ";", "x", "-1", "k", strings.Repeat("z", 1000), " 1;2;3"}[i%8]
			Expect(s.c.Send(ctx, []byte("$"+payload+"#|"))).To(Succeed())
			Expect(s.c.ExpectAck(ctx)).To(Succeed(), "%s %s", shortened(payload), state.name)
			Eventually(s.Done()).WithContext(ctx).WithTimeout(growTimeout).Should(BeClosed(), "QEMU ends by %s %s", shortened(payload), state.name)
			Expect(s.Exit().Status).To(BeZero(), "%v", s.Exit())
			Expect(s.c.ExpectEOF(ctx)).To(Succeed())
		}
	},
})
