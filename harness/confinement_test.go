// SPDX-License-Identifier: Apache-2.0

package harness_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"mcdtest/harness"
)

// A QEMU under test may start no program, gains no rights and has no network.
func TestQEMUIsConfined(t *testing.T) {
	m := start(t, harness.Config{})
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.PID()))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(status), "\nSeccomp:\t2\n") {
		t.Errorf("QEMU runs without a system call filter, so without -sandbox:\n%s", status)
	}
	network, err := m.QMP().HMP(t.Context(), -1, "info network")
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(network) != "" {
		t.Errorf("QEMU has a network: %s", network)
	}
}
