// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mcdtest/harness/fault"
	"mcdtest/harness/script"
)

// example is a block of docs/writing-a-spec.md.
func example(t *testing.T, kind string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/writing-a-spec.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```"+kind+"\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) != 1 {
		t.Fatalf("docs/writing-a-spec.md has %d blocks of %s, want 1", len(blocks), kind)
	}
	return string(blocks[0][1])
}

// TestTheExampleCompiles builds this package with the spec that newcomers are told to write.
func TestTheExampleCompiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "passes.go")
	if err := os.WriteFile(file, []byte(example(t, "go")), 0o666); err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(here, "passes.go"): file}})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-overlay", list, ".").CombinedOutput(); err != nil {
		t.Errorf("the example of docs/writing-a-spec.md does not compile: %v\n%s", err, out)
	}
}

// TestTheFaultsOfTheGuideExist looks up the faults that newcomers are told to put in place.
func TestTheFaultsOfTheGuideExist(t *testing.T) {
	text, err := os.ReadFile("../docs/writing-a-spec.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(FaultVariable+`=(\S+)`).FindAllSubmatch(text, -1)
	if len(names) == 0 {
		t.Error("docs/writing-a-spec.md shows no fault")
	}
	for _, n := range names {
		if _, err := fault.Lookup(string(n[1])); err != nil {
			t.Error(err)
		}
	}
}

func TestTheExampleScriptIsOne(t *testing.T) {
	if _, err := script.Parse("docs/writing-a-spec.md", strings.NewReader(example(t, "script"))); err != nil {
		t.Error(err)
	}
}
