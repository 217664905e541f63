// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"mcdtest/harness/launch"
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
	qmp := p.Monitors()[0]
	d := new(details)
	var target struct {
		Arch string `json:"arch"`
	}
	var types []struct {
		Name     string `json:"name"`
		Abstract bool   `json:"abstract"`
	}
	for _, q := range []struct {
		command      string
		args, result any
	}{
		{"query-target", nil, &target},
		{"query-machines", nil, &d.machines},
		{"qom-list-types", map[string]any{"implements": "cpu", "abstract": true}, &types}, // the concrete ones too
	} {
		if err := qmp.Execute(ctx, q.command, q.args, q.result); err != nil {
			return nil, fmt.Errorf("look at what %s can do: %w", b.Path, err)
		}
	}
	d.arch = target.Arch
	// The model is the type without the base that it ends in: cortex-a15-arm-cpu without -arm-cpu.
	for _, base := range types {
		for _, t := range types {
			if model, ok := strings.CutSuffix(t.Name, "-"+base.Name); ok && base.Abstract && !t.Abstract {
				d.cpus = append(d.cpus, model)
			}
		}
	}
	slices.Sort(d.cpus)
	b.details = d
	return d, nil
}
