// SPDX-License-Identifier: Apache-2.0

// Package suites says what a debug stub must do. Each spec is an entry of a registry, filled by the files of this
// package, one file a subject; the Ginkgo tree is made from it, once for every case (architecture, cores, dialect) that
// the settings ask for. So `go tool ginkgo ./suites`, `go test ./suites` and `mcdtest suite` run the same specs, and a
// shard, a list or a table of them is a question to the registry.
//
// A spec gets a fresh Machine, speaks MCD to its endpoint and does not know whether that is a QEMU's own -mcd or the
// stub in front of a stock QEMU. What MCD says is checked against QMP, qtest and the symbols of the guest, never
// against the code under test. Behaviour that both dialects have is written once, through a debugger.Debugger; specs of
// the wire use the raw client of their dialect.
//
// See docs/writing-a-spec.md.
package suites
