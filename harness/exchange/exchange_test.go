// SPDX-License-Identifier: Apache-2.0

package exchange

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"mcdtest/harness/transcript"
)

func parse(t *testing.T, text string) []transcript.Entry {
	t.Helper()
	entries, err := transcript.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// names is a short form of exchanges: name, what was sent, what came.
func names(list []Exchange) []string {
	var s []string
	for _, x := range list {
		s = append(s, fmt.Sprintf("%s|%s|%s|%s%s", x.Name, transcript.Escape(x.Sent), transcript.Escape(x.Answer), x.Comment, x.Closed))
	}
	return s
}

func TestPair(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"acknowledgement and reply in two chunks", "> $qsystem#|\n< +\n< $qemu-system#|\n> $d0#|\n< +\n",
			"qsystem|$qsystem#||+$qemu-system#||\nd|$d0#||+|"},
		{"two packets in one chunk", "> $I#|$D#|\n< +\n", "I|$I#|||\nD|$D#||+|"},
		{"padding", `> $I#|\x00{1020}` + "\n< +\n", `I|$I#|\x00{1020}|+|`},
		{"bytes that are no packet", "> xyz\n> $q#x\n< -\n", "|xyz||\n|$q#x|-|"},
		{"a packet in single bytes", "> $\n> I\n> #\n> |\n< +\n", "I|$I#||+|"},
		{"the stub speaks first", "< hello\n> $I#|\n", "||hello|\nI|$I#|||"},
		{"comment and ends", "# remark\n> $k#|\n< +\n< EOF\n> EOF\n", "|||remark\nk|$k#||+|\n|||stub\n|||client"},
		{"remarks between a request and its answer", "> $k\n# VM STOP\n> #|\n# VM SHUTDOWN\n< +\n",
			"k|$k#||+|\n|||VM STOP\n|||VM SHUTDOWN"},
		{"JSON", `> {"arguments":{"core-uid":1},"execute":"mcd-qry-state"}` + "\n" + `< {"return":{}}\n` + "\n",
			`mcd-qry-state|{"arguments":{"core-uid":1},"execute":"mcd-qry-state"}|{"return":{}}\n|`},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(strings.Split(tt.want, "\n"), names(Pair(parse(t, tt.text)))); diff != "" {
			t.Errorf("%s (- want, + got):\n%s", tt.name, diff)
		}
	}
}

func TestTimes(t *testing.T) {
	x := Pair(parse(t, "0.000100 > $p0;15#|\n0.000150 < +\n0.000350 < $00#|\n"))
	if len(x) != 1 || x[0].At.Microseconds() != 100 || x[0].Took.Microseconds() != 250 {
		t.Errorf("want one exchange at 100 µs that took 250 µs, got %+v", x)
	}
}

func TestDrawFoldsRuns(t *testing.T) {
	var text strings.Builder
	text.WriteString("> $qregf0#|\n< +$1!id=0.#|\n")
	for i := 1; i < 200; i++ {
		fmt.Fprintf(&text, "> $qregc%d#|\n< +$%d!id=%d.#|\n", i, i+1, i)
	}
	text.WriteString("> $qstate0#|\n< +$state=running.#|\n")
	got := Draw(Pair(parse(t, text.String())), 100, Paint{})
	want := []string{
		"─► $qregf0#|                          ◄─ +$1!id=0.#|             first register",
		"─► $qregc1#|                          ◄─ +$2!id=1.#|             next register",
		"   ⋮ 197 more",
		"─► $qregc199#|                        ◄─ +$200!id=199.#|         next register",
		"─► $qstate0#|                         ◄─ +$state=running.#|      core state",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
}

func TestDrawFoldsRounds(t *testing.T) {
	text := strings.Repeat("> $c0;0#|\n< +\n> $C0;0#|\n< +\n> $qstate0#|\n< +$state=running.#|\n> $qstate0#|\n< +$state=debug.#|\n", 7)
	got := Draw(Pair(parse(t, "> $m0;1;0;4#|\n< +$00#|\n"+text+"> $m0;1;0;4#|\n< +$00#|\n")), 100, Paint{})
	want := []string{
		"─► $m0;1;0;4#|                        ◄─ +$00#|                  read memory",
		"─► $c0;0#|                            ◄─ +                       single step",
		"─► $C0;0#|                            ◄─ +                       go",
		"─► $qstate0#|                         ◄─ +$state=running.#|      core state",
		"─► $qstate0#|                         ◄─ +$state=debug.#|        core state",
		"   ⋮ 6 more rounds of this",
		"─► $m0;1;0;4#|                        ◄─ +$00#|                  read memory",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
	if all := DrawAll(Pair(parse(t, text)), 100, Paint{}); len(all) != 7*4 {
		t.Errorf("want all 28 exchanges, got %d lines", len(all))
	}
}

func TestDrawKeepsTheWidth(t *testing.T) {
	long := strings.Repeat("0123456789", 50)
	for _, text := range []string{
		"> $m0;1;0;250#|\n< +$" + long + "#|\n",
		"> $M0;1;0;250;" + long + "#|\n< +$success#|\n",
		"> $M0;1;0;250;" + long + "#|\n< +$" + long + "#|\n",
	} {
		for _, width := range []int{70, 80, 132} {
			lines := Draw(Pair(parse(t, text)), width, Paint{})
			if len(lines) != 2 {
				t.Errorf("width %d: want a line for each direction, got %q", width, lines)
			}
			for _, line := range lines {
				if n := utf8.RuneCountInString(line); n > width {
					t.Errorf("width %d: the line has %d columns: %s", width, n, line)
				}
				if !strings.Contains(line, "#|") {
					t.Errorf("width %d: the end of the packet is not shown: %s", width, line)
				}
			}
		}
		if lines := Draw(Pair(parse(t, text)), 0, Paint{}); !strings.Contains(strings.Join(lines, ""), long) {
			t.Errorf("without a limit something was left out: %q", lines)
		}
	}
}

func TestDrawPaints(t *testing.T) {
	mark := func(s string) func(string) string { return func(text string) string { return s + text + s } }
	got := Draw(Pair(parse(t, "> $I#|\n< +\n> EOF\n")), 100, Paint{mark("c"), mark("s"), mark("d")})
	want := []string{
		"c─► $I#|c                               s◄─ +s                       dopen serverd",
		"d(client closes the connection)d",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
}

func TestDecode(t *testing.T) {
	tests := []struct{ text, want string }{
		{"> $p0;15#|\n< +$00002040#|\n", "0x40200000  1075838976"},
		{"> $m0;1;0;3#|\n< +$414243#|\n", "00000000  41 42 43                                          |ABC|"},
		{"> $m0;1;0;3#|\n< +$4142x3#|\n", "not hex: encoding/hex: invalid byte: U+0078 'x'"},
		{"> $m0;1;0;4#|\n< +$error#|\n", "refused"},
		{"> $qsystem#|\n< +$qemu-system#|\n", ""},
		{"> $qcores#|\n< +$device=d.core=c.nr_cores=2.#|\n", "device     d\ncore       c\nnr_cores   2"},
		{"> $qmemoryf0#|\n< +$1!name=Non Secure.type=34.e=1.max=-1.#|\n",
			"name       Non Secure\ntype       34  (logical, program)\ne          1  (little-endian)\nmax        -1  (2^64-1)\n(more with handle 1)"},
		{"> $qregc7#|\n< +$0!id=25.#|\n", "id         25\n(the last element)"},
		{"> $qregc7#|\n< +$id=25.#|\n", "not an element of a list: there is no '!'"},
		{"> $qstate0#|\n< +$state=debug.type=2.address=4096.#|\n", "state      debug\ntype       2\naddress    4096  (0x1000)"},
		{"> $qstate0#|\n< +$state.#|\n", `"state" is no key=value`},
		{"> $C9#|\n< +$#|\n", "refused: the request was malformed, or there is no such thing"},
		{"> $x#|\n< +$#|\n", "unknown request"},
		{"> $x#y\n< -\n", "refused: the packet was malformed; it may be sent again"},
		{"> $d0#|\n< +\n", ""},
	}
	for _, tt := range tests {
		got := strings.Join(Decode(Pair(parse(t, tt.text))[0], false), "\n")
		if got != tt.want {
			t.Errorf("%s- want:\n%s\n- got:\n%s", tt.text, tt.want, got)
		}
	}
	if got := Decode(Pair(parse(t, "> $p0;15#|\n< +$40200000#|\n"))[0], true); len(got) != 1 || got[0] != "0x40200000  1075838976" {
		t.Errorf("big-endian: %q", got)
	}
}
