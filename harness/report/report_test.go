// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcdtest/harness/gate"
	"mcdtest/harness/report"
	"mcdtest/harness/result"
)

// hostile is text that must arrive as text.
const hostile = `<script>alert("x")</script> & 'quotes'`

func sample() *result.Result {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	evidence := &result.Evidence{
		ID: "arm packet memory: a failure", Subject: "memory", Arch: "arm", Cores: 1, Dialect: "packet", Endpoint: "stub", Version: "11.1.3",
		Crash: "QEMU ended: signal aborted " + hostile, Reproduce: "mcdtest play failure.txt",
		Machines: []result.Machine{{
			Command: []string{"qemu-system-arm", "-M", "virt"}, Stderr: "Assertion failed: " + hostile, Exit: "signal: aborted",
			Transcript: "0.000010 # VM RESUME\n0.000100 > $qstate0#|\n0.000150 < +$state=running.event=0.thread=0.type=0.address=0.stop_str=.info_str=cpu 0 running.#|\n" +
				"0.000200 # VM STOP\n0.000300 > $m0;1;0;4#|\n0.000400 < +$error#|\n0.000500 < EOF\n",
		}},
	}
	return &result.Result{
		Header: result.Header{Format: result.Format, Tool: "test", Started: start, Planned: 6, Host: "linux", Build: result.Build{Label: "build " + hostile}},
		Specs: []result.Spec{
			{ID: "arm packet memory: a failure", Subject: "memory", Dialect: "packet", Outcome: result.Failed, Failure: "Expected 1 to equal 2 " + hostile, Location: "memory.go:10", Took: 12 * time.Millisecond, Evidence: evidence},
			{ID: "arm packet memory: a pass", Subject: "memory", Dialect: "packet", Outcome: result.Passed, Took: time.Millisecond},
			{ID: "arm packet reset: known", Subject: "reset", Dialect: "packet", Outcome: result.Failed, Expected: "does nothing in this build", Failure: "no"},
			{ID: "arm packet kill: fixed", Subject: "kill", Dialect: "packet", Outcome: result.Passed, Expected: "was broken"},
			{ID: "arm json cores: skipped", Subject: "cores", Dialect: "json", Outcome: result.Skipped, Reason: "not applicable: one core"},
		},
		Footer: &result.Footer{Ended: start.Add(2 * time.Second), Specs: 5, Problem: "ended by a signal"},
	}
}

func render(t *testing.T, r *result.Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.Run(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRun(t *testing.T) {
	page := render(t, sample())
	for _, want := range []string{
		"2 of 5 specs are not as they should be", "This run is incomplete: ended by a signal",
		"Expected 1 to equal 2", "memory.go:10", "mcdtest play failure.txt", "signal: aborted", "Assertion failed",
		"does nothing in this build", "passed unexpectedly", "not applicable: one core",
		"$qstate0#|", "core state", "read memory", "the stub closes the connection", `class="vm running"`, `class="vm standing"`,
		"requests were not made", "stop_str", "deliberate faults",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "<script") {
		t.Error("text of a result became markup")
	}
	for _, outside := range []string{"http://", "https://", "src=", "<link", "@import", "url("} {
		if strings.Contains(page, outside) {
			t.Errorf("the page refers to something outside: %q", outside)
		}
	}
}

func TestGoodRun(t *testing.T) {
	r := sample()
	r.Specs = r.Specs[1:2]
	r.Header.Planned = 1
	r.Footer = &result.Footer{Ended: r.Header.Started.Add(time.Second), Specs: 1, Complete: true}
	if page := render(t, r); !strings.Contains(page, "all 1 specs that ran are as they should be") {
		t.Error("a good run is not called so")
	}
	r.Header.Rounds = 3
	if page := render(t, r); !strings.Contains(page, "all 1 runs of specs are as they should be") {
		t.Error("runs of the same spec are counted as specs")
	}
	r.Specs[0].Outcome = result.Skipped
	if page := render(t, r); !strings.Contains(page, "nothing was tested") {
		t.Error("a run that tested nothing is called something else")
	}
}

func TestGate(t *testing.T) {
	c := &gate.Comparison{
		Format: gate.ComparisonFormat, Cases: []string{"arm packet"}, Compared: 3,
		Findings: []gate.Finding{
			{Kind: gate.Faster, Case: "arm packet", Specs: []string{"s"}, Request: "m", Base: "20 µs", Head: "10 µs", Ratio: 0.5, Noise: 1.1},
			{Kind: gate.ReplyChanged, Regression: true, Case: "arm packet", Specs: []string{"arm packet memory: x"}, Request: "qstate", Field: "type", Base: "1", Head: "0" + hostile, Example: "$qstate0#|"},
			{Kind: gate.NewlyFailing, Regression: true, Case: "arm packet", Specs: []string{"arm packet memory: a failure"}, Base: "passed", Head: "failed", Evidence: sample().Specs[0].Evidence},
		},
	}
	c.Coverage.Add(sample().Specs[0])
	var b bytes.Buffer
	if err := report.Gate(&b, c); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{
		"2 regressions", "newly failing", "reply changed", "faster", "$qstate0#|", "arm packet, qstate, type",
		"Coverage of the protocol by head", "requests were not made", "stop_str", "deliberate faults",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Index(page, "reply changed") > strings.Index(page, "faster") {
		t.Error("regressions do not come first")
	}
	if strings.Contains(page, "<script") {
		t.Error("text of a comparison became markup")
	}
}

// TestBrowser looks at the page with a real browser: it lays it out on a phone and on a screen without running over the
// side, in light and dark.
func TestBrowser(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium here: apt-get install --no-install-recommends chromium")
	}
	dir := t.TempDir()
	// The page says by itself whether it fits: the only script is the test's.
	probe := `<script>document.title = "width " + document.documentElement.scrollWidth + " of " + document.documentElement.clientWidth + ", rows " + document.querySelectorAll(".talk .req").length + ", background " + getComputedStyle(document.body).backgroundColor;</script></body>`
	page := strings.Replace(render(t, sample()), "</body>", probe, 1)
	file := filepath.Join(dir, "report.html")
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	backgrounds := make(map[string]bool)
	for _, args := range [][]string{
		{"--window-size=1200,900"}, {"--window-size=500,900"}, {"--window-size=500,900", "--blink-settings=preferredColorScheme=0"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, browser, append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
			"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir=" + filepath.Join(dir, "profile"),
			"--dump-dom"}, append(args, "file://"+file)...)...)
		dom, err := cmd.Output()
		if err != nil {
			t.Fatalf("chromium %v: %v", args, err)
		}
		_, title, _ := strings.Cut(string(dom), "<title>")
		title, _, _ = strings.Cut(title, "</title>")
		fields := strings.Fields(strings.ReplaceAll(title, ",", ""))
		if len(fields) < 8 || fields[0] != "width" {
			t.Fatalf("chromium %v: the page's title is %q", args, title)
		}
		if fields[1] != fields[3] {
			t.Errorf("chromium %v: the page is wider than the window: %s", args, title)
		}
		if fields[5] != "2" {
			t.Errorf("chromium %v: the drawn exchange has not its two requests: %s", args, title)
		}
		backgrounds[strings.Join(fields[7:], " ")] = true
	}
	if len(backgrounds) != 2 {
		t.Errorf("light and dark have the backgrounds %v", backgrounds)
	}
}
