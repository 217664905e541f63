// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mcdtest/harness/launch"
	"mcdtest/stub/qmp"
)

// MachineType is a machine that a build can emulate: a value of -M.
type MachineType struct {
	Name       string `json:"name"`
	Alias      string `json:"alias"`
	Default    bool   `json:"is-default"`
	MaxCores   int    `json:"cpu-max"`
	DefaultCPU string `json:"default-cpu-type"` // a QOM type: "cortex-a15-arm-cpu"
}

// details are what only a QEMU that runs can tell.
type details struct {
	arch     string
	machines []MachineType
	cpus     []string
}

// Machines lists the machines of the build. QEMU is run for it once, for about 25 ms.
func (b *Build) Machines(ctx context.Context) ([]MachineType, error) {
	d, err := b.look(ctx)
	if err != nil {
		return nil, err
	}
	return slices.Clone(d.machines), nil
}

// CPUs lists the CPU models of the build, as -cpu takes them. QEMU is run for it as for Machines.
func (b *Build) CPUs(ctx context.Context) ([]string, error) {
	d, err := b.look(ctx)
	if err != nil {
		return nil, err
	}
	return slices.Clone(d.cpus), nil
}

// look starts a QEMU without a machine and asks it.
func (b *Build) look(ctx context.Context) (*details, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.details != nil {
		return b.details, nil
	}
	p, err := launch.Start(ctx, launch.Spec{Path: b.Path, Args: append(b.baseArgs(), "-M", "none"), Monitors: 1})
	if err != nil {
		return nil, fmt.Errorf("look at what %s can do: %w", b.Path, err)
	}
	defer p.Kill()
	monitor := p.Monitors()[0]
	d := new(details)
	var target struct {
		Arch string `json:"arch"`
	}
	var models []struct {
		Name string `json:"name"`
	}
	for _, q := range []struct {
		command string
		result  any
	}{
		{"query-target", &target},
		{"query-machines", &d.machines},
		// Not qom-list-types, which loads every module there is, and QEMU aborts on one that is not of its build.
		{"query-cpu-definitions", &models},
	} {
		var refused *qmp.Error
		err := monitor.Execute(ctx, q.command, nil, q.result)
		if q.result == &models && errors.As(err, &refused) && refused.Class == "CommandNotFound" {
			d.cpus, err = b.cpuHelp(ctx) // RISC-V before QEMU 8.1
		}
		if err != nil {
			return nil, fmt.Errorf("look at what %s can do: %w", b.Path, err)
		}
	}
	d.arch = target.Arch
	for _, m := range models {
		d.cpus = append(d.cpus, m.Name)
	}
	slices.Sort(d.cpus)
	b.details = d
	return d, nil
}

// cpuHelp reads the list that -cpu help prints: a model begins each line.
func (b *Build) cpuHelp(ctx context.Context) ([]string, error) {
	text, exit, err := output(ctx, b.Path, "-cpu", "help")
	if err != nil {
		return nil, err
	}
	if exit.Status != 0 {
		return nil, fmt.Errorf("ask for its CPUs: %w", exit)
	}
	var models []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 1 {
			models = append(models, fields[0])
		}
	}
	return models, nil
}
