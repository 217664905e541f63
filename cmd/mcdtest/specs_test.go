// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"mcdtest/harness/exchange"
	"mcdtest/harness/result"
	"mcdtest/harness/transcript"
	"mcdtest/stub/jsonwire"
	"mcdtest/stub/wire"
)

// The fast specs send every request of the packet dialect and every command of the JSON dialect.
func TestFastSpecsSendEverything(t *testing.T) {
	needQEMU(t, "arm")
	got := mcdtest(t, noRaceExit, "suite", "--fast", "--record", "--json")
	r, err := result.Read(strings.NewReader(got.out))
	if err != nil || got.status != 0 {
		t.Fatalf("exit status %d, %v\n%s", got.status, err, got.errors)
	}
	sent := make(map[string]int)
	for _, s := range r.Specs {
		if s.Evidence == nil {
			continue
		}
		for _, m := range s.Evidence.Machines {
			entries, err := transcript.Parse(strings.NewReader(m.Transcript))
			if err != nil {
				t.Fatalf("%s: %v", s.ID, err)
			}
			for _, x := range exchange.Pair(entries) {
				if len(x.Answer) > 0 {
					sent[s.Dialect+" "+x.Name]++
				}
			}
		}
	}
	for _, request := range wire.Requests {
		if sent["packet "+request.Name] == 0 {
			t.Errorf("no fast spec sends %s (%s)", request.Name, request.Meaning)
		}
	}
	for _, command := range jsonwire.Commands {
		if sent["json "+command.Name] == 0 {
			t.Errorf("no fast spec sends %s (%s)", command.Name, command.Meaning)
		}
	}
}

// What a server may write in other ways is no mistake: no spec looks at blanks, or at the order of keys.
func TestRepliesOfAnotherWriter(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	got := mcdtest(t, noRaceExit, "suite", "--arch", "arm", "--dialect", "json", "--fault", "other-json-writer",
		"--specs", " json (objects|errors|lists|transactions|hostile: mcd-(run|exit|qry-(core|mem|trig)))", "--json")
	r, err := result.Read(strings.NewReader(got.out))
	if err != nil {
		t.Fatalf("exit status %d, %v\n%s", got.status, err, got.errors)
	}
	passed := 0
	for _, s := range r.Specs {
		if s.Failure != "" {
			t.Errorf("%s: %s", s.ID, s.Failure)
			continue
		}
		passed++
	}
	if passed < 50 || got.status != 0 {
		t.Errorf("exit status %d, %d specs passed", got.status, passed)
	}
}
