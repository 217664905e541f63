// SPDX-License-Identifier: Apache-2.0

package exchange

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"mcdtest/harness/transcript"
)

// Paint colours the parts of a drawing; nil functions leave them plain.
type Paint struct {
	Client, Stub, Dim func(string) string
}

func (p Paint) apply(f func(string) string, s string) string {
	if f == nil || s == "" {
		return s
	}
	return f(s)
}

const (
	requestColumn = 34 // width of what the client sent
	minAnswer     = 24
)

// Draw draws exchanges, one line each, in lines of at most width columns (0: no limit):
//
//	client ─► $p0;15#|                          stub ─► +$0c002040#|     read register
//
// Of runs of the same request the middle is left out.
func Draw(list []Exchange, width int, paint Paint) []string {
	var lines []string
	for _, f := range Folded(list) {
		for _, x := range f.Shown {
			lines = append(lines, x.draw(width, paint))
		}
		if f.Last != nil {
			lines = append(lines, paint.apply(paint.Dim, fmt.Sprintf("   ⋮ %d more", f.Hidden)), f.Last.draw(width, paint))
		}
	}
	return lines
}

func (x Exchange) draw(width int, paint Paint) string {
	switch {
	case x.Comment != "":
		return paint.apply(paint.Dim, "# "+x.Comment)
	case x.Closed != "":
		return paint.apply(paint.Dim, "("+x.Closed+" closes the connection)")
	}
	if width <= 0 {
		width = 1 << 20
	}
	sent, answer := transcript.Escape(x.Sent), transcript.Escape(x.Answer)
	if sent == "" {
		sent = "(nothing)"
	}
	if answer == "" {
		answer = "(no answer)"
	}
	// What the client sent gets its column, or more if the answer leaves it room.
	room := width - len("─► ") - len(" ◄─ ")
	left := max(requestColumn, min(utf8.RuneCountInString(sent), room-min(utf8.RuneCountInString(answer), room/2)))
	left = min(left, room-minAnswer)
	right := room - left
	sent, answer = Cut(sent, left), Cut(answer, right)
	line := paint.apply(paint.Client, "─► "+sent) + strings.Repeat(" ", left-utf8.RuneCountInString(sent)) +
		paint.apply(paint.Stub, " ◄─ "+answer)
	if free := right - utf8.RuneCountInString(answer); free > utf8.RuneCountInString(x.Meaning)+2 && x.Meaning != "" {
		column := min(free-utf8.RuneCountInString(x.Meaning), max(minAnswer-utf8.RuneCountInString(answer), 2))
		line += strings.Repeat(" ", column) + paint.apply(paint.Dim, x.Meaning)
	}
	return line
}

// Cut shortens text to width columns by leaving out the middle, since the end of a packet says as much as its start.
func Cut(text string, width int) string {
	n := utf8.RuneCountInString(text)
	if n <= width {
		return text
	}
	if width < 8 {
		return string([]rune(text)[:max(width, 0)])
	}
	runes := []rune(text)
	tail := width / 4
	return string(runes[:width-tail-1]) + "…" + string(runes[n-tail:])
}
