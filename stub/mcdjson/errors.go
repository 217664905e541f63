// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"context"
	"errors"
	"fmt"

	"mcdtest/stub/jsonwire"
	"mcdtest/stub/target"
)

// outcome is what a slot holds of the last command: what mcd-qry-error-info tells.
type outcome struct {
	status jsonwire.ReturnStatus
	code   jsonwire.ErrorCode
	events jsonwire.ErrorEvent
	err    error // its text is the error-str
}

// failure is a refused command with its error-code.
type failure struct {
	code jsonwire.ErrorCode
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// fail makes the error of a command that is refused with a code.
func fail(code jsonwire.ErrorCode, format string, args ...any) error {
	return &failure{code, fmt.Errorf(format, args...)}
}

// failed gives an error of the Target the code that belongs to the command, unless it has one that says more.
func failed(code jsonwire.ErrorCode, err error) error {
	if general := codeOf(err); general == jsonwire.ErrConnection || general == jsonwire.ErrTimedOut || general == jsonwire.ErrFnUnimplemented {
		code = general
	}
	return &failure{code, err}
}

// outcomeOf is what a command leaves behind that ended with err.
func outcomeOf(err error) outcome {
	if err == nil {
		return outcome{}
	}
	o := outcome{status: jsonwire.RetActHandleError, code: codeOf(err), err: err}
	if errors.Is(err, target.ErrGone) {
		o.events = jsonwire.ErrEvtPwrDn
	}
	return o
}

// codes are the error-codes of a Target's reasons, for commands without a code of their own.
var codes = []struct {
	reason error
	code   jsonwire.ErrorCode
}{
	{errTimedOut, jsonwire.ErrTimedOut},
	{context.Canceled, jsonwire.ErrTimedOut},
	{context.DeadlineExceeded, jsonwire.ErrTimedOut},
	{target.ErrGone, jsonwire.ErrConnection},
	{target.ErrUnsupported, jsonwire.ErrFnUnimplemented},
	{target.ErrRunning, jsonwire.ErrUsage},
	{target.ErrNoCore, jsonwire.ErrParam},
	{target.ErrNoResetClass, jsonwire.ErrParam},
	{target.ErrSize, jsonwire.ErrParam},
	{target.ErrNoRegister, jsonwire.ErrParam},
	{target.ErrNoSpace, jsonwire.ErrMemSpaceID},
	{target.ErrNoTrigger, jsonwire.ErrTrigAccess},
	{target.ErrBadTrigger, jsonwire.ErrTrigCreate},
	{target.ErrTriggersFull, jsonwire.ErrTrigCreate},
	{target.ErrUnmapped, jsonwire.ErrDeviceAccess},
	{target.ErrUnreachable, jsonwire.ErrDeviceAccess},
	{target.ErrNotTaken, jsonwire.ErrDeviceAccess},
}

func codeOf(err error) jsonwire.ErrorCode {
	var f *failure
	if errors.As(err, &f) {
		return f.code
	}
	for _, c := range codes {
		if errors.Is(err, c.reason) {
			return c.code
		}
	}
	return jsonwire.ErrGeneral
}

// qryErrorInfo answers mcd-qry-error-info. It leaves every slot as it is.
func qryErrorInfo(s *session, a *jsonwire.CoreArgs, r *jsonwire.ErrorInfo) error {
	o := s.last
	if a.CoreUID != 0 {
		c, err := s.core(a.CoreUID)
		switch {
		case err == nil:
			o = c.last
		case s.wasClosed(a.CoreUID):
			o = outcomeOf(alreadyClosed(a.CoreUID))
		default:
			o = outcomeOf(err)
		}
	}
	s.slot = nil
	*r = jsonwire.ErrorInfo{Status: o.status, Code: o.code, Events: o.events}
	if o.err != nil {
		r.Str = jsonwire.Cut(o.err.Error(), jsonwire.MaxInfo)
	}
	return nil
}
