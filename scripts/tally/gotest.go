// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is one line of "go test -json" (go doc test2json), with the build events of "go build -json".
type event struct {
	Action      string
	Package     string
	ImportPath  string // of a build event
	Test        string
	Output      string
	FailedBuild string
}

type testID struct{ pkg, test string } // test is empty for the package itself

// readGoTest counts tests and subtests. A package that fails without a failed test of its own (it does not build, its
// TestMain fails, the process dies) counts as one failure, and so does a test or package whose end is missing.
func readGoTest(r io.Reader) (totals, error) {
	var (
		t       totals
		order   []testID
		result  = map[testID]string{}
		output  = map[testID]*strings.Builder{}
		builds  = map[string]*strings.Builder{}
		failing = map[string]bool{} // packages with a failed test
		stray   strings.Builder
		why     = map[string]string{} // package to import path of the build that failed
	)
	note := func(m map[testID]*strings.Builder, id testID, text string) {
		if m[id] == nil {
			m[id] = new(strings.Builder)
		}
		m[id].WriteString(text)
	}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return totals{}, err
		}
		if strings.TrimSpace(line) != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
				stray.WriteString(line) // the go command itself, or the cut-off end of a killed run
			} else {
				id := testID{e.Package, e.Test}
				switch e.Action {
				case "start", "run":
					if _, seen := result[id]; !seen {
						order = append(order, id)
						result[id] = ""
					}
				case "pass", "fail", "skip":
					if _, seen := result[id]; !seen {
						order = append(order, id)
					}
					result[id] = e.Action
					if e.FailedBuild != "" {
						why[e.Package] = e.FailedBuild
					}
				case "output":
					note(output, id, e.Output)
				case "build-output":
					if builds[e.ImportPath] == nil {
						builds[e.ImportPath] = new(strings.Builder)
					}
					builds[e.ImportPath].WriteString(e.Output)
				}
			}
		}
		if err != nil {
			break
		}
	}
	text := func(id testID) string {
		if output[id] == nil {
			return ""
		}
		return output[id].String()
	}
	for _, id := range order {
		if id.test == "" {
			continue
		}
		switch result[id] {
		case "pass":
			t.passed++
		case "skip":
			t.skipped++
		case "fail":
			failing[id.pkg] = true
			t.failures = append(t.failures, failure{id.pkg + " " + id.test, text(id)})
		default:
			failing[id.pkg] = true
			t.failures = append(t.failures, failure{id.pkg + " " + id.test + " (it never ended)", text(id)})
		}
	}
	for _, id := range order {
		if id.test != "" || failing[id.pkg] {
			continue
		}
		switch result[id] {
		case "fail":
			said := text(id)
			if b := builds[why[id.pkg]]; b != nil {
				said = b.String() + said
			}
			t.failures = append(t.failures, failure{id.pkg, said})
		case "":
			t.failures = append(t.failures, failure{id.pkg + " (it never ended)", text(id)})
		}
	}
	if len(order) == 0 {
		return t, fmt.Errorf("holds no event of go test -json: %.300q", stray.String())
	}
	if stray.Len() > 0 && len(t.failures) > 0 {
		t.failures[0].output += stray.String()
	}
	slices.SortStableFunc(t.failures, func(a, b failure) int { return strings.Compare(a.name, b.name) })
	return t, nil
}
