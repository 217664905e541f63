// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

const (
	keptLines      = 100
	keptComplaints = 20
	keptLength     = 1024 // bytes of one line
)

// stderrLog keeps the end of what a process prints, in bounded memory.
type stderrLog struct {
	tee io.Writer

	mu         sync.Mutex
	lines      []string
	line       []byte // the line that is being printed
	complaints []string
}

// Write never fails: a tee that does would stop the reading, and the process with it.
func (l *stderrLog) Write(p []byte) (int, error) {
	if l.tee != nil {
		l.tee.Write(p)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for rest := p; len(rest) > 0; {
		part, after, ended := bytes.Cut(rest, []byte("\n"))
		l.line = append(l.line, part[:min(len(part), keptLength-len(l.line))]...)
		if ended {
			l.endLine()
		}
		rest = after
	}
	return len(p), nil
}

func (l *stderrLog) endLine() {
	line := strings.TrimRight(string(l.line), "\r")
	l.line = l.line[:0]
	if len(l.lines) == keptLines {
		l.lines = l.lines[:copy(l.lines, l.lines[1:])]
	}
	l.lines = append(l.lines, line)
	if isComplaint(line) && len(l.complaints) < keptComplaints {
		l.complaints = append(l.complaints, line)
	}
}

// Lines returns a copy of the last lines, the unfinished one included.
func (l *stderrLog) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := append([]string(nil), l.lines...)
	if len(l.line) > 0 {
		lines = append(lines, string(l.line))
	}
	return lines
}

// Complaints returns a copy of the lines that isComplaint knew.
func (l *stderrLog) Complaints() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := append([]string(nil), l.complaints...)
	if line := string(l.line); isComplaint(line) {
		list = append(list, line)
	}
	return list
}

// isComplaint reports whether QEMU says in this line that something is wrong with itself. The words are those of
// assert(3), GLib's assertions and warnings, QEMU's hw_error, cpu_abort and error_abort, and the sanitizers.
func isComplaint(line string) bool {
	for _, words := range []string{
		"Assertion ", "assertion failed", "ERROR:", "Bail out!", "-CRITICAL **", "qemu: fatal", "qemu: hardware error",
		"Unexpected error in ", "code should not be reached", "AddressSanitizer", "LeakSanitizer", "ThreadSanitizer",
		"runtime error:", "stack smashing detected", "malloc(): ", "free(): ", "double free or corruption",
	} {
		if strings.Contains(line, words) {
			return true
		}
	}
	return false
}
