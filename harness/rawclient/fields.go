// SPDX-License-Identifier: Apache-2.0

package rawclient

import (
	"fmt"
	"strconv"
	"strings"
)

// Fields are the key=value. pairs of a structured reply.
type Fields map[string]string

// ParseFields reads a run of key=value. pairs.
func ParseFields(text string) (Fields, error) {
	f := make(Fields)
	for rest := text; rest != ""; {
		pair, more, ok := strings.Cut(rest, ".")
		if !ok {
			return nil, fmt.Errorf("%q does not end in '.'", pair)
		}
		key, value, ok := strings.Cut(pair, "=")
		switch {
		case !ok || key == "":
			return nil, fmt.Errorf("%q is not key=value", pair)
		case strings.Contains(value, "="):
			return nil, fmt.Errorf("a second '=' in %q", pair)
		}
		if _, twice := f[key]; twice {
			return nil, fmt.Errorf("%q occurs twice", key)
		}
		f[key] = value
		rest = more
	}
	return f, nil
}

// Cores is the reply to qcores.
type Cores struct {
	Device string
	Core   string // QOM type of the CPU
	Count  int
}

// Triggers is the reply to qtrigger.
type Triggers struct {
	Count          int
	Types          []int
	Option, Action string
}

// State is the reply to qstate. Texts are normalised: "(null)" is empty, "beacuse" is "because".
type State struct {
	Name    string // "running", "halted", "debug", "unknown"
	Event   int
	Thread  int
	Type    int // trigger type, 0 for none
	Address uint64
	Stop    string // stop_str
	Info    string // info_str
}

// Names of states.
const (
	Running = "running"
	Halted  = "halted"
	Debug   = "debug"
	Unknown = "unknown"
)

func (r *fieldReader) state() State {
	s := State{
		Name: r.text("state"), Event: r.number("event"), Thread: r.number("thread"), Type: r.number("type"),
		Address: r.address("address"), Stop: r.text("stop_str"), Info: r.text("info_str"),
	}
	for _, t := range []*string{&s.Stop, &s.Info} {
		if *t == "(null)" {
			*t = ""
		}
		*t = strings.ReplaceAll(*t, "beacuse", "because")
	}
	return s
}

// fieldReader reads fields by name and keeps the first error.
type fieldReader struct {
	f   Fields
	err error
}

func (r *fieldReader) text(key string) string {
	v, ok := r.f[key]
	if !ok && r.err == nil {
		r.err = fmt.Errorf("no %q in it", key)
	}
	return v
}

func (r *fieldReader) number(key string) int {
	v := r.text(key)
	n, err := strconv.Atoi(v)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("%s=%q is not a number", key, v)
	}
	return n
}

// address reads an unsigned number; the published stub prints 2^64-1 as -1.
func (r *fieldReader) address(key string) uint64 {
	v := r.text(key)
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		if signed, e := strconv.ParseInt(v, 10, 64); e == nil {
			return uint64(signed)
		}
		if r.err == nil {
			r.err = fmt.Errorf("%s=%q is not a number", key, v)
		}
	}
	return n
}

func (r *fieldReader) numbers(key string) []int {
	var list []int
	v := r.text(key)
	for _, s := range strings.Split(v, ",") {
		n, err := strconv.Atoi(s)
		if err != nil {
			if r.err == nil {
				r.err = fmt.Errorf("%s=%q is not a list of numbers", key, v)
			}
			return nil
		}
		list = append(list, n)
	}
	return list
}
