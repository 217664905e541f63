// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"net"

	"mcdtest/stub"
	"mcdtest/stub/gdbtarget"
	"mcdtest/stub/target"
)

// stubEndpoint is our MCD server in front of a QEMU.
type stubEndpoint struct {
	target target.Target
	server *stub.Server
	served chan error // what Serve returned
}

// startStub takes over the gdbstub connection and the second monitor, and serves MCD on the listener.
func startStub(ctx context.Context, m *Machine, l net.Listener) (*stubEndpoint, error) {
	file, path := m.process.Dump()
	gt, err := gdbtarget.New(ctx, gdbtarget.Config{
		GDB: m.process.GDB(), QMP: m.process.Monitors()[1], QTest: m.qtest, Dump: gdbtarget.Dump{File: file, Path: path},
		Program: m.cfg.Guest.Program(), Machine: m.cfg.Guest.Machine(), Resume: m.cfg.Running, Asked: !m.cfg.Running, Log: m.cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	var t target.Target = gt
	if m.cfg.WrapTarget != nil {
		t = m.cfg.WrapTarget(t)
	}
	opts := stub.Options{AllowKill: true, Log: m.cfg.Log}
	switch m.cfg.Dialect {
	case Packet:
		opts.Dialect = stub.Packet
	case JSON:
		opts.Dialect = stub.JSON
	}
	e := &stubEndpoint{target: t, server: stub.NewServer(t, opts), served: make(chan error, 1)}
	go func() { e.served <- e.server.Serve(context.Background(), l) }()
	return e, nil
}

// close ends the server and lets go of the machine, which has ended before.
func (e *stubEndpoint) close() error {
	errs := []error{e.server.Close()}
	if err := <-e.served; !errors.Is(err, stub.ErrClosed) && !errors.Is(err, target.ErrGone) {
		errs = append(errs, fmt.Errorf("the stub's server ended by itself: %w", err))
	}
	if err := e.target.Close(); !errors.Is(err, net.ErrClosed) { // its connections are closed already
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
