// SPDX-License-Identifier: Apache-2.0

// Package transcript is the format in which a conversation with a debug stub is written down, and in which scripts are
// written. It imports nothing of ours and does no I/O of its own; a Recorder only collects what it is told.
//
// A transcript is text, one line a chunk of bytes as it was sent or as it arrived:
//
//	> $qsystem#|\x00{1014}     the client sent these bytes
//	< +                        the client received these
//	> EOF                      the client closed the connection; what follows is on a new one
//	< EOF                      the stub closed it
//	# text                     comment
//	# (no answer)              the client waited and nothing came
//
// Printable text stands for itself. \xNN is a byte, \n, \r, \t and \\ are short for the usual ones. X{N} is N times the
// X in front, which may be written as an escape. Any other '{' is an ordinary byte here; scripts give {name} a meaning, so
// what Format writes escapes such a brace and any recording can be played.
//
// A line may begin with a column of seconds since the start of the recording ("0.001234 > $I#|"). Without that column
// two recordings of the same conversation are the same file, so that is how they are kept.
package transcript

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Kind says what an entry is.
type Kind uint8

// Kinds of entries.
const (
	Blank       Kind = iota // an empty line
	Comment                 // Text
	Sent                    // Data went from the client to the stub
	Received                // Data came from the stub
	SentEOF                 // the client closed the connection
	ReceivedEOF             // the stub closed the connection
	Silence                 // nothing came while the client waited
)

// NoAnswer is the text of the comment that means Silence.
const NoAnswer = "(no answer)"

var kindNames = [...]string{"blank line", "comment", "sent bytes", "received bytes", "end of the client's bytes", "end of the stub's bytes", "silence"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Entry is one line of a transcript.
type Entry struct {
	Kind Kind
	Data []byte        // of Sent and Received, never empty
	Text string        // of Comment
	At   time.Duration // since the start of the recording; 0 if the line has no time column
}

// Error is a line that is not in the format.
type Error struct {
	Line   int // from 1
	Column int // from 1, in bytes; 0 if the whole line is meant
	Msg    string
}

func (e *Error) Error() string {
	if e.Column > 0 {
		return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Msg)
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Msg)
}

// Line is a line of a transcript whose data has not been unescaped: what a script is made of.
type Line struct {
	Kind   Kind
	Text   string // escaped data of Sent and Received, text of Comment
	Number int    // from 1
	Column int    // where Text begins, from 1
	At     time.Duration
}

// Parse reads a transcript. Its errors are of type *Error, or come from r.
func Parse(r io.Reader) ([]Entry, error) {
	lines, err := ParseLines(r)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(lines))
	for _, l := range lines {
		e := Entry{Kind: l.Kind, At: l.At}
		switch l.Kind {
		case Comment:
			e.Text = l.Text
		case Sent, Received:
			data, err := Unescape(l.Text)
			if err != nil {
				return nil, l.Error(err)
			}
			e.Data = data
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// ParseLines reads a transcript and leaves the data as it is written.
func ParseLines(r io.Reader) ([]Line, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var lines []Line
	for number := 1; len(text) > 0; number++ {
		raw, rest, _ := bytes.Cut(text, []byte{'\n'})
		text = rest
		line, err := parseLine(strings.TrimSuffix(string(raw), "\r"), number)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return lines, nil
}

func parseLine(s string, number int) (Line, error) {
	l := Line{Number: number}
	body := s
	if at, rest, ok := cutTime(s); ok {
		l.At, body = at, rest
	}
	if strings.TrimSpace(body) == "" {
		if body != s {
			return l, &Error{Line: number, Msg: "a time, but nothing behind it"}
		}
		return l, nil
	}
	mark, text := body[0], strings.TrimPrefix(body[1:], " ")
	l.Column = len(s) - len(text) + 1
	l.Text = text
	switch mark {
	case '#':
		l.Kind = Comment
		if text == NoAnswer {
			l.Kind, l.Text = Silence, ""
		}
		return l, nil
	case '>':
		l.Kind = Sent
	case '<':
		l.Kind = Received
	default:
		return l, &Error{Line: number, Msg: fmt.Sprintf("%q begins with neither '> ' (sent) nor '< ' (received) nor '# ' (comment)", abbreviate(s))}
	}
	switch {
	case text == "EOF" && mark == '>':
		l.Kind, l.Text = SentEOF, ""
	case text == "EOF":
		l.Kind, l.Text = ReceivedEOF, ""
	case text == "":
		return l, &Error{Line: number, Msg: fmt.Sprintf("%q without any bytes behind it", string(mark))}
	case body[1] != ' ':
		return l, &Error{Line: number, Column: l.Column, Msg: fmt.Sprintf("a space is missing behind %q", string(mark))}
	}
	return l, nil
}

// cutTime takes the time column off a line: seconds with six digits behind the point.
func cutTime(s string) (at time.Duration, rest string, ok bool) {
	column, rest, ok := strings.Cut(s, " ")
	if !ok {
		return 0, s, false
	}
	seconds, micros, ok := strings.Cut(column, ".")
	if !ok || len(micros) != 6 {
		return 0, s, false
	}
	sec, err := strconv.ParseUint(seconds, 10, 32)
	if err != nil {
		return 0, s, false
	}
	us, err := strconv.ParseUint(micros, 10, 32)
	if err != nil {
		return 0, s, false
	}
	return time.Duration(sec)*time.Second + time.Duration(us)*time.Microsecond, rest, true
}

func abbreviate(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// Error puts the place of a line to an error of Unescape.
func (l Line) Error(err error) error {
	if e, ok := err.(*Error); ok {
		return &Error{Line: l.Number, Column: l.Column + e.Column - 1, Msg: e.Msg}
	}
	return &Error{Line: l.Number, Msg: err.Error()}
}

// Format writes entries as text without times. What Parse makes of the text is the entries again, apart from their
// times and from line breaks and control characters in comments.
func Format(entries []Entry) []byte { return format(entries, false) }

// FormatTimed is Format with the column of times.
func FormatTimed(entries []Entry) []byte { return format(entries, true) }

func format(entries []Entry, timed bool) []byte {
	var b []byte
	for _, e := range entries {
		b = AppendEntry(b, e, timed)
	}
	return b
}

// AppendEntry appends the line of one entry, or the lines of a comment that has several.
func AppendEntry(b []byte, e Entry, timed bool) []byte {
	begin := func(mark string) {
		if timed {
			us := e.At.Microseconds()
			b = fmt.Appendf(b, "%d.%06d ", us/1e6, us%1e6)
		}
		b = append(b, mark...)
	}
	switch e.Kind {
	case Blank:
	case Comment:
		for i, text := range strings.Split(e.Text, "\n") {
			if i > 0 {
				b = append(b, '\n')
			}
			begin("#")
			if text = printable(text); text != "" {
				b = append(append(b, ' '), text...)
			}
		}
	case Silence:
		begin("# " + NoAnswer)
	case SentEOF:
		begin("> EOF")
	case ReceivedEOF:
		begin("< EOF")
	case Sent:
		begin("> ")
		b = appendData(b, e.Data)
	case Received:
		begin("< ")
		b = appendData(b, e.Data)
	}
	return append(b, '\n')
}

func appendData(b, data []byte) []byte {
	if string(data) == "EOF" {
		return append(b, `\x45OF`...)
	}
	return AppendEscaped(b, data)
}
