// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"slices"

	"mcdtest/harness/coverage"
	"mcdtest/harness/result"
	"mcdtest/stub/jsonwire"
	"mcdtest/stub/wire"
)

// dialectCoverage is what of a dialect was exercised, and what was not.
type dialectCoverage struct {
	*coverage.Dialect
	Rows    []requestCoverage
	Missing int
}

type requestCoverage struct {
	Name, Meaning string
	coverage.Request
}

// cover goes through all conversations that were kept.
func cover(specs []result.Spec) []dialectCoverage {
	var c coverage.Coverage
	for _, s := range specs {
		c.Add(s)
	}
	return tables(c)
}

// tables puts what was exercised beside what there is.
func tables(c coverage.Coverage) []dialectCoverage {
	var list []dialectCoverage
	for _, d := range c {
		if d.Recorded == 0 {
			continue
		}
		t := dialectCoverage{Dialect: d}
		add := func(name, meaning string) {
			row := requestCoverage{Name: name, Meaning: meaning}
			if r := d.Requests[name]; r != nil {
				row.Request = *r
			} else {
				t.Missing++
			}
			t.Rows = append(t.Rows, row)
		}
		if d.Name == "packet" {
			for _, r := range wire.Requests {
				add(r.Name, r.Meaning)
			}
		} else {
			for _, r := range jsonwire.Commands {
				add(r.Name, r.Meaning)
			}
		}
		list = append(list, t)
	}
	slices.SortStableFunc(list, func(a, b dialectCoverage) int { return -cmp.Compare(a.Name, b.Name) }) // the older one first
	return list
}
