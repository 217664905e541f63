// SPDX-License-Identifier: Apache-2.0

package harness_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeEnv makes this test binary a QEMU with -mcd: the real one that the variable names, and a server for -mcd that
// understands next to nothing. fakeDialectsEnv says which dialects.
const (
	fakeEnv         = "MCDTEST_HARNESS_FAKE"
	fakeDialectsEnv = "MCDTEST_HARNESS_FAKE_DIALECTS"
)

// fakeBuild makes a QEMU with -mcd and returns its path.
func fakeBuild(t *testing.T, dialects string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return script(t, t.TempDir(), fmt.Sprintf("%s='%s' %s='%s' exec '%s' \"$@\"",
		fakeEnv, qemuPath(t, "arm"), fakeDialectsEnv, dialects, self))
}

// script makes a QEMU of a shell script.
func script(t *testing.T, dir, text string) string {
	t.Helper()
	path := filepath.Join(dir, "qemu-system-arm")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// fakeMCD serves one client after the other, as long as the process lives. It gives every client a number.
func fakeMCD(l net.Listener) {
	dialects := os.Getenv(fakeDialectsEnv)
	for client := 1; ; client++ {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		r := bufio.NewReader(conn)
		for {
			request, err := r.ReadString('|')
			if err != nil {
				break
			}
			switch {
			case strings.HasPrefix(request, "{") && strings.Contains(dialects, "json"):
				fmt.Fprintf(conn, "{\"return\": {\"client\": %d}}\n", client)
			case strings.Contains(dialects, "packet"):
				fmt.Fprintf(conn, "+$client %d#|", client)
			case dialects != "silent":
				fmt.Fprintf(conn, "?")
			}
		}
		conn.Close()
	}
}
