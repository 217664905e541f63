// SPDX-License-Identifier: Apache-2.0

package mcdjson

import "mcdtest/stub/jsonwire"

// systemCon is the one system: the emulator.
func (s *session) systemCon() jsonwire.Con {
	return jsonwire.Con{System: jsonwire.Cut(s.info.Program, jsonwire.MaxName)}
}

// deviceCon is the one device: the machine.
func (s *session) deviceCon() jsonwire.Con {
	con := s.systemCon()
	con.Device = jsonwire.Cut(s.info.Machine, jsonwire.MaxName)
	return con
}

// coreCon is a core that exists.
func (s *session) coreCon(core int) jsonwire.Con {
	con := s.deviceCon()
	con.Core = jsonwire.Cut(s.info.Cores[core].Type, jsonwire.MaxName)
	con.CoreID = uint32(core)
	return con
}

// matches checks that what a client says it wants is what there is. Names that it leaves empty fit everything; host and
// keys are for servers that have several of them.
func matches(con, have *jsonwire.Con) error {
	for _, f := range []struct{ name, want, have string }{
		{"system", con.System, have.System},
		{"device", con.Device, have.Device},
		{"core", con.Core, have.Core},
	} {
		if err := limits(f.name, f.want, jsonwire.MaxName); err != nil {
			return err
		}
		if f.want != "" && f.have != "" && f.want != f.have {
			return fail(jsonwire.ErrParam, "there is no %s %q; there is %q", f.name, f.want, f.have)
		}
	}
	for _, f := range []struct{ name, value string }{
		{"host", con.Host}, {"server-key", con.ServerKey}, {"system-key", con.SystemKey}, {"device-key", con.DeviceKey},
		{"system-instance", con.SystemInstance}, {"acc-hw", con.AccHW},
	} {
		if err := limits(f.name, f.value, jsonwire.MaxName); err != nil {
			return err
		}
	}
	return nil
}

// qrySystems answers mcd-qry-systems.
func qrySystems(s *session, a *jsonwire.QrySystemsArgs, r *jsonwire.QrySystemsResult) error {
	if err := s.needServer(); err != nil {
		return err
	}
	var err error
	r.NumSystems, r.SystemConInfo, err = window([]jsonwire.Con{s.systemCon()}, a.StartIndex, a.NumSystems)
	return err
}

// qryDevices answers mcd-qry-devices.
func qryDevices(s *session, a *jsonwire.QryDevicesArgs, r *jsonwire.QryDevicesResult) error {
	if err := s.needServer(); err != nil {
		return err
	}
	have := s.systemCon()
	if err := matches(&a.SystemConInfo, &have); err != nil {
		return err
	}
	var err error
	r.NumDevices, r.DeviceConInfo, err = window([]jsonwire.Con{s.deviceCon()}, a.StartIndex, a.NumDevices)
	return err
}

// qryCores answers mcd-qry-cores.
func qryCores(s *session, a *jsonwire.QryCoresArgs, r *jsonwire.QryCoresResult) error {
	if err := s.needServer(); err != nil {
		return err
	}
	have := s.deviceCon()
	if err := matches(&a.ConnectionInfo, &have); err != nil {
		return err
	}
	cons := make([]jsonwire.Con, len(s.info.Cores))
	for i := range cons {
		cons[i] = s.coreCon(i)
	}
	var err error
	r.NumCores, r.CoreConInfo, err = window(cons, a.StartIndex, a.NumCores)
	return err
}
