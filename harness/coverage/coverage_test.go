// SPDX-License-Identifier: Apache-2.0

package coverage_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcdtest/harness/coverage"
	"mcdtest/harness/result"
)

func spec(dialect string, transcripts ...string) result.Spec {
	s := result.Spec{Dialect: dialect, Evidence: new(result.Evidence)}
	for _, t := range transcripts {
		s.Evidence.Machines = append(s.Evidence.Machines, result.Machine{Transcript: t})
	}
	return s
}

func TestAdd(t *testing.T) {
	var got coverage.Coverage
	for _, s := range []result.Spec{
		spec("packet",
			"0.000100 > $qstate0#|\n0.000150 < +$state=running.event=0.#|\n0.000160 # VM STOP\n0.000200 > $qregf0#|\n0.000250 < +$1!id=0.name=r0.#|\n",
			"0.000100 > $qstate0#|\n0.000150 < +$state=debug.address=4.#|\n0.000200 > $nosuch#|\n0.000250 < +$#|\n"),
		{Dialect: "packet"},
		spec("json", "0.000100 > {\"execute\":\"mcd-qry-cores\",\"arguments\":{}}\n0.000150 < {\"return\":{\"return-status\":0,\"num-cores\":1}}\\r\\n\n"),
		spec("json", "damaged"),
	} {
		got.Add(s)
	}
	want := coverage.Coverage{
		{Name: "packet", Specs: 2, Recorded: 1, Requests: map[string]*coverage.Request{
			"qstate": {Count: 2, Fields: []string{"address", "event", "state"}}, "qregf": {Count: 1, Fields: []string{"id", "name"}},
		}},
		{Name: "json", Specs: 2, Recorded: 2, Requests: map[string]*coverage.Request{"mcd-qry-cores": {Count: 1, Fields: []string{"num-cores", "return-status"}}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("-want +got:\n" + diff)
	}
}
