// SPDX-License-Identifier: Apache-2.0

package hangup

import (
	"net"
	"path/filepath"
	"testing"
	"time"
)

// halves are what TCP and unix sockets have in common here.
type halves interface {
	net.Conn
	CloseWrite() error
}

func TestSeen(t *testing.T) {
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		t.Run(network, func(t *testing.T) {
			l, err := net.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			conn, err := net.Dial(network, l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			peer := conn.(halves)
			defer peer.Close()
			server, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			if Seen(server) {
				t.Error("gone although it is there")
			}
			if _, err := peer.Write([]byte("unread")); err != nil {
				t.Fatal(err)
			}
			if err := peer.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if network == "unix" && Seen(server) {
				t.Error("gone although it still reads")
			}
			peer.Close()
			for end := time.Now().Add(10 * time.Second); !Seen(server); { // a TCP connection needs a moment
				if time.Now().After(end) {
					t.Fatal("not gone although it has closed the connection")
				}
			}
		})
	}
	a, b := net.Pipe()
	a.Close()
	if Seen(b) {
		t.Error("a pipe cannot be asked")
	}
	b.Close()
}
