// SPDX-License-Identifier: Apache-2.0

package mcdjson

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcdtest/stub/memtarget"
	"mcdtest/stub/target"
)

// exchange is a request of the recorded session and the reply to it.
type exchange struct {
	line           int
	request, reply string
}

// realClient is a session of the real client library, recorded in its own tests on `-M virt,secure=on -cpu cortex-a15`.
func realClient(t testing.TB) (list []exchange) {
	t.Helper()
	f, err := os.Open("../../suites/recordings/real-client.txt") // where a spec plays it to a QEMU
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		switch text := lines.Text(); {
		case strings.HasPrefix(text, "> "):
			list = append(list, exchange{line: n, request: text[2:]})
		case strings.HasPrefix(text, "< "):
			list[len(list)-1].reply = text[2:]
		}
	}
	if err := lines.Err(); err != nil || len(list) < 30 {
		t.Fatalf("%d exchanges in the recording: %v", len(list), err)
	}
	return list
}

// shortened is how the recording leaves elements of an array out.
var shortened = regexp.MustCompile(`,"…(\d+)"\]`)

// lengthen puts elements in the place of those that the recording leaves out: zeros, as all of them are numbers.
func lengthen(text string) string {
	return shortened.ReplaceAllStringFunc(text, func(m string) string {
		var n int
		fmt.Sscanf(m, `,"…%d"]`, &n)
		return strings.Repeat(",0", n) + "]"
	})
}

// recordedCore is the core of the recording: as many registers in each group, and the names and numbers that it shows.
func recordedCore() target.Core {
	c := memtarget.ARMCore(true)
	c.Groups = nil
	c.Registers = nil
	add := func(group, number int, name string, bits int) {
		c.Registers = append(c.Registers, target.Register{Number: number, Name: name, Bits: bits, Group: group})
	}
	for _, name := range []string{"org.gnu.gdb.arm.core", "org.gnu.gdb.arm.vfp", "org.qemu.gdb.arm.vfp-sysregs", "org.qemu.gdb.arm.sys.regs"} {
		c.Groups = append(c.Groups, target.RegisterGroup{Name: name})
	}
	for i := range 15 {
		add(0, i, fmt.Sprintf("r%d", i), 32)
	}
	add(0, 15, "pc", 32)
	add(0, 25, "cpsr", 32)
	for i := range 49 {
		add(1, 26+i, fmt.Sprintf("d%d", i), 64)
	}
	add(2, 75, "fpsid", 32)
	add(2, 76, "fpexc", 32)
	names := map[int]string{77: "MAIR0_S", 78: "MAIR1_S", 177: "DBGWCR1_EL1_S", 178: "DBGBCR1_EL1", 277: "PMEVTYPER2_S", 278: "PMEVTYPER0"}
	for i := 77; i < 337; i++ {
		name := names[i]
		if name == "" {
			name = fmt.Sprintf("SYS%d", i)
		}
		add(3, i, name, 32)
	}
	return c
}

// The real client's half of a recorded session gets the recorded replies. What differs is what the recording cannot fix:
// the words of an error, and the machine's name, which the recording's server took from the command line.
func TestRealClient(t *testing.T) {
	cfg := memtarget.ARMLoop()
	cfg.Core = recordedCore()
	cfg.Images = append(cfg.Images, memtarget.Image{Addr: memtarget.RAMStart, Data: []byte{208, 13, 254, 237}})
	m := memtarget.New(cfg)
	defer m.Close()
	p := connect(t, newDialect(m, Options{}))

	differs := map[string]string{
		`"device":"virt,secure=on"`:      `"device":"virt"`,
		`"error-str":"Memory tx failed"`: `"error-str":"read 112 bytes of memory at 0xe000000 of core 0: nothing is mapped there"`,
		`"error-str":"m E14"`:            `"error-str":"read 112 bytes of memory at 0xdffffc0 of core 0: nothing is mapped there"`,
	}
	used := map[string]bool{}
	change := func(text string) string {
		for recorded, ours := range differs {
			if strings.Contains(text, recorded) {
				text = strings.ReplaceAll(text, recorded, ours)
				used[recorded] = true
			}
		}
		return text
	}
	for _, e := range realClient(t) {
		got := p.ask(change(lengthen(e.request)))
		var want, have any
		if err := json.Unmarshal([]byte(got), &have); err != nil {
			t.Fatalf("line %d: the reply is not JSON: %v: %s", e.line, err, got)
		}
		if err := json.Unmarshal([]byte(change(e.reply)), &want); err != nil {
			t.Fatalf("line %d of the recording: %v", e.line, err)
		}
		if diff := cmp.Diff(want, shorten(have, want)); diff != "" {
			t.Errorf("line %d: %.300s\n(- recorded, + ours):\n%s", e.line, e.request, diff)
		}
	}
	for recorded := range differs {
		if !used[recorded] {
			t.Errorf("the difference at %s is not one: nothing of the kind is recorded", recorded)
		}
	}
}

// shorten leaves elements of arrays out where the recording does.
func shorten(have, want any) any {
	switch w := want.(type) {
	case map[string]any:
		if h, ok := have.(map[string]any); ok {
			for k := range h {
				h[k] = shorten(h[k], w[k])
			}
		}
	case []any:
		h, ok := have.([]any)
		if !ok {
			break
		}
		for i := range min(len(h), len(w)) {
			h[i] = shorten(h[i], w[i])
		}
		var left int
		if last, ok := w[len(w)-1].(string); ok {
			if n, _ := fmt.Sscanf(last, "…%d", &left); n == 1 && len(h) == len(w)-1+left {
				return append(h[:len(w)-1:len(w)-1], last)
			}
		}
	}
	return have
}
