// SPDX-License-Identifier: Apache-2.0

package fault

// Catalogue lists every fault.
var Catalogue = []Fault{
	{Name: "memory-reads-zeros", Meaning: "a memory read returns zeros", Subjects: []string{"memory"}, WrapTarget: memoryReadsZeros},
	{Name: "stop-does-not-stop", Meaning: "a stop is reported and the core runs on", Subjects: []string{"run control"}, WrapTarget: stopDoesNotStop},
	{Name: "breakpoint-left-behind", Meaning: "a removed breakpoint stays in the machine", Subjects: []string{"breakpoints"}, WrapTarget: breakpointLeftBehind},
}
