// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"mcdtest/cmd/mcdtest/internal/chardev"
	"mcdtest/harness/launch"
)

// CommandLine is what a program said to a QEMU that it takes to have -mcd.
type CommandLine struct {
	MCD     string   // argument of -mcd; empty if there is none
	Rest    []string // everything that the real QEMU gets
	Machine string   // argument of -M, for the description of the device
	Help    bool     // -help: no machine is started
	QTest   bool     // it has a -qtest of its own
	Running bool     // no -S: the machine runs from the start
	Sandbox bool     // it has a -sandbox of its own
	Network bool     // it says something of a network

	chardevs map[string]string // by id
	gdb      string            // its own -gdb
	daemon   bool
}

// Parse takes -mcd off a command line (without the program's name).
func Parse(args []string) (*CommandLine, error) {
	c := &CommandLine{Running: true, chardevs: make(map[string]string)}
	for i := 0; i < len(args); i++ {
		name := args[i]
		if strings.HasPrefix(name, "--") {
			name = name[1:] // QEMU takes both
		}
		value := ""
		if i+1 < len(args) {
			value = args[i+1]
		}
		switch name {
		case "-mcd":
			if value == "" {
				return nil, errors.New("-mcd: a device is needed behind it, say tcp:localhost:1235")
			}
			c.MCD = value
			i++
			continue
		case "-append", "-name":
			// Free text that could look like an option.
			c.Rest = append(c.Rest, args[i])
			if i+1 < len(args) {
				c.Rest = append(c.Rest, value)
				i++
			}
			continue
		case "-chardev":
			if id := chardev.OptionID(value); id != "" {
				c.chardevs[id] = value
			}
		case "-M", "-machine":
			c.Machine = machineName(value)
		case "-s":
			c.gdb = "-s"
		case "-gdb":
			if value != "none" {
				c.gdb = "-gdb " + value
			}
		case "-sandbox":
			c.Sandbox = true
		case "-nic", "-net", "-netdev":
			c.Network = true
		case "-qtest":
			c.QTest = true
		case "-object":
			if strings.HasPrefix(value, "qtest,") || strings.Contains(value, "qom-type=qtest") {
				c.QTest = true
			}
		case "-S":
			c.Running = false
		case "-daemonize":
			c.daemon = true
		case "-h", "-help", "-version":
			c.Help = true
		}
		c.Rest = append(c.Rest, args[i])
	}
	return c, nil
}

// CheckOwnStub says whether a stub of ours can be put in front of this QEMU, by whoever asks; otherwise names the way out.
func (c *CommandLine) CheckOwnStub(who, otherwise string) error {
	switch {
	case c.gdb != "":
		return fmt.Errorf("%s: QEMU has one gdbstub, and %s needs it: drop %s, or %s", c.gdb, who, c.gdb, otherwise)
	case c.daemon:
		return fmt.Errorf("-daemonize: not with %s: drop it and start this in the background, or %s", who, otherwise)
	}
	return nil
}

// Confine returns what to put in front of the command line, so that the QEMU at path can start no program and gain no
// rights, and has no network, unless the command line speaks of that itself. missing says what the QEMU has not.
func (c *CommandLine) Confine(ctx context.Context, path string) (args []string, missing string) {
	switch {
	case c.Sandbox:
	case launch.LacksSandbox(ctx, path):
		missing = "this build of QEMU has no -sandbox, so it has all rights of its user"
	default:
		args = append(args, launch.Sandbox...)
	}
	if !c.Network {
		args = append(args, launch.NoNetwork...)
	}
	return args, missing
}

// Device is the device that -mcd names; a -chardev that it refers to is taken off the command line, since the stub opens it.
func (c *CommandLine) Device(defaultPort int) (chardev.Device, error) {
	d, used, err := chardev.ParseMCD(c.MCD, defaultPort, c.chardevs)
	if err != nil || used == "" {
		return d, err
	}
	for i := 0; i+1 < len(c.Rest); i++ {
		if (c.Rest[i] == "-chardev" || c.Rest[i] == "--chardev") && chardev.OptionID(c.Rest[i+1]) == used {
			c.Rest = append(c.Rest[:i:i], c.Rest[i+2:]...)
			break
		}
	}
	return d, nil
}

// machineName is the name of the machine in the argument of -M.
func machineName(opts string) string {
	for i, o := range strings.Split(opts, ",") {
		if name, ok := strings.CutPrefix(o, "type="); ok {
			return name
		}
		if i == 0 && !strings.Contains(o, "=") {
			return o
		}
	}
	return ""
}
