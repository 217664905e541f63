// SPDX-License-Identifier: Apache-2.0

package sharpness

import (
	"fmt"
	"os"
	"strings"

	"mcdtest/harness/fault"
)

// Document is the table of docs/sharpness.md.
type Document struct {
	Rows []Row
}

// Row is what the document says of a fault.
type Row struct {
	Name, Meaning string
	By            map[string]string // dialect → title of the spec that notices it; "" is for dialects that it does not show in
}

// NewDocument makes a document of the verdicts on all trials of the catalogue.
func NewDocument(verdicts []Verdict) Document {
	by := make(map[string]map[string]string)
	for _, v := range verdicts {
		if by[v.Fault.Name] == nil {
			by[v.Fault.Name] = make(map[string]string)
		}
		by[v.Fault.Name][v.Dialect] = v.By
	}
	var d Document
	for _, f := range fault.Catalogue {
		d.Rows = append(d.Rows, Row{f.Name, f.Meaning, by[f.Name]})
	}
	return d
}

const head = `# Sharpness of the suite

Written by ` + "`make sharpness`" + `; do not edit.

A suite that passes on a stub proves something only if it fails on a bad one. Package ` + "`harness/fault`" + ` has a catalogue of bad
ones: deliberate defects that sit inside the stub's Target or on the connection to it. For each of them, in each dialect that
it shows in, this table names the spec that notices it: the first that fails when the specs run in their order, those first
where the defect ought to be noticed.

` + "`make sharpness`" + ` puts every fault in place, prints which spec notices it first, fails if one goes unnoticed or if a spec that it
ran fails without a fault, and writes this table. ` + "`scripts/checks/sharpness`" + ` does the same and makes sure that the specs named here notice their
faults. To look at one: ` + "`bin/mcdtest sharpness --fault NAME -v`" + `.
`

// Format is the text of the document.
func (d Document) Format() string {
	var b strings.Builder
	trials := 0
	for _, r := range d.Rows {
		trials += len(r.By)
	}
	b.WriteString(head)
	fmt.Fprintf(&b, "\n%d faults, %d with the dialects counted apart.\n", len(d.Rows), trials)
	b.WriteString("\n| fault | what is wrong | noticed by (packet) | noticed by (JSON) |\n|---|---|---|---|\n")
	for _, r := range d.Rows {
		fmt.Fprintf(&b, "| `%s` | %s |", r.Name, escape(r.Meaning))
		for _, dialect := range Dialects {
			by := "–"
			if v, ok := r.By[dialect]; ok {
				by = escape(v)
			}
			fmt.Fprintf(&b, " %s |", by)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func escape(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// Open reads a document.
func Open(path string) (Document, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Document{}, err
	}
	d, err := Parse(string(text))
	if err != nil {
		return Document{}, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// Parse reads the text of a document.
func Parse(text string) (Document, error) {
	var d Document
	for i, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		line = strings.ReplaceAll(line, `\|`, "\x00")
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if len(cells) != 2+len(Dialects) {
			return d, fmt.Errorf("line %d: %d cells instead of %d", i+1, len(cells), 2+len(Dialects))
		}
		for c := range cells {
			cells[c] = strings.ReplaceAll(strings.TrimSpace(cells[c]), "\x00", "|")
		}
		r := Row{Name: strings.Trim(cells[0], "`"), Meaning: cells[1], By: make(map[string]string)}
		for c, dialect := range Dialects {
			if by := cells[2+c]; by != "–" {
				r.By[dialect] = by
			}
		}
		d.Rows = append(d.Rows, r)
	}
	return d, nil
}

// By is the spec that is said to notice the fault of a trial, or empty.
func (d Document) By(t Trial) string {
	for _, r := range d.Rows {
		if r.Name == t.Fault.Name {
			return r.By[t.Dialect]
		}
	}
	return ""
}

// Differences says what of a document is not as the catalogue has it. Which specs notice the faults is not looked at, but
// there must be some.
func (d Document) Differences() []string {
	var list []string
	rows := make(map[string]Row)
	for _, r := range d.Rows {
		rows[r.Name] = r
	}
	for i, f := range fault.Catalogue {
		r, ok := rows[f.Name]
		if !ok {
			list = append(list, fmt.Sprintf("the fault %s is missing", f.Name))
			continue
		}
		delete(rows, f.Name)
		if i < len(d.Rows) && d.Rows[i].Name != f.Name {
			list = append(list, fmt.Sprintf("row %d is %s, to be %s", i+1, d.Rows[i].Name, f.Name))
		}
		if r.Meaning != f.Meaning {
			list = append(list, fmt.Sprintf("%s is said to mean %q, and means %q", f.Name, r.Meaning, f.Meaning))
		}
		for _, dialect := range Dialects {
			if _, ok := r.By[dialect]; ok != f.In(dialect) {
				list = append(list, fmt.Sprintf("%s, %s: a spec is named: %v; the fault shows in the dialect: %v", f.Name, dialect, ok, f.In(dialect)))
			} else if ok && r.By[dialect] == "" {
				list = append(list, fmt.Sprintf("%s, %s: no spec is named", f.Name, dialect))
			}
		}
	}
	for name := range rows {
		list = append(list, fmt.Sprintf("there is no fault %s any more", name))
	}
	return list
}
