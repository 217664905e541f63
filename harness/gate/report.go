// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"fmt"
	"strings"

	"mcdtest/harness/result"
)

// Verdict is the outcome in one line.
func (c *Comparison) Verdict() string {
	switch n := c.Regressions(); {
	case c.Incomplete != "" && len(c.Findings) == 0:
		return "incomplete: " + c.Incomplete
	case c.Incomplete != "":
		return fmt.Sprintf("incomplete: %s; %s so far, not confirmed", c.Incomplete, plural(len(c.Findings), "difference"))
	case n == 1:
		return "1 regression"
	case n > 1:
		return fmt.Sprintf("%d regressions", n)
	case len(c.Findings) > 0:
		return fmt.Sprintf("no regression, %s", plural(len(c.Findings), "difference"))
	}
	return "no difference"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Where says what a finding is about: a spec, or a request and a field.
func (f Finding) Where() string {
	if f.Request == "" && f.Example == "" || f.Kind == Unsteady {
		return f.Specs[0]
	}
	name := f.Request
	if name == "" {
		name = "bytes that are no request"
	}
	where := f.Case + ", " + name
	if f.Field != "" {
		where += ", " + f.Field
	}
	return where
}

// Change says what it was and what it is.
func (f Finding) Change() (base, head string) {
	switch f.Kind {
	case Slower, Faster:
		return f.Base, fmt.Sprintf("%s, %.2f of base (within noise up to %.2f)", f.Head, f.Ratio, f.Noise)
	}
	if f.Request == "" && f.Example == "" {
		return orDash(f.Base), orDash(f.Head)
	}
	return orDash(brief(f.Base)), orDash(brief(f.Head))
}

func orDash(text string) string {
	if text == "" {
		return "—"
	}
	return text
}

// Extent says how often it was seen.
func (f Finding) Extent() string {
	if f.Request == "" && f.Example == "" || f.Kind == Unsteady {
		return ""
	}
	if f.Kind == Slower || f.Kind == Faster {
		return fmt.Sprintf("%s of %s", plural(f.Count, "pair"), plural(len(f.Specs), "spec"))
	}
	return fmt.Sprintf("%s in %s", plural(f.Count, "time"), plural(len(f.Specs), "spec"))
}

// Compares says what was compared.
func (c *Comparison) Compares() string {
	return fmt.Sprintf("%s compared, the conversations of %d, the latency of %s", plural(c.Compared, "spec"), c.Recorded, plural(c.Latency, "kind")+" of requests")
}

// Markdown is the comparison for a pull request.
func (c *Comparison) Markdown() string {
	var b strings.Builder
	mark := "✅"
	switch {
	case c.Incomplete != "":
		mark = "⚠️"
	case c.Regressions() > 0:
		mark = "❌"
	}
	fmt.Fprintf(&b, "## %s MCD gate: %s\n\n", mark, c.Verdict())
	b.WriteString("| | build | passed | failed | skipped | runs |\n|---|---|---:|---:|---:|---:|\n")
	for s, side := range []SideSummary{c.Base, c.Head} {
		fmt.Fprintf(&b, "| %v | %s | %d | %d | %d | %d |\n", Side(s), cell(side.Build.String()), side.Passed, side.Failed, side.Skipped, side.Runs)
	}
	fmt.Fprintf(&b, "\n%s.\n", c.Compares())
	for _, n := range c.Notes {
		fmt.Fprintf(&b, "Note: %s.\n", n)
	}
	c.table(&b, "Regressions", true)
	c.table(&b, "Other differences", false)
	return b.String()
}

func (c *Comparison) table(b *strings.Builder, title string, regression bool) {
	const most = 50
	n := 0
	for _, f := range c.Findings {
		if f.Regression != regression {
			continue
		}
		if n++; n == 1 {
			fmt.Fprintf(b, "\n### %s\n\n| what | where | base | head | seen |\n|---|---|---|---|---|\n", title)
		}
		if n > most {
			continue
		}
		base, head := f.Change()
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", f.Kind, cell(f.Where()), code(base), code(head), f.Extent())
	}
	if n > most {
		fmt.Fprintf(b, "\n%d more are in the JSON report.\n", n-most)
	}
}

// cell makes text fit for a cell of a Markdown table.
func cell(text string) string {
	text = strings.NewReplacer("\\", "\\\\", "|", "\\|", "<", "&lt;", "*", "\\*", "_", "\\_", "`", "\\`", "\n", " ").Replace(text)
	return text
}

// code is text in a fixed width, as a cell. A Markdown table takes a bar even in code for the end of a cell.
func code(text string) string {
	if text == "—" {
		return text
	}
	text = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "|", "&#124;", "\n", " ", "`", "&#96;", "*", "&#42;", "_", "&#95;", "\\", "&#92;", "[", "&#91;").Replace(text)
	return "<code>" + text + "</code>"
}

// line is a finding in a line of plain text, and the command that reproduces it in another.
func (f Finding) line() string {
	base, head := f.Change()
	text := fmt.Sprintf("%s: was %s, is %s", f.Where(), base, head)
	if e := f.Extent(); e != "" {
		text += " (" + e + ")"
	}
	if f.Evidence != nil && f.Evidence.Reproduce != "" {
		text += "\n    to reproduce: " + f.Evidence.Reproduce
	}
	return text + "\n"
}

// JUnit makes a JUnit report: a suite for each case, and in it a test for each kind of regression, so that the tests are
// the same ones in each run. The last test of a suite never fails; its output names the differences that fail no gate.
func (c *Comparison) JUnit() *result.JUnit {
	j := &result.JUnit{Name: "mcdtest gate"}
	for _, name := range c.Cases {
		suite := result.JUnitSuite{Name: name, Properties: []result.JUnitProperty{
			{Name: "base", Value: c.Base.Build.String()}, {Name: "head", Value: c.Head.Build.String()},
		}}
		for _, kind := range Kinds {
			if !kind.Regression() {
				continue
			}
			test := result.JUnitTest{Name: "nothing is: " + string(kind), Class: name}
			var text strings.Builder
			n := 0
			for _, f := range c.Findings {
				if f.Kind != kind || f.Case != name || !f.Regression {
					continue
				}
				n++
				text.WriteString(f.line())
			}
			if n > 0 {
				test.Failure = result.NewJUnitMessage(fmt.Sprintf("%s: %s", kind, plural(n, "finding")), text.String())
			}
			suite.Add(test)
		}
		other := result.JUnitTest{Name: "other differences", Class: name}
		for _, f := range c.Findings {
			if f.Case == name && !f.Regression {
				other.SystemOut += string(f.Kind) + ": " + f.line()
			}
		}
		suite.Add(other)
		j.Add(suite)
	}
	if c.Incomplete != "" {
		suite := result.JUnitSuite{Name: "the gate"}
		suite.Add(result.JUnitTest{Name: "it comes to its end", Class: "the gate", Failure: result.NewJUnitMessage("incomplete: "+c.Incomplete, "")})
		j.Add(suite)
	}
	return j
}
