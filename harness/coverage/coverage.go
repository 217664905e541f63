// SPDX-License-Identifier: Apache-2.0

// Package coverage counts what of the protocol the conversations of specs exercised: which requests were made, and which
// fields their replies had. It starts nothing and reads nothing but what it is given.
package coverage

import (
	"encoding/json"
	"slices"
	"strings"

	"mcdtest/harness/exchange"
	"mcdtest/harness/result"
	"mcdtest/harness/transcript"
)

// Coverage has an entry for each dialect that specs ran in.
type Coverage []*Dialect

// Dialect is what was exercised by specs in one dialect.
type Dialect struct {
	Name     string              `json:"dialect"`
	Specs    int                 `json:"specs"`
	Recorded int                 `json:"recorded"` // of those, specs whose conversations were kept
	Requests map[string]*Request `json:"requests"` // by name
}

// Request is how a request was exercised.
type Request struct {
	Count  int      `json:"count"`            // how often it was made
	Fields []string `json:"fields,omitempty"` // that its replies had, sorted
}

// Add counts a spec.
func (c *Coverage) Add(s result.Spec) {
	d := c.dialect(s.Dialect)
	d.Specs++
	if s.Evidence == nil {
		return
	}
	d.Recorded++
	for _, m := range s.Evidence.Machines {
		entries, err := transcript.Parse(strings.NewReader(m.Transcript))
		if err != nil {
			continue // whoever compares or draws it says so
		}
		for _, x := range exchange.Pair(entries) {
			if x.Name != "" {
				d.add(x)
			}
		}
	}
}

func (c *Coverage) dialect(name string) *Dialect {
	i := slices.IndexFunc(*c, func(d *Dialect) bool { return d.Name == name })
	if i < 0 {
		i = len(*c)
		*c = append(*c, &Dialect{Name: name, Requests: make(map[string]*Request)})
	}
	return (*c)[i]
}

func (d *Dialect) add(x exchange.Exchange) {
	r := d.Requests[x.Name]
	if r == nil {
		r = new(Request)
		d.Requests[x.Name] = r
	}
	r.Count++
	for _, f := range replyFields(x.Answer) {
		if i, ok := slices.BinarySearch(r.Fields, f); !ok {
			r.Fields = slices.Insert(r.Fields, i, f)
		}
	}
}

// replyFields are the names of the fields of a reply in either dialect: specs of the one may speak the other, too.
func replyFields(answer []byte) []string {
	var names []string
	var reply struct {
		Return map[string]json.RawMessage `json:"return"`
	}
	if json.Unmarshal(answer, &reply) == nil {
		for name := range reply.Return {
			names = append(names, name)
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
