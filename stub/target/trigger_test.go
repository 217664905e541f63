// SPDX-License-Identifier: Apache-2.0

package target

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestInserted(t *testing.T) {
	b := NewTriggers(2, 4, 4)
	add := func(core int, list ...Trigger) {
		t.Helper()
		for _, tr := range list {
			if _, err := b.Add(core, tr); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(0, Trigger{Write, 8}, Trigger{Exec, 8}, Trigger{Exec, 4}, Trigger{Exec, 8})
	add(1, Trigger{Exec, 6})
	for core, want := range map[int][]Trigger{
		0:        {{Exec, 4}, {Exec, 8}, {Exec, 8}, {Write, 8}},
		1:        {{Exec, 6}},
		AllCores: {{Exec, 4}, {Exec, 6}, {Exec, 8}, {Exec, 8}, {Write, 8}},
		2:        nil,
	} {
		if diff := cmp.Diff(want, b.Inserted(core)); diff != "" {
			t.Errorf("core %d (- want, + got):\n%s", core, diff)
		}
	}
	if _, err := b.Remove(0, Trigger{Exec, 8}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Trigger{{Exec, 4}, {Exec, 8}, {Write, 8}}, b.Inserted(0)); diff != "" {
		t.Errorf("after a removal (- want, + got):\n%s", diff)
	}
}
