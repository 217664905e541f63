// SPDX-License-Identifier: Apache-2.0

package script

import (
	"strings"
	"testing"

	"mcdtest/guest"
	"mcdtest/stub/memtarget"
)

// guestLoop makes an Env with the guest program in memory, at the head of its loop: what is in front of it starts up a
// real CPU.
func guestLoop(t testing.TB) Env {
	image, err := guest.Lookup("arm", guest.Loop)
	if err != nil {
		t.Fatal(err)
	}
	cfg := memtarget.ARMLoop()
	cfg.Images = nil
	for _, symbol := range []string{"loop", "counter", "pattern"} {
		addr, size := image.Addr(symbol), 4
		switch symbol {
		case "loop":
			size = int(image.Addr("loop_end") - addr)
		case "pattern":
			size = 256
		}
		data, err := image.Data(addr, size)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Images = append(cfg.Images, memtarget.Image{Addr: addr, Data: data})
	}
	cfg.Entry = image.Addr("loop")
	cfg.Reset = map[int]uint64{1: image.Addr("counter"), 25: 0x400001d3}
	env := memory(t, cfg)
	env.Symbols = image.Symbol
	if err := env.ForArch("arm"); err != nil {
		t.Fatal(err)
	}
	return env
}

func TestLoopScript(t *testing.T) {
	s, err := ParseFile("../../suites/scripts/loop.txt")
	if err != nil {
		t.Fatal(err)
	}
	if err := Play(t.Context(), s, guestLoop(t)); err != nil {
		t.Error(err)
	}
	// Re-recording changes nothing where nothing has changed.
	text, err := Update(t.Context(), s, guestLoop(t))
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Join(s.text, "\n") + "\n"; string(text) != want {
		t.Errorf("re-recorded:\n%s", text)
	}
}

func TestForArch(t *testing.T) {
	var env Env
	if err := env.ForArch("x86_64"); err != nil || env.WordBytes != 8 {
		t.Errorf("%d bytes, %v", env.WordBytes, err)
	}
	if v, err := env.Symbols("reg.pc"); err != nil || v != 16 {
		t.Errorf("pc is %d, %v", v, err)
	}
	if _, err := env.Symbols("loop"); err == nil {
		t.Error("a symbol of no guest")
	}
	if err := env.ForArch("pdp11"); err == nil || !strings.Contains(err.Error(), "aarch64, arm, i386") {
		t.Errorf("pdp11: %v", err)
	}
}
