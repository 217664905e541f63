// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mcdtest/harness/result"
)

// The test program is also the worker: one whose items are made up, and whose names say what becomes of them.
const fakeWorker = "fake-worker"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == fakeWorker {
		os.Exit(fakeMain(os.Args[2], os.Args[3:]))
	}
	goleak.VerifyTestMain(m)
}

func fakeCommand(ids ...string) Command {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	// Without the second that the race detector waits at the end of each process.
	return Command{Path: self, Args: append([]string{fakeWorker, "{fd}"}, ids...), Env: append(os.Environ(), "GORACE=atexit_sleep_ms=0")}
}

// fakeMain walks the items that it is given. The first word of a name is what happens in it.
func fakeMain(fd string, ids []string) int {
	n, err := strconv.Atoi(fd)
	if err != nil {
		panic(err)
	}
	var claimed atomic.Value
	w, err := Join(n, func() string { return fmt.Sprintf("standing in %v\n", claimed.Load()) }, func() { os.Exit(3) })
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	for _, id := range ids {
		verb, _, _ := strings.Cut(id, " ")
		switch verb {
		case "problem":
			w.Problem("there is nothing to run: " + id)
			return 0
		case "exit": // without having asked for anything
			fmt.Fprintln(os.Stderr, "no such thing")
			return 7
		}
		mine, err := w.Claim(id)
		if err != nil {
			return 3
		}
		if !mine {
			continue
		}
		claimed.Store(id)
		spec := result.Spec{ID: id, Outcome: result.Passed}
		switch verb {
		case "fail":
			spec.Outcome, spec.Failure = result.Failed, "it was to fail"
		case "panic":
			panic("the worker panics")
		case "kill":
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		case "hang":
			select {}
		case "while":
			for began := time.Now(); time.Since(began) < 500*time.Millisecond; {
			}
		case "garbage":
			w.conn.Write([]byte("this is no message\n"))
			select {}
		case "half": // of a message
			w.conn.Write([]byte(`{"report":{"id":"half`))
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		case "other":
			spec.ID = "something else"
		}
		w.Report(spec)
		if verb == "later" {
			panic("the worker panics behind its spec")
		}
	}
	w.End()
	return 0
}
