// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"mcdtest/cmd/mcdtest/internal/chardev"
	"mcdtest/guest"
	"mcdtest/harness"
	"mcdtest/harness/rawclient"
	"mcdtest/harness/transcript"
)

// endpointFlags say whom to talk to: an endpoint that is there, or a machine of our own.
type endpointFlags struct {
	Connect string `placeholder:"ADDR" help:"Talk to the endpoint at HOST:PORT or unix:PATH, instead of starting a QEMU."`
	machineFlags
	Running bool `help:"Let the program run from the start, instead of waiting for the first go."`
}

// endpoint is an MCD endpoint to talk to.
type endpoint struct {
	name    string           // for messages
	machine *harness.Machine // nil if it is somebody else's
	address string           // if it is
}

// open starts a machine, unless there is an address to connect to.
func (f *endpointFlags) open(ctx context.Context) (*endpoint, error) {
	if f.Connect != "" {
		if f.QEMU != "" || f.Guest != "" || f.Variant != "" || len(f.QEMUArg) > 0 || f.Running || f.Arch != "" || f.Cores != 1 {
			return nil, errors.New("--connect talks to an endpoint that is there: drop what is for a machine to be started (--arch, --cores, --qemu, --guest, --variant, --qemu-arg, --running)")
		}
		return &endpoint{name: f.Connect, address: f.Connect}, nil
	}
	cfg, err := f.config(ctx, f.Arch)
	if err != nil {
		return nil, err
	}
	cfg.Running = f.Running
	m, err := harness.Start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &endpoint{name: fmt.Sprintf("%s %s, %s endpoint", m.Build().Program(), m.Build().Version, m.Endpoint()), machine: m}, nil
}

// connectTimeout bounds a connection to an address of the user's.
const connectTimeout = 5 * time.Second

func (e *endpoint) dial(ctx context.Context) (net.Conn, error) {
	if e.machine != nil {
		return e.machine.Dial(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return chardev.Dial(ctx, e.address, "is an MCD stub listening there? Give HOST:PORT or unix:PATH")
}

// client makes a client for packets on a connection of its own.
func (e *endpoint) client(ctx context.Context, rec *transcript.Recorder) (*rawclient.Client, error) {
	conn, err := e.dial(ctx)
	if err != nil {
		return nil, err
	}
	if e.machine == nil {
		return rawclient.New(conn, rawclient.Options{Recorder: rec}), nil
	}
	return rawclient.New(conn, rawOptions(e.machine, rec)), nil
}

// symbol is the value of a symbol of the guest, if the guest is ours.
func (e *endpoint) symbol(name string) (uint64, error) {
	if e.machine == nil {
		return 0, fmt.Errorf("{%s}: the guest behind %s is not known, so it has no symbols: write the number", name, e.name)
	}
	return e.machine.Guest().Symbol(name)
}

// guest is the program that runs, or nil.
func (e *endpoint) guest() *guest.Image {
	if e.machine == nil {
		return nil
	}
	return e.machine.Guest()
}

// close ends a machine of our own. A client may have ended it before.
func (e *endpoint) close() error {
	if e.machine == nil {
		return nil
	}
	e.machine.ExpectExit()
	return e.machine.Close()
}
