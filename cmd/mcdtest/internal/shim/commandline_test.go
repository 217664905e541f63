// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mcdtest/cmd/mcdtest/internal/chardev"
)

func TestParse(t *testing.T) {
	tests := []struct {
		args   string // split at spaces
		want   CommandLine
		device string // network and address, if there is one
	}{
		{args: "", want: CommandLine{Running: true}},
		{
			args:   "-M virt -cpu cortex-a15 -S -mcd tcp:localhost:1235,server,nowait",
			want:   CommandLine{MCD: "tcp:localhost:1235,server,nowait", Rest: []string{"-M", "virt", "-cpu", "cortex-a15", "-S"}, Machine: "virt"},
			device: "tcp localhost:1235",
		}, {
			args:   "--mcd default -machine type=virt,secure=on -qtest unix:/q",
			want:   CommandLine{MCD: "default", Rest: []string{"-machine", "type=virt,secure=on", "-qtest", "unix:/q"}, Machine: "virt", QTest: true, Running: true},
			device: "tcp localhost:1235",
		}, {
			args: "-chardev socket,id=a,path=/a,server=on -chardev socket,id=m,path=/m,server=off -serial chardev:a -mcd chardev:m",
			want: CommandLine{MCD: "chardev:m", Rest: []string{"-chardev", "socket,id=a,path=/a,server=on", "-serial", "chardev:a"},
				Running: true},
			device: "unix /m",
		}, {
			args:   "--chardev socket,fd=5,id=m -mcd chardev:m -M virt,secure=on",
			want:   CommandLine{MCD: "chardev:m", Rest: []string{"-M", "virt,secure=on"}, Machine: "virt", Running: true},
			device: "fd ",
		}, {
			args: "-object qtest,id=q,chardev=c",
			want: CommandLine{Rest: []string{"-object", "qtest,id=q,chardev=c"}, QTest: true, Running: true},
		}, {
			args: "-append -mcd -gdb none",
			want: CommandLine{Rest: []string{"-append", "-mcd", "-gdb", "none"}, Running: true},
		}, {
			args: "-s -help",
			want: CommandLine{Rest: []string{"-s", "-help"}, Help: true, Running: true},
		}, {
			args: "-s",
			want: CommandLine{Rest: []string{"-s"}, Running: true},
		},
	}
	for _, tt := range tests {
		got, err := Parse(strings.Fields(tt.args))
		if err != nil {
			t.Errorf("%s: %v", tt.args, err)
			continue
		}
		if tt.device != "" {
			var d chardev.Device
			if d, err = got.Device(1235); err != nil {
				t.Errorf("%s: %v", tt.args, err)
			}
			if have := d.Network + " " + d.Address; have != tt.device {
				t.Errorf("%s: want the device %s, got %s", tt.args, tt.device, have)
			}
		}
		if diff := cmp.Diff(tt.want, *got, cmpopts.IgnoreUnexported(CommandLine{})); diff != "" {
			t.Errorf("%s (- want, + got):\n%s", tt.args, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"-M virt -mcd":                 "a device is needed",
		"-mcd '' -S":                   "a device is needed",
		"-mcd default -s":              "drop -s",
		"-mcd default -gdb tcp::1":     "drop -gdb tcp::1",
		"-mcd default -daemonize":      "-daemonize",
		"--gdb tcp::1 --mcd default":   "drop -gdb tcp::1",
		"-daemonize --mcd tcp:h:1 -sd": "-daemonize",
	} {
		c, err := Parse(strings.Split(strings.ReplaceAll(args, "''", ""), " "))
		if err == nil {
			err = c.CheckOwnStub("-mcd", "drop -mcd")
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want an error with %q, got %v", args, want, err)
		}
	}
}

func TestIs(t *testing.T) {
	for name, want := range map[string]bool{"/x/qemu-system-arm": true, "qemu-system-riscv64": true, "mcdtest": false, "/qemu-system-arm/mcdtest": false} {
		if got := Is(name); got != want {
			t.Errorf("%s: want %v, got %v", name, want, got)
		}
	}
}
