// SPDX-License-Identifier: Apache-2.0

package mcdjson

import "mcdtest/stub/jsonwire"

// qryRegGroups answers mcd-qry-reg-groups.
func qryRegGroups(s *session, a *jsonwire.QryRegGroupsArgs, r *jsonwire.QryRegGroupsResult) error {
	c, err := s.core(a.CoreUID)
	if err != nil {
		return err
	}
	groups := s.tablesOf(c.index).groups
	if len(groups) == 0 {
		return fail(jsonwire.ErrNoRegGroups, "core %d has no register groups", c.index)
	}
	r.NumRegGroups, r.RegGroups, err = window(groups, a.StartIndex, a.NumRegGroups)
	return err
}

// qryRegMap answers mcd-qry-reg-map.
func qryRegMap(s *session, a *jsonwire.QryRegMapArgs, r *jsonwire.QryRegMapResult) error {
	c, err := s.core(a.CoreUID)
	if err != nil {
		return err
	}
	t := s.tablesOf(c.index)
	regs := t.all
	if id := uint64(a.RegGroupID); id != 0 {
		if id > uint64(len(t.groups)) {
			return fail(jsonwire.ErrRegGroupID, "there is no register group %d; there are %d, from 1", id, len(t.groups))
		}
		regs = t.byGroup[id-1]
	}
	r.NumRegs, r.RegInfo, err = window(regs, a.StartIndex, a.NumRegs)
	return err
}
