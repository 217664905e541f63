// SPDX-License-Identifier: Apache-2.0

// Command vulnsort reads the JSON output of govulncheck and tells what this project can mend (a vulnerable module, by
// requiring a newer one) from what the builder can (the standard library, by using a newer Go). Only the former makes it
// fail, unless -std says that the Go is the one that go.mod names.
//
// It reads its standard input and imports nothing of this module.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// message is one value of the stream; see golang.org/x/vuln/internal/govulncheck.
type message struct {
	Config *struct {
		GoVersion string `json:"go_version"`
	} `json:"config"`
	OSV *struct {
		ID      string `json:"id"`
		Summary string `json:"summary"`
	} `json:"osv"`
	Finding *struct {
		OSV   string  `json:"osv"`
		Fixed string  `json:"fixed_version"`
		Trace []frame `json:"trace"`
	} `json:"finding"`
}

// frame is a step of a call; the first one of a trace is in what is vulnerable. It has a function only if that is called.
type frame struct {
	Module   string `json:"module"`
	Version  string `json:"version"`
	Package  string `json:"package"`
	Function string `json:"function"`
}

// finding is a vulnerability that is called.
type finding struct {
	id, where, fixed string
}

// findings is what the stream says, without the vulnerabilities that are not called.
type findings struct {
	goVersion    string
	summary      map[string]string
	modules, std map[finding]bool
	sawAConfig   bool
}

func read(r io.Reader) (*findings, error) {
	f := &findings{summary: map[string]string{}, modules: map[finding]bool{}, std: map[finding]bool{}}
	for d := json.NewDecoder(r); ; {
		var m message
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("read govulncheck's output: %w", err)
		}
		switch {
		case m.Config != nil:
			f.sawAConfig = true
			f.goVersion = m.Config.GoVersion
		case m.OSV != nil:
			f.summary[m.OSV.ID] = m.OSV.Summary
		case m.Finding != nil && len(m.Finding.Trace) > 0 && m.Finding.Trace[0].Function != "":
			at := m.Finding.Trace[0]
			if at.Module == "stdlib" {
				f.std[finding{m.Finding.OSV, at.Package, m.Finding.Fixed}] = true
			} else {
				f.modules[finding{m.Finding.OSV, at.Module + "@" + at.Version, m.Finding.Fixed}] = true
			}
		}
	}
	if !f.sawAConfig {
		return nil, errors.New("read govulncheck's output: it ends before it begins; govulncheck failed")
	}
	return f, nil
}

func (f *findings) print(w io.Writer) {
	show := func(what string, set map[finding]bool) {
		if len(set) == 0 {
			return
		}
		fmt.Fprintln(w, what)
		list := slices.SortedFunc(maps.Keys(set), func(a, b finding) int {
			return slices.Compare([]string{a.id, a.where}, []string{b.id, b.where})
		})
		for _, v := range list {
			fixed := "no version mends it"
			if v.fixed != "" {
				fixed = "mended in " + v.fixed
			}
			fmt.Fprintf(w, "  %s  %s: %s; %s\n", v.id, v.where, f.summary[v.id], fixed)
		}
	}
	show("Vulnerabilities in what this project requires and calls; require the newer version:", f.modules)
	show(fmt.Sprintf("Vulnerabilities in the standard library of %s, for whoever builds with it to mend with a newer Go:", f.goVersion), f.std)
	fmt.Fprintf(w, "%d in modules, %d in the standard library\n", len(f.modules), len(f.std))
}

// bad reports whether there is something for this project to mend. std says that the Go is the one that it names.
func (f *findings) bad(std bool) bool { return len(f.modules) > 0 || std && len(f.std) > 0 }

func main() {
	f, err := read(os.Stdin)
	if err != nil {
		fmt.Fprintf(os.Stderr, "vulnsort: %v\n", err)
		os.Exit(2)
	}
	f.print(os.Stdout)
	if f.bad(slices.Contains(os.Args[1:], "-std")) {
		os.Exit(1)
	}
}
