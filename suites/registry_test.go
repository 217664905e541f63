// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"testing"

	"mcdtest/guest"
	"mcdtest/harness"
)

// Every subject has a fast spec in each dialect, and on each architecture, that it has specs in at all.
func TestEverySubjectHasAFastSpec(t *testing.T) {
	type key struct {
		arch, subject string
		dialect       harness.Dialect
	}
	for _, arch := range guest.Architectures() {
		has := make(map[key]bool)
		fast := make(map[key]bool)
		items, err := Items(Settings{Archs: []string{arch}, Cores: []int{1}, Dialects: []harness.Dialect{harness.Packet, harness.JSON}})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range items {
			k := key{arch, i.Spec.Subject, i.Case.Dialect}
			has[k] = true
			fast[k] = fast[k] || i.Spec.Fast
		}
		for k := range has {
			if !fast[k] {
				t.Errorf("%s, %s dialect: no spec of the subject %q is fast", k.arch, k.dialect, k.subject)
			}
		}
	}
}
