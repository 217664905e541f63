// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"
)

// BenchmarkSuite runs the fast specs of one architecture, one after the other and as many at once as there are processors,
// each with a fresh Machine for every spec.
func BenchmarkSuite(b *testing.B) {
	path, err := command()
	if err != nil {
		b.Fatal(err)
	}
	qemu := build(b).Path
	run := func(processes int) way {
		return each(fmt.Sprintf("%d processes", processes), func() error {
			cmd := exec.Command(path, "suite", "--arch", "arm", "--fast", "-p", strconv.Itoa(processes))
			cmd.Env = append(cmd.Environ(), "MCDTEST_QEMU="+qemu)
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
	}
	compareRounds(b, 1, 1, run(1), run(max(2, runtime.NumCPU())))
}
