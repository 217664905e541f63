// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"strings"
	"testing"

	"mcdtest/harness/transcript"
)

func TestUnanswered(t *testing.T) {
	for text, want := range map[string]bool{
		"":                                                     false,
		"> $qsystem#|\n":                                       true,
		"> $qsystem#|\n< +\n":                                  true,
		"> $qsystem#|\n< +\n# VM STOP\n":                       true,
		"> $qsystem#|\n< +$qemu-system#|\n":                    false,
		"> $qsystem#|\n< +\n< $qemu-system#|\n":                false,
		"> $C1;0#|\n< +\n":                                     false,
		"> $m0;1#|$qsystem#|\n< +$error#|\n":                   true,
		"> $m0;1#|$qsystem#|\n< +$error#|+\n":                  true,
		"> $m0;1#|$qsystem#|\n< +$error#|+$qemu-system#|\n":    false,
		"> $C1;0#|$qsystem#|\n< ++$qemu-system#|\n":            false,
		"> $m0;1#|\n< +$error#|\n> $qsystem#|\n< +$\n":         false,
		"> $C1;0#|\n":                                          true,
		"> $qsystem#|\n< EOF\n":                                false,
		"> xyz\n":                                              false,
		"> {\"execute\":\"mcd-exit\"}\n":                       true,
		"> {\"execute\":\"mcd-exit\"}\n< {\"return\":{}}\\n\n": false,
	} {
		entries, err := transcript.Parse(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := unanswered(entries); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
