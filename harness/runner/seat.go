// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"mcdtest/harness/launch"
	"mcdtest/harness/result"
)

// Item is a spec that a run is to have.
type Item struct {
	// Spec is what is known of it before it runs: all but the outcome.
	result.Spec
	// Cost is how long it is thought to take.
	Cost time.Duration
}

// Command starts a worker. "{fd}" in its arguments becomes the number of the descriptor to join.
type Command struct {
	Path string
	Args []string
	Env  []string
}

// Limits of a spec.
type Limits struct {
	// Stuck is the time after which a spec that still runs is described.
	Stuck time.Duration
	// Kill is the time after which its worker is killed. It is for specs that their worker cannot end.
	Kill time.Duration
}

// DefaultLimits fit specs that end themselves after 30 seconds.
var DefaultLimits = Limits{Stuck: 10 * time.Second, Kill: 60 * time.Second}

// exitTimeout is what a worker gets for its end after it has closed its connection.
const exitTimeout = 2 * time.Second

// describeTimeout bounds the wait for a worker to say where its spec stands.
const describeTimeout = 2 * time.Second

// Seat is a place for a worker. When its worker dies, another one takes the place.
type Seat struct {
	Command Command
	Limits  Limits
	// Deal decides whether the worker is to run the item that it asks for. It may take its time; its context ends with
	// Run's or with the worker.
	Deal func(ctx context.Context, id string) bool
	// Began is called when an item has been dealt.
	Began func(id string)
	// Done is called once for each item that was dealt.
	Done func(result.Spec)
	// Stuck is called with a description of a spec that takes long.
	Stuck func(id, state string)
	// Died is called when a worker dies that runs nothing; the seat goes on with a new one.
	Died func(error)

	mu      sync.Mutex
	conn    net.Conn // to the worker; nil while there is none
	process *launch.Process
	running string
	began   time.Time
	killed  string // why the worker was killed by us
	states  chan string
}

// Run has workers run what they are dealt, until one says that there is nothing else. It returns an error if no worker
// can be had. When ctx ends, the worker is killed and Run returns at once, after the item that was running has been
// reported as interrupted.
func (s *Seat) Run(ctx context.Context) error {
	for {
		ended, err := s.serve(ctx)
		if ended || err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// serve runs one worker. It reports whether that came to its end.
func (s *Seat) serve(ctx context.Context) (ended bool, err error) {
	conn, err := s.start(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return false, nil
		}
		return false, err
	}
	defer s.clear(conn)
	stop := context.AfterFunc(ctx, s.process.Kill)
	defer stop()
	// A Deal that waits must see the worker's end.
	alive, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.process.Done():
			cancel()
		case <-alive.Done():
		}
	}()

	reports := 0
	var said *string // the problem that the worker has told
	var timers []*time.Timer
	stopTimers := func() {
		for _, t := range timers {
			t.Stop()
		}
		timers = nil
	}
	defer stopTimers()
	d := json.NewDecoder(conn)
listening:
	for {
		var m message
		if err := d.Decode(&m); err != nil {
			// It may have ended in the middle of a message.
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
				// Not what a worker says: it cannot be understood any more.
				s.setKilled(fmt.Sprintf("what it said to its parent is no message (%v)", err))
			}
			break
		}
		switch {
		case m.Claim != "":
			run := s.Deal(alive, m.Claim)
			if run {
				s.setRunning(m.Claim)
				if s.Began != nil {
					s.Began(m.Claim)
				}
				timers = s.watch(m.Claim)
			}
			s.send(order{Run: &run})
		case m.Report != nil:
			if m.Report.ID != s.Running() {
				s.setKilled(fmt.Sprintf("it reported %q while %q was running", m.Report.ID, s.Running()))
				break listening
			}
			stopTimers()
			s.setRunning("")
			reports++
			s.Done(*m.Report)
		case m.State != nil:
			select {
			case s.states <- *m.State:
			default:
			}
		case m.Problem != "":
			said = &m.Problem
		case m.End:
			ended = true
		}
	}
	return ended && said == nil, s.buried(ctx, ended, reports, said)
}

// buried sees to what a worker leaves behind whose connection has ended.
func (s *Seat) buried(ctx context.Context, ended bool, reports int, said *string) error {
	// Its connection is closed, so it has ended, is about to end, or is of no use.
	s.end()
	exit := s.process.Exit()
	interrupted := ctx.Err() != nil && s.whyKilled() == ""
	if id := s.Running(); id != "" {
		spec := result.Spec{ID: id, Took: time.Since(s.began)}
		if interrupted {
			spec.Outcome, spec.Failure = result.Interrupted, "the run was ended while this spec ran"
		} else {
			spec.Outcome, spec.Failure = result.Failed, s.death(exit)
			spec.Process = strings.Join(s.process.Stderr(), "\n")
		}
		s.setRunning("")
		s.Done(spec)
		return nil
	}
	switch {
	case interrupted:
		return nil
	case said != nil:
		return errors.New(*said)
	case ended:
		return nil
	case reports == 0:
		return fmt.Errorf("a worker of the run ended before it ran anything: it %s", ending(exit))
	case s.Died != nil:
		s.Died(fmt.Errorf("a worker of the run died between two specs: it %s", ending(exit)))
	}
	return nil
}

// death says how the worker of a spec ended.
func (s *Seat) death(exit *launch.Exit) string {
	if why := s.whyKilled(); why != "" {
		return fmt.Sprintf("the process that ran the spec was killed: %s", why)
	}
	return "the process that ran the spec died: it " + ending(exit)
}

// ending says how a worker ended, with the line that explains it. Of what a Go program prints at its end, that is not
// the last one.
func ending(exit *launch.Exit) string {
	how := fmt.Sprintf("ended with exit status %d", exit.Status)
	if exit.Signal != "" {
		how = "was ended by " + exit.Signal
	}
	telling := ""
	for _, line := range exit.Stderr {
		if telling = line; strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			break
		}
	}
	if telling == "" {
		return how
	}
	return how + ": " + telling
}

func (s *Seat) start(ctx context.Context) (net.Conn, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("start a worker: make a socket pair: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "worker")
	defer theirs.Close()
	ours := os.NewFile(uintptr(fds[0]), "worker")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, fmt.Errorf("start a worker: make a socket pair: %w", err)
	}
	var args []string
	for _, a := range s.Command.Args {
		args = append(args, strings.ReplaceAll(a, "{fd}", "{fd:0}"))
	}
	p, err := launch.Start(ctx, launch.Spec{Path: s.Command.Path, Args: args, Env: s.Command.Env, Files: []*os.File{theirs}})
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("start a worker, %s: %w", filepath.Base(s.Command.Path), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn, s.process, s.killed = conn, p, ""
	s.states = make(chan string, 1)
	return conn, nil
}

func (s *Seat) clear(conn net.Conn) {
	s.process.Kill()
	s.mu.Lock()
	s.conn = nil
	s.mu.Unlock()
	conn.Close()
}

// end waits for the end of a worker whose connection has ended, so that its exit status is its own, or kills it.
func (s *Seat) end() {
	if s.whyKilled() == "" {
		select {
		case <-s.process.Done():
		case <-time.After(exitTimeout):
		}
	}
	s.process.Kill()
}

func (s *Seat) whyKilled() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.killed
}

func (s *Seat) setKilled(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.killed = why
}

func (s *Seat) setRunning(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running, s.began = id, time.Now()
}

// Running is the item that runs now, or empty.
func (s *Seat) Running() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

// watch sets the timers for an item that begins.
func (s *Seat) watch(id string) []*time.Timer {
	p := s.process
	var timers []*time.Timer
	if s.Limits.Stuck > 0 && s.Stuck != nil {
		timers = append(timers, time.AfterFunc(s.Limits.Stuck, func() {
			if state := s.Describe(); s.Running() == id {
				s.Stuck(id, state)
			}
		}))
	}
	if s.Limits.Kill > 0 {
		timers = append(timers, time.AfterFunc(s.Limits.Kill, func() {
			s.setKilled(fmt.Sprintf("the spec did not end within %v", s.Limits.Kill))
			p.Kill()
		}))
	}
	return timers
}

func (s *Seat) send(o order) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		json.NewEncoder(s.conn).Encode(o) // a worker that is gone is noticed by the reader
	}
}

// Describe says where the machines of the spec stand that runs now. It is empty if none does.
func (s *Seat) Describe() string {
	s.mu.Lock()
	id, began, states := s.running, s.began, s.states
	s.mu.Unlock()
	if id == "" {
		return ""
	}
	head := fmt.Sprintf("%s (for %v)\n", id, time.Since(began).Round(100*time.Millisecond))
	s.send(order{Describe: true})
	select {
	case state := <-states:
		return head + state
	case <-time.After(describeTimeout):
		return head + fmt.Sprintf("its process did not say within %v where it stands\n", describeTimeout)
	}
}
