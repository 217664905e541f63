// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"strconv"

	"mcdtest/stub/target"
)

// queryState answers `qstate`. A stop is reported once: afterwards type, address and both strings are empty until the next one.
// A command that did nothing is reported once, too, in info_str.
//
//	$qstate0#|   core
//	+$state=debug.event=0.thread=0.type=1.address=0.stop_str=stopped because of HW breakpoint.info_str=cpu 0 in debug state.#|
func queryState(s *session, a *args) {
	core, err := s.core(a.n[0])
	if err != nil {
		s.refuse(target.Errorf(err, "state of core %d", a.n[0]))
		return
	}
	state := s.target.State(core)
	report := s.describe(core, state)
	if report.state == debug && !s.reports.Take(core, state) {
		report = report.again()
	}
	s.begin()
	s.text("state", report.state)
	s.number("event", 0)
	s.number("thread", 0)
	s.number("type", int(report.trigger.Type))
	s.address("address", report.trigger.Addr)
	s.out = append(s.out, "stop_str="...)
	s.out = append(s.out, report.stop...)
	if report.access {
		s.out = strconv.AppendUint(s.out, report.trigger.Addr, 10)
	}
	s.out = append(s.out, ".info_str="...)
	if mistake := s.mistakes[core]; mistake != nil {
		s.mistakes[core] = nil
		s.out = append(s.out, "error: "...)
		s.out = append(s.out, shorten(value(mistake.Error()))...)
	} else {
		s.out = append(s.out, report.before...)
		if report.after != "" {
			s.out = strconv.AppendInt(s.out, int64(core), 10)
			s.out = append(s.out, report.after...)
		}
	}
	s.out = append(s.out, '.')
	s.end()
}

// Names of states.
const (
	halted  = "halted"
	running = "running"
	debug   = "debug"
	unknown = "unknown"
)

// report is what is said of a state.
type report struct {
	state         string
	trigger       target.Trigger // type and address fields
	stop          string         // stop_str, followed by the address if access is set
	access        bool
	before, after string // info_str: before, and if there is an after the core's number and after
}

// again is the report of a stop that has been reported.
func (r report) again() report { return report{state: r.state} }

func (d *Dialect) describe(core int, s target.State) report {
	if s.Running {
		if d.sinceBoot(core, s) {
			return report{state: running, before: "vm running since boot"}
		}
		return report{state: running, before: "cpu ", after: " running"}
	}
	r := report{state: debug, before: "cpu ", after: " in debug state"}
	switch s.Cause {
	case target.CauseBoot:
		return report{state: halted, before: "vm halted since boot"}
	case target.CauseElsewhere:
		return report{state: halted, before: "cpu ", after: " currently halted"}
	case target.CauseBreakpoint:
		// Published: the address is that of a data access, so a breakpoint has none.
		r.trigger.Type, r.stop = target.Exec, "stopped because of HW breakpoint"
	case target.CauseWatchpoint:
		r.trigger, r.access = s.Trigger, true
		switch s.Trigger.Type {
		case target.Read:
			r.stop = "stopped because of read access at "
		case target.Write:
			r.stop = "stopped because of write access at "
		default:
			r.stop = "stopped because of read or write access at "
		}
	case target.CauseStep:
		r.stop = "stopped because of single step"
	case target.CauseStop:
		r.stop = "stopped because of break"
	default:
		return report{state: unknown, before: "cpu ", after: " in unknown state"}
	}
	return r
}

// shorten cuts a reason to what a client has room for.
func shorten(reason string) string {
	if len(reason) > maxReason {
		return reason[:maxReason-3] + "___"
	}
	return reason
}
