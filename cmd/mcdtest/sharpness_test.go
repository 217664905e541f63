// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcdtest/harness/fault"
)

// TestSharpness: a fault is noticed where it ought to be, and a table of which that cannot be said is out of date.
func TestSharpness(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	const by = "memory: a read gives what is there, whatever its length and alignment"
	r := mcdtest(t, nil, "sharpness", "--fault", "memory-reads-zeros", "-v")
	if r.status != 0 || strings.Count(r.out, by) != 2 || !strings.Contains(r.out, "2 of 2 noticed") || !strings.Contains(r.out, "2 of the specs passed and 0 failed") {
		t.Errorf("exit status %d:\n%s%s", r.status, r.out, r.errors)
	}

	table := filepath.Join(t.TempDir(), "table.md")
	row := "| `memory-reads-zeros` | a memory read returns zeros | memory: a variable is in the byte order of the machine | kill: no such spec |\n"
	if err := os.WriteFile(table, []byte(row), 0o666); err != nil {
		t.Fatal(err)
	}
	r = mcdtest(t, nil, "sharpness", "--fault", "memory-reads-zeros", "--check", table)
	if r.status != 1 || strings.Count(r.out, "and it is not") != 1 || !strings.Contains(r.out, `noticed by "kill: no such spec"`) ||
		!strings.Contains(r.out, "the fault memory-byte-order is missing") || !strings.Contains(r.out, "is out of date") {
		t.Errorf("exit status %d:\n%s%s", r.status, r.out, r.errors)
	}
}

func TestSharpnessList(t *testing.T) {
	t.Parallel()
	r := mcdtest(t, nil, "sharpness", "--list")
	if n := strings.Count(r.out, "\n"); r.status != 0 || n != len(fault.Catalogue) {
		t.Errorf("exit status %d, %d lines for %d faults:\n%s", r.status, n, len(fault.Catalogue), r.errors)
	}
}

func TestSharpnessBadInput(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--fault", "no-such"}, `there is no fault "no-such"; there are memory-reads-zeros, `},
		{[]string{"--fault", "ack-missing", "--dialect", "json"}, "do not show in the dialect json"},
		{[]string{"--fault", "ack-missing", "--write", "x"}, "leave out --fault"},
		{[]string{"--arch", "vax"}, "--arch=vax"},
		{[]string{"--check", "/none/sharpness.md"}, "/none/sharpness.md"},
		{[]string{"--qemu", "/none/qemu-system-arm"}, "/none/qemu-system-arm"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			t.Parallel()
			if c.args[0] == "--check" {
				needQEMU(t, "arm")
			}
			r := mcdtest(t, nil, append([]string{"sharpness"}, c.args...)...)
			if r.status != 2 || !strings.Contains(r.errors, c.want) || strings.Count(r.errors, "\n") != 1 {
				t.Errorf("exit status %d: %s", r.status, r.errors)
			}
		})
	}
}
