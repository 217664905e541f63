// SPDX-License-Identifier: Apache-2.0

package result

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// Merge joins the results of the shards of a run. What comes out is what the run would have given in one piece, in the
// order of the plan. A part that is incomplete, or that is missing, makes the whole incomplete; parts of different runs
// are an error.
func Merge(parts []*Result) (*Result, error) {
	if len(parts) == 0 {
		return nil, errors.New("merge results: there are none")
	}
	parts = slices.Clone(parts)
	slices.SortFunc(parts, func(a, b *Result) int { return cmp.Compare(shardIndex(a), shardIndex(b)) })
	first := parts[0].Header
	whole := &Result{Header: first, Footer: &Footer{Complete: true}}
	whole.Header.Shard = ""
	whole.Header.Planned = 0
	count := 0
	have := make(map[int]bool)
	from := make(map[seenKey]string)
	var problems []string
	for _, p := range parts {
		h := p.Header
		var index, of int
		if n, err := fmt.Sscanf(h.Shard, "%d/%d", &index, &of); n != 2 || err != nil {
			return nil, fmt.Errorf("merge results: the one of %s, started at %s, is of no shard", h.Build.Label, h.Started.Format("15:04:05"))
		}
		if count != 0 && of != count {
			return nil, fmt.Errorf("merge results: shard %s and shard %s are parts of different runs", first.Shard, h.Shard)
		}
		count = of
		if have[index] {
			return nil, fmt.Errorf("merge results: shard %s is there twice", h.Shard)
		}
		have[index] = true
		if err := sameRun(first, h); err != nil {
			return nil, fmt.Errorf("merge results: shards %s and %s are parts of different runs: %w", first.Shard, h.Shard, err)
		}
		for _, s := range p.Specs {
			key := seenKey{s.ID, s.Round}
			if before := from[key]; before != "" {
				return nil, fmt.Errorf("merge results: shards %s and %s both have the spec %q", before, h.Shard, s.ID)
			}
			from[key] = h.Shard
		}
		whole.Specs = append(whole.Specs, p.Specs...)
		whole.Header.Planned += h.Planned
		if h.Started.Before(whole.Header.Started) {
			whole.Header.Started = h.Started
		}
		if why := p.Incomplete(); why != "" {
			problems = append(problems, fmt.Sprintf("shard %s: %s", h.Shard, why))
		}
		if p.Footer != nil {
			if p.Footer.Ended.After(whole.Footer.Ended) {
				whole.Footer.Ended = p.Footer.Ended
			}
			for _, u := range p.Footer.Unmatched {
				if !slices.Contains(whole.Footer.Unmatched, u) {
					whole.Footer.Unmatched = append(whole.Footer.Unmatched, u)
				}
			}
		}
	}
	for i := 1; i <= count; i++ {
		if !have[i] {
			problems = append(problems, fmt.Sprintf("shard %d/%d is missing", i, count))
		}
	}
	slices.Sort(problems)
	whole.Sort()
	whole.Footer.Specs = len(whole.Specs)
	whole.Footer.Complete = len(problems) == 0
	whole.Footer.Problem = strings.Join(problems, "; ")
	return whole, nil
}

// shardIndex is the I of I/N, or 0.
func shardIndex(r *Result) (index int) {
	fmt.Sscanf(r.Header.Shard, "%d/", &index)
	return index
}

// sameRun tells what differs between two headers that should be those of shards of the same run. The paths of a build
// may differ, since shards run on different machines.
func sameRun(a, b Header) error {
	switch {
	case a.Tool != b.Tool:
		return fmt.Errorf("the versions of mcdtest are %s and %s", a.Tool, b.Tool)
	case !slices.Equal(a.Settings, b.Settings):
		return fmt.Errorf("the settings are %s and %s", strings.Join(a.Settings, " "), strings.Join(b.Settings, " "))
	case !maps.Equal(a.Build.Versions, b.Build.Versions) || a.Build.Endpoint != b.Build.Endpoint || a.Build.named() != b.Build.named():
		return fmt.Errorf("the builds are %v and %v", a.Build, b.Build)
	case a.Seed != b.Seed || a.Rounds != b.Rounds:
		return fmt.Errorf("seed and rounds are %d, %d and %d, %d", a.Seed, a.Rounds, b.Seed, b.Rounds)
	}
	return nil
}

// named is the label that somebody has given a build, and empty if that is where it lies.
func (b Build) named() string {
	for _, path := range b.Paths {
		if path == b.Label || filepath.Dir(path) == filepath.Clean(b.Label) {
			return ""
		}
	}
	return b.Label
}

func (b Build) String() string {
	var list []string
	for _, arch := range slices.Sorted(maps.Keys(b.Versions)) {
		list = append(list, arch+" "+b.Versions[arch])
	}
	text := fmt.Sprintf("%s (%s", b.Label, strings.Join(list, ", "))
	if b.Endpoint != "" {
		text += ", " + b.Endpoint
	}
	return text + ")"
}

// Write writes a whole result to a file.
func (r *Result) Write(name string) error {
	w, err := Create(name, r.Header)
	if err != nil {
		return err
	}
	for _, s := range r.Specs {
		if err := w.Spec(s); err != nil {
			return err
		}
	}
	f := Footer{Problem: r.Incomplete()}
	if r.Footer != nil {
		f = *r.Footer
	}
	return w.Close(f)
}
