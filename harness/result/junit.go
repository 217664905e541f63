// SPDX-License-Identifier: Apache-2.0

package result

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// JUnit is a report in the format that CI systems read.
type JUnit struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Time     seconds      `xml:"time,attr"`
	Suites   []JUnitSuite `xml:"testsuite"`
}

// seconds has no more digits than anybody reads.
type seconds float64

func (s seconds) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%.3f", float64(s)), nil }

// JUnitSuite is a group of tests.
type JUnitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       seconds         `xml:"time,attr"`
	Timestamp  string          `xml:"timestamp,attr,omitempty"`
	Properties []JUnitProperty `xml:"properties>property,omitempty"`
	Cases      []JUnitTest     `xml:"testcase"`
}

// JUnitProperty is a fact about a suite.
type JUnitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

// JUnitTest is one test.
type JUnitTest struct {
	Name      string        `xml:"name,attr"`
	Class     string        `xml:"classname,attr"`
	Time      seconds       `xml:"time,attr"`
	Failure   *JUnitMessage `xml:"failure"`
	Skipped   *JUnitMessage `xml:"skipped"`
	SystemOut string        `xml:"system-out,omitempty"`
	SystemErr string        `xml:"system-err,omitempty"`
}

// JUnitMessage says why.
type JUnitMessage struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// NewJUnitMessage makes a message of any text.
func NewJUnitMessage(message, text string) *JUnitMessage {
	return &JUnitMessage{xmlText(message), xmlText(text)}
}

// Add puts a test into a suite.
func (s *JUnitSuite) Add(t JUnitTest) {
	s.Tests++
	s.Time += t.Time
	if t.Failure != nil {
		s.Failures++
	}
	if t.Skipped != nil {
		s.Skipped++
	}
	s.Cases = append(s.Cases, t)
}

// Add puts a suite into a report.
func (j *JUnit) Add(s JUnitSuite) {
	j.Tests += s.Tests
	j.Failures += s.Failures
	j.Skipped += s.Skipped
	j.Time += s.Time
	j.Suites = append(j.Suites, s)
}

// Write writes a report to a file.
func (j *JUnit) Write(name string) error {
	text, err := xml.MarshalIndent(j, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	text = append([]byte(xml.Header), append(text, '\n')...)
	if err := os.WriteFile(name, text, 0o666); err != nil {
		return fmt.Errorf("write the JUnit report to %s: %w", name, cause(err))
	}
	return nil
}

// transcriptLines is how much of a conversation a JUnit report quotes.
const transcriptLines = 40

// JUnit makes a JUnit report of a result: a suite for each case. An expected failure counts as skipped, since the format
// has nothing else for it; an unexpected pass is a failure.
func (r *Result) JUnit() *JUnit {
	sorted := &Result{Specs: append([]Spec(nil), r.Specs...)}
	sorted.Sort()
	j := &JUnit{Name: "mcdtest"}
	var names []string
	suites := make(map[string]*JUnitSuite)
	for _, s := range sorted.Specs {
		name, _, _ := strings.Cut(s.ID, " "+s.Subject+": ")
		suite := suites[name]
		if suite == nil {
			suite = &JUnitSuite{Name: name, Timestamp: r.Header.Started.UTC().Format(time.RFC3339)}
			suite.Properties = []JUnitProperty{
				{"build", r.Header.Build.Label}, {"qemu", r.Header.Build.Versions[s.Arch]}, {"path", r.Header.Build.Paths[s.Arch]},
			}
			if r.Header.Build.Endpoint != "" {
				suite.Properties = append(suite.Properties, JUnitProperty{"endpoint", r.Header.Build.Endpoint})
			}
			suites[name] = suite
			names = append(names, name)
		}
		suite.Add(s.junit(name))
	}
	for _, name := range names {
		j.Add(*suites[name])
	}
	return j
}

func (s Spec) junit(class string) JUnitTest {
	t := JUnitTest{Name: strings.TrimPrefix(s.ID, class+" "), Class: class, Time: seconds(s.Took.Seconds())}
	if s.Round > 1 {
		t.Name += fmt.Sprintf(" (round %d)", s.Round)
	}
	switch {
	case s.Outcome == Passed && s.Expected != "":
		t.Failure = NewJUnitMessage("passed, but was expected to fail: "+s.Expected, "")
	case s.Outcome == Failed && s.Expected != "":
		t.Skipped = NewJUnitMessage("failed as expected: "+s.Expected, s.Failure)
	case s.Outcome == Failed:
		t.Failure = NewJUnitMessage(s.Headline(), s.Failure+"\n"+s.Location)
	case s.Outcome == Skipped:
		t.Skipped = NewJUnitMessage(s.Reason, "")
	case s.Outcome == Interrupted: // nothing is known of it
		t.Skipped = NewJUnitMessage("interrupted: "+s.Headline(), s.Failure)
	}
	t.SystemErr = xmlText(s.Process)
	if s.Evidence == nil || t.Failure == nil && t.Skipped == nil {
		return t
	}
	var out, stderr bytes.Buffer
	if s.Evidence.Reproduce != "" {
		fmt.Fprintf(&out, "to reproduce: %s\n", s.Evidence.Reproduce)
	}
	for _, m := range s.Evidence.Machines {
		fmt.Fprintf(&out, "%s\n", strings.Join(m.Command, " "))
		lines := strings.SplitAfter(m.Transcript, "\n")
		if n := len(lines); n > transcriptLines {
			lines = lines[n-transcriptLines:]
		}
		out.WriteString(strings.Join(lines, ""))
		if m.Stderr != "" {
			fmt.Fprintln(&stderr, m.Stderr)
		}
	}
	t.SystemOut = xmlText(out.String())
	t.SystemErr += xmlText(stderr.String())
	return t
}

// xmlText takes out what XML cannot hold at all.
func xmlText(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < ' ' || r == utf8.RuneError || r == 0xfffe || r == 0xffff:
			return '?'
		}
		return r
	}, text)
}
