// SPDX-License-Identifier: Apache-2.0

package chardev

import (
	"fmt"
	"os"

	creack "github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Kinds of Network that are no sockets: one client, which is there from the start.
const (
	stdio = "stdio"
	pipe  = "pipe"
	pty   = "pty"
)

// Stream is a device that is no socket.
type Stream struct {
	In, Out *os.File
	// Keep is what the stream needs besides, and nobody reads or writes: the other end of a terminal, which would hang up without anybody on it.
	Keep *os.File
	// Note says where to find it, if its name does not.
	Note string
}

// IsStream reports whether the device is no socket, and OpenStream opens it.
func (d Device) IsStream() bool {
	return d.Network == stdio || d.Network == pipe || d.Network == pty
}

// OpenStream opens a device that is no socket. Standard input and output are taken away from this process: /dev/null is there instead.
func (d Device) OpenStream() (s Stream, err error) {
	switch d.Network {
	case stdio:
		s, err = takeStdio()
	case pipe:
		s, err = openPipe(d.Address)
	default:
		s, err = openTerminal()
	}
	if err != nil {
		s.Close()
		return Stream{}, fmt.Errorf("%s: %w", d.Text, err)
	}
	return s, nil
}

// Close closes what is open of the stream.
func (s Stream) Close() {
	for _, f := range []*os.File{s.In, s.Out, s.Keep} {
		f.Close() // nil is an error, too
	}
}

func takeStdio() (s Stream, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return s, err
	}
	defer null.Close()
	take := func(fd int, name string) (*os.File, error) {
		own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return nil, fmt.Errorf("take over %s: %w", name, err)
		}
		return os.NewFile(uintptr(own), name), unix.Dup3(int(null.Fd()), fd, 0)
	}
	if s.In, err = take(0, "standard input"); err != nil {
		return s, err
	}
	s.Out, err = take(1, "standard output")
	return s, err
}

// openPipe opens two named pipes, PATH.in and PATH.out, or one file for both, as QEMU does: for reading and writing, so that it
// neither waits for the other side nor ends with it.
func openPipe(path string) (s Stream, err error) {
	if s.In, err = os.OpenFile(path+".in", os.O_RDWR, 0); err == nil {
		if s.Out, err = os.OpenFile(path+".out", os.O_RDWR, 0); err == nil {
			return s, nil
		}
		s.In.Close()
	}
	if s.In, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
		return s, fmt.Errorf("%w (make two named pipes: mkfifo %s.in %s.out)", err, path, path)
	}
	s.Out = s.In
	return s, nil
}

// openTerminal makes a pseudo terminal that hands on bytes as they are.
func openTerminal() (s Stream, err error) {
	if s.In, s.Keep, err = creack.Open(); err != nil {
		return s, fmt.Errorf("open a terminal: %w", err)
	}
	s.Out = s.In
	if _, err := term.MakeRaw(int(s.Keep.Fd())); err != nil {
		return s, fmt.Errorf("set the mode of %s: %w", s.Keep.Name(), err)
	}
	s.Note = "char device redirected to " + s.Keep.Name() + " (label mcd)"
	return s, nil
}
