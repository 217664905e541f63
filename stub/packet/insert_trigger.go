// SPDX-License-Identifier: Apache-2.0

package packet

import "mcdtest/stub/target"

// insertTrigger answers `t`.
//
//	$t0;1;1075838988#|   core; type; address (; trigger id)
//	+$success#|
func insertTrigger(s *session, a *args) {
	core, trigger, err := s.trigger(a)
	if err != nil {
		s.refuse(target.Errorf(err, "insert trigger of type %d at %#x on core %d", a.n[1], a.n[2], a.n[0]))
		return
	}
	s.acknowledge()
	s.status(s.target.InsertTrigger(s.ctx, core, trigger))
}

// trigger checks the arguments core, type and address.
func (s *session) trigger(a *args) (int, target.Trigger, error) {
	core, err := s.core(a.n[0])
	if err != nil {
		return 0, target.Trigger{}, err
	}
	if a.n[1] > uint64(target.Access) || !target.TriggerType(a.n[1]).Valid() {
		return 0, target.Trigger{}, target.ErrBadTrigger
	}
	return core, target.Trigger{Type: target.TriggerType(a.n[1]), Addr: a.n[2]}, nil
}
