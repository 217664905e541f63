// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcdtest/harness"
	"mcdtest/harness/script"
	"mcdtest/harness/transcript"
)

func TestReproduction(t *testing.T) {
	entries, err := transcript.Parse(strings.NewReader(`# a failed spec
> $I#|
< +
< $shaking your hand#|
> $C1;0#|
< +
# VM RESUME
> $m0;1;16;4#|
< +$01020304#|
> $qstate0#|
< +$state=running.event=0.#|
> $qstate0#|
# VM STOP
< +$state=running.event=0.#|
> $qstate0#|
< +
< $state=debug.event=0.#|
> $m0;1;16;4#|
< +$05060708#|
> EOF
> $k#|
`))
	if err != nil {
		t.Fatal(err)
	}
	want := `# a failed spec
> $I#|
< +$shaking your hand#|
> $C1;0#|
< +
# VM RESUME
> $m0;1;16;4#|
< +${*}#|
#! until 5s
> $qstate0#|
< +$state=debug.event=0.#|
> $m0;1;16;4#|
< +$05060708#|
> EOF
> $k#|
`
	got := reproduction(entries)
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("- want, + got\n%s", diff)
	}
	if _, err := script.Parse("reproduction", bytes.NewReader(got)); err != nil {
		t.Errorf("it cannot be played: %v", err)
	}
}

// A shell takes a command line apart into the words that it was made of.
func TestCommandLine(t *testing.T) {
	words := []string{"mcdtest", "--specs", "^arm packet topology: every element has the list's keys$", "", "a b", `\d+\.`, "$HOME;`x`", "--qemu-arg=-M", "two\nlines", "a/b-c.txt"}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `printf '%s\0' `+commandLine(words)).Output()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(words, strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")); diff != "" {
		t.Errorf("- want, + got\n%s", diff)
	}
}

// Whoever tests a QEMU of his own gets commands for that one.
func TestReproducedOnTheSameBuild(t *testing.T) {
	settings := Settings{QEMU: "/opt/my qemu", Endpoint: harness.Native}
	r := newRig(settings, nil, Item{Spec: &Spec{Subject: "lists", Name: "the list's end"}, Case: Case{Arch: "arm", Cores: 2, Dialect: harness.Packet}})
	defer current.Store(nil)
	got, err := r.reproduce()
	want := `mcdtest suite --qemu '/opt/my qemu' --endpoint native --arch arm --cores 2 --dialect packet --specs '^arm×2 packet lists: the list'\''s end$'`
	if err != nil || got != want {
		t.Errorf("%s, %v\nwant %s", got, err, want)
	}
}
