// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mcdtest/stub/jsonwire"
	"mcdtest/stub/wire"
)

func linesOf(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []string
	s := bufio.NewScanner(f)
	for s.Buffer(nil, 1<<20); s.Scan(); {
		list = append(list, s.Text())
	}
	return list
}

// TestDocumentedExchangesAreReal: each line of packets in the specification is one of a recording of the published stub.
func TestDocumentedExchangesAreReal(t *testing.T) {
	recorded := make(map[string]bool)
	files, err := filepath.Glob("../../harness/transcript/testdata/published-*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, f := range files {
		for _, l := range linesOf(t, f) {
			recorded[l] = true
		}
	}
	remark := regexp.MustCompile(` {3,}.*$`)
	n := 0
	for i, l := range linesOf(t, "../../docs/protocol.md") {
		l, ok := strings.CutPrefix(l, "    ")
		if !ok || !strings.HasPrefix(l, "> ") && !strings.HasPrefix(l, "< ") {
			continue
		}
		n++
		if l = remark.ReplaceAllString(l, ""); !recorded[l] {
			t.Errorf("docs/protocol.md:%d: never recorded: %s", i+1, l)
		}
	}
	if n < 100 {
		t.Errorf("only %d lines of packets found", n)
	}
}

// TestEveryRequestIsDocumented: what the tables of the code have, the specifications have.
func TestEveryRequestIsDocumented(t *testing.T) {
	packets := strings.Join(linesOf(t, "../../docs/protocol.md"), "\n")
	for _, r := range wire.Requests {
		if !strings.Contains(packets, "| `"+r.Name+"`") && !strings.Contains(packets, ", `"+r.Name+"`") && !strings.Contains(packets, "| `"+r.Name) {
			t.Errorf("docs/protocol.md does not have %s (%s)", r.Name, r.Meaning)
		}
	}
	objects := strings.Join(linesOf(t, "../../docs/json-protocol.md"), "\n")
	for _, c := range jsonwire.Commands {
		if !regexp.MustCompile(`(?m)^\| (?:mcd-[a-z-]+, )?` + c.Name + `[ ,]`).MatchString(objects) {
			t.Errorf("docs/json-protocol.md does not have %s (%s)", c.Name, c.Meaning)
		}
	}
}
