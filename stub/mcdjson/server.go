// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"context"
	"errors"
	"runtime/debug"

	"mcdtest/stub/jsonwire"
)

// What the dialect calls itself.
const (
	serverName = "QEMU" // host and server, as the published server has it
	vendor     = "mcdtest"
)

// initialize answers mcd-initialize.
func initialize(s *session, a *jsonwire.InitializeArgs, r *jsonwire.InitializeResult) error {
	if v := a.VersionReq; v.Major != jsonwire.APIMajor || v.Minor > jsonwire.APIMinor {
		return fail(jsonwire.ErrGeneral, "version %d.%d of the MCD API is asked for; this is %d.%d", v.Major, v.Minor, jsonwire.APIMajor, jsonwire.APIMinor)
	}
	r.ImplInfo = jsonwire.ImplInfo{
		API:    jsonwire.Version{Major: jsonwire.APIMajor, Minor: jsonwire.APIMinor, Author: vendor},
		Major:  1,
		Vendor: vendor,
		Date:   buildDate(),
	}
	return nil
}

// buildDate is the date of the commit that this was built from, as far as the build recorded it.
func buildDate() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.time" && len(s.Value) >= len("2006-01-02") {
				return s.Value[:len("2006-01-02")]
			}
		}
	}
	return ""
}

// exit answers mcd-exit. The connection stays, and the server can be opened again.
func exit(s *session, _ *jsonwire.NoArgs, _ *jsonwire.NoResult) error {
	if s.uid == 0 {
		return nil
	}
	return s.closeServer(s.ctx)
}

// qryServers answers mcd-qry-servers: there is one, on whatever host, and it runs.
func qryServers(s *session, a *jsonwire.QryServersArgs, r *jsonwire.QryServersResult) error {
	if err := limits("host", a.Host, jsonwire.MaxName); err != nil {
		return err
	}
	var err error
	r.NumServers, r.ServerInfo, err = window([]jsonwire.ServerInfo{{Server: serverName}}, a.StartIndex, a.NumServers)
	return err
}

// openServer answers mcd-open-server. The keys are for servers that lock systems; any will do.
func openServer(s *session, a *jsonwire.OpenServerArgs, r *jsonwire.OpenServerResult) error {
	if err := limits("system-key", a.SystemKey, jsonwire.MaxName); err != nil {
		return err
	}
	if s.uid != 0 {
		return fail(jsonwire.ErrConnection, "server %d is open already", s.uid)
	}
	for s.uid == 0 { // 0 is no server, should the numbers ever wrap
		s.uid = s.serverUID.Add(1)
	}
	*r = jsonwire.OpenServerResult{ServerUID: s.uid, Host: serverName, ConfigString: a.ConfigString}
	return nil
}

// closeServer answers mcd-close-server.
func closeServer(s *session, a *jsonwire.CloseServerArgs, _ *jsonwire.NoResult) error {
	if err := s.needServer(); err != nil {
		return err
	}
	if a.ServerUID != s.uid {
		return fail(jsonwire.ErrConnection, "server %d is not open; %d is", a.ServerUID, s.uid)
	}
	return s.closeServer(s.ctx)
}

// closeServer closes the cores and the server, whatever becomes of the triggers.
func (s *session) closeServer(ctx context.Context) error {
	var errs []error
	for _, c := range s.cores {
		if c != nil {
			errs = append(errs, s.closeCore(ctx, c))
		}
	}
	clear(s.closed)
	s.uid = 0
	return errors.Join(errs...)
}

func (s *session) needServer() error {
	if s.uid == 0 {
		return fail(jsonwire.ErrConnection, "no server is open: mcd-open-server comes first")
	}
	return nil
}

// limits refuses a string that does not fit into the C structure of the MCD API.
func limits(name, value string, limit int) error {
	if len(value) > limit {
		return fail(jsonwire.ErrParam, "%s has %d bytes; the most is %d", name, len(value), limit)
	}
	return nil
}
