// SPDX-License-Identifier: Apache-2.0

package suites

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"sort"
)

// Shard is one of several parts of a run. The zero Shard is the whole.
type Shard struct {
	Index, Count int // Index from 1 to Count
}

// ParseShard reads "2/5".
func ParseShard(text string) (Shard, error) {
	var s Shard
	var rest string
	if n, _ := fmt.Sscanf(text, "%d/%d%s", &s.Index, &s.Count, &rest); n != 2 || s.Index < 1 || s.Index > s.Count {
		return Shard{}, fmt.Errorf("%q is not a shard I/N with I from 1 to N", text)
	}
	return s, nil
}

func (s Shard) String() string {
	if s.Count == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.Index, s.Count)
}

// times.json has how long each spec took, in milliseconds, by subject and name, as measured by `mcdtest suite
// --write-times`. It only serves to make shards even.
//
//go:embed times.json
var timesFile []byte

// defaultMillis is the time of a spec that times.json does not know: that of a fresh machine and a few requests.
const defaultMillis = 60

// pick returns the items of the shard. It is deterministic: the longest items are dealt first, each to the shard that
// has least to do, and equal ones in the order of their IDs.
func (s Shard) pick(items []Item) []Item {
	if s.Count <= 1 {
		return items
	}
	var times map[string]float64
	if err := json.Unmarshal(timesFile, &times); err != nil {
		panic(fmt.Sprintf("suites/times.json: %v", err))
	}
	cost := func(i Item) float64 {
		if t, ok := times[i.Spec.Subject+": "+i.Spec.Name]; ok {
			return t
		}
		return defaultMillis
	}
	order := make([]int, len(items))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool {
		x, y := items[order[a]], items[order[b]]
		if cx, cy := cost(x), cost(y); cx != cy {
			return cx > cy
		}
		return x.ID() < y.ID()
	})
	load := make([]float64, s.Count)
	mine := make(map[int]bool)
	for _, i := range order {
		least := 0
		for k := range load {
			if load[k] < load[least] {
				least = k
			}
		}
		load[least] += cost(items[i])
		if least == s.Index-1 {
			mine[i] = true
		}
	}
	var list []Item
	for i, item := range items {
		if mine[i] {
			list = append(list, item)
		}
	}
	return list
}
