// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"mcdtest/stub"
	"mcdtest/stub/gdbtarget"
	"mcdtest/stub/qmp"
	"mcdtest/stub/qtest"
)

// firstFD is the number of the first descriptor that the endpoint inherits.
const firstFD = 3

// Endpoint is the process beside the real QEMU that serves MCD until QEMU ends. It returns the exit status.
func Endpoint(text string) int {
	// Written to a QEMU that has just ended; the error of the write is enough.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var s settings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		fmt.Fprintf(os.Stderr, "mcdtest %s: this command is started by mcdtest itself: %v\n", EndpointCommand, err)
		return 2
	}
	defer func() {
		if s.Unlink != "" {
			os.Remove(s.Unlink)
		}
	}()
	if err := s.serve(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "%s: -mcd %s: %v\n", s.Program, s.Device, err)
		return 1
	}
	return 0
}

// serve returns when QEMU has ended, or with the reason why it could not serve.
func (s *settings) serve(ctx context.Context) error {
	fd := firstFD
	inherited := func(name string) *os.File {
		f := os.NewFile(uintptr(fd), name)
		fd++
		return f
	}
	connection := func(name string) (net.Conn, error) {
		f := inherited(name)
		defer f.Close()
		c, err := net.FileConn(f)
		if err != nil {
			return nil, fmt.Errorf("take over the connection to %s: %w", name, err)
		}
		return c, nil
	}
	gdb, err := connection("the gdbstub")
	if err != nil {
		return err
	}
	control, err := connection("QMP")
	if err != nil {
		return err
	}
	var qt *qtest.Client
	if s.QTest {
		c, err := connection("qtest")
		if err != nil {
			return err
		}
		qt = qtest.New(c)
		defer qt.Close()
	}
	var listener net.Listener
	if s.Listener {
		f := inherited("the listener")
		if listener, err = net.FileListener(f); err != nil {
			return fmt.Errorf("take over the listener: %w", err)
		}
		f.Close()
		defer listener.Close()
	}
	var client net.Conn
	var carried <-chan struct{}
	if s.Stream > 0 {
		in, out := inherited("input"), inherited("output")
		if s.Stream > 2 {
			defer inherited("the terminal").Close()
		}
		if client, carried, err = carry(in, out); err != nil {
			return err
		}
		defer client.Close()
	}
	if s.Conn {
		if client, err = connection("the client"); err != nil {
			return err
		}
		defer client.Close()
	}

	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	monitor := qmp.New(control)
	// QEMU may take as long as it likes to start: it may wait for somebody to connect to its serial line. It ends the
	// connection if it does not start at all.
	starting, cancel := context.WithTimeout(ctx, 100*24*time.Hour)
	defer cancel()
	if err := monitor.ConnectContext(starting); err != nil {
		gdb.Close()
		if errors.Is(err, qmp.ErrEnded) {
			return nil // and has said why
		}
		return err
	}
	target, err := gdbtarget.New(ctx, gdbtarget.Config{
		GDB: gdb, QMP: monitor, QTest: qt, Program: s.Program, Machine: s.Machine, Resume: s.Running, Log: log,
	})
	if err != nil {
		select {
		case <-monitor.Done():
			return nil
		default:
			return err
		}
	}
	defer target.Close()
	server := stub.NewServer(leaving{target, func() {
		if listener != nil {
			listener.Close()
		}
		if s.Unlink != "" {
			os.Remove(s.Unlink)
			s.Unlink = ""
		}
	}}, stub.Options{Dialect: s.dialect(), AllowKill: true, BusyPoll: true, Log: log})
	defer server.Close()
	// What a client is dropped for is its own affair; the machine runs on, and the next one is welcome.
	if client != nil {
		server.ServeConn(ctx, client)
	}
	if carried != nil {
		select {
		case <-carried:
		case <-target.Done():
		case <-ctx.Done():
		}
	}
	if s.Dial != nil {
		return s.dial(ctx, server, target.Done())
	}
	if listener == nil {
		return nil // dialled: nobody will come any more
	}
	err = server.Serve(ctx, listener)
	select {
	case <-target.Done():
		return nil
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}

// dial connects to whoever listens, again and again, until QEMU ends.
func (s *settings) dial(ctx context.Context, server *stub.Server, ended <-chan struct{}) error {
	for {
		if _, client, err := s.Dial.Open(ctx, nil); err == nil {
			server.ServeConn(ctx, client)
		}
		select {
		case <-ended:
			return nil
		case <-ctx.Done():
			return nil
		case <-time.After(s.Dial.Reconnect):
		}
	}
}

// carry makes a connection of two files, for which there are no deadlines. carried is closed behind the end of the connection, when all
// that was sent to it has been written.
func carry(in, out *os.File) (conn net.Conn, carried <-chan struct{}, err error) {
	one, fd, err := socketpair()
	if err != nil {
		return nil, nil, err
	}
	var ends [2]*net.UnixConn
	for i, f := range []*os.File{one, os.NewFile(uintptr(fd), "a stream")} {
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			return nil, nil, fmt.Errorf("make a connection of a stream: %w", err)
		}
		ends[i] = c.(*net.UnixConn)
	}
	go func() {
		io.Copy(ends[1], in)
		ends[1].CloseWrite()
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(out, ends[1])
	}()
	return ends[0], done, nil
}

// leaving frees the address before a client ends QEMU, so that the next QEMU can have it.
type leaving struct {
	*gdbtarget.Target
	free func()
}

func (l leaving) Kill(ctx context.Context) error {
	l.free()
	return l.Target.Kill(ctx)
}

func (s *settings) dialect() stub.Dialect {
	switch s.Dialect {
	case "packet":
		return stub.Packet
	case "json":
		return stub.JSON
	}
	return stub.Auto
}
