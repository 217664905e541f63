// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"mcdtest/guest"
	"mcdtest/harness"
)

// machineFlags say which machine to start; several commands have them.
type machineFlags struct {
	Arch     string   `placeholder:"ARCH" help:"Architecture: ${architectures}. arm unless given, or what the guest is for."`
	Cores    int      `default:"1" placeholder:"N" help:"Number of cores, 1 to ${max_cores}."`
	QEMU     string   `name:"qemu" placeholder:"PATH" help:"QEMU binary, or a folder of them; otherwise $MCDTEST_QEMU, then $PATH."`
	Endpoint string   `default:"auto" enum:"auto,native,stub" help:"Where MCD is spoken: native (QEMU's own -mcd), stub (mcdtest's, in front of QEMU), or auto: native if the build has it."`
	Dialect  string   `default:"auto" enum:"auto,packet,json" help:"packet (2023), json (2025), or auto: what the endpoint prefers."`
	Guest    string   `placeholder:"FILE" help:"ELF file to run instead of the loop that comes with mcdtest; it needs the same symbols."`
	Variant  string   `placeholder:"NAME" help:"Which of mcdtest's programs: loop, smp (every core counts), mmu (address translation is on). loop unless given; smp for several cores."`
	QEMUArg  []string `name:"qemu-arg" sep:"none" placeholder:"ARG" help:"Append this to QEMU's command line; may be given several times."`
}

// config finds the QEMU and the guest for one architecture; empty means whichever is asked for by the other flags.
func (f *machineFlags) config(ctx context.Context, arch string) (harness.Config, error) {
	cfg := harness.Config{Cores: f.Cores, Args: f.QEMUArg}
	if f.Cores < 1 || f.Cores > guest.MaxCores {
		return cfg, fmt.Errorf("--cores=%d: the guest programs are for 1 to %d cores", f.Cores, guest.MaxCores)
	}
	if f.Endpoint != "auto" {
		cfg.Endpoint = harness.EndpointKind(f.Endpoint)
	}
	if f.Dialect != "auto" {
		cfg.Dialect = harness.Dialect(f.Dialect)
	}
	if f.Guest != "" && f.Variant != "" {
		return cfg, fmt.Errorf("--guest=%s and --variant=%s: a program of your own has no variants", f.Guest, f.Variant)
	}
	if f.Guest != "" {
		image, err := guest.Open(f.Guest)
		if err != nil {
			return cfg, err
		}
		if arch != "" && arch != image.Arch {
			return cfg, fmt.Errorf("--guest=%s is for %s, not for %s: drop --arch", f.Guest, image.Arch, arch)
		}
		arch, cfg.Guest = image.Arch, image
	} else if arch != "" && !slices.Contains(guest.Architectures(), arch) {
		return cfg, fmt.Errorf("--arch=%s: there are guest programs for %s", arch, strings.Join(guest.Architectures(), ", "))
	}
	path, err := f.find(arch)
	if err != nil {
		return cfg, err
	}
	if cfg.Build, err = harness.Probe(ctx, path); err != nil {
		return cfg, err
	}
	if cfg.Guest != nil {
		return cfg, nil
	}
	variant := guest.Loop
	if f.Cores > 1 {
		variant = guest.SMP
	}
	if f.Variant != "" {
		variant = guest.Variant(f.Variant)
	}
	cfg.Guest, err = guest.Lookup(cfg.Build.Arch, variant)
	return cfg, err
}

func (f *machineFlags) find(arch string) (string, error) {
	if f.QEMU != "" {
		return harness.FindIn(f.QEMU, arch)
	}
	return harness.Find(arch)
}
