// SPDX-License-Identifier: Apache-2.0

// Package expect reads files of expectations: what is known of a build to fail. An expected failure does not fail a run;
// a pass that was expected to fail does, since the file is then out of date. docs/expectations.md describes the format.
// The package reads and writes text and knows nothing of how specs run.
package expect

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"go.yaml.in/yaml/v3"

	"mcdtest/harness/result"
)

// File is a file of expectations.
type File struct {
	Build    string // which build it is about, in words
	Endpoint string // "native" or "stub": the only endpoint that it is for; empty for both
	Entries  []Entry

	name string
	qemu *semver.Constraints
}

// Entry says that specs fail.
type Entry struct {
	Spec   string // an ID; empty if there is a Specs
	Specs  string // a pattern of IDs: each * stands for any text
	QEMU   string // range of versions; empty: all
	Reason string
	Line   int // in the file

	pattern *regexp.Regexp
	qemu    *semver.Constraints
}

// Name is the ID or pattern.
func (e Entry) Name() string {
	if e.Spec != "" {
		return e.Spec
	}
	return e.Specs
}

// Open reads a file.
func Open(name string) (*File, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		if p := (*os.PathError)(nil); errors.As(err, &p) {
			err = p.Err
		}
		return nil, fmt.Errorf("read expectations: %s: %w", name, err)
	}
	return Parse(name, text)
}

// Parse reads the text of a file. Its errors name the file and the line.
func Parse(name string, text []byte) (*File, error) {
	f := &File{name: name}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	if err := d.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, f.wrong(1, "it is empty; see docs/expectations.md for what belongs there")
		}
		return nil, f.yamlError(err)
	}
	var second yaml.Node
	if err := d.Decode(&second); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, f.yamlError(err)
		}
		return nil, f.wrong(second.Line, "a second document begins here; make it a file of its own")
	}
	err := f.mapping(doc.Content[0], "a file", map[string]func(*yaml.Node) error{
		"build":    text1(f, &f.Build),
		"endpoint": text1(f, &f.Endpoint),
		"qemu":     func(n *yaml.Node) (err error) { f.qemu, err = f.versions(n); return err },
		"expect":   f.entries,
	})
	if err != nil {
		return nil, err
	}
	if f.Build == "" {
		return nil, f.wrong(1, "build is missing: say in a few words which build this is about")
	}
	switch f.Endpoint {
	case "", "native", "stub":
	default:
		return nil, f.wrong(1, "endpoint: %q is neither native nor stub", f.Endpoint)
	}
	return f, nil
}

func (f *File) wrong(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", f.name, line, fmt.Sprintf(format, args...))
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

// yamlError puts the place of a syntax error where it stands in other errors.
func (f *File) yamlError(err error) error {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		return fmt.Errorf("%s:%s: %s", f.name, m[1], strings.Replace(message, m[0], "", 1))
	}
	return fmt.Errorf("%s: %s", f.name, message)
}

// mapping reads a mapping with exactly these keys.
func (f *File) mapping(n *yaml.Node, what string, keys map[string]func(*yaml.Node) error) error {
	if n.Kind != yaml.MappingNode {
		return f.wrong(n.Line, "%s is to be a mapping of keys and values", what)
	}
	seen := make(map[string]bool)
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read := keys[key.Value]
		if read == nil {
			var known []string
			for k := range keys {
				known = append(known, k)
			}
			slices.Sort(known)
			return f.wrong(key.Line, "%s has no %q; it has %s", what, key.Value, strings.Join(known, ", "))
		}
		if seen[key.Value] {
			return f.wrong(key.Line, "%q is there twice", key.Value)
		}
		seen[key.Value] = true
		if err := read(value); err != nil {
			return err
		}
	}
	return nil
}

func text1(f *File, to *string) func(*yaml.Node) error {
	return func(n *yaml.Node) error {
		if n.Kind != yaml.ScalarNode || strings.TrimSpace(n.Value) == "" {
			return f.wrong(n.Line, "a text belongs here")
		}
		*to = strings.Join(strings.Fields(n.Value), " ")
		return nil
	}
}

func (f *File) versions(n *yaml.Node) (*semver.Constraints, error) {
	if n.Kind != yaml.ScalarNode {
		return nil, f.wrong(n.Line, `a range of versions belongs here, such as ">= 7.2, < 9"`)
	}
	c, err := semver.NewConstraint(n.Value)
	if err != nil {
		return nil, f.wrong(n.Line, `%q is no range of versions such as ">= 7.2, < 9": %v`, n.Value, err)
	}
	return c, nil
}

func (f *File) entries(n *yaml.Node) error {
	if n.Kind != yaml.SequenceNode {
		return f.wrong(n.Line, "expect is to be a list")
	}
	for _, item := range n.Content {
		e := Entry{Line: item.Line}
		err := f.mapping(item, "an entry of expect", map[string]func(*yaml.Node) error{
			"spec":   text1(f, &e.Spec),
			"specs":  text1(f, &e.Specs),
			"reason": text1(f, &e.Reason),
			"qemu": func(n *yaml.Node) (err error) {
				e.QEMU = n.Value
				e.qemu, err = f.versions(n)
				return err
			},
		})
		if err != nil {
			return err
		}
		switch {
		case e.Spec == "" && e.Specs == "":
			return f.wrong(e.Line, "the entry names neither a spec nor specs")
		case e.Spec != "" && e.Specs != "":
			return f.wrong(e.Line, "the entry names both a spec and specs; make two of it")
		case e.Reason == "":
			return f.wrong(e.Line, "the entry for %q has no reason", e.Name())
		}
		for _, before := range f.Entries {
			if before.Name() == e.Name() && before.QEMU == e.QEMU {
				return f.wrong(e.Line, "the entry for %q is there already, in line %d", e.Name(), before.Line)
			}
		}
		if e.Specs != "" {
			e.pattern = pattern(e.Specs)
		}
		f.Entries = append(f.Entries, e)
	}
	return nil
}

func pattern(text string) *regexp.Regexp {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(text), `\*`, ".*") + "$")
}

func (e Entry) names(id string) bool {
	if e.pattern != nil {
		return e.pattern.MatchString(id)
	}
	return e.Spec == id
}

// CheckBuild returns an error if the file is not about a build.
func (f *File) CheckBuild(b result.Build) error {
	if f.Endpoint != "" && b.Endpoint != "" && f.Endpoint != b.Endpoint {
		return fmt.Errorf("%s is about the %s endpoint of %q, but the %s endpoint is tested", f.name, f.Endpoint, f.Build, b.Endpoint)
	}
	for arch, v := range b.Versions {
		if f.qemu != nil && !matches(f.qemu, v) {
			return fmt.Errorf("%s is about QEMU %s, but that for %s is %s", f.name, f.qemu, arch, v)
		}
	}
	return nil
}

// matches reports whether a version is in a range. One that cannot be read is in none.
func matches(c *semver.Constraints, version string) bool {
	v, err := semver.NewVersion(version)
	return err == nil && c.Check(v)
}

// Reason says why a spec is expected to fail on a version of QEMU. It is empty if it is expected to pass.
func (f *File) Reason(id, version string) string {
	if f == nil {
		return ""
	}
	for _, e := range f.Entries {
		if e.names(id) && (e.qemu == nil || matches(e.qemu, version)) {
			return e.Reason
		}
	}
	return ""
}

// Unmatched lists the entries that name none of the specs there are, as sentences with their places.
func (f *File) Unmatched(ids []string) []string {
	var list []string
	for _, e := range f.Entries {
		if !slices.ContainsFunc(ids, e.names) {
			list = append(list, f.wrong(e.Line, "there is no spec %q", e.Name()).Error())
		}
	}
	return list
}
