// SPDX-License-Identifier: Apache-2.0

package chardev

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestParseMCD(t *testing.T) {
	chardevs := map[string]string{
		"u":    "socket,id=u,path=/tmp/m,server=on,wait=off",
		"old":  "socket,path=/tmp/m,server,nowait,id=old",
		"dial": "socket,id=dial,path=/tmp/m,server=off",
		"tcp":  "socket,id=tcp,host=localhost,port=1235,server=on,wait=off,nodelay=on",
		"fd":   "socket,id=fd,fd=7",
		"long": "backend=socket,id=long,path=/tmp/m,server=on,wait=off",
		"abs":  "socket,id=abs,path=name,abstract=on,server=on,wait=off",
		"abs1": "socket,abstract=on,id=abs1,path=name,server=on,wait=off",
		"back": "id=back,path=/tmp/m,backend=socket,server=on,wait=off",
		"pty":  "pty,id=pty",
		"std":  "backend=stdio,id=std,signal=off",
		"pipe": "pipe,id=pipe,path=/tmp/p",
		"file": "file,id=file,path=/tmp/f",

		"nopath": "pipe,id=nopath",
		"colour": "pty,id=colour,colour=red",
		"again":  "socket,id=again,path=/tmp/m,reconnect=2",
		"soon":   "socket,id=soon,path=/tmp/m,server=off,reconnect-ms=50",
		"often":  "socket,id=often,path=/tmp/m,reconnect=often",

		"tls":  "socket,id=tls,host=h,port=1,server=on,tls-creds=x",
		"none": "socket,id=none,server=on",
		"port": "socket,id=port,host=h,server=on",
	}
	tests := []struct {
		text string
		want Device
		used string
		err  string // part of it
	}{
		{text: "default", want: Device{Network: "tcp", Address: "localhost:1235", Server: true}},
		{text: "tcp:localhost:1235,server,nowait", want: Device{Network: "tcp", Address: "localhost:1235", Server: true}},
		{text: "tcp:127.0.0.1:0", want: Device{Network: "tcp", Address: "127.0.0.1:0", Server: true}},
		{text: "tcp::1235", want: Device{Network: "tcp", Address: ":1235", Server: true}},
		{text: "tcp:[::1]:9,server=off,wait=on", want: Device{Network: "tcp", Address: "[::1]:9", Server: true}},
		{text: "unix:/tmp/m,server=on,wait=off", want: Device{Network: "unix", Address: "/tmp/m", Server: true}},
		{text: "unix:/tmp/m,server,nowait", want: Device{Network: "unix", Address: "/tmp/m", Server: true}},
		{text: "unix:/tmp/m,server", want: Device{Network: "unix", Address: "/tmp/m", Server: true, Wait: true}},
		{text: "unix:/tmp/m", want: Device{Network: "unix", Address: "/tmp/m", Wait: true}},
		{text: "unix:/tmp/a,,b,server=on,wait=off", want: Device{Network: "unix", Address: "/tmp/a,b", Server: true}},
		{text: "chardev:u", used: "u", want: Device{Network: "unix", Address: "/tmp/m", Server: true, FD: -1}},
		{text: "chardev:back", used: "back", want: Device{Network: "unix", Address: "/tmp/m", Server: true, FD: -1}},
		{text: "chardev:old", used: "old", want: Device{Network: "unix", Address: "/tmp/m", Server: true, FD: -1}},
		{text: "chardev:dial", used: "dial", want: Device{Network: "unix", Address: "/tmp/m", Wait: true, FD: -1}},
		{text: "chardev:tcp", used: "tcp", want: Device{Network: "tcp", Address: "localhost:1235", Server: true, FD: -1}},
		{text: "chardev:fd", used: "fd", want: Device{Network: "fd", FD: 7, Wait: true}},
		{text: "chardev:long", used: "long", want: Device{Network: "unix", Address: "/tmp/m", Server: true, FD: -1}},
		{text: "chardev:abs", used: "abs", want: Device{Network: "unix", Address: "@name", Server: true, FD: -1}},
		{text: "chardev:abs1", used: "abs1", want: Device{Network: "unix", Address: "@name", Server: true, FD: -1}},

		{text: "chardev:other", err: "no -chardev with id=other"},
		{text: "stdio", want: Device{Network: "stdio"}},
		{text: "pty", want: Device{Network: "pty"}},
		{text: "null", want: Device{Network: "null"}},
		{text: "pipe:/tmp/p", want: Device{Network: "pipe", Address: "/tmp/p"}},
		{text: "chardev:pty", used: "pty", want: Device{Network: "pty", FD: -1}},
		{text: "chardev:std", used: "std", want: Device{Network: "stdio", FD: -1}},
		{text: "chardev:pipe", used: "pipe", want: Device{Network: "pipe", Address: "/tmp/p", FD: -1}},
		{text: "chardev:again", used: "again", want: Device{Network: "unix", Address: "/tmp/m", Wait: true, FD: -1, Reconnect: 2 * time.Second}},
		{text: "chardev:soon", used: "soon", want: Device{Network: "unix", Address: "/tmp/m", Wait: true, FD: -1, Reconnect: 50 * time.Millisecond}},

		{text: "chardev:file", err: "can be put on socket, stdio"},
		{text: "chardev:nopath", err: "path is needed"},
		{text: "chardev:colour", err: "colour is not supported"},
		{text: "chardev:often", err: "reconnect=often is no number"},
		{text: "chardev:tls", err: "tls-creds is not supported"},
		{text: "chardev:none", err: "path, host and port, or fd is needed"},
		{text: "chardev:port", err: "host and port are needed"},
		{text: "tcp:1235", err: "HOST:PORT is needed"},
		{text: "tcp:localhost:", err: "HOST:PORT is needed"},
		{text: "tcp:localhost:1,wait=perhaps", err: "wait=perhaps is neither on nor off"},
		{text: "unix:", err: "no path"},
		{text: "unix:/tmp/m,colour=red", err: "colour is not supported"},
		{text: "pipe:", err: "this stub takes"},
		{text: "vc", err: "this stub takes"},
		{text: "", err: "this stub takes"},
	}
	for _, tt := range tests {
		got, used, err := ParseMCD(tt.text, 1235, chardevs)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: want an error with %q, got %v", tt.text, tt.err, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		tt.want.Text = tt.text
		if diff := cmp.Diff(tt.want, got); diff != "" || used != tt.used {
			t.Errorf("%q (- want, + got), used %q:\n%s", tt.text, used, diff)
		}
	}
}

func TestOpenListens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	// A socket file that a killed server left behind is no obstacle.
	old, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	old.(*net.UnixListener).SetUnlinkOnClose(false)
	old.Close()

	for _, d := range []Device{
		{Text: "unix", Network: "unix", Address: path, Server: true},
		{Text: "tcp", Network: "tcp", Address: "127.0.0.1:0", Server: true},
		{Text: "abstract", Network: "unix", Address: "@" + t.Name(), Server: true},
	} {
		l, c, err := d.Open(t.Context(), nil)
		if err != nil || c != nil {
			t.Fatalf("%s: connection %v, error %v", d.Text, c, err)
		}
		defer l.Close()
		dial := Device{Text: "dial", Network: d.Network, Address: l.Addr().String()}
		_, c, err = dial.Open(t.Context(), nil)
		if err != nil {
			t.Fatalf("%s: %v", d.Text, err)
		}
		c.Close()
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the socket file: want mode 0600, got %v, %v", st.Mode(), err)
	}
}

func TestOpenDescriptor(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	// Open takes the descriptor over.
	got, conn, err := Device{Network: "fd", FD: dup(t, f)}.Open(t.Context(), nil)
	if err != nil || got == nil || conn != nil {
		t.Fatalf("a listening descriptor: listener %v, connection %v, error %v", got, conn, err)
	}
	got.Close()
	if f, err = c.(*net.TCPConn).File(); err != nil {
		t.Fatal(err)
	}
	got, conn, err = Device{Network: "fd", FD: dup(t, f)}.Open(t.Context(), nil)
	if err != nil || got != nil || conn == nil {
		t.Fatalf("a connected descriptor: listener %v, connection %v, error %v", got, conn, err)
	}
	conn.Close()

	if f, err = os.Open(os.DevNull); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, _, err = (Device{Text: "fd", Network: "fd", FD: int(f.Fd())}).Open(t.Context(), nil); err == nil {
		t.Error("a descriptor that is no socket was taken")
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, tt := range []struct {
		d    Device
		want string
	}{
		{Device{Network: "unix", Address: file, Server: true}, "something is there that is no socket"},
		{Device{Network: "unix", Address: filepath.Join(dir, strings.Repeat("x", 120)), Server: true}, "at most 107"},
		{Device{Network: "unix", Address: filepath.Join(dir, "no", "s"), Server: true}, "no such file or directory"},
		{Device{Network: "unix", Address: filepath.Join(dir, "absent")}, "is somebody listening there?"},
		{Device{Network: "unix", Address: filepath.Join(dir, strings.Repeat("x", 120))}, "at most 107"},
		{Device{Network: "tcp", Address: l.Addr().String(), Server: true}, "another program listens there"},
	} {
		if _, _, err := tt.d.Open(t.Context(), nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: want an error with %q, got %v", tt.d, tt.want, err)
		}
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("a file that is no socket was touched: %v", err)
	}
}

// dup gives away a descriptor of its own, so that the finalizer of f does not close it twice.
func dup(t *testing.T, f *os.File) int {
	t.Helper()
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}
