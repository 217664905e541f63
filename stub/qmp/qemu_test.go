// SPDX-License-Identifier: Apache-2.0

package qmp_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/digitalocean/go-qemu/qemu"
	goqmp "github.com/digitalocean/go-qemu/qmp"

	"mcdtest/stub/qmp"
)

// startQEMU starts a QEMU without a machine and returns a connected monitor of it.
func startQEMU(t *testing.T) (*os.Process, *qmp.Monitor) {
	t.Helper()
	path := "qemu-system-arm"
	if p := os.Getenv("MCDTEST_QEMU"); p != "" {
		path = p
		if fi, err := os.Stat(p); err == nil && fi.IsDir() {
			path = filepath.Join(p, "qemu-system-arm")
		}
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "qmp"), os.NewFile(uintptr(fds[1]), "qmp of QEMU")
	defer ours.Close()
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		t.Fatal(err)
	}
	m := qmp.New(conn)
	t.Cleanup(func() { m.Disconnect() })

	cmd := exec.Command(path, "-M", "none", "-nodefaults", "-display", "none",
		"-chardev", "socket,id=qmp0,fd=3", "-qmp", "chardev:qmp0")
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatalf("these tests need a QEMU in PATH or MCDTEST_QEMU: %v", err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if err := m.Connect(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process, m
}

func TestQEMU(t *testing.T) {
	_, m := startQEMU(t)
	var schema []any
	if err := m.Execute(t.Context(), "query-qmp-schema", nil, &schema); err != nil || len(schema) < 100 {
		t.Errorf("query-qmp-schema: %d entries, %v", len(schema), err)
	}
	out, err := m.HMP(t.Context(), -1, "info status")
	if err != nil || !strings.Contains(out, "VM status: running") {
		t.Errorf("info status: %q, %v", out, err)
	}
	var refused *qmp.Error
	if err := m.Execute(t.Context(), "no-such-command", nil, nil); !errors.As(err, &refused) || refused.Class != "CommandNotFound" {
		t.Errorf("no-such-command: got %v", err)
	}
	if _, err := m.HMP(t.Context(), 77, "info registers"); !errors.As(err, &refused) {
		t.Errorf("HMP on core 77: got %v", err)
	}
}

func TestEventsOfQEMUInOrder(t *testing.T) {
	_, m := startQEMU(t)
	events, err := m.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		for _, name := range []string{"stop", "cont"} {
			if err := m.Execute(t.Context(), name, nil, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 100 {
		if a, b := <-events, <-events; a.Event != "STOP" || b.Event != "RESUME" {
			t.Fatalf("pair %d: got %s, %s; want STOP, RESUME", i, a.Event, b.Event)
		}
	}
}

func TestStoppedQEMU(t *testing.T) {
	p, m := startQEMU(t)
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := m.Execute(ctx, "query-status", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while stopped: got %v", err)
	}
	if err := p.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	var version struct{ QEMU struct{ Major int } }
	if err := m.Execute(t.Context(), "query-version", nil, &version); err != nil || version.QEMU.Major == 0 {
		t.Errorf("afterwards: got %+v, %v", version, err)
	}
}

func TestKilledQEMU(t *testing.T) {
	for range 5 {
		p, m := startQEMU(t)
		events, err := m.Events(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		for e := range events {
			t.Errorf("event %v", e)
		}
		if err := m.Execute(t.Context(), "query-status", nil, nil); !errors.Is(err, qmp.ErrEnded) {
			t.Errorf("command: got %v", err)
		}
	}
}

func TestDomain(t *testing.T) {
	_, m := startQEMU(t)
	d, err := qemu.NewDomain(m, "none")
	if err != nil {
		t.Fatal(err)
	}
	events, stop, err := d.Events()
	if err != nil {
		t.Fatal(err)
	}
	if s, err := d.Status(); err != nil || s != qemu.StatusRunning {
		t.Errorf("status: got %v, %v", s, err)
	}
	if v, err := d.Version(); err != nil || v != m.Version().String() {
		t.Errorf("version: got %q, %v; want %q", v, err, m.Version())
	}
	if ok, err := d.Supported("query-qmp-schema"); err != nil || !ok {
		t.Errorf("query-qmp-schema supported: got %v, %v", ok, err)
	}
	if _, err := d.Run(goqmp.Command{Execute: "stop"}); err != nil {
		t.Error(err)
	}
	if e := <-events; e.Event != "STOP" {
		t.Errorf("event: got %v", e.Event)
	}
	stop <- struct{}{}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-m.Done():
	default:
		t.Error("the monitor outlives Domain.Close")
	}
}
