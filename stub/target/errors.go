// SPDX-License-Identifier: Apache-2.0

package target

import (
	"errors"
	"fmt"
)

// Reasons why a request is refused. Errors of a Target wrap one of them; the text around it names the request.
var (
	ErrNoCore       = errors.New("no such core")
	ErrNoSpace      = errors.New("no such memory space")
	ErrNoRegister   = errors.New("no such register")
	ErrNoTrigger    = errors.New("no such trigger")
	ErrNoResetClass = errors.New("no such reset class")
	ErrBadTrigger   = errors.New("not a trigger that this machine has")
	ErrTriggersFull = errors.New("no trigger left")
	ErrSize         = errors.New("wrong number of bytes")
	ErrUnmapped     = errors.New("nothing is mapped there")
	ErrUnreachable  = errors.New("not reachable in the core's present state")
	ErrAsleep       = errors.New("it is powered off or waits for an interrupt")
	ErrNotTaken     = errors.New("the machine ignored the write")
	ErrRunning      = errors.New("the core is running")
	ErrUnsupported  = errors.New("not supported by this machine")
	ErrGone         = errors.New("the machine has ended")
)

// Error is a refused request: what was attempted and the reason.
type Error struct {
	Op  string // "read memory 0x40000000+4 of core 0"
	Err error  // wraps one of the reasons above
}

func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error whose Op is formatted; reason is kept for errors.Is.
func Errorf(reason error, format string, args ...any) error {
	return &Error{Op: fmt.Sprintf(format, args...), Err: reason}
}
