// SPDX-License-Identifier: Apache-2.0

package expect

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mcdtest/harness/result"
)

const sample = `# What is known of a build.
build: the published series on QEMU 7.2
endpoint: native
qemu: ">= 7, < 8"

expect:
  - spec: "arm packet session: a second client waits"
    reason: the state of the parser survives a disconnect
  - specs: "* packet hostile: *"
    qemu: "< 7.2.10"
    reason: >
      ends QEMU,
      see the list
`

func parse(t *testing.T, text string) *File {
	t.Helper()
	f, err := Parse("known.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestParse(t *testing.T) {
	f := parse(t, sample)
	want := &File{Build: "the published series on QEMU 7.2", Endpoint: "native", Entries: []Entry{
		{Spec: "arm packet session: a second client waits", Reason: "the state of the parser survives a disconnect", Line: 7},
		{Specs: "* packet hostile: *", QEMU: "< 7.2.10", Reason: "ends QEMU, see the list", Line: 9},
	}}
	if diff := cmp.Diff(want, f, cmpopts.IgnoreUnexported(File{}, Entry{})); diff != "" {
		t.Errorf("- want, + got:\n%s", diff)
	}
}

func TestReason(t *testing.T) {
	f := parse(t, sample)
	for _, c := range []struct{ id, version, want string }{
		{"arm packet session: a second client waits", "7.2.22", "the state of the parser survives a disconnect"},
		{"arm packet session: a second client waits longer", "7.2.22", ""},
		{"aarch64 packet session: a second client waits", "7.2.22", ""},
		{"arm packet hostile: qstate with nothing", "7.2.9", "ends QEMU, see the list"},
		{"arm×2 packet hostile: qstate with nothing", "7.2", "ends QEMU, see the list"},
		{"arm packet hostile: qstate with nothing", "7.2.10", ""},
		{"arm packet hostile: qstate with nothing", "11.1.3", ""},
		{"arm packet hostile: qstate with nothing", "no version", ""},
		{"arm json hostile: something", "7.2.9", ""},
		{"arm packet not hostile: something", "7.2.9", ""},
	} {
		if got := f.Reason(c.id, c.version); got != c.want {
			t.Errorf("%q on %s: %q, want %q", c.id, c.version, got, c.want)
		}
	}
	if got := (*File)(nil).Reason("any", "7.2"); got != "" {
		t.Errorf("without a file: %q", got)
	}
}

// What a pattern's text means to regular expressions, it does not mean here.
func TestPatternIsText(t *testing.T) {
	f := parse(t, "build: b\nexpect:\n  - {specs: \"a.c [d]*\", reason: r}\n")
	if f.Reason("a.c [d] and more", "7.2") == "" || f.Reason("abc d", "7.2") != "" {
		t.Error("it is read as a regular expression")
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct{ text, says string }{
		{"", "known.yaml:1: it is empty"},
		{"# nothing\n", "known.yaml:1: it is empty"},
		{"build: [\n", "known.yaml:1: "},
		{"build: b\n  expect: c\n", "known.yaml:2: "},
		{"- a\n", "known.yaml:1: a file is to be a mapping"},
		{"just text", "known.yaml:1: a file is to be a mapping"},
		{"expect: []\n", "known.yaml:1: build is missing"},
		{"build: b\nexpected: []\n", `known.yaml:2: a file has no "expected"; it has build, endpoint, expect, qemu`},
		{"build: b\nbuild: c\n", `known.yaml:2: "build" is there twice`},
		{"build: b\nexpect: {a: b}\n", "known.yaml:2: expect is to be a list"},
		{"build: [b]\n", "known.yaml:1: a text belongs here"},
		{"build: b\nendpoint: both\n", `endpoint: "both" is neither native nor stub`},
		{"build: b\nqemu: seven\n", `known.yaml:2: "seven" is no range`},
		{"build: b\nexpect:\n  - arm packet x\n", "known.yaml:3: an entry of expect is to be a mapping"},
		{"build: b\nexpect:\n  - spec: x\n", `known.yaml:3: the entry for "x" has no reason`},
		{"build: b\nexpect:\n  - spec: x\n    reason: ''\n", "known.yaml:4: a text belongs here"},
		{"build: b\nexpect:\n  - reason: r\n", "known.yaml:3: the entry names neither"},
		{"build: b\nexpect:\n  - {spec: x, specs: y, reason: r}\n", "known.yaml:3: the entry names both"},
		{"build: b\nexpect:\n  - {spec: x, reason: r, version: 7}\n", `known.yaml:3: an entry of expect has no "version"`},
		{"build: b\nexpect:\n  - {spec: x, reason: r, qemu: \">\"}\n", `known.yaml:3: ">" is no range`},
		{"build: b\nexpect:\n  - {spec: x, reason: r, qemu: [1]}\n", "known.yaml:3: a range of versions belongs here"},
		{"build: b\nexpect:\n  - {spec: x, reason: r}\n  - {spec: x, reason: s}\n", `known.yaml:4: the entry for "x" is there already, in line 3`},
		{"build: b\n---\nbuild: c\n", "known.yaml:2: a second document"},
	} {
		_, err := Parse("known.yaml", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v, want %q", c.text, err, c.says)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none.yaml")); err == nil || strings.Count(err.Error(), "none.yaml") != 1 {
		t.Errorf("a file that is missing: %v", err)
	}
}

func TestCheckBuild(t *testing.T) {
	f := parse(t, sample)
	build := func(endpoint, version string) result.Build {
		return result.Build{Endpoint: endpoint, Versions: map[string]string{"arm": version}}
	}
	for _, c := range []struct {
		build result.Build
		says  string
	}{
		{build("native", "7.2.22"), ""},
		{build("", "7.2.22"), ""}, // of several architectures, some are native
		{build("stub", "7.2.22"), "is about the native endpoint"},
		{build("native", "8.0.0"), "that for arm is 8.0.0"},
	} {
		err := f.CheckBuild(c.build)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v, want %q", c.build, err, c.says)
		}
	}
}

func TestUnmatched(t *testing.T) {
	f := parse(t, sample)
	got := f.Unmatched([]string{"arm packet hostile: a", "arm packet memory: b"})
	want := []string{`known.yaml:7: there is no spec "arm packet session: a second client waits"`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("- want, + got:\n%s", diff)
	}
}

// What is written can be read, and covers exactly the failures that it was made from.
func TestWriteAndRead(t *testing.T) {
	specs := []result.Spec{
		{ID: "arm packet memory: \"quotes\" ü \x01 * and\\", Index: 1, Outcome: result.Failed, Failure: "\n\n  QEMU ended: it was ended by SIGSEGV\nmore"},
		{ID: "arm packet memory: a", Index: 0, Outcome: result.Failed, Failure: strings.Repeat("lang ", 100)},
		{ID: "arm packet memory: passes", Index: 2, Outcome: result.Passed},
		{ID: "arm packet memory: skipped", Index: 3, Outcome: result.Skipped},
		{ID: "arm packet memory: known", Index: 4, Outcome: result.Failed, Expected: "elsewhere"},
		{ID: "arm packet memory: a", Index: 0, Round: 2, Outcome: result.Failed, Failure: "again"},
		{ID: "arm packet memory: mute", Index: 5, Outcome: result.Failed},
	}
	r := &result.Result{Specs: specs, Header: result.Header{
		Started: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC),
		Build:   result.Build{Label: "my: build", Endpoint: "stub", Versions: map[string]string{"arm": "7.2.22"}},
	}}
	path := filepath.Join(t.TempDir(), "known.yaml")
	if err := New(path); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, r); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []Entry{
		{Spec: "arm packet memory: a", Reason: strings.Repeat("lang ", 100)[:159] + "…"},
		{Spec: specs[0].ID, Reason: "QEMU ended: it was ended by SIGSEGV"},
		{Spec: "arm packet memory: mute", Reason: "fails"},
	}
	if diff := cmp.Diff(want, f.Entries, cmpopts.IgnoreUnexported(Entry{}), cmpopts.IgnoreFields(Entry{}, "Line")); diff != "" {
		t.Errorf("- want, + got:\n%s", diff)
	}
	if f.Endpoint != "stub" || f.Build != "my: build (arm 7.2.22, stub)" {
		t.Errorf("build %q, endpoint %q", f.Build, f.Endpoint)
	}
	if err := New(path); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("a file that is there is written over: %v", err)
	}
	empty := filepath.Join(t.TempDir(), "none.yaml")
	if err := Write(empty, &result.Result{Header: r.Header}); err != nil {
		t.Fatal(err)
	}
	if f, err := Open(empty); err != nil || len(f.Entries) > 0 {
		text, _ := os.ReadFile(empty)
		t.Errorf("without failures: %v\n%s", err, text)
	}
}
