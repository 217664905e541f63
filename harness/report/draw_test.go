// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"strings"
	"testing"

	"mcdtest/harness/result"
)

// What is said beside a drawing is not drawn, and long runs of the same request are cut in their middle.
func TestDrawingIsShort(t *testing.T) {
	var text strings.Builder
	text.WriteString("# mcdtest: arm packet topology: it is\n# qemu-system-arm 11.1.3, stub endpoint: qemu-system-arm -M virt\n")
	for i := range 100 {
		fmt.Fprintf(&text, "> $qregc%d#|\n< +$%d!id=%d.#|\n", i, i+1, i)
	}
	text.WriteString("# VM RESUME\n> $m0;4096;4#|\n< +$00000000#|\n")
	d := draw(&result.Evidence{Machines: []result.Machine{{Transcript: text.String()}}})[0]
	if n := len(d.Exchanges); n > 8 || d.Left > 0 {
		t.Fatalf("%d rows and %d before them", n, d.Left)
	}
	var notes []string
	for _, x := range d.Exchanges {
		if x.Note != "" {
			notes = append(notes, x.Note)
		}
	}
	last := d.Exchanges[len(d.Exchanges)-1]
	if len(notes) != 2 || !strings.HasSuffix(notes[0], " more") || notes[1] != "VM RESUME" || last.Request != "$m0;4096;4#|" || last.VM != "running" {
		t.Errorf("%q, %+v", notes, last)
	}
}
