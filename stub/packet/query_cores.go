// SPDX-License-Identifier: Apache-2.0

package packet

// queryCores answers `qcores`. The protocol has room for one type of core; it is that of core 0.
//
//	$qcores#|
//	+$device=qemu-arm-device.core=cortex-a15-arm-cpu.nr_cores=1.#|
func queryCores(s *session, _ *args) {
	kind := ""
	if len(s.info.Cores) > 0 {
		kind = s.info.Cores[0].Type
	}
	s.begin()
	s.text("device", "qemu-"+value(s.info.Arch)+"-device")
	s.text("core", value(kind))
	s.number("nr_cores", len(s.info.Cores))
	s.end()
}
