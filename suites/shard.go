// SPDX-License-Identifier: Apache-2.0

package suites

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"sort"
	"sync"
	"time"
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
// --write-times`. It makes shards even and tells how long a run will take; nothing else depends on it.
//
//go:embed times.json
var timesFile []byte

// defaultMillis is the time of a spec that times.json does not know: that of a fresh machine and a few requests.
const defaultMillis = 60

var times = sync.OnceValue(func() map[string]float64 {
	var t map[string]float64
	if err := json.Unmarshal(timesFile, &t); err != nil {
		panic(fmt.Sprintf("suites/times.json: %v", err))
	}
	return t
})

// Cost is how long the item is thought to take.
func (i Item) Cost() time.Duration {
	millis, ok := times()[i.Title()] // the cases of a spec take about the same time
	if !ok {
		millis = defaultMillis
	}
	return time.Duration(millis * float64(time.Millisecond))
}

// Times makes the content of times.json from how long the items of a run took, by ID: the mean of each spec's cases.
func Times(items []Item, took map[string]time.Duration) ([]byte, error) {
	sum := make(map[string]float64)
	n := make(map[string]float64)
	for _, i := range items {
		if t, ok := took[i.ID()]; ok {
			sum[i.Title()] += float64(t.Milliseconds())
			n[i.Title()]++
		}
	}
	for key := range sum {
		sum[key] = float64(int(sum[key]/n[key] + 0.5))
	}
	text, err := json.MarshalIndent(sum, "", "  ") // sorted by key
	return append(text, '\n'), err
}

// Pick returns the items of the shard. It is deterministic: the longest items are dealt first, each to the shard that
// has least to do, and equal ones in the order of their IDs.
func (s Shard) Pick(items []Item) []Item {
	if s.Count <= 1 {
		return items
	}
	order := make([]int, len(items))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool {
		x, y := items[order[a]], items[order[b]]
		if cx, cy := x.Cost(), y.Cost(); cx != cy {
			return cx > cy
		}
		return x.ID() < y.ID()
	})
	load := make([]time.Duration, s.Count)
	mine := make(map[int]bool)
	for _, i := range order {
		least := 0
		for k := range load {
			if load[k] < load[least] {
				least = k
			}
		}
		load[least] += items[i].Cost()
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
