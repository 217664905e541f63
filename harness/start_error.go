// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"errors"

	"mcdtest/harness/launch"
)

// StartError is why Start has made no Machine of a QEMU that it did start, with what is left of that QEMU.
type StartError struct {
	Build  *Build
	Args   []string     // QEMU's command line as Machine.Args has it
	Stderr []string     // its last lines
	Exit   *launch.Exit // how it ended by itself; nil if it lived and was killed

	err error
}

func (e *StartError) Error() string { return e.err.Error() }

// Unwrap returns what happened.
func (e *StartError) Unwrap() error { return e.err }

// startError adds to the error of a start what is known of QEMU. Its process, if there was one, has ended.
func (m *Machine) startError(err error) error {
	e := &StartError{Build: m.cfg.Build, Args: m.Args(), err: err}
	errors.As(err, &e.Exit)
	switch {
	case m.process != nil:
		e.Stderr = m.process.Stderr()
	case e.Exit != nil:
		e.Stderr = e.Exit.Stderr
	}
	return e
}
