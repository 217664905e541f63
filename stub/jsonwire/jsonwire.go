// SPDX-License-Identifier: Apache-2.0

// Package jsonwire is the vocabulary of the JSON dialect (QEMU's MCD patch series of 2025): the table of commands, the
// objects they carry, the constants of the MCD API, and the way from bytes to objects and back. It does no I/O. The
// stub dispatches by its table and checks arguments against it; the client, the shell and the hostile-input specs are
// made from it.
//
// The objects are Go structs. The json tags name the keys, so encoding/json reads and writes them too; Decode and Append
// do the same work without its cost, and more strictly: no key may be missing, unknown or given twice, and a number
// must fit.
package jsonwire

// Limits of the transport.
const (
	ClientBuffer = 65535   // bytes that the buffers of the real client hold
	MaxRequest   = 8 << 20 // bytes of one request towards our stub
	MaxDepth     = 1024    // nesting of one request, as in QEMU's own parser

	// MaxCount is the largest num-X that a client believes.
	MaxCount = 65535
)

// Limits of strings in bytes, the NUL of the C structures not counted.
const (
	MaxName         = 63  // names and keys
	MaxRegisterName = 31  // names of registers, register groups and memory spaces
	MaxInfo         = 255 // stop-str, info-str, error-str
)

// Versions of the MCD API that this dialect speaks.
const (
	APIMajor = 1
	APIMinor = 1
)

// Cut shortens s to at most limit bytes without cutting a character in half.
func Cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && s[limit]&0xC0 == 0x80 {
		limit--
	}
	return s[:limit]
}
