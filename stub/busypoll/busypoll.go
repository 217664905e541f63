// SPDX-License-Identifier: Apache-2.0

// Package busypoll makes connections whose peers answer within microseconds quick: a read looks for the answer for a
// moment before it sleeps, as waking up costs more than the answer. It touches the connections that it is given and
// nothing else.
package busypoll

import "time"

// Limit is how long a read looks before it sleeps: several times what QEMU's gdbstub needs for a register, and about what a
// client needs from one answer to its next request.
const Limit = 100 * time.Microsecond
