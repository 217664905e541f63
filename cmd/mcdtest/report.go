// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"mcdtest/harness/gate"
	"mcdtest/harness/report"
	"mcdtest/harness/result"
)

type reportCmd struct {
	Files []string `arg:"" name:"file" help:"Results of mcdtest suite --out, or one comparison of mcdtest gate --out."`
	Out   string   `short:"o" default:"report.html" placeholder:"FILE" help:"Write the page here; - is the standard output."`
	Merge string   `placeholder:"FILE" help:"Join the shards of a run, and write the joined result here as well."`
}

func (reportCmd) Help() string {
	return `Makes one HTML page of a run or of a gate: the outcome first, then each failure with what was expected, what was seen, the packets
drawn beside the state of the machine, and a command that shows it alone. The page needs no network and no other file.

Several files are the shards of one run; they are joined, and the joined result equals that of a run in one piece. With --merge the exit
status is 2 if a part is missing or unfinished.

Examples:
  mcdtest report result.jsonl
  mcdtest report gate.json -o gate.html
  mcdtest report part1.jsonl part2.jsonl part3.jsonl --merge result.jsonl`
}

func (c *reportCmd) Run(_ context.Context, con *console) error {
	if len(c.Files) == 1 && c.Merge == "" {
		comparison, err := openComparison(c.Files[0])
		if err != nil {
			return err
		}
		if comparison != nil {
			return c.write(con, func(w io.Writer) error { return report.Gate(w, comparison) })
		}
	}
	var parts []*result.Result
	for _, name := range c.Files {
		r, err := result.Open(name)
		if err != nil {
			return err
		}
		parts = append(parts, r)
	}
	whole := parts[0]
	if len(parts) > 1 || c.Merge != "" {
		var err error
		if whole, err = result.Merge(parts); err != nil {
			return err
		}
	}
	if c.Merge != "" {
		if err := whole.Write(c.Merge); err != nil {
			return err
		}
	}
	if err := c.write(con, func(w io.Writer) error { return report.Run(w, whole) }); err != nil {
		return err
	}
	if none := whole.NothingApplies(); none != "" && c.Merge != "" {
		return errors.New(none)
	}
	if why := whole.Incomplete(); why != "" {
		fmt.Fprintf(con.err, "the run is incomplete: %s\n", why)
		if c.Merge != "" {
			return failed(statusCannotRun) // a job that joins shards must not stay green
		}
	}
	return nil
}

// openComparison reads what gate --out has written; nil if the file is something else.
func openComparison(name string) (*gate.Comparison, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, errors.Unwrap(err))
	}
	var probe struct {
		Format   int              `json:"format"`
		Findings *json.RawMessage `json:"findings"`
	}
	if err := json.Unmarshal(text, &probe); err != nil && bytes.HasPrefix(text, []byte("{\n")) { // a result has more in its first line
		return nil, fmt.Errorf("%s is a damaged comparison, or was cut short: %w", name, err)
	} else if err != nil || probe.Findings == nil {
		return nil, nil
	}
	if probe.Format > gate.ComparisonFormat {
		return nil, fmt.Errorf("%s is a comparison in format %d, and this mcdtest knows formats up to %d: use a newer mcdtest", name, probe.Format, gate.ComparisonFormat)
	}
	c := new(gate.Comparison)
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("%s is a damaged comparison: %w", name, err)
	}
	return c, nil
}

// write makes the page before the file is touched, and puts it in place in one step.
func (c *reportCmd) write(con *console, make func(io.Writer) error) error {
	var page bytes.Buffer
	if err := make(&page); err != nil {
		return err
	}
	if c.Out == "-" {
		_, err := con.out.Write(page.Bytes())
		return err
	}
	if fi, err := os.Stat(c.Out); err == nil && !fi.Mode().IsRegular() {
		// A device or a pipe is written to; replacing it would be the end of it.
		file, err := os.OpenFile(c.Out, os.O_WRONLY, 0)
		if err == nil {
			_, err = file.Write(page.Bytes())
			err = errors.Join(err, file.Close())
		}
		if err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
		return nil
	}
	if err := replaceFile(c.Out, page.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the report %s: %w", c.Out, err)
	}
	fmt.Fprintf(con.err, "report: %s\n", c.Out)
	return nil
}
