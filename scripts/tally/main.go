// SPDX-License-Identifier: Apache-2.0

// Command tally adds up test results: the JSON streams of "go test -json" and the JSON reports of Ginkgo. It prints
// every failure with its output or by name alone, then the totals as "N passed, N failed, N skipped" alone on the last line. The exit
// status is 1 if anything failed or if no test ran at all, 2 if a result cannot be read.
//
// It reads the files that it is given and imports nothing of this module.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// totals are the results of any number of tests.
type totals struct {
	passed, skipped int
	failures        []failure
}

// failure is one test or package that did not pass.
type failure struct {
	name   string
	output string
}

func (t *totals) add(o totals) {
	t.passed += o.passed
	t.skipped += o.skipped
	t.failures = append(t.failures, o.failures...)
}

func (t *totals) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", t.passed, len(t.failures), t.skipped)
}

func main() {
	failedChecks := flag.String("failed-checks", "", "names of checks that failed without a failed test, with spaces between; added to what failed")
	checksOnly := flag.Bool("checks-only", false, "no test was asked for: none having run is not a failure")
	names := flag.Bool("names", false, "print failures without their output, a line each")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: tally [flags] RESULT...\n\n"+
			"RESULT is the output of 'go test -json' or a report of 'ginkgo --json-report'.\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()

	var all totals
	for _, path := range flag.Args() {
		t, err := read(path)
		if err != nil {
			t.failures = append(t.failures, failure{name: "results " + path, output: err.Error()})
		}
		all.add(t)
	}
	ran := all.passed+len(all.failures) > 0
	for check := range strings.FieldsSeq(*failedChecks) {
		all.failures = append(all.failures, failure{name: "check " + check})
	}
	report(os.Stdout, all.failures, *names)
	fmt.Println(&all)
	if !ran && !*checksOnly {
		fmt.Fprintln(os.Stderr, "tally: no test ran")
		os.Exit(1)
	}
	if len(all.failures) > 0 {
		os.Exit(1)
	}
}

func report(w io.Writer, failures []failure, namesOnly bool) {
	for _, f := range failures {
		fmt.Fprintf(w, "--- failed: %s\n", f.name)
		if namesOnly || f.output == "" {
			continue
		}
		fmt.Fprintln(w, strings.TrimSuffix(f.output, "\n"))
	}
}

// read tells the two formats apart by their first byte: a Ginkgo report is one array, go test writes objects.
func read(path string) (totals, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return totals{}, err
	}
	trimmed := bytes.TrimSpace(data)
	switch {
	case len(trimmed) == 0:
		return totals{}, fmt.Errorf("is empty: the run that should have written it ended before its first test")
	case trimmed[0] == '[':
		return readGinkgo(trimmed)
	default:
		return readGoTest(bytes.NewReader(data))
	}
}
