// SPDX-License-Identifier: Apache-2.0

package transcript

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Side is one end of the connection.
type Side uint8

// Sides.
const (
	Client Side = iota
	Stub
)

// Recorder collects a conversation. Its methods may be called from several goroutines, and on a nil Recorder, which
// records nothing.
type Recorder struct {
	start time.Time
	limit int

	mu      sync.Mutex
	records []record
	bytes   []byte // what the records from first on refer to
	base    int64  // position in the conversation of bytes[0]
	first   int    // records before it are left out
	dropped int    // how many records have been left out, with those already forgotten
}

// record is an Entry whose bytes lie in Recorder.bytes, so that recording allocates nothing in the long run.
type record struct {
	kind Kind
	at   time.Duration
	pos  int64
	len  int
}

// recordCost is what an entry counts for beside its bytes.
const recordCost = 32

// NewRecorder makes a Recorder that keeps everything (limit 0), or about the last limit bytes of the conversation.
func NewRecorder(limit int) *Recorder { return &Recorder{start: time.Now(), limit: limit} }

// Start is the time that the times of the entries count from.
func (r *Recorder) Start() time.Time {
	if r == nil {
		return time.Time{}
	}
	return r.start
}

// Sent records bytes that the client sent. Nothing is recorded for no bytes.
func (r *Recorder) Sent(p []byte) { r.data(Sent, p) }

// Received records bytes that came from the stub. Nothing is recorded for no bytes.
func (r *Recorder) Received(p []byte) { r.data(Received, p) }

func (r *Recorder) data(k Kind, p []byte) {
	if r == nil || len(p) == 0 {
		return
	}
	r.mu.Lock()
	r.bytes = append(r.bytes, p...)
	r.add(k, len(p))
	r.mu.Unlock()
}

// Comment records a remark; one of several lines becomes as many lines of the transcript.
func (r *Recorder) Comment(format string, args ...any) {
	if r == nil {
		return
	}
	r.mu.Lock()
	before := len(r.bytes)
	r.bytes = fmt.Appendf(r.bytes, format, args...)
	r.add(Comment, len(r.bytes)-before)
	r.mu.Unlock()
}

// Closed records that one side closed the connection.
func (r *Recorder) Closed(by Side) {
	k := SentEOF
	if by == Stub {
		k = ReceivedEOF
	}
	r.mark(k)
}

// Silence records that the client waited in vain.
func (r *Recorder) Silence() { r.mark(Silence) }

func (r *Recorder) mark(k Kind) {
	if r == nil {
		return
	}
	r.mu.Lock()
	r.add(k, 0)
	r.mu.Unlock()
}

// add records the last n bytes of r.bytes as one entry and drops what exceeds the limit.
func (r *Recorder) add(k Kind, n int) {
	pos := r.base + int64(len(r.bytes)-n)
	r.records = append(r.records, record{k, time.Since(r.start), pos, n})
	if r.limit <= 0 {
		return
	}
	end := r.base + int64(len(r.bytes))
	for r.first < len(r.records)-1 && end-r.records[r.first].pos+int64(recordCost*(len(r.records)-r.first)) > int64(r.limit) {
		r.first++
		r.dropped++
	}
	// Forget for good only when half of the memory is waste, so that the copying stays cheap.
	if r.first > len(r.records)/2 || r.records[r.first].pos-r.base > int64(len(r.bytes)/2) {
		skip := int(r.records[r.first].pos - r.base)
		r.bytes = r.bytes[:copy(r.bytes, r.bytes[skip:])]
		r.base += int64(skip)
		r.records = r.records[:copy(r.records, r.records[r.first:])]
		r.first = 0
	}
}

// Entries is a copy of what has been recorded. If something was left out to keep the limit, the first entry is a
// comment that says so.
func (r *Recorder) Entries() []Entry {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	entries := make([]Entry, 0, len(r.records)-r.first+1)
	for i, rec := range r.records[r.first:] {
		if i == 0 && r.dropped > 0 {
			entries = append(entries, Entry{Kind: Comment, At: rec.at, Text: fmt.Sprintf("(the first %d entries are left out)", r.dropped)})
		}
		e := Entry{Kind: rec.kind, At: rec.at}
		data := r.bytes[rec.pos-r.base : rec.pos-r.base+int64(rec.len)]
		switch rec.kind {
		case Sent, Received:
			e.Data = append([]byte(nil), data...)
		case Comment:
			e.Text = string(data)
		}
		entries = append(entries, e)
	}
	return entries
}

// WriteTo writes the transcript without times.
func (r *Recorder) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(Format(r.Entries()))
	return int64(n), err
}

// WriteTimed writes the transcript with the column of times.
func (r *Recorder) WriteTimed(w io.Writer) (int64, error) {
	n, err := w.Write(FormatTimed(r.Entries()))
	return int64(n), err
}
