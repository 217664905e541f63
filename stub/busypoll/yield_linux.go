// SPDX-License-Identifier: Apache-2.0

package busypoll

import "golang.org/x/sys/unix"

// yield lets another thread have the processor, if one waits for it.
func yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
