// SPDX-License-Identifier: Apache-2.0

// Package fault is a catalogue of deliberate defects of a stub. A suite is sharp if it notices each of them. A fault
// sits inside the Target, or on the connection between client and endpoint; it starts nothing and touches nothing else.
package fault

import (
	"fmt"
	"net"
	"strings"

	"mcdtest/stub/target"
)

// Fault is one defect.
type Fault struct {
	Name    string // "memory-reads-zeros"
	Meaning string // "a memory read returns zeros"
	// Subjects are where it ought to be noticed first: subjects of the suite.
	Subjects []string
	// Dialects that it shows in; empty for both.
	Dialects []string
	// Cores is the least number of cores that it needs to show.
	Cores int

	// Exactly one of these is set.
	WrapTarget func(target.Target) target.Target
	WrapConn   func(c net.Conn, dialect string) net.Conn
}

// Lookup finds a fault by its name.
func Lookup(name string) (Fault, error) {
	var names []string
	for _, f := range Catalogue {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	return Fault{}, fmt.Errorf("there is no fault %q; there are %s", name, strings.Join(names, ", "))
}
