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
	answerColumn  = 24 // and of what came back, if there is room for the meaning behind it
	to, from      = "─► ", "◄─ "
)

// Draw draws exchanges in lines of at most width columns (0: no limit):
//
//	─► $p0;15#|                           ◄─ +$0c002040#|            read register
//
// An exchange that is too long for that takes two lines. Of repetitions only the first is drawn, and the last of a list.
func Draw(list []Exchange, width int, paint Paint) []string {
	var lines []string
	for _, f := range Folded(list) {
		for _, x := range f.Shown {
			lines = append(lines, x.draw(width, paint)...)
		}
		if f.Hidden > 0 {
			lines = append(lines, paint.apply(paint.Dim, "   ⋮ "+f.hidden()))
		}
		if f.Last != nil {
			lines = append(lines, f.Last.draw(width, paint)...)
		}
	}
	return lines
}

func (f Fold) hidden() string {
	if len(f.Shown) == 1 || f.Last != nil {
		return fmt.Sprintf("%d more", f.Hidden)
	}
	return fmt.Sprintf("%d more rounds of this", f.Hidden)
}

// DrawAll draws exchanges like Draw, and leaves none out.
func DrawAll(list []Exchange, width int, paint Paint) []string {
	var lines []string
	for _, x := range list {
		lines = append(lines, x.draw(width, paint)...)
	}
	return lines
}

func (x Exchange) draw(width int, paint Paint) []string {
	switch {
	case x.Comment != "":
		return []string{paint.apply(paint.Dim, "# "+x.Comment)}
	case x.Closed != "":
		return []string{paint.apply(paint.Dim, "("+x.Closed+" closes the connection)")}
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
	n, m := utf8.RuneCountInString(sent), utf8.RuneCountInString(answer)
	if n <= requestColumn && 2*3+requestColumn+1+m <= width {
		line := paint.apply(paint.Client, to+sent) + strings.Repeat(" ", requestColumn+1-n) + paint.apply(paint.Stub, from+answer)
		return []string{line + x.meaning(width, 2*3+requestColumn+1+m, answerColumn-m, paint)}
	}
	sent, answer = Cut(sent, width-3), Cut(answer, width-3)
	return []string{
		paint.apply(paint.Client, to+sent) + x.meaning(width, 3+utf8.RuneCountInString(sent), requestColumn+1-n, paint),
		paint.apply(paint.Stub, from+answer),
	}
}

// meaning is what stands behind used columns of a line, after a gap, if there is room for it.
func (x Exchange) meaning(width, used, gap int, paint Paint) string {
	gap = max(gap, 2)
	if x.Meaning == "" || used+gap+utf8.RuneCountInString(x.Meaning) > width {
		return ""
	}
	return strings.Repeat(" ", gap) + paint.apply(paint.Dim, x.Meaning)
}

// Cut shortens text to width columns by leaving out the middle, since the end of a packet says as much as its start.
func Cut(text string, width int) string {
	n := utf8.RuneCountInString(text)
	if n <= width {
		return text
	}
	runes := []rune(text)
	if width < 8 {
		return string(runes[:max(width, 0)])
	}
	tail := width / 4
	return string(runes[:width-tail-1]) + "…" + string(runes[n-tail:])
}
