// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// suiteReport is the part of a suite in Ginkgo's JSON report that is counted.
type suiteReport struct {
	SuiteDescription           string
	SuiteSucceeded             bool
	SpecialSuiteFailureReasons []string
	SpecReports                []struct {
		ContainerHierarchyTexts    []string
		LeafNodeType               string
		LeafNodeText               string
		State                      string
		CapturedGinkgoWriterOutput string
		Failure                    struct {
			Message  string
			Location struct {
				FileName   string
				LineNumber int
			}
		}
	}
}

// readGinkgo counts specs. A setup or tear-down node counts only if it failed, a suite that did not succeed although
// nothing in it failed (interrupted, no spec selected) as one failure.
func readGinkgo(data []byte) (totals, error) {
	var suites []suiteReport
	if err := json.Unmarshal(data, &suites); err != nil {
		return totals{}, fmt.Errorf("is no report of Ginkgo: %w", err)
	}
	var t totals
	for _, s := range suites {
		before := len(t.failures)
		for _, r := range s.SpecReports {
			switch r.State {
			case "passed":
				if r.LeafNodeType == "It" {
					t.passed++
				}
			case "skipped", "pending":
				if r.LeafNodeType == "It" {
					t.skipped++
				}
			default:
				words := append([]string{s.SuiteDescription}, r.ContainerHierarchyTexts...)
				if r.LeafNodeType != "It" {
					words = append(words, "["+r.LeafNodeType+"]")
				}
				words = append(words, r.LeafNodeText)
				t.failures = append(t.failures, failure{
					name: strings.TrimSpace(strings.Join(words, " ")),
					output: fmt.Sprintf("%s: %s\n%s:%d\n%s", r.State, r.Failure.Message,
						r.Failure.Location.FileName, r.Failure.Location.LineNumber, r.CapturedGinkgoWriterOutput),
				})
			}
		}
		if !s.SuiteSucceeded && len(t.failures) == before {
			t.failures = append(t.failures, failure{s.SuiteDescription, strings.Join(s.SpecialSuiteFailureReasons, "\n")})
		}
	}
	return t, nil
}
