// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"os/exec"
	"slices"
)

// Sandbox keeps a QEMU from starting programs and from gaining rights. It costs nothing that can be measured.
var Sandbox = []string{"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"}

// NoNetwork takes away the network that QEMU gives a guest if nobody says anything of one.
var NoNetwork = []string{"-nic", "none"}

// LacksSandbox reports whether a QEMU does not take Sandbox: a build without seccomp refuses it, whatever follows. What is no QEMU at
// all lacks nothing.
func LacksSandbox(ctx context.Context, path string) bool {
	runs := func(args ...string) bool {
		return exec.CommandContext(ctx, path, append(args, "-version")...).Run() == nil
	}
	return !runs(slices.Clone(Sandbox)...) && runs()
}
