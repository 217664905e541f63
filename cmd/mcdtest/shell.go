// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/chzyer/readline"
	"golang.org/x/term"

	"mcdtest/harness"
	"mcdtest/harness/exchange"
	"mcdtest/harness/transcript"
)

type shellCmd struct {
	endpointFlags
}

func (shellCmd) Help() string {
	return `Type requests, see the bytes that go and come and what they mean. TAB completes the names of requests, the arrow keys recall what
was typed, "help" lists the requests, and Ctrl-D ends. Input that is no terminal is read line by line; the
exit status is 1 then if a line could not be sent or was not answered.

In the packet dialect a line is a payload (qstate0, m0;1;{counter};4), or bytes as they are if it begins with $, + or -. In the
JSON dialect it is the name of a command and its arguments as a JSON object, or a whole object. {NAME} is the value of a
symbol of the guest.

Examples:
  mcdtest shell
  mcdtest shell --arch riscv64
  mcdtest shell --connect 127.0.0.1:1235
  mcdtest shell --dialect json
  echo qsystem | mcdtest shell`
}

// speaker is a dialect as it is typed.
type speaker interface {
	// names completes a line.
	names() []string
	help(topic string) []string
	// say sends what was typed and waits for the answer.
	say(ctx context.Context, line string) error
	// decode says what an answer means.
	decode(x exchange.Exchange) []string
	close()
}

// errTyped is wrapped by errors that the next line need not suffer from.
var errTyped = errors.New("not sent")

var errQuit = errors.New("quit")

// errEnded is wrapped when nothing more can be said.
var errEnded = errors.New("the session has ended")

// errNoAnswer is wrapped when an answer is missing; the user decides what to do about it. With errEnded, none will come.
var errNoAnswer = errors.New("no answer")

func (c *shellCmd) Run(ctx context.Context, con *console) error {
	e, err := c.open(ctx)
	if err != nil {
		return err
	}
	err = c.talk(ctx, con, e)
	if closing := e.close(); err == nil {
		err = closing
	}
	return err
}

func (c *shellCmd) talk(ctx context.Context, con *console, e *endpoint) error {
	rec := transcript.NewRecorder(1 << 20)
	s, err := c.speaker(ctx, e, rec)
	if err != nil {
		return err
	}
	defer s.close()
	lines, err := newLines(con, s.names())
	if err != nil {
		return err
	}
	defer lines.Close()
	// The end of the process is also the end of waiting for a line.
	defer context.AfterFunc(ctx, func() { lines.Close() })()
	if lines.interactive {
		fmt.Fprintf(con.out, "%s. help lists the requests, Ctrl-D ends.\n", con.style.Bold(e.name))
	}
	status := error(nil)
	for {
		line, err := lines.next()
		switch {
		case ctx.Err() != nil || errors.Is(err, io.EOF):
			return status
		case err != nil:
			return err
		}
		err = c.line(ctx, con, e, s, rec, line)
		missed := errors.Is(err, errTyped) || errors.Is(err, errNoAnswer)
		if missed && !lines.interactive {
			status = failed(statusFailed)
		}
		switch {
		case errors.Is(err, errQuit):
			return status
		case errors.Is(err, errEnded) && !missed:
			fmt.Fprintln(con.out, con.style.Dim(err.Error()))
			return status
		case missed:
			fmt.Fprintln(con.out, con.style.Bad(err.Error()))
			if errors.Is(err, errEnded) {
				return status
			}
		case err != nil:
			return err
		}
	}
}

// line obeys one line.
func (c *shellCmd) line(ctx context.Context, con *console, e *endpoint, s speaker, rec *transcript.Recorder, line string) error {
	word, rest := cutWord(line)
	switch word {
	case "":
		return nil
	case "quit", "exit":
		return errQuit
	case "help", "?":
		for _, l := range s.help(rest) {
			fmt.Fprintln(con.out, l)
		}
		return nil
	}
	line, err := substitute(line, e.symbol)
	if err != nil {
		return fmt.Errorf("%w: %w", errTyped, err)
	}
	shown := len(rec.Entries())
	err = s.say(ctx, line)
	c.show(con, s, rec, shown)
	return err
}

func (c *shellCmd) show(con *console, s speaker, rec *transcript.Recorder, shown int) {
	entries := rec.Entries()
	paint := exchange.Paint{Client: con.style.Client, Stub: con.style.Stub, Dim: con.style.Dim}
	for _, x := range exchange.Pair(entries[min(shown, len(entries)):]) {
		for _, l := range exchange.DrawAll([]exchange.Exchange{x}, 0, paint) {
			fmt.Fprintln(con.out, l)
		}
		for _, l := range s.decode(x) {
			fmt.Fprintln(con.out, "   "+l)
		}
	}
}

func (c *shellCmd) speaker(ctx context.Context, e *endpoint, rec *transcript.Recorder) (speaker, error) {
	dialect := harness.Packet
	if e.machine != nil {
		dialect = e.machine.Dialect()
	} else if c.Dialect == string(harness.JSON) {
		dialect = harness.JSON
	}
	if dialect == harness.JSON {
		return newJSONSpeaker(ctx, e, rec)
	}
	return newPacketSpeaker(ctx, e, rec)
}

var symbolPattern = regexp.MustCompile(`\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// substitute puts the values of symbols into a line.
func substitute(line string, symbol func(string) (uint64, error)) (string, error) {
	var failed error
	line = symbolPattern.ReplaceAllStringFunc(line, func(s string) string {
		v, err := symbol(s[1 : len(s)-1])
		if err != nil && failed == nil {
			failed = err
		}
		return strconv.FormatUint(v, 10)
	})
	return line, failed
}

// lines is where lines come from: a terminal with history and completion, or a file.
type lines struct {
	interactive bool
	rl          *readline.Instance
	scanner     *bufio.Scanner
	in          io.Reader
}

func newLines(con *console, names []string) (*lines, error) {
	in, ok := con.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return &lines{scanner: bufio.NewScanner(con.in), in: con.in}, nil
	}
	rl, err := readline.NewEx(&readline.Config{
		Prompt:          con.style.Bold("mcd> "),
		HistoryFile:     historyFile(),
		AutoComplete:    completer(names),
		InterruptPrompt: "^C",
		EOFPrompt:       " ",
		Stdout:          con.out,
		Stderr:          con.err,
	})
	if err != nil {
		return nil, fmt.Errorf("read from the terminal: %w", err)
	}
	return &lines{interactive: true, rl: rl}, nil
}

func (l *lines) next() (string, error) {
	if l.rl == nil {
		if l.scanner.Scan() {
			return l.scanner.Text(), nil
		}
		if err := l.scanner.Err(); err != nil {
			return "", err
		}
		return "", io.EOF
	}
	line, err := l.rl.Readline()
	if errors.Is(err, readline.ErrInterrupt) {
		if line == "" {
			return "", io.EOF
		}
		return "", nil // Ctrl-C takes back what was typed
	}
	return line, err
}

// Close also ends a next that waits.
func (l *lines) Close() error {
	if l.rl != nil {
		return l.rl.Close()
	}
	if c, ok := l.in.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// historyFile is where what was typed is kept; empty if there is no place for it.
func historyFile() string {
	dir := os.Getenv("XDG_STATE_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(home, ".local", "state")
	}
	dir = filepath.Join(dir, "mcdtest")
	if os.MkdirAll(dir, 0o700) != nil {
		return ""
	}
	return filepath.Join(dir, "history")
}

// completer completes the first word of a line, and the word behind help.
func completer(names []string) readline.AutoCompleter {
	var items []readline.PrefixCompleterInterface
	for _, n := range names {
		items = append(items, readline.PcItem(n))
	}
	topics := make([]readline.PrefixCompleterInterface, len(items))
	copy(topics, items)
	items = append(items, readline.PcItem("help", topics...), readline.PcItem("quit"))
	return withoutSpace{readline.NewPrefixCompleter(items...)}
}

// withoutSpace completes without a space behind the word: the arguments of a request follow its name at once.
type withoutSpace struct{ readline.AutoCompleter }

func (w withoutSpace) Do(line []rune, pos int) ([][]rune, int) {
	list, length := w.AutoCompleter.Do(line, pos)
	for i, c := range list {
		if n := len(c); n > 0 && c[n-1] == ' ' {
			list[i] = c[:n-1]
		}
	}
	return list, length
}
