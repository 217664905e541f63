// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
)

// typed is keys, and what the command must have written before they are typed, one behind the other. Keys for a line editor
// wait for its prompt: it is written when the terminal is in raw mode, and before that Ctrl-C is a signal and not a key.
type typed struct {
	after []string
	keys  string
}

// onTerminal runs the command to its end on a terminal of 100 columns and returns everything that it wrote.
func onTerminal(t *testing.T, env []string, dialogue []typed, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	mark := rand.Text()
	cmd := command(ctx, mark, args...)
	cmd.Env = append(cmd.Env, env...)
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	var screen bytes.Buffer
	seen := 0 // what the dialogue has used up
	buf := make([]byte, 4096)
	for {
		n, err := tty.Read(buf)
		screen.Write(buf[:n])
		for len(dialogue) > 0 {
			end, ok := behindAll(screen.String(), seen, dialogue[0].after)
			if !ok {
				break
			}
			seen = end
			if _, err := tty.WriteString(dialogue[0].keys); err != nil {
				t.Fatal(err)
			}
			dialogue = dialogue[1:]
		}
		if err != nil { // EIO: the command has closed the terminal
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("mcdtest %s: %v\n%s", strings.Join(args, " "), err, screen.String())
	}
	if len(dialogue) > 0 {
		t.Errorf("mcdtest %s never wrote %q; the screen:\n%s", strings.Join(args, " "), dialogue[0].after, screen.String())
	}
	noneLeft(t, mark)
	return screen.String()
}

func TestColours(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	for _, tt := range []struct {
		env  []string
		want bool
	}{
		{[]string{"TERM=xterm", "NO_COLOR="}, true},
		{[]string{"TERM=xterm", "NO_COLOR=1"}, false},
		{[]string{"TERM=dumb", "NO_COLOR="}, false},
	} {
		screen := onTerminal(t, tt.env, nil, "run")
		if got := strings.Contains(screen, "\x1b[32mok\x1b[0m"); got != tt.want {
			t.Errorf("%v: want colours %v, got %v", tt.env, tt.want, got)
		}
		if !tt.want && strings.Contains(screen, "\x1b[") {
			t.Errorf("%v: there are colours", tt.env)
		}
		if !strings.Contains(screen, "8 of 8 steps hold") {
			t.Errorf("%v: not played to the end:\n%s", tt.env, screen)
		}
		// What is too wide for the terminal is cut, packets above all.
		for line := range strings.Lines(screen) {
			if strings.Contains(line, "─►") || strings.Contains(line, "◄─") {
				if n := len([]rune(plain(line))); n > 100 {
					t.Errorf("a line of packets has %d columns: %s", n, line)
				}
			}
		}
	}
}

// behindAll is where the last of the texts ends, each of them looked for behind the one before.
func behindAll(s string, from int, texts []string) (end int, ok bool) {
	for _, text := range texts {
		i := strings.Index(s[from:], text)
		if i < 0 {
			return 0, false
		}
		from += i + len(text)
	}
	return from, true
}

// plain is a line without colours and end.
func plain(line string) string {
	var b strings.Builder
	for i, part := range strings.Split(strings.TrimRight(line, "\r\n"), "\x1b[") {
		if i > 0 {
			_, part, _ = strings.Cut(part, "m")
		}
		b.WriteString(part)
	}
	return b.String()
}

func TestShellOnTerminal(t *testing.T) {
	t.Parallel()
	needQEMU(t, "arm")
	const prompt = "mcd> "
	state := t.TempDir()
	env := []string{"TERM=xterm", "NO_COLOR=1", "XDG_STATE_HOME=" + state}
	screen := onTerminal(t, env, []typed{
		{[]string{prompt}, "qsys\t\r"},                             // completed
		{[]string{"name of the system", prompt}, "x\x03"},          // taken back
		{[]string{"^C", prompt}, "\x1b[A\r"},                       // recalled
		{[]string{"name of the system", prompt}, "help qtrig\t\r"}, // help completes, too
		{[]string{"what triggers there are", prompt}, "\x04"},
	}, "shell")
	if n := strings.Count(screen, "◄─ +$qemu-system#|"); n != 2 {
		t.Errorf("want two answers to qsystem, got %d:\n%s", n, screen)
	}
	history, err := os.ReadFile(filepath.Join(state, "mcdtest", "history"))
	if err != nil || !strings.Contains(string(history), "qsystem\n") {
		t.Errorf("the history: %q, %v", history, err)
	}
	// Ctrl-C on an empty line ends it, too, and a place for the history is no condition.
	file := filepath.Join(state, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	onTerminal(t, append(env, "XDG_STATE_HOME="+file), []typed{{[]string{prompt}, "\x03"}}, "shell")
}
