// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net"

	"mcdtest/harness"
	"mcdtest/harness/debugger"
	"mcdtest/harness/jsonclient"
	"mcdtest/harness/rawclient"
	"mcdtest/harness/transcript"
)

// newDebugger makes a session on a connection to the machine's endpoint, in the machine's dialect.
func newDebugger(m *harness.Machine, conn net.Conn, rec *transcript.Recorder) (debugger.Debugger, error) {
	switch m.Dialect() {
	case harness.Packet:
		return debugger.NewPacket(rawclient.New(conn, rawOptions(m, rec))), nil
	case harness.JSON:
		return debugger.NewJSON(jsonclient.New(conn, jsonOptions(m, rec))), nil
	}
	conn.Close()
	return nil, fmt.Errorf("there is no client for the dialect %q", m.Dialect())
}

// rawOptions let a client see QEMU's end at once; so do jsonOptions.
func rawOptions(m *harness.Machine, rec *transcript.Recorder) rawclient.Options {
	return rawclient.Options{Recorder: rec, Gone: m.Done(), GoneErr: exitOf(m)}
}

func jsonOptions(m *harness.Machine, rec *transcript.Recorder) jsonclient.Options {
	return jsonclient.Options{Recorder: rec, Gone: m.Done(), GoneErr: exitOf(m)}
}

func exitOf(m *harness.Machine) func() error {
	return func() error {
		if exit := m.Exit(); exit != nil {
			return exit
		}
		return nil
	}
}
