// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
