// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"slices"
	"strings"
	"testing"

	"mcdtest/guest"
	"mcdtest/harness"
	"mcdtest/stub/jsonwire"
	"mcdtest/stub/wire"
)

// hostileNames are the names of the hostile specs of a dialect.
func hostileNames(t *testing.T, d harness.Dialect) []string {
	t.Helper()
	items, err := Items(Settings{Archs: guest.Architectures()[:1], Cores: []int{1}, Dialects: []harness.Dialect{d}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range items {
		if i.Spec.Subject == "hostile" {
			names = append(names, i.Spec.Name)
		}
	}
	return names
}

func TestEveryRequestHasHostileSpecs(t *testing.T) {
	names := hostileNames(t, harness.Packet)
	for _, r := range wire.Requests {
		expectHostile(t, names, r.Name)
	}
}

func TestEveryCommandHasHostileSpecs(t *testing.T) {
	names := hostileNames(t, harness.JSON)
	for _, c := range jsonwire.Commands {
		expectHostile(t, names, c.Name)
	}
}

func expectHostile(t *testing.T, names []string, request string) {
	t.Helper()
	for _, about := range []string{"state of a session", "arguments wrong"} {
		if request == wire.Kill && about != "state of a session" {
			continue // no machine is left to try a second input on
		}
		if !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, request+" (") && strings.Contains(n, about) }) {
			t.Errorf("%s: no hostile spec about its %s", request, about)
		}
	}
}

// TestEveryListIsWalked makes sure that each list of the tables has a spec that walks its list.
func TestEveryListIsWalked(t *testing.T) {
	for _, c := range jsonwire.Commands {
		if !slices.ContainsFunc(c.Args, func(a jsonwire.Arg) bool { return a.Role == jsonwire.Count }) {
			continue
		}
		if !slices.ContainsFunc(objectLists, func(l objectList) bool { return l.command == c.Name }) {
			t.Errorf("%s gives a list that no spec walks; see lists.go", c.Name)
		}
	}
	for _, r := range wire.Requests {
		if r.Reply != wire.List {
			continue
		}
		if !slices.ContainsFunc(packetLists, func(l packetList) bool { return l.first == r.Name || l.next == r.Name }) {
			t.Errorf("%s gives a list that no spec walks; see topology.go", r.Name)
		}
	}
}

func TestPlusOne(t *testing.T) {
	for in, want := range map[string]string{"0": "1", "9": "10", "18446744073709551615": "18446744073709551616"} {
		if got := plusOne(in); got != want {
			t.Errorf("plusOne(%s): %s, want %s", in, got, want)
		}
	}
}

// TestInputsAreManyAndDistinct guards the generator: an argument that is a number is tried in each way that the texts above have.
func TestInputsAreManyAndDistinct(t *testing.T) {
	list := wrongNumbers("4", "15")
	for _, must := range []string{"", "4", "15", "16", "0", "1", "2147483648", "4294967296", "18446744073709551615", "18446744073709551616", "-1", "+1", "0x1", "abc",
		strings.Repeat("9", 64), strings.Repeat("9", 65), strings.Repeat("9", 1000)} {
		if !slices.Contains(list, must) {
			t.Errorf("%s is not tried", shortened(must))
		}
	}
	for i, s := range list {
		if slices.Contains(list[:i], s) {
			t.Errorf("%s is tried twice", shortened(s))
		}
	}
}
