// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"mcdtest/harness/result"
)

// Worker is a worker's end of the connection to its parent.
type Worker struct {
	conn    net.Conn
	answers chan bool
	ended   chan struct{}

	mu sync.Mutex // of writing
}

// Join takes over the connection to the parent that this process has inherited as descriptor fd. describe is called, in
// a goroutine of its own, when the parent wants to know where the spec stands. gone is called when the parent is gone.
func Join(fd int, describe func() string, gone func()) (*Worker, error) {
	f := os.NewFile(uintptr(fd), "parent")
	if f == nil {
		return nil, fmt.Errorf("join the parent: %d is no descriptor", fd)
	}
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("join the parent on descriptor %d: %w; a worker is started by mcdtest, not by hand", fd, err)
	}
	w := newWorker(conn)
	go w.listen(describe, gone)
	return w, nil
}

func newWorker(conn net.Conn) *Worker {
	return &Worker{conn: conn, answers: make(chan bool, 1), ended: make(chan struct{})}
}

func (w *Worker) listen(describe func() string, gone func()) {
	d := json.NewDecoder(w.conn)
	for {
		var o order
		if err := d.Decode(&o); err != nil {
			close(w.ended)
			gone()
			return
		}
		switch {
		case o.Run != nil:
			select {
			case w.answers <- *o.Run:
			default: // nobody has asked
			}
		case o.Describe:
			go func() {
				state := describe()
				w.send(message{State: &state})
			}()
		}
	}
}

func (w *Worker) send(m message) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return json.NewEncoder(w.conn).Encode(m)
}

// Claim asks whether to run an item. It returns when the parent has decided, which may be much later.
func (w *Worker) Claim(id string) (bool, error) {
	if err := w.send(message{Claim: id}); err != nil {
		return false, err
	}
	select {
	case run := <-w.answers:
		return run, nil
	case <-w.ended:
		return false, errors.New("the parent is gone")
	}
}

// Report hands over how the claimed item ended.
func (w *Worker) Report(s result.Spec) error { return w.send(message{Report: &s}) }

// Problem says that nothing can be run, and why.
func (w *Worker) Problem(why string) error { return w.send(message{Problem: why}) }

// End says that there is no other spec.
func (w *Worker) End() error { return w.send(message{End: true}) }
