// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestArrows holds the packages to docs/architecture.md: each has a row, and imports of ours what the row allows.
func TestArrows(t *testing.T) {
	allowed := make(map[string]string)
	for _, l := range linesOf(t, "../../docs/architecture.md") {
		cells := strings.Split(l, "|")
		if len(cells) != 5 || !strings.Contains(cells[1], "`") {
			continue
		}
		for _, name := range strings.Split(cells[1], ",") {
			allowed[strings.Trim(name, " `")] = cells[3]
		}
	}
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "mcdtest/guest/...", "mcdtest/stub/...", "mcdtest/harness/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		name := strings.TrimPrefix(fields[0], "mcdtest/")
		row, ok := allowed[name]
		if !ok {
			t.Errorf("docs/architecture.md has no row for %s", name)
			continue
		}
		for _, imported := range fields[1:] {
			ours, ok := strings.CutPrefix(imported, "mcdtest/")
			if !ok {
				if strings.HasPrefix(imported, "github.com/onsi/") {
					t.Errorf("%s imports %s: only suites and cmd know Ginkgo", name, imported)
				}
				continue
			}
			if strings.HasPrefix(name, "stub/") || name == "stub" {
				if !strings.HasPrefix(ours, "stub/") {
					t.Errorf("%s imports %s: nothing in stub knows anything above it", name, ours)
				}
			}
			last := ours[strings.LastIndexByte(ours, '/')+1:]
			if slices.ContainsFunc([]string{"`" + ours + "`", "`" + last + "`", "everything", "both clients"}, func(w string) bool { return strings.Contains(row, w) }) ||
				(strings.Contains(row, "`stub/...`") && strings.HasPrefix(ours, "stub")) {
				continue
			}
			t.Errorf("%s imports %s, which its row in docs/architecture.md does not allow:%s", name, ours, row)
		}
	}
}
