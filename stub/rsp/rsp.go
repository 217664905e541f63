// SPDX-License-Identifier: Apache-2.0

// Package rsp is a client of the GDB remote serial protocol, as far as QEMU's gdbstub speaks it. It touches the
// connection that it is given and nothing else, and it is synchronous: a reply is read when somebody waits for it.
//
// What QEMU's gdbstub does, and this package relies on (seen on 7.2, 10.0 and 11.1):
//   - Every packet is acknowledged; an acknowledgement that is owed may ride in front of the next packet, which saves a
//     system call. There is no QStartNoAckMode.
//   - Any byte that arrives while the VM runs stops it, so nothing is owed when a resume packet leaves: the '+' stands
//     in front of it, in the same write.
//   - While its last packet is unacknowledged, the stub swallows everything but '$', also the interrupt byte.
//   - Packets may be pipelined; replies come in order.
//   - A packet of PacketSize bytes or more is dropped without an answer.
//   - The byte that stops a running VM is swallowed, so a packet whose VM somebody else has just resumed gets no answer.
//     Whether an answer is late or will never come is told by a mark: a request, sent behind, whose answer is unlike any other.
//   - The reply to a stop that somebody else has made comes at any time, also in front of the answer to a request. Of the
//     requests that are made here only vAttach is answered by a stop reply.
package rsp

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Timeout bounds the wait for one reply.
const Timeout = 5 * time.Second

// inputBuffer is the first size of the input buffer.
const inputBuffer = 64 << 10

// interruptByte stops a running VM.
const interruptByte = 0x03

// ErrTimeout is wrapped by errors about replies that did not come in time.
var ErrTimeout = errors.New("no reply in time")

// ErrLost is wrapped by errors about requests that the stub has passed over: it answers what was sent behind them.
var ErrLost = errors.New("the gdbstub has not seen the request, as somebody else had resumed the VM; ask again")

const (
	// lookAfter is how often a wait looks whether its context has ended.
	lookAfter = 100 * time.Millisecond
	// markAfter is when a mark is sent behind a request that is not answered. While marks are not answered either, each is waited for
	// twice as long as the one before: a QEMU that stands still reads none of them, and its socket does not hold many.
	markAfter = time.Second
	// marks is how many marks there are.
	marks = 32
)

// ReplyError is an error reply: E and two digits.
type ReplyError struct {
	Packet string // the request
	Code   string // "E14"
}

func (e *ReplyError) Error() string {
	return fmt.Sprintf("gdbstub answers %s to %s", e.Code, e.Packet)
}

// Client speaks to one gdbstub. It is not safe for concurrent use.
type Client struct {
	conn net.Conn
	size int // PacketSize

	buf     []byte
	in      []byte // received, not yet consumed; lies in buf
	packet  []byte // payload of the last packet, unescaped
	out     []byte // packets to be written
	ackOwed bool

	sent int // requests whose reply is not read yet
	// resuming: a packet that lets the VM run is under way, and any byte behind it would stop the VM.
	resuming bool
	// adrift says that replies may come that belong to nobody: their requests timed out. A mark tells where they end.
	adrift bool
	mark   int // the last mark that was sent and has not come back, 0 if there is none
	ahead  int // requests whose replies come before that of the mark, and belong to somebody
	marked int // the last mark that was used
	// markedAt is when it was used, and markWait how long it is waited for.
	markedAt time.Time
	markWait time.Duration

	printed []byte // what a qRcmd has printed
	prints  bool   // it is waited for

	stop []byte          // a stop reply that has been read already
	ctx  context.Context // of the request that is worked on
	err  error
}

// New makes a client on conn.
func New(conn net.Conn) *Client {
	return &Client{conn: conn, size: 0x1000, ctx: context.Background()}
}

// SetContext makes Receive give up when ctx ends, from now on. It does so within lookAfter.
func (c *Client) SetContext(ctx context.Context) { c.ctx = ctx }

// Conn is the connection given to New.
func (c *Client) Conn() net.Conn { return c.conn }

// Err is the error that broke the connection, or nil.
func (c *Client) Err() error { return c.err }

// PacketSize is the limit that the stub announced.
func (c *Client) PacketSize() int { return c.size }

// Supported is the request that negotiates features. Announced takes in its reply.
const Supported = "qSupported:multiprocess+;vContSupported+"

// Announced takes in what the stub supports.
func (c *Client) Announced(features string) error {
	for f := range strings.SplitSeq(features, ";") {
		if v, ok := strings.CutPrefix(f, "PacketSize="); ok {
			n, err := strconv.ParseUint(v, 16, 31)
			if err != nil || n < 64 {
				return fmt.Errorf("the gdbstub announces %q", f)
			}
			c.size = int(n)
		}
	}
	return nil
}

const hexDigits = "0123456789abcdef"

// Queue adds a packet to the next Flush.
func (c *Client) Queue(payload string) {
	c.begin()
	c.out = append(c.out, payload...)
	c.end()
}

func (c *Client) begin() {
	if c.adrift && c.sent == 0 && len(c.out) == 0 {
		c.queueMark()
	}
	c.start()
}

// queueMark adds a mark to the next Flush. The first bytes of the target description are different in number each time, and
// no other answer begins as they do.
func (c *Client) queueMark() {
	c.marked = c.marked%marks + 1
	if c.mark == 0 {
		c.markWait = markAfter
	} else {
		c.markWait *= 2
	}
	c.mark, c.ahead, c.adrift = c.marked, c.sent, false
	c.markedAt = time.Now()
	c.start()
	c.out = append(c.out, "qXfer:features:read:target.xml:0,"...)
	c.out = strconv.AppendUint(c.out, uint64(c.mark), 16)
	c.end()
	c.sent--
}

// markStart is how the answer to a mark begins: 'm' and XML.
var markStart = []byte("m<")

// isMark reports whether a reply is that of the mark that is waited for.
func (c *Client) isMark(reply []byte) bool {
	return c.mark > 0 && len(reply) == 1+c.mark && bytes.HasPrefix(reply, markStart)
}

// isOldMark reports whether a reply is that of a mark that is no longer waited for.
func (c *Client) isOldMark(reply []byte) bool {
	return len(reply) <= 1+marks && bytes.HasPrefix(reply, markStart) && !c.isMark(reply)
}

func (c *Client) start() {
	// Behind a packet that is still unanswered the acknowledgement of that answer is written ahead of it, which is the
	// order in which the stub will see them.
	if c.ackOwed || c.sent > 0 || c.mark > 0 {
		c.out = append(c.out, '+')
		c.ackOwed = false
	}
	c.out = append(c.out, '$')
}

// end closes the packet that begin opened.
func (c *Client) end() {
	var sum byte
	start := bytes.LastIndexByte(c.out, '$')
	for _, b := range c.out[start+1:] {
		sum += b
	}
	c.out = append(c.out, '#', hexDigits[sum>>4], hexDigits[sum&15])
	c.sent++
}

// QueueAddr adds a packet of a letter, an address and a length, followed by data in hex if there is any.
func (c *Client) QueueAddr(letter byte, addr uint64, length int, data []byte) {
	c.begin()
	c.out = append(c.out, letter)
	c.out = strconv.AppendUint(c.out, addr, 16)
	c.out = append(c.out, ',')
	c.out = strconv.AppendUint(c.out, uint64(length), 16)
	if data != nil {
		c.out = append(c.out, ':')
		c.out = hex.AppendEncode(c.out, data)
	}
	c.end()
}

// QueueRegister adds a p packet, or a P packet if data is given.
func (c *Client) QueueRegister(number int, data []byte) {
	c.begin()
	if data == nil {
		c.out = append(c.out, 'p')
	} else {
		c.out = append(c.out, 'P')
	}
	c.out = strconv.AppendUint(c.out, uint64(number), 16)
	if data != nil {
		c.out = append(c.out, '=')
		c.out = hex.AppendEncode(c.out, data)
	}
	c.end()
}

// Flush writes what is queued.
func (c *Client) Flush() error {
	out := c.out
	c.out = c.out[:0]
	if c.err != nil {
		return c.err
	}
	if err := c.conn.SetWriteDeadline(time.Now().Add(Timeout)); err != nil {
		return c.broken(err)
	}
	if _, err := c.conn.Write(out); err != nil {
		return c.broken(fmt.Errorf("write to the gdbstub: %w", err))
	}
	return nil
}

// Take returns what is queued instead of writing it. The caller does so, or has done it.
func (c *Client) Take() []byte {
	out := c.out
	c.out = nil
	return out
}

func (c *Client) broken(err error) error {
	if c.err == nil {
		c.err = err
	}
	return err
}

// Resume writes a packet that lets the VM run and waits until the stub has taken it. Its reply is the next stop reply. ErrTimeout
// means that the packet is under way, and that the VM will run when QEMU reads it.
func (c *Client) Resume(payload string) error { return c.ResumeAfter(nil, nil, payload) }

// ResumeAfter is Resume with requests in front of it, in the same write: queue adds them, and receive, unless nil, reads their replies.
// An error of receive is returned; the VM runs all the same.
func (c *Client) ResumeAfter(queue func(), receive func() error, payload string) error {
	if c.Owed() {
		if err := c.DropOwed(Timeout); err != nil {
			return fmt.Errorf("%s was not sent, as replies to earlier requests are missing: %v", payload, err)
		}
	}
	c.stop = nil
	if queue != nil {
		queue()
	}
	c.Queue(payload)
	c.sent-- // the stop reply is waited for by WaitStop
	if err := c.Flush(); err != nil {
		return err
	}
	if receive != nil {
		c.resuming = true
		err := receive()
		c.resuming = false
		if err != nil {
			return err
		}
		c.ackOwed = false // written ahead
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(Timeout)); err != nil {
		return c.broken(err)
	}
	for {
		// A stop reply in front of the acknowledgement is that of an earlier stop.
		switch n, whole := c.stale(); {
		case len(c.in) > n && c.in[n] == '+':
			c.in = c.in[n+1:]
			return nil
		case len(c.in) > n && whole:
			return nil
		case whole && n > 0:
			if err := c.conn.SetReadDeadline(time.Now().Add(ackTimeout)); err != nil {
				return c.broken(err)
			}
		}
		if err := c.fill(); err != nil {
			if len(c.in) > 0 && errors.Is(err, ErrTimeout) {
				// The VM ran and has been stopped by the packet, which was lost: this is the reply to that stop.
				return nil
			}
			return fmt.Errorf("waited for the gdbstub to take %s: %w", payload, err)
		}
	}
}

// ackTimeout bounds the wait for an acknowledgement behind a stop reply.
const ackTimeout = time.Second

// stale is the length of the packet that the input begins with, and whether all of it is there.
func (c *Client) stale() (n int, whole bool) {
	if len(c.in) == 0 || c.in[0] != '$' {
		return 0, true
	}
	end := bytes.IndexByte(c.in, '#')
	if end < 0 || len(c.in) < end+3 {
		return len(c.in), false
	}
	return end + 3, true
}

// Interrupt asks a running VM to stop; the stop reply follows.
func (c *Client) Interrupt() error {
	if c.ackOwed || c.Owed() { // one '+' too many stops the VM as well
		c.out = append(c.out, '+')
		c.ackOwed = false
	}
	c.out = append(c.out, interruptByte)
	return c.Flush()
}

// Receive reads the reply to the oldest unanswered packet. The slice is valid until the next call.
func (c *Client) Receive(limit time.Duration) ([]byte, error) { return c.receive(limit, false) }

// receive is Receive. stops says that the answer may be a stop reply.
func (c *Client) receive(limit time.Duration, stops bool) ([]byte, error) {
	if c.err != nil {
		return nil, c.err
	}
	begun := time.Now()
	until := begun.Add(limit)
	err := c.receiveUntil(earlier(until, begun.Add(lookAfter)), stops)
	for errors.Is(err, ErrTimeout) && c.ctx.Err() == nil && time.Now().Before(until) {
		if c.mark == 0 && !c.resuming && time.Since(begun) >= markAfter {
			c.queueMark()
			if err := c.Flush(); err != nil {
				return nil, err
			}
		}
		err = c.receiveUntil(earlier(until, time.Now().Add(lookAfter)), stops)
	}
	switch {
	case errors.Is(err, ErrTimeout):
		c.sent, c.adrift = 0, true
		return nil, err
	case errors.Is(err, ErrLost):
		c.sent = 0
		return nil, err
	case err != nil:
		return nil, err
	}
	if c.sent > 0 {
		c.sent--
	}
	return c.packet, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// receiveUntil reads packets until the answer.
func (c *Client) receiveUntil(deadline time.Time, stops bool) error {
	if err := c.conn.SetReadDeadline(deadline); err != nil {
		return c.broken(err)
	}
	for {
		switch err := c.answer(stops); {
		case err != nil:
			return err
		case c.isMark(c.packet):
			c.mark = 0
			if c.ahead > 0 {
				return ErrLost
			}
		case c.isOldMark(c.packet):
		case c.mark == 0:
			return nil
		case c.ahead > 0:
			c.ahead--
			return nil
		}
	}
}

// Owed reports whether replies to requests that timed out are still to come.
func (c *Client) Owed() bool { return c.adrift || c.mark > 0 }

// DropOwed waits for such replies at most as long as limit says and drops them, while the VM stands. QEMU must get rid of
// them: with a full socket its main loop stands, and its monitor with it.
func (c *Client) DropOwed(limit time.Duration) error {
	if c.err != nil {
		return c.err
	}
	if c.adrift {
		c.queueMark()
		if err := c.Flush(); err != nil {
			return err
		}
	}
	c.ahead = 0
	if err := c.conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return c.broken(err)
	}
	for c.mark > 0 {
		if err := c.answer(false); err != nil {
			// The mark itself may be lost.
			c.adrift = c.adrift || time.Since(c.markedAt) >= c.markWait
			return err
		}
		if c.isMark(c.packet) {
			c.mark = 0
		}
	}
	return nil
}

// Drain drops such replies while the VM runs, as far as they are there. A stop reply among them is kept for WaitStop.
func (c *Client) Drain() error {
	if c.err != nil {
		return c.err
	}
	if err := c.conn.SetReadDeadline(time.Now()); err != nil {
		return c.broken(err)
	}
	for {
		if err := c.next(); err != nil {
			if errors.Is(err, ErrTimeout) {
				return nil
			}
			return err
		}
		if isStop(c.packet) {
			c.stop = bytes.Clone(c.packet)
		}
		if c.isMark(c.packet) {
			c.mark = 0
		}
	}
}

// isStop reports whether a reply tells of a stop or of the end of the VM.
func isStop(reply []byte) bool { return len(reply) > 0 && strings.IndexByte("TSWX", reply[0]) >= 0 }

// answer reads the next packet that can be an answer: a stop reply tells of a stop that was learned of in another way,
// before it came.
func (c *Client) answer(stops bool) error {
	for {
		if err := c.next(); err != nil {
			return err
		}
		if c.printing() {
			continue
		}
		if stops || len(c.packet) == 0 || (c.packet[0] != 'T' && c.packet[0] != 'S') {
			return nil
		}
	}
}

// WaitStop reads a stop reply that a Resume has asked for. ErrTimeout means that the VM still runs as far as the stub
// has said.
func (c *Client) WaitStop(limit time.Duration) ([]byte, error) {
	if c.err != nil {
		return nil, c.err
	}
	if stop := c.stop; stop != nil {
		c.stop = nil
		return stop, nil
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return nil, c.broken(err)
	}
	for {
		if err := c.next(); err != nil {
			return nil, err
		}
		if isStop(c.packet) {
			return c.packet, nil
		}
		if c.isMark(c.packet) { // or the late answer to another request
			c.mark = 0
		}
	}
}

// next reads one packet into c.packet.
func (c *Client) next() error {
	for {
		// skip acknowledgements and anything else between packets
		start := bytes.IndexByte(c.in, '$')
		if start < 0 {
			c.in = c.in[:0]
			if err := c.fill(); err != nil {
				return err
			}
			continue
		}
		c.in = c.in[start:]
		end := bytes.IndexByte(c.in, '#')
		if end < 0 || len(c.in) < end+3 {
			if err := c.fill(); err != nil {
				return err
			}
			continue
		}
		payload := c.in[1:end]
		var sum byte
		for _, b := range payload {
			sum += b
		}
		want, err := strconv.ParseUint(string(c.in[end+1:end+3]), 16, 8)
		if err != nil || byte(want) != sum {
			return c.broken(fmt.Errorf("gdbstub sent a packet with checksum %q, %02x is right: %.80q", c.in[end+1:end+3], sum, payload))
		}
		c.packet = appendUnescaped(c.packet[:0], payload)
		c.in = c.in[end+3:]
		c.ackOwed = true
		return nil
	}
}

// appendUnescaped undoes '}' escapes and run-length encoding.
func appendUnescaped(dst, src []byte) []byte {
	if bytes.IndexByte(src, '}') < 0 && bytes.IndexByte(src, '*') < 0 {
		return append(dst, src...)
	}
	for i := 0; i < len(src); i++ {
		switch {
		case src[i] == '}' && i+1 < len(src):
			i++
			dst = append(dst, src[i]^0x20)
		case src[i] == '*' && i+1 < len(src) && len(dst) > 0:
			i++
			for n := int(src[i]) - 29; n > 0; n-- {
				dst = append(dst, dst[len(dst)-1])
			}
		default:
			dst = append(dst, src[i])
		}
	}
	return dst
}

// fill reads more bytes behind those that are not consumed yet, which it moves to the front. A packet that does not fit
// the buffer makes it larger.
func (c *Client) fill() error {
	if len(c.in) == len(c.buf) {
		c.buf = make([]byte, max(inputBuffer, 2*len(c.buf)))
	}
	n := copy(c.buf, c.in)
	m, err := c.conn.Read(c.buf[n:])
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// A read whose deadline is over does not even look, and this goroutine may have waited for a processor meanwhile.
		// What is there has come in time.
		if late := c.readNow(c.buf[n:]); late > 0 {
			m, err = late, nil
		}
	}
	c.in = c.buf[:n+m]
	return c.readError(m, err)
}

// readNow reads what is there without waiting, and returns 0 if that is nothing or if the connection cannot tell.
func (c *Client) readNow(p []byte) (n int) {
	sc, ok := c.conn.(syscall.Conn)
	if !ok || c.conn.SetReadDeadline(time.Time{}) != nil {
		return 0
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Read(func(fd uintptr) bool {
		n, _ = syscall.Read(int(fd), p) // the descriptor does not block
		return true
	})
	// The rest of a packet is under way; its wait is bounded again.
	if c.conn.SetReadDeadline(time.Now().Add(time.Second)) != nil {
		return 0
	}
	return max(n, 0)
}

func (c *Client) readError(n int, err error) error {
	switch {
	case n > 0 || err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrTimeout
	default:
		return c.broken(fmt.Errorf("the gdbstub's connection ended: %w", err))
	}
}

// Exchange sends one packet and reads its reply. An error reply is a *ReplyError. The slice is valid until the next
// call.
func (c *Client) Exchange(payload string) ([]byte, error) {
	c.Queue(payload)
	if err := c.Flush(); err != nil {
		return nil, err
	}
	reply, err := c.receive(Timeout, attaches(payload))
	if err != nil {
		return nil, fmt.Errorf("gdbstub request %s: %w", payload, err)
	}
	if IsError(reply) {
		return nil, &ReplyError{Packet: payload, Code: string(reply)}
	}
	return reply, nil
}

// Exchanges sends packets in one write and returns their replies, of whatever kind. Each is waited for as long as limit says. Stop replies
// that arrive unasked, as they do when the stub is connected to a running VM, are dropped.
func (c *Client) Exchanges(limit time.Duration, packets ...string) ([]string, error) {
	for _, p := range packets {
		c.Queue(p)
	}
	if err := c.Flush(); err != nil {
		return nil, err
	}
	return c.Replies(limit, packets...)
}

// Replies is the second half of Exchanges: it reads the replies to packets that are under way.
func (c *Client) Replies(limit time.Duration, packets ...string) ([]string, error) {
	replies := make([]string, len(packets))
	for i, p := range packets {
		reply, err := c.receive(limit, attaches(p))
		if err != nil {
			return nil, fmt.Errorf("gdbstub request %s: %w", p, err)
		}
		replies[i] = string(reply)
	}
	return replies, nil
}

// attaches reports whether a packet is answered by a stop reply.
func attaches(packet string) bool { return strings.HasPrefix(packet, "vAttach") }

// IsError reports whether a reply is E and two digits.
func IsError(reply []byte) bool {
	return len(reply) == 3 && reply[0] == 'E'
}

// XferPiece is how many bytes of a qXfer object are asked for at once. QEMU answers with half of a packet at most.
func (c *Client) XferPiece() int { return c.size/2 - 16 }

// Xfer is the packet that reads a piece of a qXfer object from an offset on. The reply begins with 'l' if that was the last of it,
// else with 'm'.
func (c *Client) Xfer(object, annex string, offset int) string {
	return fmt.Sprintf("qXfer:%s:read:%s:%x,%x", object, annex, offset, c.XferPiece())
}

// XferReply is what such a reply brings, and whether that was the last of the object.
func XferReply(reply []byte) (text []byte, last bool, err error) {
	switch {
	case len(reply) == 0:
		return nil, false, errors.New("the gdbstub has no such object")
	case reply[0] == 'l':
		return reply[1:], true, nil
	case reply[0] == 'm' && len(reply) > 1:
		return reply[1:], false, nil
	}
	return nil, false, fmt.Errorf("the gdbstub answers %.40q", reply)
}

// ReadXfer reads a whole qXfer object.
func (c *Client) ReadXfer(object, annex string) ([]byte, error) {
	var all []byte
	for {
		reply, err := c.Exchange(c.Xfer(object, annex, len(all)))
		if err != nil {
			return nil, err
		}
		text, last, err := XferReply(reply)
		if err != nil {
			return nil, fmt.Errorf("read %s %s through qXfer: %w", object, annex, err)
		}
		all = append(all, text...)
		if last {
			return all, nil
		}
	}
}
