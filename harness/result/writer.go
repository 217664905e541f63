// SPDX-License-Identifier: Apache-2.0

package result

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// line is one line of a file: exactly one of its fields is set.
type line struct {
	Header *Header `json:"header,omitempty"`
	Spec   *Spec   `json:"spec,omitempty"`
	Footer *Footer `json:"footer,omitempty"`
}

// Writer writes a result file. Each line is handed to the operating system before the call that writes it returns, so
// whatever ends the program leaves a file that can be read. It is safe for concurrent use.
type Writer struct {
	name string
	file io.Writer
	zip  *gzip.Writer // between us and file; nil if it is not compressed

	mu    sync.Mutex
	specs int
	err   error // of the first write that failed
}

// Create makes a result file, or empties one, and writes its header. A file whose name ends in .gz is compressed.
func Create(name string, h Header) (*Writer, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("write results to %s: %w; choose a place that can be written to", name, cause(err))
	}
	w, err := newWriter(f, name, h, strings.HasSuffix(name, ".gz"))
	if err != nil {
		f.Close()
		return nil, err
	}
	return w, nil
}

// NewWriter is Create for an open file, which it closes at the end if it can be closed. The name is for errors.
func NewWriter(file io.Writer, name string, h Header) (*Writer, error) {
	return newWriter(file, name, h, false)
}

func newWriter(file io.Writer, name string, h Header, compressed bool) (*Writer, error) {
	w := &Writer{name: name, file: file}
	if compressed {
		w.zip = gzip.NewWriter(file)
	}
	h.Format = Format
	if err := w.write(line{Header: &h}); err != nil {
		return nil, err
	}
	return w, nil
}

// Spec writes the line of a spec.
func (w *Writer) Spec(s Spec) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.write(line{Spec: &s}); err != nil {
		return err
	}
	w.specs++
	return nil
}

// Close writes the footer and closes the file. It fills in what it counted, and the time if there is none.
func (w *Writer) Close(f Footer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f.Specs = w.specs
	if f.Ended.IsZero() {
		f.Ended = time.Now()
	}
	err := w.write(line{Footer: &f})
	if w.zip != nil && err == nil {
		if err = w.zip.Close(); err != nil {
			err = w.failed(err)
		}
	}
	c, ok := w.file.(io.Closer)
	if !ok {
		return err
	}
	if closing := c.Close(); err == nil && closing != nil {
		err = w.failed(closing)
	}
	return err
}

// write puts a line into the file in one piece. After a write that failed there may be half a line in it, so nothing is
// written any more.
func (w *Writer) write(l line) error {
	if w.err != nil {
		return w.err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(l); err != nil {
		return w.failed(err)
	}
	var err error
	if w.zip == nil {
		_, err = w.file.Write(b.Bytes())
	} else if _, err = w.zip.Write(b.Bytes()); err == nil {
		err = w.zip.Flush()
	}
	if err != nil {
		w.err = w.failed(err)
		return w.err
	}
	return nil
}

func (w *Writer) failed(err error) error {
	return fmt.Errorf("write results to %s: %w; what was finished before is in it", w.name, cause(err))
}

// cause is an error without the operation and the path, which the message has already.
func cause(err error) error {
	if p := (*os.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}
