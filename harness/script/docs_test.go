// SPDX-License-Identifier: Apache-2.0

package script

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var fenced = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// The examples of docs/scripts.md do what it says.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/scripts.md")
	if err != nil {
		t.Fatal(err)
	}
	ran := make(map[string]int)
	for _, m := range fenced.FindAllStringSubmatchIndex(string(text), -1) {
		kind, example := string(text[m[2]:m[3]]), string(text[m[4]:m[5]])
		line := 1 + strings.Count(string(text[:m[4]]), "\n")
		ran[kind]++
		t.Run(fmt.Sprintf("line %d", line), func(t *testing.T) {
			first, second, _ := strings.Cut(example, "--\n")
			s, err := Parse("example.txt", strings.NewReader(first))
			if err != nil {
				t.Fatal(err)
			}
			env := guestLoop(t)
			switch kind {
			case "script", "json":
				if err := Play(t.Context(), s, env); err != nil {
					t.Error(err)
				}
			case "error":
				err := Play(t.Context(), s, env)
				if d := cmp.Diff(strings.TrimSpace(second), fmt.Sprint(err)); d != "" {
					t.Errorf("- documented / + got\n%s", d)
				}
			case "update":
				got, err := Update(t.Context(), s, env)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(second, string(got)); d != "" {
					t.Errorf("- documented / + got\n%s", d)
				}
			default:
				t.Errorf("an example of kind %q", kind)
			}
		})
	}
	if ran["script"] < 5 || ran["error"] == 0 || ran["update"] == 0 || ran["json"] == 0 {
		t.Errorf("examples found: %v", ran)
	}
}
