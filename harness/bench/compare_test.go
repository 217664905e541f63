// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"flag"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

// way is one of the things that are compared: a way to have something done.
type way struct {
	name string
	// run does it n times. What it returns is how long that took; 0 lets the caller's clock decide.
	run func(n int) (time.Duration, error)
}

// each makes a way of a function that does it once.
func each(name string, once func() error) way {
	return way{name, func(n int) (time.Duration, error) {
		for range n {
			if err := once(); err != nil {
				return 0, err
			}
		}
		return 0, nil
	}}
}

// figures is how many figures each way is to have: -count.
func figures() int {
	n, err := strconv.Atoi(flag.Lookup("test.count").Value.String())
	if err != nil {
		return 1
	}
	return max(n, 1)
}

// rounds is how often each way has its turn for one figure.
var rounds = flag.Int("rounds", 12, "turns of each way for one figure")

// compare measures ways in turns of batch operations and reports them as sub-benchmarks. All of it happens before the
// first of these; each of them then reports the figures that it is asked for, one a call. It returns the figures, for
// what is made of them.
func compare(b *testing.B, batch int, ways ...way) map[string][]float64 {
	b.Helper()
	return compareRounds(b, *rounds, batch, ways...)
}

// compareRounds is compare for what takes so long that a few turns must do.
func compareRounds(b *testing.B, rounds, batch int, ways ...way) map[string][]float64 {
	b.Helper()
	result := make(map[string][]float64)
	turn := func(w way, n int) float64 {
		began := time.Now()
		took, err := w.run(n)
		if err != nil {
			b.Fatalf("%s: %v", w.name, err)
		}
		if took == 0 {
			took = time.Since(began)
		}
		return float64(took) / float64(n)
	}
	for _, w := range ways {
		turn(w, min(batch, 50)) // caches, buffers, tables
	}
	for range figures() {
		turns := make(map[string][]float64)
		for range rounds {
			// In no order, as a turn depends on the one before: on which processors are awake, and on who runs where.
			for _, i := range rand.Perm(len(ways)) {
				w := ways[i]
				turns[w.name] = append(turns[w.name], turn(w, batch))
			}
		}
		for _, w := range ways {
			result[w.name] = append(result[w.name], SpreadOf(turns[w.name]).Median)
		}
	}
	for _, w := range ways {
		report(b, w.name, map[string][]float64{"ns/op": result[w.name]})
	}
	return result
}

// report makes figures that were taken before, by their units, the output of a benchmark.
func report(b *testing.B, way string, figures map[string][]float64) {
	next := 0
	b.Run("via="+way, func(b *testing.B) {
		for range b.N {
			// nothing: it has been measured
		}
		b.ReportMetric(0, "ns/op") // not printed
		for unit, list := range figures {
			b.ReportMetric(list[next%len(list)], unit)
		}
		next++
	})
}

// timed makes a way of a function whose clean-up does not count.
func timed(name string, once func() (end func() error, err error)) way {
	return way{name, func(n int) (total time.Duration, err error) {
		for range n {
			began := time.Now()
			end, err := once()
			if err != nil {
				return 0, err
			}
			total += time.Since(began)
			if err := end(); err != nil {
				return 0, err
			}
		}
		return total, nil
	}}
}
