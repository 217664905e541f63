// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"syscall"

	"mcdtest/stub/target"
	"mcdtest/stub/wire"
)

const (
	// keepBuffer is the largest output buffer that is kept for the next reply, unless the last one needed more.
	keepBuffer = 256 << 10
	// maxReason is the longest reason in an info_str: the published client has 256 bytes for it.
	maxReason = 240
)

// session is one connection: its parser, its kept packet, the cores that its client has opened.
type session struct {
	*Dialect
	conn     net.Conn
	ram      target.RAMWriter // the target, if it is one
	ctx      context.Context  // of the requests
	watchdog watchdog

	decoder *wire.Decoder
	in      [128 << 10]byte // as much as a client may send at once, for gather

	// out gathers what is to be sent; out[:sent] is sent already and stays for the kept packet, out[kept:], until the
	// next packet of the client. kept is -1 if there is none.
	out        []byte
	sent, kept int

	// What is to be sent may wait for the reply of a request that changes nothing; see hold.
	holds atomic.Uint32
	held  []byte
	late  chan error

	args      args      // of the request that is worked on
	writes    writes    // that are worked on together
	opened    []*tables // by core; nil if it is not open
	queryCore int       // core of the last q…f
	mistakes  []error   // by core: why a command without a reply did nothing
	scratch   []byte    // bytes of a register, or of writes
	over      bool      // the session ends after this request
	unsent    error     // why an acknowledgement did not reach the client
}

func newSession(d *Dialect, conn net.Conn) *session {
	ram, _ := d.target.(target.RAMWriter)
	return &session{
		Dialect: d, conn: conn, ram: ram,
		decoder:  wire.NewDecoder(wire.MaxPayload),
		kept:     -1,
		watchdog: watchdog{wake: make(chan struct{}, 1)},
		late:     make(chan error, 1),
		opened:   make([]*tables, len(d.info.Cores)),
		mistakes: make([]error, len(d.info.Cores)),
		scratch:  make([]byte, 0, wire.MaxPayload),
	}
}

func (s *session) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	s.ctx = ctx
	finished := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		s.watchdog.watch(s, cancel, finished)
	}()
	err := s.talk()
	close(finished)
	<-watched
	// The watchdog ends a session by closing the connection; what talk saw then is only the consequence.
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	cancel(nil)
	s.conn.Close()
	if errors.Is(err, errMachineGone) || clientLeft(err) {
		return nil
	}
	return err
}

// clientLeft reports whether an error of the connection only says that the client went without reading everything.
func clientLeft(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrClosedPipe)
}

// talk is the loop of the session: read a chunk, answer everything in it, send what is left.
func (s *session) talk() error {
	for {
		s.watchdog.enter(reading)
		n, err := s.conn.Read(s.in[:])
		s.watchdog.enter(acting)
		for chunk := s.in[:n]; len(chunk) > 0; {
			used, event := s.decoder.Next(chunk)
			chunk = chunk[used:]
			if err := errors.Join(s.handle(event), s.unsent); err != nil {
				return err
			}
			if s.over {
				return nil
			}
		}
		if err := s.finish(); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read from the client: %w", err)
		}
	}
}

// finish follows the last event of a chunk: it sends what is left to be sent.
func (s *session) finish() error {
	s.settle()
	return errors.Join(s.unsent, s.flush())
}

func (s *session) handle(event wire.Event) error {
	if event == wire.NeedMore || event == wire.Packet && s.gather(s.decoder.Payload()) {
		return nil
	}
	if s.settle(); s.unsent != nil {
		return nil
	}
	if event == wire.Packet && s.gather(s.decoder.Payload()) { // it may begin what continues
		return nil
	}
	switch event {
	case wire.NackByte:
		if s.kept < 0 {
			return nil
		}
		if err := s.flush(); err != nil {
			return err
		}
		return s.write(s.out[s.kept:])
	case wire.AckByte:
		s.kept = -1
		return nil
	}
	// What is left began with a '$', which discards the kept packet.
	s.kept = -1
	s.reuse()
	switch event {
	case wire.BadEnd:
		s.out = append(s.out, wire.Nack)
	case wire.Packet:
		s.out = append(s.out, wire.Ack)
		s.watchdog.packets.Add(1)
		s.request(s.decoder.Payload())
		s.watchdog.packets.Add(1)
	}
	if s.full() {
		return s.flush()
	}
	return nil
}

// full reports whether as much is to be sent as may gather.
func (s *session) full() bool { return len(s.out)-s.sent > s.opts.MaxPending }

// reuse makes room in the output buffer if everything in it is sent.
func (s *session) reuse() {
	if s.sent < len(s.out) {
		return
	}
	if cap(s.out) > keepBuffer && len(s.out) <= keepBuffer { // large replies mostly come in a row
		s.out = nil
	}
	s.sent = 0
	s.out = s.out[:0]
}

// flush sends what has gathered.
func (s *session) flush() error {
	if s.sent == len(s.out) {
		return nil
	}
	p := s.out[s.sent:]
	s.sent = len(s.out)
	return s.write(p)
}

func (s *session) write(p []byte) error {
	s.watchdog.enter(writing)
	_, err := s.conn.Write(p)
	s.watchdog.enter(acting)
	if err != nil {
		return fmt.Errorf("write to the client: %w", err)
	}
	return nil
}

// acknowledge sends the '+' of the request before the Target is asked to change anything. If that fails the client is gone; the request is
// carried out all the same, as it would be if the client went a moment later, and is the last of the session.
func (s *session) acknowledge() { s.unsent = s.flush() }

// Values of session.holds.
const (
	nothing uint32 = iota // is held back
	held                  // the watchdog may send it
	taken                 // the watchdog sends it
)

// hold keeps the '+' of a request that changes nothing back, until release, so that it leaves together with the reply: that saves a
// good part of a read's time, and nobody can tell it from one that left before. If the Target takes long, the watchdog sends it.
func (s *session) hold() {
	s.held = s.out[s.sent:]
	s.holds.Store(held)
}

// release follows hold when the Target has answered.
func (s *session) release() {
	if s.holds.CompareAndSwap(held, nothing) {
		return
	}
	s.watchdog.enter(writing)
	if err := <-s.late; err != nil {
		s.unsent = fmt.Errorf("write to the client: %w", err)
	}
	s.watchdog.enter(acting)
	s.sent += len(s.held)
	s.holds.Store(nothing)
}

// sendLate sends what is held back. The watchdog calls it.
func (s *session) sendLate() {
	if s.holds.CompareAndSwap(held, taken) {
		go func() {
			_, err := s.conn.Write(s.held)
			s.late <- err
		}()
	}
}

// begin starts a reply packet, which the caller appends to out; end finishes it.
func (s *session) begin() {
	s.kept = len(s.out)
	s.out = append(s.out, wire.Start)
}

func (s *session) end() { s.out = append(s.out, wire.End, wire.LastPacket) }

// reply answers with a packet.
func (s *session) reply(payload string) {
	s.begin()
	s.out = append(s.out, payload...)
	s.end()
}

// refuse answers `error` to a request that has a reply.
func (s *session) refuse(err error) {
	s.opts.Log.Debug("request refused", "error", err)
	s.reply(wire.Failure)
}

// status answers `success` or `error`.
func (s *session) status(err error) {
	if err != nil {
		s.refuse(err)
		return
	}
	s.reply(wire.Success)
}

// noCore is for mistakes that have no core whose qstate could tell of them.
const noCore = -2

// mistake notes why a command without a reply did nothing, for the core's next qstate; every core's for target.AllCores,
// and in the log.
func (s *session) mistake(core int, err error) {
	if err == nil {
		return
	}
	level := slog.LevelDebug
	s.warnings.Do(func() { level = slog.LevelWarn })
	s.opts.Log.Log(s.ctx, level, "command refused", "error", err)
	for i := range s.mistakes {
		if core == target.AllCores || core == i {
			s.mistakes[i] = err
		}
	}
}

// core checks a core number.
func (s *session) core(n uint64) (int, error) {
	if n >= uint64(len(s.opened)) {
		return 0, target.ErrNoCore
	}
	return int(n), nil
}

// openCore checks the number of a core that must be open, and returns its tables.
func (s *session) openCore(n uint64) (int, *tables, error) {
	core, err := s.core(n)
	if err != nil {
		return 0, nil, err
	}
	if s.opened[core] == nil {
		return 0, nil, errNotOpen
	}
	return core, s.opened[core], nil
}

var (
	errNotOpen = errors.New("the core is not open")
	errGlobal  = errors.New("global is neither 0 nor 1")
	errHandle  = errors.New("no such element of the list")
	errData    = errors.New("the data are not what the byte count says, in hex digits")
	errTooMuch = errors.New("more bytes than one reply may have")
	errNoKill  = errors.New("ending the machine is switched off")
)
