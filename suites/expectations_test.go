// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mcdtest/guest"
	"mcdtest/harness"
	"mcdtest/harness/expect"
)

// The expectations that come with the suite name specs that there are, and only those that are said to ask for more than
// the published stub does.
func TestExpectations(t *testing.T) {
	files, err := filepath.Glob("expectations/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %d files", err, len(files))
	}
	var items []Item
	for _, n := range []int{1, 2} {
		more, err := Items(Settings{Archs: guest.Architectures(), Cores: []int{n}, Dialects: []harness.Dialect{harness.Packet, harness.JSON}})
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, more...)
	}
	for _, name := range files {
		f, err := expect.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range f.Unmatched(AllIDs()) {
			t.Error(u)
		}
		for _, i := range items {
			if f.Reason(i.ID(), "7.2.22") != "" && !slices.Contains(i.Spec.Labels, "ours") {
				t.Errorf("%s expects %q to fail, which is not labelled ours", name, i.ID())
			}
		}
	}
}

// The example of the document is a file that can be used.
func TestExampleOfExpectations(t *testing.T) {
	doc, err := os.ReadFile("../docs/expectations.md")
	if err != nil {
		t.Fatal(err)
	}
	var example strings.Builder
	inside := false
	for line := range strings.Lines(string(doc)) {
		switch text, indented := strings.CutPrefix(line, "    "); {
		case strings.HasPrefix(text, "# What is known of our builds"):
			inside = true
			example.WriteString(text)
		case inside && indented:
			example.WriteString(text)
		case inside && strings.TrimSpace(line) == "":
			example.WriteString("\n")
		default:
			inside = false
		}
	}
	f, err := expect.Parse("docs/expectations.md", []byte(example.String()))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Entries) != 2 {
		t.Errorf("%d entries", len(f.Entries))
	}
	for _, u := range f.Unmatched(AllIDs()) {
		t.Error(u)
	}
}
