// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"slices"
	"strings"

	"mcdtest/harness/exchange"
	"mcdtest/harness/result"
	"mcdtest/harness/transcript"
	"mcdtest/stub/jsonwire"
	"mcdtest/stub/wire"
)

// coverage is what of a dialect the recorded conversations have exercised.
type coverage struct {
	Dialect string
	// Recorded and Specs say of how many specs conversations were kept.
	Recorded, Specs int
	Requests        []requestCoverage
	Missing         int
}

type requestCoverage struct {
	Name, Meaning string
	Count         int
	Fields        []string // that replies had
}

// cover goes through all conversations that were kept.
func cover(specs []result.Spec) []coverage {
	var list []coverage
	for _, dialect := range []string{"packet", "json"} {
		c := coverage{Dialect: dialect}
		count := make(map[string]int)
		fields := make(map[string][]string)
		for _, s := range specs {
			if s.Dialect != dialect {
				continue
			}
			c.Specs++
			if s.Evidence == nil {
				continue
			}
			c.Recorded++
			for _, m := range s.Evidence.Machines {
				entries, err := transcript.Parse(strings.NewReader(m.Transcript))
				if err != nil {
					continue
				}
				for _, x := range exchange.Pair(entries) {
					if x.Name == "" {
						continue
					}
					count[x.Name]++
					for _, f := range replyFields(dialect, x.Answer) {
						if !slices.Contains(fields[x.Name], f) {
							fields[x.Name] = append(fields[x.Name], f)
						}
					}
				}
			}
		}
		if c.Recorded == 0 {
			continue
		}
		add := func(name, meaning string) {
			slices.Sort(fields[name])
			c.Requests = append(c.Requests, requestCoverage{name, meaning, count[name], fields[name]})
			if count[name] == 0 {
				c.Missing++
			}
		}
		if dialect == "packet" {
			for _, r := range wire.Requests {
				add(r.Name, r.Meaning)
			}
		} else {
			for _, r := range jsonwire.Commands {
				add(r.Name, r.Meaning)
			}
		}
		list = append(list, c)
	}
	return list
}

// replyFields are the names of the fields of a reply.
func replyFields(dialect string, answer []byte) []string {
	var names []string
	if dialect == "json" {
		var reply struct {
			Return map[string]json.RawMessage `json:"return"`
		}
		if json.Unmarshal(answer, &reply) == nil {
			for name := range reply.Return {
				names = append(names, name)
			}
		}
		return names
	}
	for _, pair := range strings.Split(string(answer), ".") {
		name, _, ok := strings.Cut(pair, "=")
		if !ok {
			continue
		}
		if i := strings.LastIndexAny(name, "!$+"); i >= 0 {
			name = name[i+1:]
		}
		names = append(names, name)
	}
	return names
}
