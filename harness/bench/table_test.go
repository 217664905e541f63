// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const output = `goos: linux
BenchmarkRead4/via=gdbstub-2         	       1	     20000 ns/op
BenchmarkRead4/via=gdbstub-2         	       1	     30000 ns/op
BenchmarkRead4/via=gdbstub-2         	       1	     10000 ns/op
BenchmarkRead4/via=stub-2            	       1	     40000 ns/op
BenchmarkRead4/via=stub-2            	       1	     30000 ns/op
BenchmarkRead4/via=stub-2            	       1	     10000 ns/op
BenchmarkGrowth/of=read/via=8_cores-16 	       1	   1500000 ns/op
BenchmarkResident/via=serve-2        	       1	        21.50 MB-at-first	       570 cpu-ns/request
PASS
`

func TestTable(t *testing.T) {
	r, err := Parse(strings.NewReader(output))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	if err := r.Table(&got); err != nil {
		t.Fatal(err)
	}
	const want = `| what | way | time | quartiles | ratio | quartiles |
|---|---|--:|--:|--:|--:|
| Read4 | gdbstub | 20.0 µs | 15.0 µs … 25.0 µs | 1 | |
| Read4 | stub | 30.0 µs | 20.0 µs … 35.0 µs | 1.00 | 1.00 … 1.50 |
| Growth/of=read | 8 cores | 1.50 ms | 1.50 ms … 1.50 ms | 1 | |

| what | way | figure | quartiles |
|---|---|--:|--:|
| Resident | serve | 21.5 MB-at-first | 21.5 … 21.5 |
| Resident | serve | 570 cpu-ns/request | 570 … 570 |
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseRefusesWhatNamesNoWay(t *testing.T) {
	if _, err := Parse(strings.NewReader("BenchmarkStart-2 1 5 ns/op\n")); err == nil {
		t.Error("a benchmark without a way was taken")
	}
}
