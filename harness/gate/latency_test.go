// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"mcdtest/harness/result"
)

// timed makes a side of specs that ask for the state, with times of the given median. load changes from run to run, for
// both sides alike, as on a machine that does other things; noise is each run's own.
type timed struct {
	rnd   *rand.Rand
	load  [][]float64 // by spec and round
	noise float64
}

func newTimed(seed uint64, specs, rounds int, load, noise float64) *timed {
	rnd := rand.New(rand.NewPCG(seed, 1))
	t := &timed{rnd: rnd, noise: noise}
	for range specs {
		var list []float64
		for range rounds {
			list = append(list, math.Exp(rnd.NormFloat64()*load))
		}
		t.load = append(t.load, list)
	}
	return t
}

func (t *timed) side(micros, factor float64) *side {
	s := newSide(make(texts))
	for spec, rounds := range t.load {
		id := fmt.Sprintf("arm packet loop: %d", spec)
		s.cases[id] = "arm packet"
		for round, load := range rounds {
			own := math.Exp(t.rnd.NormFloat64() * t.noise)
			d := &digest{took: make(map[string][]time.Duration)}
			for range 5 {
				took := micros * factor * load * own * math.Exp(t.rnd.NormFloat64()*0.2)
				if t.rnd.IntN(20) == 0 {
					took *= 50 // the scheduler had other plans
				}
				d.took["qstate"] = append(d.took["qstate"], time.Duration(took*float64(time.Microsecond)))
			}
			s.samples[id] = append(s.samples[id], &sample{outcome: result.Passed, round: round + 1, digest: d})
		}
	}
	return s
}

// A build compared with itself has the same latency, however noisy the machine is.
func TestLatencyOfTheSame(t *testing.T) {
	for seed := range uint64(100) {
		for _, noise := range []float64{0.05, 0.3, 1} {
			w := newTimed(seed, 10, 3, 0.5, noise)
			if got := latencies(w.side(50, 1), w.side(50, 1), 1.5); len(got) > 0 {
				t.Fatalf("seed %d, noise %v: %+v", seed, noise, got)
			}
		}
	}
}

func TestLatencyThatMoved(t *testing.T) {
	missed := 0
	for seed := range uint64(100) {
		w := newTimed(seed, 10, 3, 0.5, 0.2)
		base, head := w.side(50, 1), w.side(50, 3)
		got := latencies(base, head, 1.5)
		if len(got) != 1 {
			missed++
			continue
		}
		f := got[0]
		if f.Kind != Slower || f.Request != "qstate" || f.Case != "arm packet" || f.Ratio < 2 || f.Ratio > 4.5 || f.Count != 30 || len(f.Specs) != 10 {
			t.Errorf("seed %d: %+v", seed, f)
		}
		if back := latencies(head, base, 1.5); len(back) != 1 || back[0].Kind != Faster {
			t.Errorf("seed %d, the other way round: %+v", seed, back)
		}
	}
	if missed > 0 {
		t.Errorf("threefold latency was missed %d of 100 times", missed)
	}
}

// What nobody notices is no difference, nor is what was seen too seldom.
func TestLatencyThatIsNoMatter(t *testing.T) {
	w := newTimed(1, 10, 3, 0.1, 0.05)
	if got := latencies(w.side(2, 1), w.side(2, 3), 1.5); len(got) > 0 {
		t.Errorf("from 2 to 6 µs: %+v", got)
	}
	many := newTimed(1, 100, 3, 0.1, 0.02)
	if got := latencies(many.side(50, 1), many.side(50, 1.3), 1.5); len(got) > 0 {
		t.Errorf("by 1.3, where 1.5 is to be noticed: %+v", got)
	}
	if got := latencies(many.side(50, 1), many.side(50, 1.3), 1.1); len(got) != 1 {
		t.Errorf("by 1.3, where 1.1 is to be noticed: %+v", got)
	}
	few := newTimed(1, 1, 3, 0.1, 0.05)
	if got := latencies(few.side(50, 1), few.side(50, 3), 1.5); len(got) > 0 {
		t.Errorf("of three pairs: %+v", got)
	}
	once := newTimed(1, 30, 1, 0.1, 0.05)
	if got := latencies(once.side(50, 1), once.side(50, 3), 1.5); len(got) > 0 {
		t.Errorf("of a single round, which says nothing of the noise: %+v", got)
	}
}
