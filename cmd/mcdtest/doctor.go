// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"

	"mcdtest/cmd/mcdtest/internal/doctor"
	"mcdtest/cmd/mcdtest/internal/term"
)

type doctorCmd struct {
	JSON bool `name:"json" help:"Print one JSON object instead."`
}

func (doctorCmd) Help() string {
	return `Shows which QEMU builds are found, for which architectures, in which version, whether they have -mcd themselves and which dialect it
speaks; which tools for building guests and images are there; whether what the tests do is permitted here; for each lack what
to do about it; and what a stock QEMU cannot do, so that mcdtest's stub answers it as unimplemented. Nothing is changed.
The exit status is 0 if "mcdtest run" can work, 1 if it cannot.

Examples:
  mcdtest doctor
  MCDTEST_QEMU=~/qemu/build mcdtest doctor --json`
}

func (c *doctorCmd) Run(ctx context.Context, con *console) error {
	r := doctor.Examine(ctx)
	if c.JSON {
		e := json.NewEncoder(con.out)
		e.SetIndent("", "  ")
		if err := e.Encode(r); err != nil {
			return err
		}
	} else {
		showDoctor(con, r)
	}
	if !r.OK {
		return failed(statusFailed)
	}
	return nil
}

func showDoctor(con *console, r *doctor.Report) {
	s := con.style
	fmt.Fprintln(con.out, s.Bold("mcdtest"), version())
	fmt.Fprintln(con.out)
	for _, section := range r.Sections {
		fmt.Fprintln(con.out, s.Bold(section.Name))
		for _, f := range section.Findings {
			mark := s.Good("ok     ")
			switch f.Level {
			case doctor.Lack:
				mark = s.Warn("missing")
			case doctor.Broken:
				mark = s.Bad("broken ")
			case doctor.Never:
				mark = s.Dim("no     ")
			}
			fmt.Fprintf(con.out, "  %s %s %s\n", mark, term.Pad(f.Name, 22), f.Text)
			if f.Advice != "" {
				fmt.Fprintf(con.out, "          %s %s\n", term.Pad("", 22), s.Dim("→ "+f.Advice))
			}
		}
		fmt.Fprintln(con.out)
	}
	if r.OK {
		fmt.Fprintln(con.out, s.Good("mcdtest run can work here."))
	} else {
		fmt.Fprintln(con.out, s.Bad("mcdtest run cannot work here yet: see above."))
	}
}
