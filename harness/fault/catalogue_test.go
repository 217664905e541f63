// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"regexp"
	"strings"
	"testing"
)

func TestCatalogue(t *testing.T) {
	names, meanings := make(map[string]bool), make(map[string]string)
	form := regexp.MustCompile(`^[a-z]+(-[a-z0-9]+)*$`)
	for _, f := range Catalogue {
		if !form.MatchString(f.Name) || names[f.Name] {
			t.Errorf("%q is no name, or is there twice", f.Name)
		}
		names[f.Name] = true
		if f.Meaning == "" || strings.HasSuffix(f.Meaning, ".") || strings.ContainsAny(f.Meaning, "\n|") {
			t.Errorf("%s: %q is not a sentence of a table", f.Name, f.Meaning)
		}
		for _, d := range f.Dialects {
			if d != Packet && d != JSON {
				t.Errorf("%s: there is no dialect %q", f.Name, d)
			}
		}
		// Two faults may mean the same in different dialects.
		for _, d := range []string{Packet, JSON} {
			if other := meanings[d+f.Meaning]; f.In(d) && other != "" {
				t.Errorf("%s and %s mean the same: %s", f.Name, other, f.Meaning)
			}
			if f.In(d) {
				meanings[d+f.Meaning] = f.Name
			}
		}
		if (f.WrapTarget == nil) == (f.Conns == nil) {
			t.Errorf("%s sits in both places, or in none", f.Name)
		}
		if f.Conns != nil && len(f.Dialects) != 1 {
			t.Errorf("%s changes bytes, so it is of one dialect", f.Name)
		}
		if got, err := Lookup(f.Name); err != nil || got.Name != f.Name {
			t.Errorf("look up %s: %v", f.Name, err)
		}
	}
	if _, err := Lookup("no-such"); err == nil {
		t.Error("a fault that does not exist is found")
	}
}
