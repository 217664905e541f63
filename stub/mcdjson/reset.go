// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"mcdtest/stub/jsonwire"
	"mcdtest/stub/target"
)

// resetClass is the class behind a bit of a rst-class-vector.
func (s *session) resetClass(bit int) (target.ResetClass, bool) {
	for _, c := range s.info.ResetClasses {
		if c.ID == bit {
			return c, true
		}
	}
	return target.ResetClass{}, false
}

// resetVector has a bit for each class.
func (s *session) resetVector() (vector uint32) {
	for _, c := range s.info.ResetClasses {
		if c.ID >= 0 && c.ID < 32 {
			vector |= 1 << c.ID
		}
	}
	return vector
}

// qryRstClasses answers mcd-qry-rst-classes.
func qryRstClasses(s *session, a *jsonwire.CoreArgs, r *jsonwire.QryRstClassesResult) error {
	if _, err := s.core(a.CoreUID); err != nil {
		return err
	}
	r.RstClassVector = s.resetVector()
	return nil
}

// qryRstClassInfo answers mcd-qry-rst-class-info.
func qryRstClassInfo(s *session, a *jsonwire.QryRstClassInfoArgs, r *jsonwire.QryRstClassInfoResult) error {
	if _, err := s.core(a.CoreUID); err != nil {
		return err
	}
	class, ok := s.resetClass(int(a.RstClass))
	if !ok || class.ID >= 32 {
		return fail(jsonwire.ErrParam, "there is no reset class %d", a.RstClass)
	}
	name := class.Name
	if class.ID == 0 {
		name = "System Reset" // the dialect's name for it
	}
	r.RstInfo = jsonwire.RstInfo{ClassVector: 1 << class.ID, InfoStr: jsonwire.Cut(name, jsonwire.MaxInfo)}
	return nil
}

// rst answers mcd-rst.
func rst(s *session, a *jsonwire.RstArgs, _ *jsonwire.NoResult) error {
	if _, err := s.core(a.CoreUID); err != nil {
		return err
	}
	if a.RstClassVector == 0 || a.RstClassVector&^s.resetVector() != 0 {
		return fail(jsonwire.ErrParam, "rst-class-vector %#x; there is %#x", a.RstClassVector, s.resetVector())
	}
	resetter, ok := s.target.(target.Resetter)
	if !ok {
		return target.Errorf(target.ErrUnsupported, "reset")
	}
	s.noteAllHits()
	for bit := range 32 {
		if a.RstClassVector>>bit&1 == 0 {
			continue
		}
		if err := resetter.Reset(s.ctx, bit, a.RstAndHalt); err != nil {
			return err
		}
	}
	return nil
}
