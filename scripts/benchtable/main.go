// SPDX-License-Identifier: Apache-2.0

// Command benchtable puts the results of the benchmarks into a document: what stands between the lines
// "<!-- results -->" and "<!-- /results -->" is replaced. It reads the output of `go test -bench`, writes that one file and
// touches nothing else.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"

	"mcdtest/harness/bench"
)

const begin, end = "<!-- results -->\n", "<!-- /results -->\n"

func main() {
	on := flag.String("on", "", "what the results were made on; a line above the table")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: benchtable [-on TEXT] RESULTS DOCUMENT")
		os.Exit(2)
	}
	if err := replace(flag.Arg(0), flag.Arg(1), *on); err != nil {
		fmt.Fprintln(os.Stderr, "benchtable:", err)
		os.Exit(1)
	}
}

func replace(results, document, on string) error {
	in, err := os.Open(results)
	if err != nil {
		return err
	}
	defer in.Close()
	res, err := bench.Parse(in)
	if err != nil {
		return err
	}
	if len(res.Names) == 0 {
		return fmt.Errorf("%s has no results; did the benchmarks run?", results)
	}
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	head, rest, ok := bytes.Cut(text, []byte(begin))
	_, tail, closed := bytes.Cut(rest, []byte(end))
	if !ok || !closed {
		return fmt.Errorf("%s has no lines %q and %q to put the results between", document, begin, end)
	}
	var out bytes.Buffer
	out.Write(head)
	out.WriteString(begin)
	if on != "" {
		fmt.Fprintf(&out, "%s\n\n", on)
	}
	if err := res.Table(&out); err != nil {
		return err
	}
	out.WriteString(end)
	out.Write(tail)
	return os.WriteFile(document, out.Bytes(), 0o644)
}
