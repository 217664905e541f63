// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

const stream = `
{"config":{"go_version":"go1.26.8"}}
{"osv":{"id":"GO-1","summary":"one"}}
{"osv":{"id":"GO-2","summary":"two"}}
{"osv":{"id":"GO-3","summary":"three"}}
{"finding":{"osv":"GO-1","fixed_version":"v1.26.9","trace":[{"module":"stdlib","version":"v1.26.8","package":"net/http","function":"Get"},{"module":"mcdtest"}]}}
{"finding":{"osv":"GO-1","fixed_version":"v1.26.9","trace":[{"module":"stdlib","version":"v1.26.8","package":"net/http","function":"Post"}]}}
{"finding":{"osv":"GO-2","trace":[{"module":"example.org/m","version":"v1.0.0","package":"example.org/m"}]}}
`

func TestRead(t *testing.T) {
	for _, tc := range []struct {
		name, stream string
		modules, std int
		printed      string
	}{
		{"the standard library, called twice, and a module that is not called", stream, 0, 1,
			"  GO-1  net/http: one; mended in v1.26.9\n"},
		{"a module that is called", stream + `{"finding":{"osv":"GO-3","trace":[{"module":"example.org/m","version":"v1.0.0","package":"example.org/m","function":"F"}]}}`, 1, 1,
			"  GO-3  example.org/m@v1.0.0: three; no version mends it\n"},
		{"nothing", `{"config":{"go_version":"go1.26.8"}}`, 0, 0, "0 in modules, 0 in the standard library\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, err := read(strings.NewReader(tc.stream))
			if err != nil {
				t.Fatal(err)
			}
			if len(f.modules) != tc.modules || len(f.std) != tc.std {
				t.Errorf("%d in modules and %d in the standard library, want %d and %d", len(f.modules), len(f.std), tc.modules, tc.std)
			}
			if got := f.bad(false); got != (tc.modules > 0) {
				t.Errorf("with any Go: bad is %v", got)
			}
			if got := f.bad(true); got != (tc.modules+tc.std > 0) {
				t.Errorf("with the Go of go.mod: bad is %v", got)
			}
			var out strings.Builder
			f.print(&out)
			if !strings.Contains(out.String(), tc.printed) {
				t.Errorf("printed\n%s\nwithout\n%s", out.String(), tc.printed)
			}
		})
	}
}

func TestReadRefusesWhatIsNoOutput(t *testing.T) {
	for _, s := range []string{"", "govulncheck: no go.mod file\n", `{"config":`} {
		if _, err := read(strings.NewReader(s)); err == nil {
			t.Errorf("%q was taken for output of govulncheck", s)
		}
	}
}
