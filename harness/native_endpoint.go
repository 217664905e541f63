// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"mcdtest/guest"
	"mcdtest/harness/launch"
)

// nativeArgs puts QEMU's own MCD server on a listener that it inherits.
func nativeArgs(fd string) []string {
	return []string{"-chardev", "socket,id=mcdtest-mcd,server=on,wait=off,fd=" + fd, "-mcd", "chardev:mcdtest-mcd"}
}

// learnDialects starts the build with its own -mcd and says something in each dialect. If its -mcd does not work, it
// stays as -help has it, and the machines that will be started show what is wrong. The error is that of ctx.
func (b *Build) learnDialects(ctx context.Context) error {
	image, err := guest.Lookup(b.Arch, guest.Loop)
	if err != nil {
		return nil // no program to start a machine with
	}
	// Every question ends in an empty packet, which either server answers at once, so that a server that does not
	// understand the question need not be waited for. Each has a QEMU of its own, as the JSON server may keep the
	// rubbish that the other question is to it.
	questions := []struct {
		dialect Dialect
		say     string
		answer  byte
	}{
		{Packet, `$#|`, '+'},
		{JSON, `{"arguments":{"core-uid":0},"execute":"mcd-qry-error-info"}$#|`, '{'},
	}
	understood := make([]bool, len(questions))
	var wg sync.WaitGroup
	for i, q := range questions {
		wg.Go(func() {
			first, err := b.ask(ctx, image, q.say)
			understood[i] = err == nil && first == q.answer
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("probe QEMU %s: waited for its -mcd to say which dialects it speaks: %w", b.Path, err)
	}
	var spoken []Dialect
	for i, q := range questions {
		if understood[i] {
			spoken = append(spoken, q.dialect)
		}
	}
	if len(spoken) > 0 {
		b.MCD, b.dialects = spoken[0], spoken
	}
	return nil
}

// ask starts a QEMU of its own, sends one line to its MCD endpoint and returns the first byte of the answer.
func (b *Build) ask(ctx context.Context, image *guest.Image, say string) (byte, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	m := &Machine{cfg: Config{Build: b, Guest: image, Cores: 1}}
	program, err := launch.MemoryFile("guest.elf", image.ELF)
	if err != nil {
		return 0, err
	}
	defer program.Close()
	listener, err := listen()
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	inherited, err := listener.File()
	if err != nil {
		return 0, err
	}
	defer inherited.Close()
	p, err := launch.Start(ctx, launch.Spec{
		Path: b.Path, Args: append(m.guestArgs("/proc/self/fd/{fd:0}"), nativeArgs("{fd:1}")...),
		Files: []*os.File{program, inherited}, Monitors: 1,
	})
	if err != nil {
		return 0, err
	}
	defer p.Kill()
	conn, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := io.WriteString(conn, say); err != nil {
		return 0, err
	}
	var first [1]byte
	if _, err := conn.Read(first[:]); err != nil {
		return 0, fmt.Errorf("no answer to %q: %w", say, err)
	}
	return first[0], nil
}
