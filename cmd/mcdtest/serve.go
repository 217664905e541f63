// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"mcdtest/cmd/mcdtest/internal/serve"
	"mcdtest/stub"
	"mcdtest/stub/target"
)

type serveCmd struct {
	Listen  string `default:"127.0.0.1:1235" placeholder:"ADDR" help:"HOST:PORT or unix:PATH, whose mode is 0600; port 0 takes any that is free (${default})."`
	Dialect string `default:"auto" enum:"auto,packet,json" help:"packet (2023), json (2025), or auto: by the first byte of the client."`
	NoKill  bool   `help:"Refuse k, which ends QEMU. What the guest can do to end it, a client can do still."`
	GDB     string `name:"gdb" placeholder:"ADDR" help:"Attach to the gdbstub of a QEMU that runs (-gdb): HOST:PORT or unix:PATH."`
	QMP     string `name:"qmp" placeholder:"ADDR" help:"Its QMP monitor (-qmp)."`
	QTest   string `name:"qtest" placeholder:"ADDR" help:"Its qtest (-qtest), if it has one: memory is read without stopping it then."`
	Verbose bool   `short:"v" help:"Log every request that is refused, and what the stub does."`

	IdleTimeout    time.Duration `default:"0" placeholder:"TIME" group:"Limits" help:"Drop a client that sends no request for so long; 0: never, as a debugger waits for its user, and keeps all others out meanwhile."`
	RequestTimeout time.Duration `default:"0" placeholder:"TIME" group:"Limits" help:"How long QEMU may take for a request before its client is dropped (packet) or told so (JSON); 0: 1m in packets, 4s in JSON."`
	WriteTimeout   time.Duration `default:"10s" placeholder:"TIME" group:"Limits" help:"Drop a client that leaves its replies unread for so long (${default})."`
	ConnRate       int           `default:"100" placeholder:"N" group:"Limits" help:"Clients a second that are admitted, after as many at once (${default}); 0: any number."`
	MaxRead        int           `default:"4194304" placeholder:"BYTES" group:"Limits" help:"The most memory that one packet reads (${default}); a packet itself has 1,023 bytes at most."`
	MaxRequest     int           `default:"8388608" placeholder:"BYTES" group:"Limits" help:"The largest request in JSON (${default})."`
	MaxPending     int           `default:"65536" placeholder:"BYTES" group:"Limits" help:"Replies that may gather, beside the one that is made, before the client has to take them (${default})."`

	Command []string `arg:"" optional:"" passthrough:"" help:"The QEMU to start, behind --."`
}

func (serveCmd) Help() string {
	return `Puts mcdtest's MCD stub in front of an unmodified QEMU, for any MCD client of either dialect. It starts the QEMU that stands behind
--, or attaches to one that runs. Ctrl-C ends it: a QEMU that it started ends too; one that it attached to loses the triggers of
the clients, runs on if it ran before, and is left alone. If QEMU ends, so does this, with exit status 0 if QEMU's is 0 (a
client's kill is such an end) and 1 otherwise; of one that it attached to the status is not known, and 1 unless a client killed it.

There is no authentication: whoever can connect controls the machine. So it listens on loopback, or on a unix socket that only
you can use, unless it is told otherwise; docs/security.md says what is defended and what is not.

A QEMU that it starts is confined: what stands in front of its own options is "-sandbox on,…", so that it can start no program
and gain no rights, and "-nic none". Options of yours win: -sandbox off, or a -nic, -net or -netdev.

Examples:
  mcdtest serve -- qemu-system-arm -M virt -cpu cortex-a15 -display none -S
  mcdtest serve --listen unix:/tmp/mcd.sock -- qemu-system-riscv64 -M virt -display none
  mcdtest serve --gdb 127.0.0.1:1234 --qmp unix:/tmp/qmp.sock --no-kill`
}

// Validate is called by kong.
func (c *serveCmd) Validate() error {
	if len(c.Command) > 0 && c.Command[0] == "--" {
		c.Command = c.Command[1:]
	}
	attach := c.GDB != "" || c.QMP != "" || c.QTest != ""
	switch {
	case len(c.Command) > 0 && attach:
		return errors.New("either start a QEMU (-- qemu-system-…) or attach to one (--gdb and --qmp), not both")
	case len(c.Command) == 0 && !attach:
		return errors.New("say which QEMU: -- qemu-system-arm … to start one, or --gdb ADDR --qmp ADDR to attach to one")
	case attach && (c.GDB == "" || c.QMP == ""):
		return errors.New("to attach to a QEMU, both --gdb and --qmp are needed")
	}
	for _, limit := range []struct {
		flag         string
		value, least int64
	}{
		{"--idle-timeout", int64(c.IdleTimeout), 0}, {"--request-timeout", int64(c.RequestTimeout), 0},
		{"--write-timeout", int64(c.WriteTimeout), 1}, {"--conn-rate", int64(c.ConnRate), 0},
		{"--max-read", int64(c.MaxRead), 1}, {"--max-request", int64(c.MaxRequest), 1}, {"--max-pending", int64(c.MaxPending), 1},
	} {
		if limit.value < limit.least {
			return fmt.Errorf("%s: give a limit of %d or more", limit.flag, limit.least)
		}
	}
	return nil
}

func (c *serveCmd) Run(ctx context.Context, con *console) error {
	signal.Ignore(syscall.SIGPIPE) // a log that nobody reads any more is no reason to end
	var machine *slog.Logger
	level := slog.LevelInfo
	if c.Verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(con.err, &slog.HandlerOptions{Level: level}))
	if c.Verbose {
		machine = log
	}
	err := serve.Run(ctx, serve.Config{
		Listen: c.Listen, Command: c.Command, Stdin: c.stdin(con), Stdout: con.out, Stderr: con.err, GDB: c.GDB, QMP: c.QMP, QTest: c.QTest,
		Options: c.options(log),
		Log:     machine,
		Ready: func(addr net.Addr, info *target.Info) {
			at := addr.String()
			if addr.Network() == "unix" {
				at = "unix:" + at
			}
			fmt.Fprintf(con.out, "%s %s  (%s, %s)\n", con.style.Good("MCD on"), con.style.Bold(at), info.Program, cores(info))
			speaks := ""
			if c.Dialect == "json" { // which the shell cannot know
				speaks = " --dialect json"
			}
			fmt.Fprintf(con.out, "Try: mcdtest shell --connect %s%s. Ctrl-C ends it.\n", at, speaks)
		},
	})
	switch {
	case errors.Is(err, serve.ErrEnded):
		fmt.Fprintf(con.err, "mcdtest serve: %v\n", err)
		return failed(statusFailed)
	case err != nil && ctx.Err() != nil && !errors.Is(err, context.Canceled):
		// Ctrl-C is what ended it; what could not be put in order is to be known all the same.
		fmt.Fprintf(con.err, "mcdtest serve: interrupted, and %v\n", err)
		return failed(statusInterrupts + int(syscall.SIGINT))
	}
	return err
}

// stdin is the terminal, or whatever the standard input is, for a QEMU that reads it. Any other has none.
func (c *serveCmd) stdin(con *console) *os.File {
	reads := func(arg string) bool { return arg == "-nographic" || strings.Contains(arg, "stdio") }
	if f, ok := con.in.(*os.File); ok && slices.ContainsFunc(c.Command, reads) {
		return f
	}
	return nil
}

// options are what the flags say of the server.
func (c *serveCmd) options(log *slog.Logger) stub.Options {
	return stub.Options{
		BusyPoll: true,
		Dialect:  dialect(c.Dialect), AllowKill: !c.NoKill, Log: log,
		IdleTimeout: c.IdleTimeout, RequestTimeout: c.RequestTimeout, WriteTimeout: c.WriteTimeout, ConnRate: c.ConnRate,
		MaxRead: c.MaxRead, MaxRequest: c.MaxRequest, MaxPending: c.MaxPending,
	}
}

func cores(info *target.Info) string {
	if len(info.Cores) == 1 {
		return info.Cores[0].Type
	}
	var types []string
	for _, c := range info.Cores {
		if len(types) == 0 || types[len(types)-1] != c.Type {
			types = append(types, c.Type)
		}
	}
	return fmt.Sprintf("%d cores: %s", len(info.Cores), strings.Join(types, ", "))
}

func dialect(name string) stub.Dialect {
	switch name {
	case "packet":
		return stub.Packet
	case "json":
		return stub.JSON
	}
	return stub.Auto
}
