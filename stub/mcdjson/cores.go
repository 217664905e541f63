// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"context"

	"mcdtest/stub/jsonwire"
)

// openCore answers mcd-open-core.
func openCore(s *session, a *jsonwire.OpenCoreArgs, r *jsonwire.OpenCoreResult) error {
	if err := s.needServer(); err != nil {
		return err
	}
	con := &a.CoreConInfo
	if uint64(con.CoreID) >= uint64(len(s.cores)) {
		return fail(jsonwire.ErrParam, "there is no core %d; there are %d, from 0", con.CoreID, len(s.cores))
	}
	have := s.coreCon(int(con.CoreID))
	if err := matches(con, &have); err != nil {
		return err
	}
	if s.cores[con.CoreID] != nil {
		return fail(jsonwire.ErrConnection, "core %d is open already", con.CoreID)
	}
	if s.closed[con.CoreID] {
		return fail(jsonwire.ErrConnection, "core %d was closed; open the server anew to open it again", con.CoreID)
	}
	c := &core{index: int(con.CoreID)}
	s.know(c)
	s.cores[con.CoreID] = c
	r.CoreUID = c.uid()
	r.CoreConInfo = *con
	r.CoreConInfo.System, r.CoreConInfo.Device, r.CoreConInfo.Core = have.System, have.Device, have.Core
	return nil
}

// closeCore answers mcd-close-core.
func closeCore(s *session, a *jsonwire.CoreArgs, _ *jsonwire.NoResult) error {
	if err := s.needServer(); err != nil {
		return err
	}
	if s.wasClosed(a.CoreUID) {
		return alreadyClosed(a.CoreUID)
	}
	c, err := s.core(a.CoreUID)
	if err != nil {
		return err
	}
	s.slot = &s.last // the core's own goes with it
	return s.closeCore(s.ctx, c)
}

// wasClosed reports whether a core was opened and closed since the server was opened.
func (s *session) wasClosed(uid uint32) bool {
	return uid > 0 && uint64(uid) <= uint64(len(s.closed)) && s.closed[uid-1]
}

func alreadyClosed(uid uint32) error {
	return fail(jsonwire.ErrConnection, "core-uid %d is closed already", uid)
}

// closeCore takes back the triggers that the client has created on the core and closes it, whatever becomes of the triggers.
func (s *session) closeCore(ctx context.Context, c *core) error {
	s.know(c)
	err := s.removeTriggers(ctx, c, false)
	s.cores[c.index] = nil
	s.closed[c.index] = true
	return err
}
