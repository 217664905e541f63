// SPDX-License-Identifier: Apache-2.0

// Package fault is a catalogue of deliberate defects of a stub. A suite is sharp if it notices each of them. A fault
// sits inside the Target, where both dialects show it, or on the client's end of the connection, where it changes bytes;
// it starts nothing and touches nothing else.
package fault

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"mcdtest/stub/target"
)

// Dialects.
const (
	Packet = "packet"
	JSON   = "json"
)

// Fault is one defect.
type Fault struct {
	Name    string // "memory-reads-zeros"
	Meaning string // "a memory read returns zeros"
	// Subjects are where it ought to be noticed first: subjects of the suite.
	Subjects []string
	// Dialects that it shows in; empty for both.
	Dialects []string
	// Cores is the least number of cores that it needs to show; 0 is 1.
	Cores int

	// Exactly one of these is set. Each is called once for every machine.
	WrapTarget func(target.Target) target.Target
	Conns      func() ConnWrapper
}

// ConnWrapper puts a fault into one of the connections to a machine.
type ConnWrapper func(c net.Conn) net.Conn

// In reports whether the fault shows in a dialect.
func (f Fault) In(dialect string) bool {
	return len(f.Dialects) == 0 || slices.Contains(f.Dialects, dialect)
}

// Lookup finds a fault of the catalogue, or a tolerable one, by its name.
func Lookup(name string) (Fault, error) {
	for _, list := range [][]Fault{Catalogue, Tolerable} {
		for _, f := range list {
			if f.Name == name {
				return f, nil
			}
		}
	}
	var names []string
	for _, f := range Catalogue {
		names = append(names, f.Name)
	}
	return Fault{}, fmt.Errorf("there is no fault %q; there are %s", name, strings.Join(names, ", "))
}
