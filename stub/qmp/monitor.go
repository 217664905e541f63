// SPDX-License-Identifier: Apache-2.0

// Package qmp is a monitor for the QEMU Machine Protocol on a connection that the caller supplies. It implements
// go-qemu's qmp.Monitor, so qemu.Domain works on top of it.
//
// It differs from go-qemu's own SocketMonitor in what happens when things go wrong: a reply belongs to its caller and
// may have any size, every wait has a limit, events never hold up replies, and the end of the connection reaches
// everything that waits. It touches nothing but its connection.
package qmp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	goqmp "github.com/digitalocean/go-qemu/qmp"
)

// DefaultTimeout limits every command whose context has no deadline, and Connect. QEMU answers in microseconds; only a
// stopped or wedged one takes longer than this.
const DefaultTimeout = 10 * time.Second

// ErrEnded is wrapped by every error that a command returns because the connection has ended.
var ErrEnded = errors.New("the QMP connection has ended")

// Error is a refusal by QEMU.
type Error struct {
	Command string
	Class   string // "GenericError", "CommandNotFound"
	Desc    string
}

func (e *Error) Error() string {
	return fmt.Sprintf("QMP %s: refused by QEMU: %s (%s)", e.Command, e.Desc, e.Class)
}

// Monitor is a QMP connection. It is safe for concurrent use.
type Monitor struct {
	conn    net.Conn
	version goqmp.Version

	writing chan struct{} // holds one token while a command is being written

	mu      sync.Mutex
	started bool
	nextID  uint64
	pending map[uint64]*Call
	subs    map[*subscription]struct{}
	events  uint64        // how many have come
	retired bool          // no command is sent any more
	idle    chan struct{} // closed when a retired monitor has no pending command any more
	err     error
	done    chan struct{}

	greeting chan struct{} // closed when the greeting has been read
	readEnd  chan struct{} // closed when the reader has returned
}

// Call is a command that was sent.
type Call struct {
	m     *Monitor
	id    uint64
	name  string
	reply chan message // capacity 1
}

// message is anything that QEMU sends.
type message struct {
	QMP *struct {
		Version goqmp.Version `json:"version"`
	} `json:"QMP"`
	ID     *uint64         `json:"id"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
	goqmp.Event
}

// New makes a monitor on conn, which it takes over. Nothing is read or written before Connect.
func New(conn net.Conn) *Monitor {
	return &Monitor{
		conn:     conn,
		writing:  make(chan struct{}, 1),
		pending:  make(map[uint64]*Call),
		subs:     make(map[*subscription]struct{}),
		idle:     make(chan struct{}),
		done:     make(chan struct{}),
		greeting: make(chan struct{}),
		readEnd:  make(chan struct{}),
	}
}

// Connect reads QEMU's greeting and leaves negotiation mode, within DefaultTimeout.
func (m *Monitor) Connect() error {
	return m.ConnectContext(context.Background())
}

// ConnectContext is Connect with a limit of the caller's. A failed Connect ends the connection.
func (m *Monitor) ConnectContext(ctx context.Context) error {
	ctx, cancel := limit(ctx)
	defer cancel()

	m.mu.Lock()
	if m.started {
		m.mu.Unlock()
		return errors.New("QMP: connect: this monitor has been connected before; make a new one")
	}
	if m.err != nil {
		err := m.err
		m.mu.Unlock()
		return fmt.Errorf("QMP: connect: %w", err)
	}
	m.started = true
	go m.read()
	m.mu.Unlock()

	if err := m.negotiate(ctx); err != nil {
		m.end(err)
		return err
	}
	return nil
}

func (m *Monitor) negotiate(ctx context.Context) error {
	// The greeting comes first so that nothing is written to a peer that is no QMP monitor: a gdbstub would stop its VM.
	select {
	case <-m.greeting:
	case <-m.done:
		return fmt.Errorf("QMP: connect: no greeting: %w", m.Err())
	case <-ctx.Done():
		return fmt.Errorf("QMP: connect: waited for QEMU's greeting, got nothing: %w", ctx.Err())
	}
	return m.Execute(ctx, "qmp_capabilities", nil, nil)
}

// Version is the version that QEMU's greeting named.
func (m *Monitor) Version() goqmp.Version {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.version
}

// Disconnect closes the connection. Commands that wait return ErrEnded, event channels are closed at once.
func (m *Monitor) Disconnect() error {
	m.end(fmt.Errorf("%w: it was closed on our side", ErrEnded))

	m.mu.Lock()
	started := m.started
	subs := m.subs
	m.subs = nil
	m.mu.Unlock()
	for s := range subs {
		s.cancel()
	}
	if started {
		<-m.readEnd // prompt: its connection is closed, and it waits for nobody else
	}
	return nil
}

// Done is closed when the connection has ended, by either side.
func (m *Monitor) Done() <-chan struct{} { return m.done }

// Err says why the connection ended; it is nil before that.
func (m *Monitor) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// errRetired is why a command is not sent to a QEMU that is about to end.
var errRetired = fmt.Errorf("%w: not sent, as QEMU has been told to quit", ErrEnded)

// Retire is called before QEMU is told to quit through another monitor; a quit through this one does the same. From now on no command
// is sent: QEMU 10.0 crashes when one arrives while it quits. Retire returns when those that were sent before are answered, or when
// ctx ends.
func (m *Monitor) Retire(ctx context.Context) {
	m.mu.Lock()
	m.retire()
	m.mu.Unlock()
	select {
	case <-m.idle:
	case <-m.done:
	case <-ctx.Done():
	}
}

// retire is Retire without the wait. The caller holds mu.
func (m *Monitor) retire() {
	if !m.retired {
		m.retired = true
		m.settle()
	}
}

// settle follows whatever takes a call out of the books. The caller holds mu.
func (m *Monitor) settle() {
	if !m.retired || len(m.pending) > 0 {
		return
	}
	select {
	case <-m.idle:
	default:
		close(m.idle)
	}
}

// end closes the connection for the given reason; the first reason stays.
func (m *Monitor) end(reason error) {
	m.mu.Lock()
	if m.err == nil {
		m.err = reason
		close(m.done)
	}
	m.mu.Unlock()
	m.conn.Close()
}

// read takes everything that QEMU sends until the connection ends. It never waits for anything but the connection.
func (m *Monitor) read() {
	defer close(m.readEnd)
	dec := json.NewDecoder(m.conn)
	for {
		var msg message
		if err := dec.Decode(&msg); err != nil {
			if errors.Is(err, io.EOF) {
				m.end(fmt.Errorf("%w: QEMU closed it", ErrEnded))
			} else {
				m.end(fmt.Errorf("%w: %w", ErrEnded, err))
			}
			m.finishSubscriptions()
			return
		}
		m.dispatch(msg)
	}
}

func (m *Monitor) dispatch(msg message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case msg.Event.Event != "":
		for s := range m.subs {
			if s.taken == nil || !s.taken(msg.Event, m.events) {
				s.push(msg.Event)
			}
		}
		m.events++
	case msg.QMP != nil:
		select {
		case <-m.greeting:
		default:
			m.version = msg.QMP.Version
			close(m.greeting)
		}
	default:
		id, ok := m.replied(msg)
		if !ok {
			return // the answer to a command whose caller gave up
		}
		m.pending[id].reply <- msg
		delete(m.pending, id)
		m.settle()
	}
}

// replied finds the command that msg answers. QEMU repeats our id, except where it could not even parse the command;
// it carries commands out in order, so that answer belongs to the oldest one.
func (m *Monitor) replied(msg message) (id uint64, ok bool) {
	if msg.ID != nil {
		_, ok = m.pending[*msg.ID]
		return *msg.ID, ok
	}
	for i := range m.pending {
		if !ok || i < id {
			id, ok = i, true
		}
	}
	return id, ok
}

// Run executes a QMP command given as JSON within DefaultTimeout and returns QEMU's reply, {"return": …}. The slice
// belongs to the caller.
func (m *Monitor) Run(command []byte) ([]byte, error) {
	return m.RunContext(context.Background(), command)
}

// RunContext is Run with a limit of the caller's. An id that the command carries is repeated in the reply.
func (m *Monitor) RunContext(ctx context.Context, command []byte) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(command, &fields); err != nil {
		return nil, fmt.Errorf("QMP: %.80q is not a JSON object: %w", command, err)
	}
	var name string
	if err := json.Unmarshal(fields["execute"], &name); err != nil {
		return nil, fmt.Errorf("QMP: %.80q has no \"execute\" that names a command", command)
	}
	id, hasID := fields["id"]
	ctx, cancel := limit(ctx)
	defer cancel()
	c, err := m.send(ctx, name, func(ours uint64) ([]byte, error) {
		fields["id"] = strconv.AppendUint(nil, ours, 10)
		return json.Marshal(fields)
	})
	if err != nil {
		return nil, err
	}
	ret, err := c.wait(ctx)
	if err != nil {
		return nil, err
	}
	reply := map[string]json.RawMessage{"return": ret}
	if hasID {
		reply["id"] = id
	}
	return json.Marshal(reply)
}

// Execute runs the named command. args, unless nil, are marshalled into its arguments; the value that QEMU returns is
// unmarshalled into result, unless that is nil. A refusal by QEMU is an *Error.
func (m *Monitor) Execute(ctx context.Context, name string, args, result any) error {
	ctx, cancel := limit(ctx)
	defer cancel()
	c, err := m.Send(ctx, name, args)
	if err != nil {
		return err
	}
	return c.Wait(ctx, result)
}

// Send is the first half of Execute: it does not wait for the reply, so that QEMU can have several commands at once. The reply
// is to be waited for, once.
func (m *Monitor) Send(ctx context.Context, name string, args any) (*Call, error) {
	ctx, cancel := limit(ctx)
	defer cancel()
	return m.send(ctx, name, func(id uint64) ([]byte, error) {
		return json.Marshal(struct {
			Execute   string `json:"execute"`
			Arguments any    `json:"arguments,omitempty"`
			ID        uint64 `json:"id"`
		}{name, args, id})
	})
}

// Wait is the second half of Execute.
func (c *Call) Wait(ctx context.Context, result any) error {
	ctx, cancel := limit(ctx)
	defer cancel()
	ret, err := c.wait(ctx)
	if err != nil || result == nil {
		return err
	}
	if err := json.Unmarshal(ret, result); err != nil {
		return fmt.Errorf("QMP %s: cannot make sense of the reply %.80q: %w", c.name, ret, err)
	}
	return nil
}

// HMP runs a line of the human monitor as seen from the given core, or from QEMU's default core if cpu is negative.
func (m *Monitor) HMP(ctx context.Context, cpu int, line string) (string, error) {
	args := map[string]any{"command-line": line}
	if cpu >= 0 {
		args["cpu-index"] = cpu
	}
	var out string
	if err := m.Execute(ctx, "human-monitor-command", args, &out); err != nil {
		return "", fmt.Errorf("HMP %q: %w", line, err)
	}
	return out, nil
}

// send sends one command.
func (m *Monitor) send(ctx context.Context, name string, encode func(id uint64) ([]byte, error)) (*Call, error) {
	c := &Call{m: m, name: name, reply: make(chan message, 1)}
	m.mu.Lock()
	if m.err != nil {
		err := m.err
		m.mu.Unlock()
		return nil, fmt.Errorf("QMP %s: %w", name, err)
	}
	m.nextID++
	c.id = m.nextID
	m.mu.Unlock()

	line, err := encode(c.id)
	if err != nil {
		return nil, fmt.Errorf("QMP %s: %w", name, err)
	}
	if err := m.write(ctx, c, append(line, '\n')); err != nil {
		m.forget(c.id)
		return nil, fmt.Errorf("QMP %s: %w", name, err)
	}
	return c, nil
}

// wait waits for the reply.
func (c *Call) wait(ctx context.Context) (json.RawMessage, error) {
	select {
	case msg := <-c.reply:
		return result(c.name, msg)
	case <-c.m.done:
		select {
		case msg := <-c.reply: // "quit" is answered just before the end
			return result(c.name, msg)
		default:
			return nil, fmt.Errorf("QMP %s: no answer: %w", c.name, c.m.Err())
		}
	case <-ctx.Done():
		c.m.forget(c.id)
		return nil, fmt.Errorf("QMP %s: sent, but no answer; QEMU is stopped or busy: %w", c.name, ctx.Err())
	}
}

func result(name string, msg message) (json.RawMessage, error) {
	if msg.Error != nil {
		return nil, &Error{Command: name, Class: msg.Error.Class, Desc: msg.Error.Desc}
	}
	return msg.Return, nil
}

func (m *Monitor) forget(id uint64) {
	m.mu.Lock()
	delete(m.pending, id)
	m.settle()
	m.mu.Unlock()
}

// write enters the call and sends its line, in this order, so that the oldest call in the books is the first on the
// wire.
func (m *Monitor) write(ctx context.Context, c *Call, line []byte) error {
	select {
	case m.writing <- struct{}{}:
	case <-m.done:
		return m.Err()
	case <-ctx.Done():
		return fmt.Errorf("not sent; an earlier command is still being written to a QEMU that does not read: %w", ctx.Err())
	}
	defer func() { <-m.writing }()

	m.mu.Lock()
	if m.retired {
		m.mu.Unlock()
		return errRetired
	}
	m.pending[c.id] = c
	if c.name == "quit" {
		m.retire()
	}
	m.mu.Unlock()

	m.conn.SetWriteDeadline(time.Time{})
	expired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		m.conn.SetWriteDeadline(time.Unix(1, 0))
		close(expired)
	})
	n, err := m.conn.Write(line)
	if !stop() {
		<-expired // or it would end the next write
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && n == 0 {
		return fmt.Errorf("not sent; QEMU does not read: %w", ctx.Err())
	}
	err = fmt.Errorf("%w: %d of %d bytes of a command were sent: %w", ErrEnded, n, len(line), err)
	m.end(err)
	return err
}

// limit gives ctx the default deadline if it has none.
func limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, DefaultTimeout)
}
