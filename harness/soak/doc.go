// SPDX-License-Identifier: Apache-2.0

// Package soak is an endurance test of the stub, and of nothing else: clients that work, stall, send rubbish and vanish, in
// both dialects, in front of a QEMU that is meanwhile stopped, paused, reset and killed. It counts what a process can leak
// before and after, and demands that every later client is served. Its tests start QEMUs and leave nothing behind.
//
// As a unit test it takes some ten seconds; `make soak`, or SOAK=10m go test, goes on for longer.
package soak
