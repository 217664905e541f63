// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"math"

	"mcdtest/stub/jsonwire"
)

// window answers a list command: how many elements and which. With num 0 that is how many there are, and none of them.
func window[T any](all []T, start, num uint32) (uint32, []T, error) {
	if num == 0 {
		return uint32(len(all)), nil, nil
	}
	if num == math.MaxUint32 { // the published server reserves as much as it is asked for, and ends
		return 0, nil, fail(jsonwire.ErrParam, "%d elements are asked for", num)
	}
	if uint64(start) >= uint64(len(all)) {
		return 0, nil, fail(jsonwire.ErrParam, "start-index %d of a list of %d", start, len(all))
	}
	part := all[start:min(uint64(len(all)), uint64(start)+uint64(num))]
	return uint32(len(part)), part, nil
}
