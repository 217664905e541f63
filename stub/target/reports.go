// SPDX-License-Identifier: Apache-2.0

package target

import "sync"

// Reports remembers which stop of each core a client has been told of. A server has one for all its connections and
// both dialects, so a stop is reported once, whoever asks. It is safe for concurrent use.
type Reports struct {
	mu   sync.Mutex
	seen map[int]uint64
}

// Take reports whether the stop in s has not been reported for this core yet, and marks it as reported.
func (r *Reports) Take(core int, s State) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.Running || s.Stops == 0 || s.Moot || r.seen[core] == s.Stops {
		return false
	}
	if r.seen == nil {
		r.seen = make(map[int]uint64)
	}
	r.seen[core] = s.Stops
	return true
}
