// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"os"
	"strings"
	"testing"

	"mcdtest/stub/jsonwire"
)

// The document that maps the dialects names every command.
func TestDialectsDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/dialects.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range jsonwire.Commands {
		if !strings.Contains(string(text), "`"+c.Name+"`") {
			t.Errorf("docs/dialects.md does not name %s", c.Name)
		}
	}
}
