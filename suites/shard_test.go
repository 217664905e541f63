// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"mcdtest/guest"
	"mcdtest/harness"
)

// everything is a run of all specs there are.
func everything(t *testing.T) []Item {
	t.Helper()
	items, err := Items(Settings{Archs: guest.Architectures(), Cores: []int{1, 2}, Dialects: []harness.Dialect{harness.Packet, harness.JSON}})
	if err != nil {
		t.Fatal(err)
	}
	return items
}

// Each item is in exactly one shard, and the shards take about the same time.
func TestShards(t *testing.T) {
	all := everything(t)
	var total, longest time.Duration
	for _, i := range all {
		total += i.Cost()
		longest = max(longest, i.Cost())
	}
	for _, n := range []int{1, 2, 3, 7} {
		seen := make(map[string]int)
		for k := 1; k <= n; k++ {
			var cost time.Duration
			part := Shard{k, n}.Pick(all)
			if again := (Shard{k, n}).Pick(slices.Clone(all)); !slices.EqualFunc(part, again, func(a, b Item) bool { return a.ID() == b.ID() }) {
				t.Errorf("shard %d of %d is not the same each time", k, n)
			}
			for _, i := range part {
				seen[i.ID()]++
				cost += i.Cost()
			}
			if ideal := total / time.Duration(n); cost > ideal+longest {
				t.Errorf("shard %d of %d takes %v of %v, more than %v and the longest item, %v", k, n, cost, total, ideal, longest)
			}
		}
		for _, i := range all {
			if seen[i.ID()] != 1 {
				t.Errorf("of %d shards, %d have %q", n, seen[i.ID()], i.ID())
			}
		}
	}
	if got := (Shard{}).Pick(all); len(got) != len(all) {
		t.Errorf("the zero shard has %d items of %d", len(got), len(all))
	}
	if got := (Shard{5, 5}).Pick(all[:2]); len(got) != 0 {
		t.Errorf("the last of five shards of two items has %d", len(got))
	}
}

func TestParseShard(t *testing.T) {
	for _, text := range []string{"", "1", "0/3", "4/3", "-1/3", "1/0", "a/b", "1/2/3", "1/2x", "1 /2"} {
		if s, err := ParseShard(text); err == nil {
			t.Errorf("%q is %v", text, s)
		}
	}
	if s, err := ParseShard("2/5"); err != nil || s != (Shard{2, 5}) || s.String() != "2/5" {
		t.Errorf("2/5 is %v, %v", s, err)
	}
}

// Expectations name specs by ID, so an ID is unique and says what it is about.
func TestIDs(t *testing.T) {
	seen := make(map[string]bool)
	for _, i := range everything(t) {
		id := i.ID()
		if seen[id] {
			t.Errorf("there are two specs %q", id)
		}
		seen[id] = true
		if !strings.HasPrefix(id, i.Case.Arch) || !strings.HasSuffix(id, i.Title()) {
			t.Errorf("%q", id)
		}
		if strings.Contains(id, "*") {
			t.Errorf("%q has a *, which stands for any text in expectations", id)
		}
	}
	for _, id := range AllIDs() {
		delete(seen, id)
	}
	for id := range seen {
		t.Errorf("AllIDs lacks %q", id)
	}
}

// times.json is made of what ran, and of specs that there are.
func TestTimes(t *testing.T) {
	items := everything(t)
	a := items[0]
	var b Item // the same spec in another case
	for _, i := range items {
		if i.Title() == a.Title() && i.ID() != a.ID() {
			b = i
		}
	}
	text, err := Times(items, map[string]time.Duration{a.ID(): 100 * time.Millisecond, b.ID(): 300 * time.Millisecond, "no such spec": time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]float64
	if err := json.Unmarshal(text, &got); err != nil || len(got) != 1 || got[a.Title()] != 200 {
		t.Errorf("%v: %s", err, text)
	}
	titles := make(map[string]bool)
	for _, i := range items {
		titles[i.Title()] = true
	}
	for title := range times() {
		if !titles[title] {
			t.Errorf("times.json has %q, which is no spec any more: write it anew with mcdtest suite --write-times", title)
		}
	}
}

// What a child process is told is what its parent was told.
func TestSettingsOfAWorker(t *testing.T) {
	for _, env := range [][2]string{
		{ArchVariable, "arm,riscv64"}, {CoresVariable, "1,2"}, {DialectVariable, "json"}, {EndpointVariable, "stub"}, {FastVariable, "1"},
		{SpecsVariable, "memory|a b"}, {ShardVariable, "2/3"}, {FaultVariable, "some-fault"}, {RecordVariable, "1"}, {ArtifactVariable, "/a/b"}, {harness.QEMUVariable, "/q"},
	} {
		t.Setenv(env[0], env[1])
	}
	s, err := FromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range s.Environment() {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	back, err := FromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	if a, b := strings.Join(s.Environment(), " "), strings.Join(back.Environment(), " "); a != b || !strings.Contains(a, "some-fault") || !strings.Contains(a, "MCDTEST_QEMU=/q") {
		t.Errorf("%s\n%s", a, b)
	}
}
