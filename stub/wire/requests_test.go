// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, test := range []struct{ payload, name, rest string }{
		{"I", "I", ""}, {"I123", "I", "123"}, {"i0", "i", "0"}, {"m0;1;2;3", "m", "0;1;2;3"},
		{"qsystem", "qsystem", ""}, {"qsystemX", "qsystem", "X"}, {"qregf0", "qregf", "0"}, {"qreggroupf0", "qreggroupf", "0"},
		{"qregc1", "qregc", "1"}, {"qreggroupc1", "qreggroupc", "1"}, {"qresetf", "qresetf", ""}, {"qstate0", "qstate", "0"},
		{"", "", ""}, {"q", "", ""}, {"qsyste", "", ""}, {"qreg", "", ""}, {"qreg0", "", ""}, {"qreggroup", "", ""}, {"QSYSTEM", "", ""},
		{" I", "", ""}, {"x", "", ""}, {"z1;2;3", "", ""}, {"\x00I", "", ""},
	} {
		r, rest := Match([]byte(test.payload))
		switch {
		case r == nil && test.name != "":
			t.Errorf("%q is no request, want %s", test.payload, test.name)
		case r != nil && (r.Name != test.name || string(rest) != test.rest):
			t.Errorf("%q is %s and %q, want %q and %q", test.payload, r.Name, rest, test.name, test.rest)
		}
	}
	if n := testing.AllocsPerRun(100, func() { Match([]byte("qstate0")) }); n > 0 {
		t.Errorf("%v allocations for a match", n)
	}
}

// The table relies on this, and so do those who generate from it.
func TestTheTableIsSound(t *testing.T) {
	for i, r := range Requests {
		for j, other := range Requests {
			if i != j && strings.HasPrefix(other.Name, r.Name) {
				t.Errorf("%s is the beginning of %s", r.Name, other.Name)
			}
		}
		optional := false
		for k, a := range r.Args {
			if optional && !a.Optional {
				t.Errorf("%s: %s comes behind an optional argument", r.Name, a.Name)
			}
			optional = optional || a.Optional
			if a.Kind == Data && k != len(r.Args)-1 {
				t.Errorf("%s: data is not the last argument", r.Name)
			}
		}
		if r.Meaning == "" {
			t.Errorf("%s has no meaning", r.Name)
		}
	}
}
