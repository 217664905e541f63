// SPDX-License-Identifier: Apache-2.0

// Package soak is an endurance test of the stub, and of nothing else: clients that work, stall, send rubbish and vanish, in
// both dialects, in front of a QEMU that is meanwhile stopped, paused, reset and killed. It counts what a process can leak
// before and after, and demands that every later client is served. Its tests start QEMUs and leave nothing behind.
//
// The long test runs when it is asked for: `make soak`, or SOAK=20s go test. It is not part of `make test`: at the time of
// writing it still finds, on a busy machine, clients that are dropped because a request before theirs waits for a QEMU that
// was stopped with SIGSTOP.
package soak
