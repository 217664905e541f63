// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"mcdtest/harness/debugger"
)

// Hostile input is generated: for the packet dialect from wire.Requests (hostile_packet.go), for the JSON dialect from
// jsonwire.Commands (hostile_json.go). A request that is added to one of the tables has its specs the same day. What is
// to be answered follows from the specification and from what the machine is known to have, not from the stub's parser.
//
// After every single input the next good request on the same connection has to be answered. After a group of inputs, the
// witness below has to find everything as it was, and a new client has to find a machine that runs its loop undisturbed.

// witness is what QMP, qtest and the registers say of a machine that stands at the loop head.
type witness struct {
	runState string
	pc, free uint64
	counter  uint32
	code     []byte // of the loop
	pattern  []byte // constant data, and the variables around it
	second   []byte // of scratch; no hostile input is meant to write there
}

// freeValue is what a register holds that nothing but hostile input could change.
const freeValue = 0x5eed

// look takes the witness's account. The registers come through a session of the client's.
func (m *Machine) look(ctx context.Context, d debugger.Debugger) witness {
	ginkgo.GinkgoHelper()
	var w witness
	var err error
	w.runState, err = m.RunState(ctx)
	Expect(err).NotTo(HaveOccurred())
	w.pc, err = debugger.PC(ctx, d, 0)
	Expect(err).NotTo(HaveOccurred())
	w.free, err = debugger.RegisterValue(ctx, d, 0, m.Guest().FreeRegisters()[0].Name)
	Expect(err).NotTo(HaveOccurred())
	w.counter = m.Counter(ctx)
	g := m.Guest()
	w.code = m.Observe(ctx, g.Addr("loop_phys"), int(g.Addr("loop_end")-g.Addr("loop")))
	w.pattern = m.Observe(ctx, g.Addr("pattern"), int(g.Addr("pattern_end")-g.Addr("pattern")))
	w.second = m.Observe(ctx, g.Addr("scratch_second"), 4096)
	return w
}

// settle brings the machine to where a witness can look: core 0 at the loop head, the free register with a known value,
// and nothing in the machine that would stop it.
func (m *Machine) settle(ctx context.Context, d debugger.Debugger) witness {
	ginkgo.GinkgoHelper()
	m.ToLoop(ctx, d)
	Expect(debugger.SetRegisterValue(ctx, d, 0, m.Guest().FreeRegisters()[0].Name, freeValue)).To(Succeed())
	return m.look(ctx, d)
}

// expectUndisturbed is the proof on a new connection: what the witness saw is still so, and the loop runs without being
// stopped by something that was left behind.
func (m *Machine) expectUndisturbed(ctx context.Context, want witness) {
	ginkgo.GinkgoHelper()
	m.hangUp()
	d := m.Debugger(ctx)
	Expect(m.look(ctx, d)).To(Equal(want), "the machine after hostile input, as a new client, QMP and qtest see it")
	m.expectRunsOn(ctx, d)
}

// expectRunsOn lets the machine run and makes sure that nothing stops it: the loop passes all its labels thousands of times
// while its variable grows.
func (m *Machine) expectRunsOn(ctx context.Context, d debugger.Debugger) {
	ginkgo.GinkgoHelper()
	Expect(d.Go(ctx, debugger.AllCores)).To(Succeed())
	for range 3 {
		m.ExpectGrowth(ctx, 0)
	}
	Expect(m.RunState(ctx)).To(Equal("running"), "QMP's run state of a machine that nothing is to stop")
}

// input is one hostile input: what is wrong with it, and the arguments.
type input struct {
	what string
	args []string
}

func (i input) String() string { return i.what }

// Texts that are no number, or not one that fits, in either dialect's eyes.
var noNumbers = []string{
	"-1", "-0", "+0", "+1", "0x0", "0x1", "0X10", "x", "abc", "0abc", "1a", " 1", "1 ", "\t1", "1.0", "1.", ".5", "1e3", "1,2", "1_000", "--1", "NaN",
	"18446744073709551616", "18446744073709551620", "99999999999999999999", "٣", "\xff", "%d", "%s%n", "'", "0b1", "0o7",
}

// boundaries are numbers at the ends of types.
var boundaries = []string{
	"0", "1", "127", "128", "255", "256", "32767", "32768", "65535", "65536", "2147483647", "2147483648", "4294967295", "4294967296",
	"9223372036854775807", "9223372036854775808", "18446744073709551615",
}

// lengths are the lengths of arguments that have a story: the published stub's argument buffers hold 64 characters.
var lengths = []int{63, 64, 65, 128, 1000}

// wrongNumbers is every way in which an argument that is a number can be wrong, and some in which it is right: valid
// itself, the last valid one, the one beyond it.
func wrongNumbers(valid, last string) []string {
	list := append([]string{"", valid, last, plusOne(last)}, boundaries...)
	list = append(list, noNumbers...)
	for _, n := range lengths {
		list = append(list, strings.Repeat("9", n), strings.Repeat("0", n-len(valid))+valid, strings.Repeat("x", n))
	}
	return unique(list)
}

// plusOne is one more than a decimal number.
func plusOne(n string) string {
	v, ok := new(big.Int).SetString(n, 10)
	if !ok {
		panic(fmt.Sprintf("%q is no number", n))
	}
	return v.Add(v, big.NewInt(1)).String()
}

func unique(list []string) []string {
	seen := make(map[string]bool)
	return slices.DeleteFunc(list, func(s string) bool {
		if seen[s] {
			return true
		}
		seen[s] = true
		return false
	})
}

// shortened makes an argument fit into a message.
func shortened(s string) string {
	if len(s) > 40 {
		return fmt.Sprintf("%q… (%d characters)", s[:20], len(s))
	}
	return fmt.Sprintf("%q", s)
}
