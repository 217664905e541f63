// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"net"

	"mcdtest/harness/fault"
	"mcdtest/stub/target"
)

// faultInUse is the deliberate defect that a run has been asked to put between client and endpoint; nil in an honest
// run.
type faultInUse struct{ fault.Fault }

func (s Settings) fault() (*faultInUse, error) {
	if s.Fault == "" {
		return nil, nil
	}
	f, err := fault.Lookup(s.Fault)
	if err != nil {
		return nil, err
	}
	return &faultInUse{f}, nil
}

func (f *faultInUse) wrapTarget() func(target.Target) target.Target {
	if f == nil {
		return nil
	}
	return f.WrapTarget
}

// wrapConns makes what wraps each connection to one machine.
func (f *faultInUse) wrapConns() fault.ConnWrapper {
	if f == nil || f.Conns == nil {
		return func(c net.Conn) net.Conn { return c }
	}
	return f.Conns()
}
