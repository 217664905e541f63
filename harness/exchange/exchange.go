// SPDX-License-Identifier: Apache-2.0

// Package exchange makes a conversation readable: it pairs what the client sent with what the stub answered, says in
// words what was asked, and folds long runs of the same request. It works on transcripts of either dialect and does no
// I/O.
package exchange

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"mcdtest/harness/transcript"
	"mcdtest/stub/jsonwire"
	"mcdtest/stub/wire"
)

// Exchange is one request and what came back until the next one, or a stretch of a conversation that is no request.
type Exchange struct {
	Name    string // the request: "qstate", "mcd-run"; empty if the bytes are none that is known
	Meaning string // in words: "core state"; empty likewise
	Sent    []byte // empty if the stub spoke without being asked
	Answer  []byte
	Comment string // a remark that stands here; everything else is empty then
	Closed  string // "client" or "stub": who closed the connection here; everything else is empty then

	At   time.Duration // when it was sent
	Took time.Duration // until the last byte of the answer
}

// Pair makes exchanges of the entries of a transcript.
func Pair(entries []transcript.Entry) []Exchange {
	p := pairing{open: none, decoder: wire.NewDecoder(0)}
	for _, e := range entries {
		switch e.Kind {
		case transcript.Comment:
			// Whoever watches the VM remarks at any time, also between a request and its answer.
			p.list = append(p.list, Exchange{Comment: e.Text, At: e.At})
		case transcript.SentEOF:
			p.closed("client", e.At)
		case transcript.ReceivedEOF:
			p.closed("stub", e.At)
		case transcript.Sent:
			p.sent(e)
		case transcript.Received:
			p.received(e)
		}
	}
	return p.list
}

type pairing struct {
	list    []Exchange
	open    int           // which element may get more; none of them
	decoder *wire.Decoder // of what the client sends
}

const none = -1

func (p *pairing) closed(by string, at time.Duration) {
	p.list = append(p.list, Exchange{Closed: by, At: at})
	p.open = none
	p.decoder = wire.NewDecoder(0)
}

// begin adds an exchange, which may get more from now on.
func (p *pairing) begin(x Exchange) {
	p.open = len(p.list)
	p.list = append(p.list, x)
}

func (p *pairing) received(e transcript.Entry) {
	if p.open == none {
		p.begin(Exchange{At: e.At})
	}
	last := &p.list[p.open]
	last.Answer = append(last.Answer, e.Data...)
	last.Took = e.At - last.At
}

// sent makes an exchange of each packet. The answer is appended to the last of those that were sent in one piece: which
// byte answers which of them is not known. A packet that is sent in several pieces is one exchange.
func (p *pairing) sent(e transcript.Entry) {
	if name, ok := jsonName(e.Data); ok && !p.decoder.Inside() {
		x := Exchange{Name: name, Sent: e.Data, At: e.At}
		if c := jsonwire.Lookup(name); c != nil {
			x.Meaning = c.Meaning
		}
		p.begin(x)
		return
	}
	for rest := e.Data; len(rest) > 0; {
		inside := p.decoder.Inside()
		n, ev := p.decoder.Next(rest)
		part := rest[:n]
		rest = rest[n:]
		// NULs behind a packet are padding and belong to it.
		padding := len(bytes.Trim(part, "\x00")) == 0 && n < len(e.Data)
		if p.open == none || !inside && !padding {
			p.begin(Exchange{At: e.At})
		}
		last := &p.list[p.open]
		last.Sent = append(last.Sent, part...)
		if ev == wire.Packet {
			if r, _ := wire.Match(p.decoder.Payload()); r != nil {
				last.Name, last.Meaning = r.Name, r.Meaning
			}
		}
	}
}

func jsonName(p []byte) (string, bool) {
	p = bytes.TrimLeft(p, " \t\r\n")
	if len(p) == 0 || p[0] != '{' {
		return "", false
	}
	var request struct {
		Execute string `json:"execute"`
	}
	if json.Unmarshal(p, &request) != nil {
		return "", true
	}
	return request.Execute, true
}

// Fold is a stretch of a conversation, of which repetitions are left out.
type Fold struct {
	Shown  []Exchange
	Hidden int       // how many like Shown follow that are not shown: exchanges if there is a Last, rounds otherwise
	Last   *Exchange // behind them, to show
}

const (
	shownOfRun  = 2  // exchanges of a run of the same request that are shown in front of those that are left out
	repetitions = 3  // so many rounds of the same requests are folded
	longestLoop = 12 // requests in a round
)

// Folded groups exchanges. Of a run of the same request the middle is left out; a list query counts as the same request
// from its first element to its last. Of rounds of the same requests only the first is kept.
func Folded(list []Exchange) []Fold {
	var runs [][]Exchange
	for i := 0; i < len(list); {
		n := 1
		for i+n < len(list) && same(list[i], list[i+n]) {
			n++
		}
		runs = append(runs, list[i:i+n])
		i += n
	}
	var folds []Fold
	for i := 0; i < len(runs); {
		length, rounds := loop(runs[i:])
		if rounds < repetitions {
			folds = append(folds, fold(runs[i]))
			i++
			continue
		}
		var first []Exchange
		for _, r := range runs[i : i+length] {
			first = append(first, r...)
		}
		folds = append(folds, Fold{Shown: first, Hidden: rounds - 1})
		i += length * rounds
	}
	return folds
}

// loop finds how many runs make a round that repeats from the start of the list on, and how often it comes.
func loop(runs [][]Exchange) (length, rounds int) {
	for length = 1; length <= longestLoop && length*repetitions <= len(runs); length++ {
		rounds = 1
		for rounds*length+length <= len(runs) && sameRuns(runs[:length], runs[rounds*length:]) {
			rounds++
		}
		if rounds >= repetitions {
			return length, rounds
		}
	}
	return 0, 0
}

func sameRuns(a, b [][]Exchange) bool {
	for i := range a {
		if !same(a[i][0], b[i][0]) {
			return false
		}
	}
	return true
}

func fold(run []Exchange) Fold {
	n := len(run)
	if n <= shownOfRun+2 {
		return Fold{Shown: run}
	}
	return Fold{Shown: run[:shownOfRun], Hidden: n - shownOfRun - 1, Last: &run[n-1]}
}

func same(a, b Exchange) bool {
	return a.Name != "" && kind(a.Name) == kind(b.Name)
}

// kind is the query that the two halves of a list belong to.
func kind(name string) string {
	if strings.HasPrefix(name, "q") && (strings.HasSuffix(name, "f") || strings.HasSuffix(name, "c")) {
		return name[:len(name)-1]
	}
	return name
}
