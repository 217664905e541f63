// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mcdtest/guest"
	"mcdtest/harness"
)

// Environment variables that the settings are read from, so that the specs can be run by `ginkgo` and `go test`, which
// have no flags of ours. Which QEMU is tested says harness.QEMUVariable, a binary or a folder.
const (
	ArchVariable     = "MCDTEST_ARCH"      // architectures, separated by commas, or "all"
	CoresVariable    = "MCDTEST_CORES"     // numbers of cores, separated by commas
	DialectVariable  = "MCDTEST_DIALECT"   // packet, json, or all (those that the endpoint speaks)
	EndpointVariable = "MCDTEST_ENDPOINT"  // auto, native, stub
	FastVariable     = "MCDTEST_FAST"      // not empty: the subset of the fast specs
	SpecsVariable    = "MCDTEST_SPECS"     // regular expression on spec IDs
	ShardVariable    = "MCDTEST_SHARD"     // I/N: the I-th of N parts, from 1 on
	FaultVariable    = "MCDTEST_FAULT"     // name of a fault that is put between client and endpoint
	RecordVariable   = "MCDTEST_RECORD"    // not empty: transcripts are kept of specs that pass, too
	ArtifactVariable = "MCDTEST_ARTIFACTS" // folder for scripts that reproduce failures
)

// Settings say which specs run on what.
type Settings struct {
	QEMU      string // binary or folder; empty: what is in PATH
	Archs     []string
	Cores     []int
	Dialects  []harness.Dialect // empty: those that the endpoint speaks
	Endpoint  harness.EndpointKind
	Fast      bool
	Specs     *regexp.Regexp
	Shard     Shard
	Fault     string
	Record    bool
	Artifacts string
}

// FromEnvironment reads the settings.
func FromEnvironment() (Settings, error) {
	s := Settings{
		QEMU: os.Getenv(harness.QEMUVariable), Endpoint: harness.Auto, Fast: os.Getenv(FastVariable) != "", Fault: os.Getenv(FaultVariable),
		Record: os.Getenv(RecordVariable) != "", Artifacts: os.Getenv(ArtifactVariable),
	}
	switch v := os.Getenv(ArchVariable); v {
	case "":
		build, err := s.FindBuild("")
		if err != nil {
			return s, err
		}
		s.Archs = []string{build.Arch}
	case "all":
		s.Archs = guest.Architectures()
	default:
		s.Archs = strings.Split(v, ",")
	}
	for _, a := range s.Archs {
		if !slices.Contains(guest.Architectures(), a) {
			return s, fmt.Errorf("%s: there is no guest for the architecture %q; there are %s, and all", ArchVariable, a, strings.Join(guest.Architectures(), ", "))
		}
	}
	s.Cores = []int{1}
	if v := os.Getenv(CoresVariable); v != "" {
		s.Cores = nil
		for _, f := range strings.Split(v, ",") {
			n, err := strconv.Atoi(f)
			if err != nil || n < 1 || n > guest.MaxCores {
				return s, fmt.Errorf("%s: %q is not a number of cores from 1 to %d", CoresVariable, f, guest.MaxCores)
			}
			s.Cores = append(s.Cores, n)
		}
	}
	switch v := os.Getenv(DialectVariable); v {
	case "", "all":
	case string(harness.Packet), string(harness.JSON):
		s.Dialects = []harness.Dialect{harness.Dialect(v)}
	default:
		return s, fmt.Errorf("%s: %q is none of packet, json, all", DialectVariable, v)
	}
	switch v := harness.EndpointKind(os.Getenv(EndpointVariable)); v {
	case "", "auto":
	case harness.Native, harness.Stub:
		s.Endpoint = v
	default:
		return s, fmt.Errorf("%s: %q is none of auto, native, stub", EndpointVariable, v)
	}
	if v := os.Getenv(SpecsVariable); v != "" {
		re, err := regexp.Compile(v)
		if err != nil {
			return s, fmt.Errorf("%s: %w", SpecsVariable, err)
		}
		s.Specs = re
	}
	if v := os.Getenv(ShardVariable); v != "" {
		shard, err := ParseShard(v)
		if err != nil {
			return s, fmt.Errorf("%s: %w", ShardVariable, err)
		}
		s.Shard = shard
	}
	return s, nil
}

// Environment is the inverse of FromEnvironment: what a child process needs to run the same.
func (s Settings) Environment() []string {
	env := []string{harness.QEMUVariable + "=" + s.QEMU, ArchVariable + "=" + strings.Join(s.Archs, ",")}
	var cores []string
	for _, n := range s.Cores {
		cores = append(cores, strconv.Itoa(n))
	}
	env = append(env, CoresVariable+"="+strings.Join(cores, ","))
	if len(s.Dialects) == 1 {
		env = append(env, DialectVariable+"="+string(s.Dialects[0]))
	} else {
		env = append(env, DialectVariable+"=all")
	}
	env = append(env, EndpointVariable+"="+string(s.Endpoint)) // harness.Auto is empty
	flag := func(name string, on bool) {
		if on {
			env = append(env, name+"=1")
		} else {
			env = append(env, name+"=")
		}
	}
	flag(FastVariable, s.Fast)
	flag(RecordVariable, s.Record)
	specs := ""
	if s.Specs != nil {
		specs = s.Specs.String()
	}
	return append(env, SpecsVariable+"="+specs, ShardVariable+"="+s.Shard.String(), FaultVariable+"="+s.Fault, ArtifactVariable+"="+s.Artifacts)
}

// Case is what one pass over the specs is about.
type Case struct {
	Arch    string
	Cores   int
	Dialect harness.Dialect
}

// String is the beginning of the IDs of the case's specs.
func (c Case) String() string {
	if c.Cores == 1 {
		return fmt.Sprintf("%s %s", c.Arch, c.Dialect)
	}
	return fmt.Sprintf("%s×%d %s", c.Arch, c.Cores, c.Dialect)
}

// Cases lists the cases. Which dialects an endpoint speaks depends on the build; a QEMU that cannot be found has the
// cases of the stub, so that its specs are there and say what is missing.
func (s Settings) Cases() ([]Case, error) {
	var list []Case
	for _, arch := range s.Archs {
		dialects := s.Dialects
		if len(dialects) == 0 {
			dialects = []harness.Dialect{harness.Packet, harness.JSON}
			if build, err := s.FindBuild(arch); err == nil && s.EndpointOf(build) == harness.Native {
				dialects = slices.DeleteFunc(dialects, func(d harness.Dialect) bool { return !build.Speaks(d) })
			}
		}
		for _, n := range s.Cores {
			for _, d := range dialects {
				if c := (Case{arch, n, d}); !slices.Contains(list, c) {
					list = append(list, c)
				}
			}
		}
	}
	return list, nil
}

// EndpointOf is the kind of endpoint that a build gets: its own if it has one and nobody wants the other.
func (s Settings) EndpointOf(b *harness.Build) harness.EndpointKind {
	if s.Endpoint != harness.Auto {
		return s.Endpoint
	}
	if b.MCD != "" {
		return harness.Native
	}
	return harness.Stub
}

// FindBuild finds the QEMU for an architecture; for none, the one that the settings name, or the default.
func (s Settings) FindBuild(arch string) (*harness.Build, error) {
	var path string
	var err error
	if s.QEMU != "" {
		path, err = harness.FindIn(s.QEMU, arch)
	} else {
		path, err = harness.Find(arch)
	}
	if err != nil {
		return nil, err
	}
	return harness.Probe(context.Background(), path)
}
