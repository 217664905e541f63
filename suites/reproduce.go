// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"mcdtest/harness/transcript"
	"mcdtest/stub/wire"
)

// reproduction turns a recorded conversation into a script that can be played: what a debugger asked over and over is
// asked until the last answer comes, and what a running machine answers may be anything of the same form.
func reproduction(entries []transcript.Entry) []byte {
	var out []byte
	running := false
	for i := 0; i < len(entries); {
		if entries[i].Kind != transcript.Sent {
			if e := entries[i]; e.Kind == transcript.Comment {
				running = vmRuns(e.Text, running)
			}
			out = transcript.AppendEntry(out, entries[i], false)
			i++
			continue
		}
		// Rounds of the same request, with events of the machine between them.
		first, last, rounds := i, i, 0
		for ; i < len(entries) && entries[i].Kind == transcript.Sent && bytes.Equal(entries[i].Data, entries[first].Data); rounds++ {
			last = i
			for i++; i < len(entries) && entries[i].Kind != transcript.Sent && entries[i].Kind != transcript.SentEOF; i++ {
				if entries[i].Kind == transcript.Comment {
					running = vmRuns(entries[i].Text, running)
				}
			}
		}
		var answer []byte
		var rest []transcript.Entry
		for _, e := range entries[last+1 : i] {
			if e.Kind == transcript.Received {
				answer = append(answer, e.Data...)
			} else {
				rest = append(rest, e)
			}
		}
		sent := entries[last].Data
		if sent[0] == '{' {
			answer = bytes.TrimRight(answer, "\r\n") // a script compares objects by line
		}
		if rounds > 1 || asksForState(sent) && !bytes.Contains(answer, []byte("state=running")) && len(answer) > 0 {
			out = append(out, "#! until 5s\n"...)
		}
		out = transcript.AppendEntry(out, transcript.Entry{Kind: transcript.Sent, Data: sent}, false)
		switch {
		case len(answer) == 0:
		case running && asksForValues(sent) && bytes.HasPrefix(answer, []byte("+$")):
			out = append(out, "< +${*}#|\n"...)
		case running && sent[0] == '{':
			out = append(out, "< {*}\n"...)
		default:
			out = transcript.AppendEntry(out, transcript.Entry{Kind: transcript.Received, Data: answer}, false)
		}
		for _, e := range rest {
			out = transcript.AppendEntry(out, e, false)
		}
	}
	return out
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// commandLine makes a line of words that can be typed into a shell.
func commandLine(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		if quoted[i] = w; !plainWord.MatchString(w) {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

func vmRuns(comment string, before bool) bool {
	switch comment {
	case "VM RESUME":
		return true
	case "VM STOP", "VM SHUTDOWN":
		return false
	}
	return before
}

func asksForState(sent []byte) bool {
	return bytes.HasPrefix(sent, []byte("$"+wire.QueryState)) || bytes.Contains(sent, []byte(`"mcd-qry-state"`))
}

// asksForValues tells requests whose answer changes while the machine runs.
func asksForValues(sent []byte) bool {
	r, _ := wire.Match(bytes.TrimPrefix(sent, []byte{wire.Start}))
	return r != nil && slices.Contains([]string{wire.ReadMemory, wire.ReadRegister}, r.Name)
}
