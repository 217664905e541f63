// SPDX-License-Identifier: Apache-2.0

// Package runner runs the specs of a suite in worker processes. It deals them out one by one, takes their results, notices
// a worker that dies or hangs, and leaves none behind. It knows no Ginkgo and no spec: an Item is a name. Worker is the
// other end, for the process that has the specs.
//
// Worker and parent talk over a socket that the worker inherits, in JSON objects, one a line. The worker walks the specs
// in its order and asks for each whether it is to run it. So work is dealt as it is done, however long a spec takes, and
// a worker that takes the place of one that died finds what is left by itself.
package runner

import "mcdtest/harness/result"

// message is what a worker says. Exactly one field is set.
type message struct {
	Claim   string       `json:"claim,omitempty"`   // may I run the item of this name? Answered by an order with Run
	Report  *result.Spec `json:"report,omitempty"`  // it has ended so
	State   *string      `json:"state,omitempty"`   // where the machines stand, as asked for by Describe
	Problem string       `json:"problem,omitempty"` // nothing can be run
	End     bool         `json:"end,omitempty"`     // all specs have been walked
}

// order is what the parent says. Exactly one field is set.
type order struct {
	Run      *bool `json:"run,omitempty"`
	Describe bool  `json:"describe,omitempty"`
}
