// SPDX-License-Identifier: Apache-2.0

package suites

// labels is the closed list of labels that a spec may have beside those that the tree gives it: its subject, "fast",
// and the case ("arm", "packet", "cores:1").
var labels = []string{
	"wire",     // about bytes, not about behaviour
	"hostile",  // deliberate bad input
	"smp",      // more than one core
	"mmu",      // address translation on
	"secure",   // ARM's secure world
	"slow",     // takes more than a second
	"ours",     // the published stub or the series of 2025 is known to do something else; the specification says what is right
	"observer", // compares with QMP or qtest
}
