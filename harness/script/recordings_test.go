// SPDX-License-Identifier: Apache-2.0

package script

import (
	"strings"
	"testing"
	"time"

	"mcdtest/stub/memtarget"
)

const recordings = "../transcript/testdata/"

// spelling is where our stub says the same in other words, wherever it says it.
var spelling = []Substitution{
	{Old: "stopped beacuse of", New: "stopped because of", Why: "a misspelling"},
	{Old: "cpu cpu->cpu_index", New: "cpu 0", Why: "a macro that prints source text"},
}

// Recorded sessions are scripts as they are. Here they are played to our stub in front of a machine in memory, which
// has the guest that was recorded; what our stub does on purpose otherwise is declared.
func TestRecordedFraming(t *testing.T) {
	play(t, "published-framing.txt", []Substitution{
		{Old: "stop_str=(null)", New: "stop_str=", Why: "a null pointer that is printed"},
		{Sent: `$qsystem#|\x00$qcores#|`, New: "+$qemu-system#|+$device=qemu-arm-device.core=cortex-a15-arm-cpu.nr_cores=1.#|", Why: "bytes behind a NUL are not lost"},
		{Sent: "tem#|", New: NoAnswer, Why: "a NUL within a packet drops that packet"},
		{Sent: "$qstate 0#|", New: "+$#|", Why: "numbers are decimal digits and nothing else"},
		{Sent: "$qstate+0#|", New: "+$#|", Why: "likewise"},
		{Sent: "$qstate0abc#|", New: "+$#|", Why: "likewise"},
		{Sent: "$qstate0x0#|", New: "+$#|", Why: "likewise"},
		{Sent: "$qstate-1#|", New: "+$#|", Why: "likewise"},
		{Sent: "$qstate4294967296#|", New: "+$error#|", Why: "there is no such core"},
		{Sent: "$qstate7#|", New: "+$error#|", Why: "there is no such core"},
	})
}

func TestRecordedControl(t *testing.T) {
	const counter = "$m0;1;1075904512;4#|"
	play(t, "published-control.txt", append(spelling[:2:2], []Substitution{
		{Old: "stop_str=(null)", New: "stop_str=", Why: "a null pointer that is printed"},
		{Old: "cpu->watchpoint_hit->hitaddr", New: "1075904512", Why: "source text that is printed"},
		{Sent: "$qstate0#|", Until: 5 * time.Second, Why: "a stop takes as long as it takes"},
		{Sent: "$qstate0#|", Nth: 8, Old: "stop_str=.info_str=", New: "stop_str=stopped because of single step.info_str=cpu 0 in debug state", Why: "a global step steps"},
		{Sent: "$p0;15#|", Nth: 5, Old: "0c002040", New: "10002040", Why: "a global step has stepped"},
		{Sent: "$p0;0#|", Nth: 2, Old: "00000000", New: "01000000", Why: "so there is a pass before the breakpoint"},
		{Sent: "$p0;0#|", Nth: 3, Old: "00000000", New: "01000000", Why: "likewise"},
		{Sent: "$qstate0#|", Nth: 17, Old: "type=0.address=0.stop_str=stopped because of single step", New: "type=0.address=0.stop_str=stopped because of break", Why: "a stop by b is told from a step"},
		{Sent: "$qstate0#|", Nth: 21, Old: "type=1.address=0.stop_str=stopped because of HW breakpoint", New: "type=0.address=0.stop_str=stopped because of break", Why: "a stop by b is told from a breakpoint"},
		{Sent: "$p0;15#|", Nth: 9, New: "+${hex:8}#|", Why: "a pc that is on its way"},
		{Sent: "$p0;15#|", Nth: 10, New: "+${hex:8}#|", Why: "a pc that is on its way"},
		{Sent: "$p0;15#|", Nth: 11, New: "+${hex:8}#|", Why: "wherever it was stopped"},
		{Sent: counter, Nth: 1, New: "+${first=le32>0}#|", Until: 5 * time.Second, Why: "how far it has counted"},
		{Sent: counter, Nth: 2, New: "+${le32>first}#|", Until: 5 * time.Second, Why: "it goes on counting"},
		{Sent: counter, Nth: 3, New: "+${stopped=hex:8}#|", Why: "how far it has counted"},
		{Sent: counter, Nth: 4, New: "+${stopped}#|", Why: "it stands still"},
		{Sent: counter, Nth: 5, New: "+${patched=hex:8}#|", Why: "how far it has counted"},
		{Sent: counter, Nth: 6, New: "+${patched}#|", Why: "the store is patched away"},
	}...))
}

// A declared difference has to be one.
func TestSubstitutionsAreUsed(t *testing.T) {
	s := parsed(t, "> $I#|\n< +$shaking your hand#|\n> $I#|\n< +$shaking your hand#|\n")
	for _, test := range []struct {
		subst Substitution
		err   string
	}{
		{Substitution{Sent: "$I#|", Nth: 2, Old: "your", New: "{*}"}, ""},
		{Substitution{Old: "shaking", New: "shaking"}, ""},
		{Substitution{Sent: "$I#|", Until: time.Second}, ""},
		{Substitution{Sent: "$I#|", Nth: 3, Old: "your", New: "my", Why: "politeness"}, `the substitution of "your" by "my" for "$I#|" (politeness) changes nothing`},
		{Substitution{Old: "beacuse", New: "because"}, "changes nothing"},
		{Substitution{Sent: "$D#|", New: NoAnswer}, "changes nothing"},
		{Substitution{Old: "your", New: "{x"}, "t.txt:2: after substitutions: column"},
		{Substitution{Sent: "$I#|", Nth: 1, Old: "your", New: "my"}, "t.txt:2: the answer differs"},
		{Substitution{Sent: "$I#|", Nth: 2, New: NoAnswer}, "t.txt:4: the answer differs"},
	} {
		env := answering(t, canned(answers))
		env.Substitutions = []Substitution{test.subst}
		err := Play(t.Context(), s, env)
		if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%+v: want error %q, got %v", test.subst, test.err, err)
		}
	}
}

func play(t *testing.T, name string, subst []Substitution) {
	s, err := ParseFile(recordings + name)
	if err != nil {
		t.Fatal(err)
	}
	env := memory(t, memtarget.ARMLoop())
	env.Substitutions = subst
	if err := Play(t.Context(), s, env); err != nil {
		t.Error(err)
	}
}
