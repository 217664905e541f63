// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"math"
	"slices"
	"time"

	"mcdtest/harness/result"
)

// What a latency must have moved by to be called so.
const (
	// leastPairs of runs are needed for a request.
	leastPairs = 9
	// leastMove is a difference that nobody notices.
	leastMove = 10 * time.Microsecond
	// deviations is how many standard errors of the noise a median must be away from none.
	deviations = 6
)

// latencies compares how long requests took. A pair is the median of a request in one run of a spec on head and in the
// run of the same round on base, which ran next to each other. The ratio of a request is the median of its pairs; the
// noise is measured from pairs of runs of the same side. ratio is the least that counts as a difference.
func latencies(base, head *side, ratio float64) []Finding {
	type request struct{ of, name string }
	type pairs struct {
		moved, noise []float64 // logarithms of ratios
		base, head   []float64 // medians, in seconds
		specs        []string
	}
	all := make(map[request]*pairs)
	for _, id := range ids(base, head) {
		b, h := byRound(base, id), byRound(head, id)
		counted := make(map[string]bool)
		for round, bd := range b {
			hd := h[round]
			if hd == nil {
				continue
			}
			for name, times := range bd {
				if hd[name] == 0 {
					continue
				}
				key := request{head.cases[id], name}
				p := all[key]
				if p == nil {
					p = &pairs{}
					all[key] = p
				}
				p.moved = append(p.moved, math.Log(hd[name]/times))
				p.base, p.head = append(p.base, times), append(p.head, hd[name])
				for _, same := range []map[int]map[string]float64{b, h} {
					if next := same[round+1]; next != nil && next[name] > 0 && same[round][name] > 0 {
						p.noise = append(p.noise, math.Log(next[name]/same[round][name]))
					}
				}
				if !counted[name] {
					counted[name] = true
					p.specs = append(p.specs, id)
				}
			}
		}
	}
	var list []Finding
	for key, p := range all {
		n := len(p.moved)
		if n < leastPairs || len(p.noise) < leastPairs {
			continue
		}
		moved := median(p.moved)
		// The standard error of a median of n pairs. Two runs of the same side are further apart in time than the runs
		// of a pair are, so they differ by more than noise; but much less noisy than they are, pairs cannot be.
		noise := 1.2533 * max(spread(p.moved), spread(p.noise)/2) / math.Sqrt(float64(n))
		bound := max(math.Log(ratio), deviations*noise)
		if math.Abs(moved) < bound || math.Abs(median(p.head)-median(p.base)) < leastMove.Seconds() {
			continue
		}
		f := Finding{
			Kind: Slower, Case: key.of, Request: key.name, Specs: p.specs, Count: n, Ratio: math.Exp(moved), Noise: math.Exp(bound),
			Base: seconds(median(p.base)), Head: seconds(median(p.head)),
		}
		if moved < 0 {
			f.Kind = Faster
		}
		list = append(list, f)
	}
	return list
}

// byRound gives the median of each request in each run of a spec that passed.
func byRound(s *side, id string) map[int]map[string]float64 {
	rounds := make(map[int]map[string]float64)
	for _, one := range s.samples[id] {
		if one.outcome != result.Passed || one.digest == nil {
			continue
		}
		medians := make(map[string]float64)
		for name, took := range one.digest.took {
			list := make([]float64, len(took))
			for i, t := range took {
				list[i] = max(t.Seconds(), 1e-6)
			}
			medians[name] = median(list)
		}
		rounds[one.round] = medians
	}
	return rounds
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// spread is the standard deviation that the median absolute deviation stands for, which outliers do not move.
func spread(list []float64) float64 {
	m := median(list)
	away := make([]float64, len(list))
	for i, v := range list {
		away[i] = math.Abs(v - m)
	}
	return 1.4826 * median(away)
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(100 * time.Nanosecond).String()
}
