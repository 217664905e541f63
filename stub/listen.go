// SPDX-License-Identifier: Apache-2.0

package stub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// maxSocketPath is the longest path of a unix socket.
const maxSocketPath = 107

// Listen listens on HOST:PORT, or on a unix socket for unix:PATH. The socket's file has mode 0600 and is removed when the listener is
// closed; one that a server left behind which was killed is replaced. MCD has no authentication and no encryption, so an address that
// is not loopback is warned of in log, which may be nil.
func Listen(addr string, log *slog.Logger) (net.Listener, error) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return listenUnix(path)
	}
	// An address of IPv4 is one of IPv4: net.Listen would take 0.0.0.0 for every address of IPv6 as well.
	network := "tcp"
	if host, _, err := net.SplitHostPort(addr); err == nil && net.ParseIP(host).To4() != nil {
		network = "tcp4"
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		hint := "give HOST:PORT or unix:PATH"
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			hint = "another program listens there; end it, or choose another port, or port 0 for any that is free"
		case errors.Is(err, syscall.EACCES):
			hint = "ports below 1024 belong to root; choose another one"
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			hint = "this machine does not have that address; 127.0.0.1 always works"
		}
		return nil, fmt.Errorf("listen on %s: %w (%s)", addr, err, hint)
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); log != nil && (!ok || !tcp.IP.IsLoopback()) {
		log.Warn("MCD has no authentication and no encryption: whoever reaches this address controls the machine", "address", l.Addr())
	}
	return l, nil
}

// CheckSocketPath says what is wrong with the path of a unix socket, and what to do about it.
func CheckSocketPath(path string) error {
	switch {
	case path == "":
		return errors.New("no path (give unix:PATH)")
	case len(path) > maxSocketPath:
		return fmt.Errorf("the path has %d bytes, and that of a socket at most %d (choose a shorter one, say in /tmp)", len(path), maxSocketPath)
	}
	return nil
}

func listenUnix(path string) (net.Listener, error) {
	refuse := func(err error, hint string) error {
		return fmt.Errorf("listen on unix:%s: %w (%s)", path, err, hint)
	}
	if err := CheckSocketPath(path); err != nil {
		return nil, fmt.Errorf("listen on unix:%s: %w", path, err)
	}
	name := path
	if name[0] == '@' { // what package net takes for a name without a file, and so without a mode
		name = "./" + name
	}
	unlock := lockFolder(name)
	defer unlock()
	l, err := private.Listen(context.Background(), "unix", name)
	if errors.Is(err, syscall.EADDRINUSE) {
		switch err := removeStale(name); {
		case errors.Is(err, errNoSocket):
			return nil, refuse(err, "move it away, or choose another path")
		case err != nil:
			return nil, refuse(err, "end it, remove the file, or choose another path")
		}
		l, err = private.Listen(context.Background(), "unix", name)
	}
	if err != nil {
		return nil, refuse(err, "the folder must exist and be writable")
	}
	// Where the system does not take the mode over.
	if err := os.Chmod(name, 0o600); err != nil {
		l.Close()
		return nil, refuse(err, "choose a folder that has modes")
	}
	return l, nil
}

// private makes sockets whose file gets its mode from the socket, so that it is never open to others, not even for a moment.
var private = net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
	var mode error
	err := raw.Control(func(fd uintptr) { mode = syscall.Fchmod(int(fd), 0o600) })
	return errors.Join(err, mode)
}}

// lockTimeout bounds the wait for other servers that begin to listen in the same folder.
const lockTimeout = 2 * time.Second

// lockFolder keeps other servers from the folder of a socket for a moment: one that finds a socket which nobody listens on must not
// remove the one that another has put in its place meanwhile. A folder that cannot be locked is used all the same.
func lockFolder(name string) (unlock func()) {
	f, err := os.Open(filepath.Dir(name))
	if err != nil {
		return func() {}
	}
	for end := time.Now().Add(lockTimeout); ; <-time.After(time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(end) {
			return func() { f.Close() }
		}
	}
}

var errNoSocket = errors.New("something is there that is no socket")

// removeStale removes the file of a socket that nobody listens on. To connect is the only way to know.
func removeStale(name string) error {
	info, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errNoSocket
	}
	conn, err := net.Dial("unix", name)
	if err == nil {
		conn.Close()
		return errors.New("another program listens there")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("another program may listen there: %w", err)
	}
	return os.Remove(name)
}
