// SPDX-License-Identifier: Apache-2.0

// Package chardev reads the strings by which QEMU's options name a byte stream (tcp:HOST:PORT, unix:PATH, chardev:ID and
// the -chardev option behind it) and opens the stream that they name, as QEMU would. It touches sockets, terminals and named pipes, and nothing else.
package chardev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mcdtest/stub"
)

// Device is where a stream is found.
type Device struct {
	Text    string // as it was written, for messages
	Network string // "tcp", "unix" or "fd"; "stdio", "pipe" or "pty" for a stream that is no socket; "null" for none
	Address string // HOST:PORT or a path; '@' in front of an abstract one
	FD      int    // of Network "fd"
	Server  bool   // listen, rather than connect
	Wait    bool   // the machine does not start before a client has connected
	// Reconnect, unless 0, is how long to wait between attempts to connect, for whom there need not be anybody at first.
	Reconnect time.Duration
}

const null = "null"

// IsNull reports whether nobody can ever be on the device.
func (d Device) IsNull() bool { return d.Network == null }

// ParseMCD reads the argument of -mcd. chardevs are the -chardev options of the same command line. used is the id of the
// one that it refers to, if it does.
func ParseMCD(text string, defaultPort int, chardevs map[string]string) (d Device, used string, err error) {
	kind, rest, _ := strings.Cut(text, ":")
	switch {
	case text == stdio, text == pty, text == null:
		return Device{Text: text, Network: text}, "", nil
	case kind == pipe && rest != "":
		return Device{Text: text, Network: pipe, Address: rest}, "", nil
	case text == "default":
		return Device{Text: text, Network: "tcp", Address: net.JoinHostPort("localhost", strconv.Itoa(defaultPort)), Server: true}, "", nil
	case kind == "chardev":
		opts, ok := chardevs[rest]
		if !ok {
			return Device{}, "", fmt.Errorf("-mcd %s: the command line has no -chardev with id=%s", text, rest)
		}
		d, err := parseOption(opts)
		d.Text = text
		return d, rest, err
	case kind == "tcp":
		// What the published stub adds to this form it adds behind everything else, so it wins.
		addr, opts := cutOptions(rest)
		host, port, err := splitHostPort(addr)
		if err != nil {
			return Device{}, "", fmt.Errorf("-mcd %s: %w", text, err)
		}
		d := Device{Text: text, Network: "tcp", Address: net.JoinHostPort(host, port)}
		if err := d.set(opts); err != nil {
			return Device{}, "", fmt.Errorf("-mcd %s: %w", text, err)
		}
		d.Server, d.Wait = true, false
		return d, "", nil
	case kind == "unix":
		path, opts := cutOptions(rest)
		if path == "" {
			return Device{}, "", fmt.Errorf("-mcd %s: there is no path in it", text)
		}
		d := Device{Text: text, Network: "unix", Address: path, Wait: true}
		if err := d.set(opts); err != nil {
			return Device{}, "", fmt.Errorf("-mcd %s: %w", text, err)
		}
		return d, "", nil
	}
	return Device{}, "", fmt.Errorf("-mcd %s: this stub takes default, tcp:HOST:PORT, unix:PATH, stdio, pty, pipe:PATH, null, and chardev:ID of a -chardev of these kinds", text)
}

// OptionID is the id of a -chardev option.
func OptionID(opts string) string {
	for _, o := range splitOptions(opts) {
		if k, v, ok := strings.Cut(o, "="); ok && k == "id" {
			return v
		}
	}
	return ""
}

// parseOption reads the argument of -chardev.
func parseOption(opts string) (Device, error) {
	list := splitOptions(opts)
	d := Device{Wait: true, FD: -1}
	// The kind is the first, or named anywhere.
	at := slices.IndexFunc(list, func(o string) bool { return strings.HasPrefix(o, "backend=") })
	if at < 0 {
		at = 0
	}
	kind := strings.TrimPrefix(list[at], "backend=")
	list = slices.Delete(list, at, at+1)
	switch kind {
	case "socket":
	case stdio, pty, null, pipe:
		return d, d.setStream(kind, opts, list)
	default:
		return d, fmt.Errorf("-chardev %s: this stub can be put on socket, stdio, pty, pipe and null", opts)
	}
	if err := d.set(list); err != nil {
		return d, fmt.Errorf("-chardev %s: %w", opts, err)
	}
	switch {
	case d.FD >= 0:
		d.Network = "fd"
	case d.Network == "unix" && d.Address != "":
	case d.Network == "tcp":
		if _, port, err := net.SplitHostPort(d.Address); err != nil || port == "" {
			return d, fmt.Errorf("-chardev %s: host and port are needed", opts)
		}
	default:
		return d, fmt.Errorf("-chardev %s: path, host and port, or fd is needed", opts)
	}
	return d, nil
}

// setStream reads the options of a -chardev that is no socket.
func (d *Device) setStream(kind, text string, opts []string) error {
	d.Network, d.Wait = kind, false
	for _, o := range opts {
		key, value, _ := strings.Cut(o, "=")
		switch {
		case key == "path" && kind == pipe:
			d.Address = value
		case key == "signal" && kind == stdio, ignored[key]:
		default:
			return fmt.Errorf("-chardev %s: the option %s is not supported here", text, key)
		}
	}
	if kind == pipe && d.Address == "" {
		return fmt.Errorf("-chardev %s: path is needed", text)
	}
	return nil
}

// ignored are options that make no difference to a stream of requests and replies.
var ignored = map[string]bool{"id": true, "nodelay": true, "delay": true, "mux": true, "ipv4": true, "ipv6": true, "tight": true, "logappend": true}

func (d *Device) set(opts []string) error {
	var host, port string
	abstract := false
	for _, o := range opts {
		key, value, hasValue := strings.Cut(o, "=")
		if !hasValue {
			// QEMU's old way to write a boolean: "server", "nowait".
			value = "on"
			if rest, ok := strings.CutPrefix(key, "no"); ok && rest != "delay" {
				key, value = rest, "off"
			}
		}
		var err error
		switch {
		case key == "server":
			d.Server, err = boolean(key, value)
		case key == "wait":
			d.Wait, err = boolean(key, value)
		case key == "host":
			host = value
		case key == "port":
			port = value
		case key == "path":
			d.Network, d.Address = "unix", value
		case key == "abstract":
			abstract, err = boolean(key, value)
		case key == "fd":
			d.FD, err = strconv.Atoi(value)
			if err != nil || d.FD < 0 {
				err = fmt.Errorf("fd=%s is not the number of a descriptor", value)
			}
		case key == "reconnect":
			d.Reconnect, err = seconds(key, value, time.Second)
		case key == "reconnect-ms":
			d.Reconnect, err = seconds(key, value, time.Millisecond)
		case ignored[key]:
		default:
			err = fmt.Errorf("the option %s is not supported here", key)
		}
		if err != nil {
			return err
		}
	}
	if abstract && d.Network == "unix" { // whichever stands first
		d.Address = "@" + d.Address
	}
	if host != "" || port != "" {
		d.Network, d.Address = "tcp", net.JoinHostPort(host, port)
	}
	return nil
}

func boolean(key, value string) (bool, error) {
	switch value {
	case "on", "yes", "true", "y":
		return true, nil
	case "off", "no", "false", "n":
		return false, nil
	}
	return false, fmt.Errorf("%s=%s is neither on nor off", key, value)
}

func seconds(key, value string, unit time.Duration) (time.Duration, error) {
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%s=%s is no number", key, value)
	}
	return time.Duration(n) * unit, nil
}

func splitHostPort(s string) (host, port string, err error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || s[i+1:] == "" {
		return "", "", errors.New("behind tcp: HOST:PORT is needed")
	}
	host = strings.TrimSuffix(strings.TrimPrefix(s[:i], "["), "]")
	return host, s[i+1:], nil
}

// cutOptions separates what stands in front of the first comma.
func cutOptions(s string) (first string, opts []string) {
	list := splitOptions(s)
	return list[0], list[1:]
}

// splitOptions splits at commas; a comma that belongs to a value is written twice.
func splitOptions(s string) []string {
	list := strings.Split(strings.ReplaceAll(s, ",,", "\x00"), ",")
	for i := range list {
		list[i] = strings.ReplaceAll(list[i], "\x00", ",")
	}
	return list
}

// Open opens the device: a listener, or a connection if the device is one already or is to be dialled. log, unless nil, is warned of
// an address that others reach.
func (d Device) Open(ctx context.Context, log *slog.Logger) (net.Listener, net.Conn, error) {
	switch {
	case d.Network == "fd":
		return d.openFD()
	case !d.Server:
		addr := d.Address
		if d.Network == "unix" {
			addr = "unix:" + addr
		}
		c, err := Dial(ctx, addr, "is somebody listening there?")
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", d.Text, err)
		}
		return nil, c, nil
	case d.Network == "unix" && !d.Abstract():
		l, err := stub.Listen("unix:"+d.Address, nil)
		return l, nil, err
	case d.Network == "unix":
		l, err := new(net.ListenConfig).Listen(ctx, "unix", d.Address)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: listen on %s: %w", d.Text, d.Address, cause(err))
		}
		if log != nil {
			log.Warn("MCD has no authentication, and an abstract socket no mode: every user of this host can control the machine", "address", d.Address)
		}
		return l, nil, nil
	}
	l, err := stub.Listen(d.Address, log)
	return l, nil, err
}

// Abstract reports whether the device is a unix socket that has no file.
func (d Device) Abstract() bool { return d.Network == "unix" && strings.HasPrefix(d.Address, "@") }

// openFD makes a listener or a connection of a descriptor that was inherited.
func (d Device) openFD() (net.Listener, net.Conn, error) {
	listening, err := unix.GetsockoptInt(d.FD, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: descriptor %d was not handed over as a socket: %w", d.Text, d.FD, err)
	}
	f := os.NewFile(uintptr(d.FD), d.Text)
	defer f.Close()
	if listening != 0 {
		l, err := net.FileListener(f)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", d.Text, err)
		}
		return l, nil, nil
	}
	c, err := net.FileConn(f)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", d.Text, err)
	}
	return nil, c, nil
}

// cause is the system's error below net's, which repeats address and operation.
func cause(err error) error {
	var sys syscall.Errno
	if errors.As(err, &sys) {
		return sys
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
