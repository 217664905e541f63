// SPDX-License-Identifier: Apache-2.0

// Package ci checks the recipes in this folder: that they are YAML, that their shell scripts parse, that the commands,
// flags and files that they name exist, and that their matrices are complete. It may run the go command and the scripts'
// --help, and touches nothing else.
package ci

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"mcdtest/guest"
)

const root = "../.."

// recipe is one file: its scripts, and the lists of its matrices by name.
type recipe struct {
	scripts  []string
	matrices map[string][][]string
}

func recipes(t *testing.T) map[string]recipe {
	t.Helper()
	files, err := filepath.Glob("*.y*ml")
	if err != nil || len(files) < 5 {
		t.Fatalf("found the recipes %v (%v), want five at least", files, err)
	}
	all := make(map[string]recipe)
	for _, file := range files {
		r, err := read(file)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		all[file] = r
	}
	return all
}

func read(file string) (recipe, error) {
	f, err := os.Open(file)
	if err != nil {
		return recipe{}, err
	}
	defer f.Close()
	r := recipe{matrices: make(map[string][][]string)}
	for d := yaml.NewDecoder(f); ; {
		var document map[string]any // refuses a key that is there twice
		if err := d.Decode(&document); errors.Is(err, io.EOF) {
			return r, nil
		} else if err != nil {
			return r, err
		}
		r.walk("", document)
	}
}

// walk collects from a value that stands under key.
func (r *recipe) walk(key string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for k, inner := range v {
			r.walk(k, inner)
		}
	case []any:
		var list []string
		for _, inner := range v {
			if s, ok := inner.(string); ok {
				list = append(list, s)
			} else {
				r.walk(key, inner)
			}
		}
		switch strings.ToLower(key) {
		case "script", "before_script":
			r.scripts = append(r.scripts, strings.Join(list, "\n"))
		case "command":
			r.scripts = append(r.scripts, list[len(list)-1]) // after bash -c
		case "arch", "qemu":
			r.matrices[strings.ToLower(key)] = append(r.matrices[strings.ToLower(key)], list)
		}
	case string:
		if key == "run" {
			r.scripts = append(r.scripts, v)
		}
	}
}

func TestScriptsParse(t *testing.T) {
	expression := regexp.MustCompile(`\$\{\{.*?\}\}`)
	for file, r := range recipes(t) {
		if len(r.scripts) == 0 {
			t.Errorf("%s: found no script in it", file)
		}
		for _, script := range r.scripts {
			check := exec.Command("bash", "-n")
			check.Stdin = strings.NewReader(expression.ReplaceAllString(script, "expression"))
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("%s: a script does not parse: %v\n%s\n%s", file, err, out, script)
			}
		}
	}
}

func TestFilesExist(t *testing.T) {
	path := regexp.MustCompile(`\bscripts/[a-z-]+`)
	for file, r := range recipes(t) {
		for _, script := range r.scripts {
			for _, name := range path.FindAllString(script, -1) {
				if info, err := os.Stat(filepath.Join(root, name)); err != nil || info.Mode()&0o111 == 0 {
					t.Errorf("%s calls %s, which is no program of this project (%v)", file, name, err)
				}
			}
		}
	}
}

// In the recipes the command is called as mcdtest, or by what follows the image.
var call = regexp.MustCompile(`(?:\bmcdtest|"\$IMAGE") +([a-z][a-z-]*)(.*)`)

func TestCommandsExist(t *testing.T) {
	mcdtest := filepath.Join(t.TempDir(), "mcdtest")
	if out, err := exec.Command("go", "build", "-o", mcdtest, root+"/cmd/mcdtest").CombinedOutput(); err != nil {
		t.Fatalf("build mcdtest: %v\n%s", err, out)
	}
	flag := regexp.MustCompile(`--[a-z][a-z-]*`)
	calls := 0
	for file, r := range recipes(t) {
		for _, script := range r.scripts {
			for _, match := range call.FindAllStringSubmatch(oneLine(script), -1) {
				calls++
				help, err := exec.Command(mcdtest, match[1], "--help").CombinedOutput()
				if err != nil {
					t.Errorf("%s calls mcdtest %s: %v\n%s", file, match[1], err, help)
					continue
				}
				for _, f := range flag.FindAllString(match[2], -1) {
					if !regexp.MustCompile(f + `\b[^-]`).Match(help) {
						t.Errorf("%s calls mcdtest %s %s; there is no such flag", file, match[1], f)
					}
				}
			}
		}
	}
	if calls < 5 {
		t.Errorf("found %d calls of mcdtest in the recipes, want five at least", calls)
	}
}

// oneLine joins what backslashes continue.
func oneLine(script string) string { return strings.ReplaceAll(script, "\\\n", " ") }

func TestMatricesAreComplete(t *testing.T) {
	out, err := exec.Command(root+"/scripts/qemu-fetch", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	var versions []string
	for _, m := range regexp.MustCompile(`(?m)^    (\d+\.\d+) `).FindAllStringSubmatch(string(out), -1) {
		versions = append(versions, m[1])
	}
	want := map[string][]string{"arch": guest.Architectures(), "qemu": versions}
	for _, file := range []string{"github-actions.yml", "gitlab-ci.yml"} {
		r := recipes(t)[file]
		for name, values := range want {
			lists := r.matrices[name]
			if len(lists) == 0 {
				t.Errorf("%s has no matrix over %s", file, name)
			}
			for _, list := range lists {
				slices.Sort(list)
				if diff := cmp.Diff(slices.Sorted(slices.Values(values)), list); diff != "" {
					t.Errorf("%s, the matrix over %s (- want, + got):\n%s", file, name, diff)
				}
			}
		}
	}
}

func TestKubernetesRunsEveryPart(t *testing.T) {
	text, err := os.ReadFile("kubernetes-job.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, pattern := range []string{`completions: (\d+)`, `parallelism: (\d+)`, `\$part/(\d+)`} {
		m := regexp.MustCompile(pattern).FindStringSubmatch(string(text))
		if m == nil {
			t.Fatalf("found no %s", pattern)
		}
		parts = append(parts, m[1])
	}
	if len(slices.Compact(parts)) != 1 {
		t.Errorf("completions, parallelism and the N of --shard I/N differ: %v", parts)
	}
}
