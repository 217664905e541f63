// SPDX-License-Identifier: Apache-2.0

// Package bench measures the stub beside what else reaches the same QEMU: the gdbstub itself, GDB, the monitor, a
// native MCD endpoint, and a bare exchange over a socket as the floor. The benchmarks are in its tests; what is not one
// is the table that is made of their output. It starts QEMUs and the mcdtest command, each with sockets without a path or in
// a temporary folder.
//
// The things compared take turns, a few hundred microseconds to a few milliseconds each, so that whatever else the
// machine does hits all of them. A figure is the median of the turns; `go test -count` gives as many figures.
package bench

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Results are the figures of a run: of each benchmark and each way in the order of the first line.
type Results struct {
	Names []string // of benchmarks
	by    map[string]*result
}

type result struct {
	ways []string
	// of way and unit
	figures map[[2]string][]float64
}

// Parse reads the output of `go test -bench`.
func Parse(r io.Reader) (*Results, error) {
	res := &Results{by: make(map[string]*result)}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(fields[0], "Benchmark")
		if i := strings.LastIndexByte(name, '-'); i > 0 { // GOMAXPROCS
			if _, err := strconv.Atoi(name[i+1:]); err == nil {
				name = name[:i]
			}
		}
		name, way, ok := strings.Cut(name, "/via=")
		if !ok {
			return nil, fmt.Errorf("read the results: %q names no way (/via=…)", fields[0])
		}
		p := res.by[name]
		if p == nil {
			p = &result{figures: make(map[[2]string][]float64)}
			res.by[name] = p
			res.Names = append(res.Names, name)
		}
		if !slices.Contains(p.ways, way) {
			p.ways = append(p.ways, way)
		}
		for i := 2; i+1 < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("read the results: %q: %w", lines.Text(), err)
			}
			key := [2]string{way, fields[i+1]}
			p.figures[key] = append(p.figures[key], v)
		}
	}
	return res, lines.Err()
}

// Spread is a median and the quartiles around it.
type Spread struct{ Low, Median, High float64 }

// SpreadOf sorts a copy of the figures. It is zero if there are none.
func SpreadOf(figures []float64) Spread {
	if len(figures) == 0 {
		return Spread{}
	}
	f := slices.Sorted(slices.Values(figures))
	at := func(q float64) float64 {
		x := q * float64(len(f)-1)
		i := int(x)
		if i+1 == len(f) {
			return f[i]
		}
		return f[i] + (x-float64(i))*(f[i+1]-f[i])
	}
	return Spread{at(0.25), at(0.5), at(0.75)}
}

// Of is the figures of one way in one unit.
func (r *Results) Of(name, way, unit string) []float64 {
	if p := r.by[name]; p != nil {
		return p.figures[[2]string{way, unit}]
	}
	return nil
}

// Ways lists the ways of a benchmark.
func (r *Results) Ways(name string) []string {
	if p := r.by[name]; p != nil {
		return p.ways
	}
	return nil
}

// Ratio divides the figures of two ways pair by pair: those that were measured at the same time.
func (r *Results) Ratio(name, way, base, unit string) (Spread, bool) {
	a, b := r.Of(name, way, unit), r.Of(name, base, unit)
	n := min(len(a), len(b))
	if n == 0 {
		return Spread{}, false
	}
	q := make([]float64, n)
	for i := range q {
		q[i] = a[i] / b[i]
	}
	return SpreadOf(q), true
}

// Table writes the Markdown table: a row for each benchmark and way, with the ratio to the first way.
func (r *Results) Table(w io.Writer) error {
	var b strings.Builder
	b.WriteString("| what | way | time | quartiles | ratio | quartiles |\n|---|---|--:|--:|--:|--:|\n")
	for _, name := range r.Names {
		ways := r.Ways(name)
		for _, way := range ways {
			figures := r.Of(name, way, "ns/op")
			if len(figures) == 0 || figures[0] == 0 {
				continue
			}
			t := SpreadOf(figures)
			fmt.Fprintf(&b, "| %s | %s | %s | %s … %s |", name, shown(way), short(t.Median), short(t.Low), short(t.High))
			if way == ways[0] {
				b.WriteString(" 1 | |\n")
				continue
			}
			q, _ := r.Ratio(name, way, ways[0], "ns/op")
			fmt.Fprintf(&b, " %.2f | %.2f … %.2f |\n", q.Median, q.Low, q.High)
		}
	}
	b.WriteString("\n| what | way | figure | quartiles |\n|---|---|--:|--:|\n")
	for _, name := range r.Names {
		for _, way := range r.Ways(name) {
			for _, unit := range r.units(name, way) {
				s := SpreadOf(r.Of(name, way, unit))
				fmt.Fprintf(&b, "| %s | %s | %.4g %s | %.4g … %.4g |\n", name, shown(way), s.Median, unit, s.Low, s.High)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// units lists what else than time was measured.
func (r *Results) units(name, way string) []string {
	var list []string
	for key := range r.by[name].figures {
		if key[0] == way && key[1] != "ns/op" && key[1] != "B/op" && key[1] != "allocs/op" {
			list = append(list, key[1])
		}
	}
	slices.Sort(list)
	return list
}

// shown undoes what the testing package does to names.
func shown(name string) string { return strings.ReplaceAll(name, "_", " ") }

func short(ns float64) string {
	d := time.Duration(ns)
	switch {
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d >= time.Millisecond:
		return fmt.Sprintf("%.2f ms", float64(d)/1e6)
	case d >= 10*time.Microsecond:
		return fmt.Sprintf("%.1f µs", float64(d)/1e3)
	}
	return fmt.Sprintf("%.2f µs", ns/1e3)
}
