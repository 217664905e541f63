// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"strings"
	"testing"
)

// What is piped into the shell is a small test: its exit status says whether everything was answered.
func TestShellExitStatus(t *testing.T) {
	t.Parallel()
	answers := func(reply string, closes bool) string {
		return endpointThat(t, func(c net.Conn) {
			c.Read(make([]byte, 64))
			c.Write([]byte(reply))
			if closes {
				c.Close()
			}
		})
	}
	for _, tt := range []struct {
		name, address, in string
		status            int
		want              string
	}{
		{"answered", answers("+$qemu-system#|", false), "qsystem\nquit\n", 0, "qemu-system"},
		{"silent", answers("", false), "qsystem\n", statusFailed, "is it an MCD stub"},
		{"closed in the middle of a packet", answers("+$qemu", true), "qsystem\nquit\n", statusFailed, "in the middle of a packet"},
		{"ended as asked", answers("+", true), "k\n", 0, "the session has ended"},
		{"not sent", answers("+$qemu-system#|", false), "$\\x\nqsystem\n", statusFailed, "not sent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd := command(t.Context(), "", "shell", "--connect", tt.address)
			cmd.Stdin = strings.NewReader(tt.in)
			out, _ := cmd.CombinedOutput()
			if status := cmd.ProcessState.ExitCode(); status != tt.status || !strings.Contains(string(out), tt.want) {
				t.Errorf("want exit status %d and %q, got %d:\n%s", tt.status, tt.want, status, out)
			}
		})
	}
}
