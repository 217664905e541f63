// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"mcdtest/cmd/mcdtest/internal/shim"
	"mcdtest/guest"
)

type shimCmd struct {
	Install string `placeholder:"DIR" required:"" help:"Make links qemu-system-ARCH in this folder, one for each architecture."`
}

func (shimCmd) Help() string {
	return `The links are this program under the names of QEMUs. Called by such a name it takes -mcd DEV off the command line, starts
the real QEMU with everything else and puts mcdtest's MCD stub on DEV. So a program that starts a QEMU with -mcd finds one,
whatever QEMU is installed. Standard streams, descriptors, signals and exit status are the real QEMU's.

DEV is default (TCP port 1235), tcp:HOST:PORT, unix:PATH,server=on,wait=off, stdio, pty, pipe:PATH, null, or chardev:ID of a
-chardev of these kinds; a socket may listen, dial out (server=off, with reconnect=N again and again), or be there (fd=N). A -gdb of the command line cannot be had together with -mcd: QEMU has one gdbstub.

With -mcd the QEMU is confined as by mcdtest serve: "-sandbox on,…" and "-nic none" are put in front of the command line,
unless it has a -sandbox, or a -nic, -net or -netdev.

Environment:
  MCDTEST_SHIM_QEMU     the real QEMU, or a folder of them; otherwise the next one in PATH
  MCDTEST_SHIM_DIALECT  packet, json or auto (by the first byte of the client); auto unless set

Examples:
  mcdtest qemu-shim --install bin/qemu
  PATH=$PWD/bin/qemu:$PATH qemu-system-arm -M virt -display none -mcd tcp:localhost:1235
  mcdtest run --qemu bin/qemu --endpoint native`
}

func (c *shimCmd) Run(con *console) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if err := os.MkdirAll(c.Install, 0o755); err != nil {
		return fmt.Errorf("make the folder for the links: %w", err)
	}
	for _, arch := range guest.Architectures() {
		path := filepath.Join(c.Install, shim.Prefix+arch)
		if err := link(self, path); err != nil {
			return err
		}
		fmt.Fprintln(con.out, path)
	}
	return nil
}

// link makes a link at path. One that leads to another mcdtest, say an older build, is replaced; a QEMU is not.
func link(self, path string) error {
	err := os.Symlink(self, path)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	target, err := os.Readlink(path)
	if err != nil || filepath.Base(target) != filepath.Base(self) {
		return fmt.Errorf("%s exists and is not a link to mcdtest: remove it or choose another folder", path)
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.Symlink(self, path)
}
