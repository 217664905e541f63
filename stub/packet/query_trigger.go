// SPDX-License-Identifier: Apache-2.0

package packet

// queryTrigger answers `qtrigger`.
//
//	$qtrigger#|
//	+$nr_trigger=16.type=1,2,3,4.option=break_on_trigger.action=check_data_value.#|
func queryTrigger(s *session, _ *args) {
	s.begin()
	s.number("nr_trigger", s.info.MaxBreakpoints)
	s.text("type", "1,2,3,4")
	s.text("option", "break_on_trigger")
	s.text("action", "check_data_value")
	s.end()
}
