// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	for _, tc := range []struct {
		name, data string
		want       string
		failures   []string // in order; each is "name: a piece of the output"
	}{
		{
			name: "go test with subtests",
			data: `{"Action":"start","Package":"m/a"}
{"Action":"run","Package":"m/a","Test":"TestX"}
{"Action":"run","Package":"m/a","Test":"TestX/one"}
{"Action":"output","Package":"m/a","Test":"TestX/one","Output":"    x_test.go:9: got 2\n"}
{"Action":"fail","Package":"m/a","Test":"TestX/one"}
{"Action":"fail","Package":"m/a","Test":"TestX"}
{"Action":"run","Package":"m/a","Test":"TestY"}
{"Action":"pass","Package":"m/a","Test":"TestY"}
{"Action":"run","Package":"m/a","Test":"TestZ"}
{"Action":"skip","Package":"m/a","Test":"TestZ"}
{"Action":"fail","Package":"m/a"}
`,
			want:     "1 passed, 2 failed, 1 skipped",
			failures: []string{"m/a TestX: ", "m/a TestX/one: got 2"},
		},
		{
			name: "a package that does not build",
			data: `{"ImportPath":"m/a [m/a.test]","Action":"build-output","Output":"./a.go:3:1: undefined: x\n"}
{"ImportPath":"m/a [m/a.test]","Action":"build-fail"}
{"Action":"start","Package":"m/a"}
{"Action":"output","Package":"m/a","Output":"FAIL\tm/a [build failed]\n"}
{"Action":"fail","Package":"m/a","FailedBuild":"m/a [m/a.test]"}
`,
			want:     "0 passed, 1 failed, 0 skipped",
			failures: []string{"m/a: undefined: x"},
		},
		{
			name: "a package whose tests pass but whose process fails",
			data: `{"Action":"start","Package":"m/a"}
{"Action":"run","Package":"m/a","Test":"TestY"}
{"Action":"pass","Package":"m/a","Test":"TestY"}
{"Action":"output","Package":"m/a","Output":"goleak: found unexpected goroutines\n"}
{"Action":"fail","Package":"m/a"}
`,
			want:     "1 passed, 1 failed, 0 skipped",
			failures: []string{"m/a: goleak"},
		},
		{
			name: "a run that was killed in the middle of a line",
			data: `{"Action":"start","Package":"m/a"}
{"Action":"run","Package":"m/a","Test":"TestY"}
{"Action":"out`,
			want:     "0 passed, 1 failed, 0 skipped",
			failures: []string{"m/a TestY (it never ended): "},
		},
		{
			name: "packages without tests",
			data: `{"Action":"start","Package":"m/a"}
{"Action":"skip","Package":"m/a"}
`,
			want: "0 passed, 0 failed, 0 skipped",
		},
		{
			name: "ginkgo",
			data: `[{"SuiteDescription":"MCD","SuiteSucceeded":false,"SpecReports":[
{"LeafNodeType":"BeforeSuite","State":"passed"},
{"LeafNodeType":"It","LeafNodeText":"reads","State":"passed"},
{"LeafNodeType":"It","LeafNodeText":"writes","State":"skipped"},
{"ContainerHierarchyTexts":["memory"],"LeafNodeType":"It","LeafNodeText":"patches","State":"timedout","Failure":{"Message":"no reply","Location":{"FileName":"m.go","LineNumber":7}}},
{"LeafNodeType":"AfterSuite","State":"panicked","Failure":{"Message":"boom"}}]}]`,
			want:     "1 passed, 2 failed, 1 skipped",
			failures: []string{"MCD memory patches: timedout: no reply\nm.go:7", "MCD [AfterSuite]: panicked: boom"},
		},
		{
			name:     "a ginkgo suite that selected nothing",
			data:     `[{"SuiteDescription":"MCD","SuiteSucceeded":false,"SpecialSuiteFailureReasons":["no specs ran"]}]`,
			want:     "0 passed, 1 failed, 0 skipped",
			failures: []string{"MCD: no specs ran"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := read(write(t, tc.data))
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != tc.want {
				t.Errorf("totals\n- want %s\n- got  %s", tc.want, &got)
			}
			if len(got.failures) != len(tc.failures) {
				t.Fatalf("%d failures, want %d: %v", len(got.failures), len(tc.failures), got.failures)
			}
			for i, want := range tc.failures {
				name, piece, _ := strings.Cut(want, ": ")
				if f := got.failures[i]; f.name != name || !strings.Contains(f.output, piece) {
					t.Errorf("failure %d\n- want %q with %q in its output\n- got  %q with %q", i, name, piece, f.name, f.output)
				}
			}
		})
	}
}

func TestReadRefusesWhatIsNoResult(t *testing.T) {
	for name, data := range map[string]string{
		"empty":          "",
		"prose":          "go: no such tool\n",
		"cut-off report": `[{"SuiteDescription":`,
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := read(write(t, data)); err == nil {
				t.Errorf("read gave %s and no error", &got)
			}
		})
	}
}

func TestReport(t *testing.T) {
	failures := []failure{{"m/a TestX", "x_test.go:9: got 2\n"}, {name: "check format"}}
	for _, tc := range []struct {
		names bool
		want  string
	}{
		{false, "--- failed: m/a TestX\nx_test.go:9: got 2\n--- failed: check format\n"},
		{true, "--- failed: m/a TestX\n--- failed: check format\n"},
	} {
		var b strings.Builder
		if report(&b, failures, tc.names); b.String() != tc.want {
			t.Errorf("names alone %v\n- want %q\n- got  %q", tc.names, tc.want, b.String())
		}
	}
}

func write(t *testing.T, data string) string {
	path := filepath.Join(t.TempDir(), "result")
	if err := os.WriteFile(path, []byte(data), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}
