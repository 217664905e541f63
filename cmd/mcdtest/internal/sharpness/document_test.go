// SPDX-License-Identifier: Apache-2.0

package sharpness

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcdtest/guest"
	"mcdtest/harness"
	"mcdtest/harness/fault"
	"mcdtest/suites"
)

// TestDocumentIsCurrent: docs/sharpness.md has the catalogue's faults, and the specs that it names exist. Whether those
// notice the faults is for `make sharpness` to find out.
func TestDocumentIsCurrent(t *testing.T) {
	const path = "../../../../docs/sharpness.md"
	doc, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range doc.Differences() {
		t.Errorf("%s: %s; write it anew with mcdtest sharpness --write", path, d)
	}
	titles := titles(t)
	for _, r := range doc.Rows {
		for dialect, by := range r.By {
			if !titles[dialect+" "+by] {
				t.Errorf("%s: there is no spec %q for the dialect %s, which is to notice %s", path, by, dialect, r.Name)
			}
		}
	}
}

// titles are the titles of all specs, behind their dialects.
func titles(t *testing.T) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	for _, d := range []harness.Dialect{harness.Packet, harness.JSON} {
		items, err := suites.Items(suites.Settings{Archs: guest.Architectures(), Cores: []int{1, 2}, Dialects: []harness.Dialect{d}})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range items {
			all[string(d)+" "+i.Title()] = true
		}
	}
	return all
}

// TestSubjects: each fault names subjects that have specs in each of its dialects, taken together.
func TestSubjects(t *testing.T) {
	all := titles(t)
	for _, f := range fault.Catalogue {
		if len(f.Subjects) == 0 {
			t.Errorf("%s names no subjects", f.Name)
		}
		for _, s := range f.Subjects {
			if !slices.ContainsFunc(Dialects, func(d string) bool { return hasSubject(all, d, s) }) {
				t.Errorf("%s: there are no specs of %q", f.Name, s)
			}
		}
		for _, d := range Dialects {
			if f.In(d) && !slices.ContainsFunc(f.Subjects, func(s string) bool { return hasSubject(all, d, s) }) {
				t.Errorf("%s: none of its subjects has specs for the dialect %s", f.Name, d)
			}
		}
	}
}

func hasSubject(titles map[string]bool, dialect, subject string) bool {
	for title := range titles {
		if strings.HasPrefix(title, dialect+" "+subject+": ") {
			return true
		}
	}
	return false
}

// verdicts are as if every trial had been noticed by one spec.
func verdicts(t *testing.T, by string) []Verdict {
	t.Helper()
	trials, err := Plan(nil)
	if err != nil {
		t.Fatal(err)
	}
	var list []Verdict
	for _, trial := range trials {
		list = append(list, Verdict{Trial: trial, By: by})
	}
	return list
}

func TestDocument(t *testing.T) {
	const by = "memory: a spec with | in its name"
	doc := NewDocument(verdicts(t, by))
	if d := doc.Differences(); len(d) > 0 {
		t.Errorf("a new document differs from the catalogue: %s", d)
	}
	text := doc.Format()
	again, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(doc, again); diff != "" {
		t.Errorf("read back (-written +read):\n%s", diff)
	}
	trials, err := Plan([]string{fault.Catalogue[0].Name})
	if err != nil {
		t.Fatal(err)
	}
	for _, trial := range trials {
		if got := again.By(trial); got != by {
			t.Errorf("%v is noticed by %q", trial, got)
		}
	}
}

func TestDifferences(t *testing.T) {
	first := fault.Catalogue[0]
	for _, c := range []struct {
		name   string
		change func(d *Document)
		want   string
	}{
		{"a fault is missing", func(d *Document) { d.Rows = d.Rows[1:] }, "the fault " + first.Name + " is missing"},
		{"one more", func(d *Document) { d.Rows = append(d.Rows, Row{Name: "no-such"}) }, "there is no fault no-such"},
		{"another meaning", func(d *Document) { d.Rows[0].Meaning = "x" }, first.Name + ` is said to mean "x"`},
		{"another order", func(d *Document) { d.Rows[0], d.Rows[1] = d.Rows[1], d.Rows[0] }, "row 1 is"},
		{"a dialect is missing", func(d *Document) { delete(d.Rows[0].By, fault.Packet) }, first.Name + ", packet"},
		{"no spec", func(d *Document) { d.Rows[0].By[fault.Packet] = "" }, "no spec is named"},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc := NewDocument(verdicts(t, "memory: x"))
			c.change(&doc)
			if got := strings.Join(doc.Differences(), "\n"); !strings.Contains(got, c.want) {
				t.Errorf("differences: %q; want one with %q", got, c.want)
			}
		})
	}
	if _, err := Parse("| `x` | a | b |"); err == nil {
		t.Error("a row with too few cells is taken")
	}
}

func TestPlan(t *testing.T) {
	if _, err := Plan([]string{"no-such"}); err == nil || !strings.Contains(err.Error(), fault.Catalogue[0].Name) {
		t.Errorf("a fault that does not exist: %v", err)
	}
	trials, err := Plan([]string{"ack-missing", "step-of-two"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, trial := range trials {
		got = append(got, trial.String())
	}
	if diff := cmp.Diff([]string{"ack-missing (packet)", "step-of-two (packet)", "step-of-two (json)"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
