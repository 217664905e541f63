// SPDX-License-Identifier: Apache-2.0

package gdbtarget

import (
	"testing"

	goqmp "github.com/digitalocean/go-qemu/qmp"
)

// An event is counted where it arrives if it is one's own and all before it are taken in; everything else is the watcher's.
func TestTakenOwn(t *testing.T) {
	target := &Target{}
	stop, resume, reset := goqmp.Event{Event: "STOP"}, goqmp.Event{Event: "RESUME"}, goqmp.Event{Event: "RESET"}
	check := func(what string, ev goqmp.Event, before uint64, want bool) {
		t.Helper()
		handled := target.handled.Load()
		if got := target.takenOwn(ev, before); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
		if want {
			handled++
		}
		if got := target.handled.Load(); got != handled {
			t.Errorf("%s: %d events are handled, want %d", what, got, handled)
		}
	}
	check("a stop by somebody else", stop, 0, false)
	target.ownStops.Add(1)
	check("an own stop behind an event that is still to be taken in", stop, 1, false)
	check("a resume by somebody else", resume, 0, false)
	check("a reset", reset, 0, false)
	check("an own stop", stop, 0, true)
	check("the next stop", stop, 1, false)
	target.ownResumes.Add(1)
	check("an own resume", resume, 1, true)
}
