// SPDX-License-Identifier: Apache-2.0

package packet

import "mcdtest/stub/target"

// closeServer answers `D`: it removes every trigger, lets the machine run and closes the cores that are open.
//
//	$D#|
//	+
func closeServer(s *session, _ *args) {
	s.acknowledge()
	clear(s.opened)
	s.queryCore = 0
	err := s.target.RemoveTriggers(s.ctx, target.AllCores)
	if err == nil {
		err = s.target.Go(s.ctx, target.AllCores)
	}
	s.mistake(target.AllCores, err)
	if err == nil {
		s.forgetStops()
	}
}

// forgetStops makes cores that run be called "running since boot" until they stop again.
func (d *Dialect) forgetStops() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for core := range d.fresh {
		if state := d.target.State(core); state.Running {
			d.fresh[core] = state.Stops
		}
	}
}

// sinceBoot reports whether a core that runs counts as one that has never stopped.
func (d *Dialect) sinceBoot(core int, state target.State) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return state.Stops == d.fresh[core]
}
