// SPDX-License-Identifier: Apache-2.0

package soak

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"
)

// holdings are what this process has and could leak.
type holdings struct {
	goroutines, descriptors, children, files int
	heap                                     uint64
}

func (h holdings) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d processes, %d files, %d KiB of heap",
		h.goroutines, h.descriptors, h.children, h.files, h.heap>>10)
}

// more names what there is more of than before.
func (h holdings) more(before holdings) (kinds []string) {
	for _, kind := range []struct {
		name        string
		now, before int
	}{
		{"goroutines", h.goroutines, before.goroutines}, {"descriptors", h.descriptors, before.descriptors},
		{"processes", h.children, before.children}, {"files", h.files, before.files},
		{"heap", int(h.heap), int(before.heap) + slack},
	} {
		if kind.now > kind.before {
			kinds = append(kinds, kind.name)
		}
	}
	return kinds
}

// count takes stock. Files are those of the folder for temporary ones.
func count(t testing.TB) holdings {
	t.Helper()
	runtime.GC()
	runtime.GC() // what finalizers have let go of
	h := holdings{goroutines: runtime.NumGoroutine()}
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	h.descriptors = len(list)
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range lists {
		if text, err := os.ReadFile(file); err == nil { // a thread may have ended
			h.children += len(strings.Fields(string(text)))
		}
	}
	err = filepath.WalkDir(os.TempDir(), func(_ string, _ fs.DirEntry, err error) error {
		h.files++
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	h.heap = m.HeapAlloc
	return h
}

const (
	// settling is how long what has been let go of may take to disappear.
	settling = 10 * time.Second
	// slack is how much the heap may have grown: caches of the runtime and of the packages that are used.
	slack = 3 << 20
)

// settled reports an error unless, within a while, nothing is held that was not before.
func settled(t testing.TB, before holdings) {
	t.Helper()
	var now holdings
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(settling); time.Now().Before(end); <-tick.C {
		now = count(t)
		if len(now.more(before)) == 0 {
			t.Logf("before: %v", before)
			t.Logf("after:  %v", now)
			return
		}
	}
	t.Errorf("leaked: %s\n- before: %v\n- after:  %v", strings.Join(now.more(before), ", "), before, now)
	if now.goroutines > before.goroutines {
		var text strings.Builder
		pprof.Lookup("goroutine").WriteTo(&text, 1)
		t.Log(text.String())
	}
}

// watchdog ends the program with all its stacks if alive is not called for as long as limit.
func watchdog(t testing.TB, limit time.Duration) (alive func()) {
	timer := time.AfterFunc(limit, func() {
		pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
		panic(fmt.Sprintf("soak: nothing has moved for %v", limit))
	})
	t.Cleanup(func() { timer.Stop() })
	return func() { timer.Reset(limit) }
}
