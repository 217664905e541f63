// SPDX-License-Identifier: Apache-2.0

package result

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Errors that Read's errors wrap.
var (
	// ErrDamaged is a file with a line that is none of the format, or that contradicts itself.
	ErrDamaged = errors.New("damaged")
	// ErrNewer is a file of a version of the format that this program does not know.
	ErrNewer = errors.New("of a newer format")
	// ErrNotResult is a file that never was a result file.
	ErrNotResult = errors.New("not a result file of mcdtest")
)

// Open reads a result file. One that was cut short is read as far as it goes; its Footer is nil.
func Open(name string) (*Result, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read results: %s: %w", name, cause(err))
	}
	defer f.Close()
	r, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("read results: %s: %w", name, cause(err))
	}
	return r, nil
}

// Read reads a result, compressed or not. See Open.
func Read(from io.Reader) (*Result, error) {
	in := bufio.NewReaderSize(from, 1<<20)
	if magic, _ := in.Peek(2); string(magic) == "\x1f\x8b" {
		unzipped, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("it is %w: %w", ErrNotResult, err)
		}
		in = bufio.NewReaderSize(unzipped, 1<<20)
	}
	var r *Result
	seen := make(map[seenKey]int)
	for number := 1; ; number++ {
		text, err := in.ReadBytes('\n')
		switch {
		case err == io.ErrUnexpectedEOF: // of a compressed file that was cut short
			err = io.EOF
		case errors.Is(err, gzip.ErrChecksum) || errors.As(err, new(flate.CorruptInputError)):
			return nil, fmt.Errorf("it is %w behind line %d: %w", ErrDamaged, number-1, err)
		case err != nil && err != io.EOF:
			return nil, err
		}
		if len(text) == 0 {
			break
		}
		// A line is written in one piece with its end, so one without was cut short. Half a header is no result.
		if err == io.EOF && r != nil {
			break
		}
		l, err := parseLine(text, number)
		if err != nil {
			return nil, err
		}
		if r == nil {
			r = &Result{Header: *l.Header}
			continue
		}
		if r.Footer != nil {
			return nil, fmt.Errorf("it is %w: line %d follows the footer", ErrDamaged, number)
		}
		switch {
		case l.Header != nil:
			return nil, fmt.Errorf("it is %w: line %d is a second header; are these several files in one?", ErrDamaged, number)
		case l.Footer != nil:
			if l.Footer.Specs != len(r.Specs) {
				return nil, fmt.Errorf("it is %w: the footer in line %d counts %d specs, but %d lines are there", ErrDamaged, number, l.Footer.Specs, len(r.Specs))
			}
			r.Footer = l.Footer
		default:
			key := seenKey{l.Spec.ID, l.Spec.Round}
			if before := seen[key]; before > 0 {
				return nil, fmt.Errorf("it is %w: lines %d and %d are about the same spec, %q", ErrDamaged, before, number, l.Spec.ID)
			}
			seen[key] = number
			r.Specs = append(r.Specs, *l.Spec)
		}
	}
	if r == nil {
		return nil, fmt.Errorf("it is empty, so it is %w", ErrNotResult)
	}
	return r, nil
}

type seenKey struct {
	id    string
	round int
}

func parseLine(text []byte, number int) (*line, error) {
	var l line
	err := json.Unmarshal(text, &l)
	if number == 1 {
		// The version comes before all else: a newer header may not fit the type of ours.
		var version struct {
			Header *struct {
				Format int `json:"format"`
			} `json:"header"`
		}
		if json.Unmarshal(text, &version) != nil || version.Header == nil || version.Header.Format < 1 {
			return nil, fmt.Errorf("it is %w: its first line begins with %.60q", ErrNotResult, text)
		}
		if version.Header.Format > Format {
			return nil, fmt.Errorf("it is %w (%d): this mcdtest reads formats up to %d; use the one that wrote it, or a newer one", ErrNewer, version.Header.Format, Format)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("it is %w: line %d, which begins with %.60q: %w", ErrDamaged, number, bytes.TrimRight(text, "\n"), err)
	}
	if l.Header == nil && l.Footer == nil && (l.Spec == nil || l.Spec.ID == "") {
		return nil, fmt.Errorf("it is %w: line %d is neither a spec nor a footer; it begins with %.60q", ErrDamaged, number, bytes.TrimRight(text, "\n"))
	}
	return &l, nil
}
