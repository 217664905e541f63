// SPDX-License-Identifier: Apache-2.0

// Package term writes for people: colours on a terminal that wants them, plain text everywhere else. It looks at the
// environment and at the file that it writes to, and touches nothing else.
package term

import (
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// DefaultWidth is assumed where there is no terminal.
const DefaultWidth = 160

// Style makes text bold or coloured, or leaves it as it is.
type Style struct {
	Colour bool
	Width  int // columns of the terminal
}

// For is the style for what w is: a terminal without NO_COLOR in the environment gets colours.
func For(w io.Writer) Style {
	s := Style{Width: DefaultWidth}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return s
	}
	s.Colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		s.Width = width
	}
	return s
}

func (s Style) paint(code, text string) string {
	if !s.Colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Bold is for what a reader looks for first.
func (s Style) Bold(text string) string { return s.paint("1", text) }

// Dim is for what most readers skip.
func (s Style) Dim(text string) string { return s.paint("2", text) }

// Good is for success.
func (s Style) Good(text string) string { return s.paint("32", text) }

// Bad is for failure.
func (s Style) Bad(text string) string { return s.paint("1;31", text) }

// Warn is for what should be looked at.
func (s Style) Warn(text string) string { return s.paint("33", text) }

// Client is the colour of what a client sends.
func (s Style) Client(text string) string { return s.paint("36", text) }

// Stub is the colour of what a stub sends.
func (s Style) Stub(text string) string { return s.paint("35", text) }

// Pad fills text with spaces to width columns.
func Pad(text string, width int) string {
	if n := width - utf8.RuneCountInString(text); n > 0 {
		return text + strings.Repeat(" ", n)
	}
	return text
}

// Cut shortens text to width columns; an ellipsis shows where.
func Cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	runes := []rune(text)
	return string(runes[:max(width-1, 0)]) + "…"
}
