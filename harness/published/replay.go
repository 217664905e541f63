// SPDX-License-Identifier: Apache-2.0

package published

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"mcdtest/stub/wire"
)

// patience is how long an answer may take if the context sets no earlier end.
const patience = 10 * time.Second

// settle is how long more of an answer is waited for that is right with and without it.
const settle = time.Second

// maxMismatches is how many are worth reading.
const maxMismatches = 20

// Report is what a replay found.
type Report struct {
	Exchanges  int
	Varying    int            // answers of which only the form could be checked
	Met        map[string]int // how often each difference was met, by name
	Mismatches []Mismatch
}

// Mismatch is an answer that is neither the published one nor a difference.
type Mismatch struct {
	Recording string
	Line      int
	Note      string
	Sent      []byte
	Want, Got []Token
	Err       error // why there was nothing more
}

func (m Mismatch) String() string {
	s := fmt.Sprintf("%s:%d (%s)\n  sent %.80q\n- want %s\n- got  %s", m.Recording, m.Line, m.Note, m.Sent, describe(m.Want), describe(m.Got))
	if m.Err != nil {
		s += fmt.Sprintf("\n  then %v", m.Err)
	}
	return s
}

func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d exchanges, %d of them vary", r.Exchanges, r.Varying)
	for _, d := range Differences {
		if n := r.Met[d.Name]; n > 0 {
			fmt.Fprintf(&b, "\n%4d × %s: %s", n, d.Name, d.Why)
		}
	}
	for _, m := range r.Mismatches {
		fmt.Fprintf(&b, "\n%v", m)
	}
	return b.String()
}

// Options of a replay.
type Options struct {
	// OtherQEMU says that the stub has not the QEMU of the recordings: what is listed as a register must have the form of one, but
	// numbers and names of registers, and how many there are, differ between versions.
	OtherQEMU bool
	// Published says that the endpoint may be the published stub: what was recorded is right, too.
	Published bool
}

var registerForm = regexp.MustCompile(`^\d+!id=\d+\.name=[^.=]+\.size=\d+\.reggroupid=[12]\.memspaceid=\d+\.type=0\.thread=0\.opcode=0\.$`)

// Replay plays the client's half of a recording, each of its connections on one that dial makes. The error says why the replay
// could not be finished; what was answered wrongly is in the Report.
func Replay(ctx context.Context, r *Recording, dial func(context.Context) (net.Conn, error), o Options) (*Report, error) {
	report := &Report{Met: make(map[string]int)}
	for i, c := range r.Connections {
		conn, err := dial(ctx)
		if err != nil {
			return report, fmt.Errorf("replay of %s, connection %d: %w", r.Name, i+1, err)
		}
		report.play(ctx, r.Name, c, conn, o)
		conn.Close()
	}
	return report, nil
}

// play plays one connection.
func (report *Report) play(ctx context.Context, name string, c Connection, conn net.Conn, o Options) {
	h := newHistory()
	stub := &stream{ctx: ctx, conn: conn}
	var standing map[string]pair // answers that vary, since the core last ran
	var stepped time.Time
	for _, recorded := range c.Exchanges {
		e := recorded
		e.Want = slices.Clone(recorded.Want)
		h.begin(&e)
		if h.running {
			standing = nil
		}
		for _, d := range Differences {
			if d.apply(h, &e) {
				report.Met[d.Name]++
			}
		}
		varies := h.varies()
		h.finish(&recorded)
		report.Exchanges++

		right := [][]Token{e.Want}
		if o.Published {
			right = append(right, recorded.Want)
		}
		least, most := len(e.Want), len(e.Want)
		for _, want := range right {
			least, most = min(least, len(want)), max(most, len(want))
		}
		got, err := stub.ask(e.Sent, least, most)
		// A stop takes its time; the recording's client had waited.
		for err == nil && awaitsStop(h.payload, e.Want) && isRunning(got) {
			got, err = stub.ask(e.Sent, least, most)
		}
		fits := func(want []Token) bool { return match(h.payload, want, got) }
		// So does a step, which a stub acknowledges before it is made.
		switch {
		case strings.HasPrefix(h.payload, wire.Step):
			stepped = time.Now()
		case strings.HasPrefix(h.payload, wire.ReadRegister), strings.HasPrefix(h.payload, wire.ReadMemory):
			for err == nil && !varies && !slices.ContainsFunc(right, fits) && time.Since(stepped) < stepPatience {
				got, err = stub.ask(e.Sent, least, most)
			}
		}
		ok := err == nil
		if ok && o.OtherQEMU && strings.HasPrefix(h.payload, wire.QueryRegNext) {
			report.Varying++
			ok = len(got) == len(e.Want) && (registerForm.MatchString(last(got)) || last(got) == wire.Failure)
		} else if ok && varies {
			report.Varying++
			if standing == nil {
				standing = make(map[string]pair)
			}
			ok = sameForm(e.Want, got)
			now := pair{last(e.Want), last(got)}
			if before, seen := standing[h.payload]; seen && !h.running {
				ok = ok && (before.want == now.want) == (before.got == now.got)
			}
			standing[h.payload] = now
		} else if ok {
			ok = slices.ContainsFunc(right, fits)
		}
		if !ok {
			report.Mismatches = append(report.Mismatches, Mismatch{name, e.Line, e.Note, e.Sent, e.Want, got, err})
		}
		if err != nil || len(report.Mismatches) >= maxMismatches {
			return // what follows would only be its consequence
		}
	}
	if last := c.Exchanges[len(c.Exchanges)-1]; len(last.Want) > 0 && last.Want[len(last.Want)-1].Kind == closed {
		return
	}
	// Nothing may be left over.
	want := []Token{{Kind: wire.Ack}, {wire.Start, "qemu-system"}}
	got, err := stub.ask([]byte("$qsystem#|"), len(want), len(want))
	if err != nil || !slices.Equal(got, want) {
		report.Mismatches = append(report.Mismatches, Mismatch{name, 0, "after the last line", []byte("$qsystem#|"), want, got, err})
	}
}

// stepPatience is how long a step may take before registers and memory are what they are after it.
const stepPatience = 2 * time.Second

type pair struct{ want, got string }

func last(tokens []Token) string {
	if len(tokens) == 0 {
		return ""
	}
	return tokens[len(tokens)-1].Payload
}

func awaitsStop(payload string, want []Token) bool {
	return strings.HasPrefix(payload, wire.QueryState) && strings.Contains(last(want), "state=debug")
}

func isRunning(got []Token) bool { return strings.Contains(last(got), "state=running") }

// match compares an answer with what is wanted. The recordings cut long data: "0000a0e3…{953 digits}".
func match(payload string, want, got []Token) bool {
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		start, _, cut := strings.Cut(want[i].Payload, "…")
		if want[i].Kind != got[i].Kind || !cut && want[i].Payload != got[i].Payload {
			return false
		}
		if cut {
			var core, space, addr, count int
			if _, err := fmt.Sscanf(payload, "m%d;%d;%d;%d", &core, &space, &addr, &count); err != nil {
				return false
			}
			if len(got[i].Payload) != 2*count || !strings.HasPrefix(got[i].Payload, start) {
				return false
			}
		}
	}
	return true
}

// sameForm compares everything but the digits of hex data.
func sameForm(want, got []Token) bool {
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if want[i].Kind != got[i].Kind || len(want[i].Payload) != len(got[i].Payload) || strings.Trim(got[i].Payload, "0123456789abcdef") != "" {
			return false
		}
	}
	return true
}

// stream is the stub's side of a connection.
type stream struct {
	ctx  context.Context
	conn net.Conn
	in   splitter
	buf  [16 << 10]byte
}

// ask sends a chunk and reads the answer, at least and at most so many tokens. More would be found in front of the next answer.
func (s *stream) ask(chunk []byte, least, most int) (got []Token, err error) {
	deadline := time.Now().Add(patience)
	if end, ok := s.ctx.Deadline(); ok && end.Before(deadline) {
		deadline = end
	}
	if err := s.ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if _, err := s.conn.Write(chunk); err != nil {
		return nil, fmt.Errorf("send %.80q: %w", chunk, err)
	}
	for len(s.in.tokens) < most {
		if len(s.in.tokens) >= least {
			if err := s.conn.SetReadDeadline(time.Now().Add(settle)); err != nil {
				return nil, err
			}
		}
		k, err := s.conn.Read(s.buf[:])
		s.in.add(s.buf[:k])
		if len(s.in.stray) > 0 {
			return s.take(most), fmt.Errorf("the stub sent %.80q between packets", s.in.stray)
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			s.in.tokens = append(s.in.tokens, Token{Kind: closed})
			if len(s.in.tokens) < least {
				return s.take(most), errors.New("the stub closed the connection")
			}
			return s.take(most), nil
		case errors.Is(err, os.ErrDeadlineExceeded) && len(s.in.tokens) >= least:
			return s.take(most), nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return s.take(most), fmt.Errorf("waited for %d acknowledgements and packets, and %d came", least, len(s.in.tokens))
		default:
			return s.take(most), fmt.Errorf("read from the stub: %w", err)
		}
	}
	return s.take(most), nil
}

func (s *stream) take(n int) []Token {
	n = min(n, len(s.in.tokens))
	got := s.in.tokens[:n:n]
	s.in.tokens = s.in.tokens[n:]
	return got
}
