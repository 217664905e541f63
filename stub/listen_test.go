// SPDX-License-Identifier: Apache-2.0

package stub

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// shortDir is a folder whose name leaves room for that of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "mcd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestListenUnix(t *testing.T) {
	path := filepath.Join(shortDir(t), "mcd.sock")
	l, err := Listen("unix:"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the socket's file is %v, %v", info.Mode(), err)
	}
	if _, err := Listen("unix:"+path, nil); err == nil || !strings.Contains(err.Error(), "another program listens there") {
		t.Errorf("a second listener: %v", err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the first listener is gone: %v", err)
	}
	conn.Close()
	l.Close()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket's file is still there: %v", err)
	}
}

func TestListenReplacesASocketThatWasLeftBehind(t *testing.T) {
	path := filepath.Join(shortDir(t), "mcd.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	again, err := Listen("unix:"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestListenErrorsSayWhatToDo(t *testing.T) {
	dir := shortDir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, test := range []struct{ addr, want string }{
		{"unix:", "give unix:PATH"},
		{"unix:" + filepath.Join(dir, strings.Repeat("x", 120)), "at most 107"},
		{"unix:" + file, "no socket"},
		{"unix:" + filepath.Join(dir, "missing", "s"), "the folder must exist"},
		{taken.Addr().String(), "another program listens there"},
		{"nonsense", "give HOST:PORT or unix:PATH"},
		{"192.0.2.1:0", "127.0.0.1 always works"},
	} {
		l, err := Listen(test.addr, nil)
		if err == nil {
			l.Close()
			t.Errorf("%s: no error", test.addr)
		} else if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.addr) {
			t.Errorf("%s: %q does not say %q", test.addr, err, test.want)
		}
	}
	if b, err := os.ReadFile(file); string(b) != "precious" || err != nil {
		t.Errorf("the file in the way now holds %q, %v", b, err)
	}
}

// An address of IPv4, and be it that of all interfaces, opens no port of IPv6.
func TestListenStaysWithinIPv4(t *testing.T) {
	l, err := Listen("0.0.0.0:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().(*net.TCPAddr)
	if addr.IP.To4() == nil {
		t.Errorf("asked for 0.0.0.0, it listens on %v", addr)
	}
	if conn, err := net.Dial("tcp6", net.JoinHostPort("::1", strconv.Itoa(addr.Port))); err == nil {
		conn.Close()
		t.Error("it is reached by IPv6")
	}
}

func TestListenWarnsOfAddressesThatOthersReach(t *testing.T) {
	for _, test := range []struct {
		addr string
		warn bool
	}{
		{"127.0.0.1:0", false}, {"localhost:0", false}, {"0.0.0.0:0", true}, {":0", true},
		{"unix:" + filepath.Join(shortDir(t), "s"), false},
	} {
		var out bytes.Buffer
		l, err := Listen(test.addr, slog.New(slog.NewTextHandler(&out, nil)))
		if err != nil {
			t.Errorf("%s: %v", test.addr, err)
			continue
		}
		l.Close()
		if got := strings.Contains(out.String(), "no authentication"); got != test.warn {
			t.Errorf("%s: warned %v, want %v: %s", test.addr, got, test.warn, out.String())
		}
	}
}

// The mode is there before anybody is told of the file, and not only afterwards.
func TestPrivateSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := private.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the mode is %v, %v", info.Mode(), err)
	}
}

// Of servers that find a socket which was left behind, one takes its place, and none that of the one.
func TestOneServerReplacesASocket(t *testing.T) {
	dir := t.TempDir()
	for round := range 50 {
		path := filepath.Join(dir, strconv.Itoa(round))
		old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
		if err != nil {
			t.Fatal(err)
		}
		old.SetUnlinkOnClose(false)
		old.Close()
		const servers = 20
		listeners := make(chan net.Listener, servers)
		var all sync.WaitGroup
		for range servers {
			all.Go(func() {
				if l, err := Listen("unix:"+path, nil); err == nil {
					listeners <- l
				}
			})
		}
		all.Wait()
		close(listeners)
		n := 0
		for l := range listeners {
			n++
			l.Close()
		}
		if n != 1 {
			t.Fatalf("%d servers listen in round %d", n, round)
		}
	}
}
