// SPDX-License-Identifier: Apache-2.0

// Package busypoll makes connections whose peers answer within microseconds quick: a read looks for the answer for a
// moment before it sleeps, as waking up costs more than the answer. It touches the connections that it is given and
// nothing else.
package busypoll

import "time"

// How long reads look before they sleep; docs/benchmarks.md says what else was tried.
const (
	// ForQEMU is several times what QEMU's gdbstub needs for a register.
	ForQEMU = 100 * time.Microsecond
	// ForClient is what a client needs from one answer to its next request if nothing keeps it from running. One that needs longer
	// wants the processor more than its answer a few microseconds sooner.
	ForClient = 20 * time.Microsecond
)
