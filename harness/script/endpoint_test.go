// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"mcdtest/stub"
	"mcdtest/stub/memtarget"
	"mcdtest/stub/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func pair() (client, server net.Conn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	var conns [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socketpair")
		if conns[i], err = net.FileConn(f); err != nil {
			return nil, nil, err
		}
		f.Close()
	}
	return conns[0], conns[1], nil
}

// serving makes an Env whose connections are each served by serve, which may close its end.
func serving(t testing.TB, serve func(conn net.Conn)) Env {
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	return Env{
		Timeout: 5 * time.Second,
		Settle:  20 * time.Millisecond,
		Silence: 10 * time.Millisecond,
		Dial: func(context.Context) (net.Conn, error) {
			client, server, err := pair()
			if err == nil {
				wg.Go(func() {
					defer server.Close()
					serve(server)
				})
			}
			return client, err
		},
	}
}

// answering makes an Env whose endpoint answers each packet as answer says; an answer "EOF" closes the connection.
func answering(t testing.TB, answer func(payload string) string) Env {
	return serving(t, func(conn net.Conn) {
		d := wire.NewDecoder(wire.MaxPayload)
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			for b := buf[:n]; len(b) > 0; {
				used, ev := d.Next(b)
				b = b[used:]
				if ev != wire.Packet {
					continue
				}
				text := answer(string(d.Payload()))
				if text == "EOF" {
					return
				}
				conn.Write([]byte(text))
			}
		}
	})
}

// canned answers from a map; what is not in it is acknowledged.
func canned(answers map[string]string) func(string) string {
	return func(payload string) string {
		if a, ok := answers[payload]; ok {
			return a
		}
		return "+"
	}
}

// memory makes an Env whose endpoint is our stub in front of a machine in memory.
func memory(t testing.TB, cfg memtarget.Config) Env {
	m := memtarget.New(cfg)
	server := stub.NewServer(m, stub.Options{AllowKill: true})
	t.Cleanup(func() {
		server.Close()
		m.Close()
	})
	env := serving(t, func(conn net.Conn) { server.ServeConn(context.Background(), conn) })
	env.Symbols = loopSymbols
	return env
}

// loopSymbols are those of memtarget's loop, with the names that the guest programs have.
func loopSymbols(name string) (uint64, error) {
	symbols := map[string]uint64{
		"start": memtarget.LoopStart, "loop": memtarget.LoopStart + 12, "store": memtarget.LoopStart + 16,
		"after_store": memtarget.LoopStart + 20, "counter": memtarget.LoopCounter,
		"unmapped": memtarget.Unmapped, "scratch": memtarget.RAMStart + 0x300000, "register.pc": 15,
	}
	if v, ok := symbols[name]; ok {
		return v, nil
	}
	return 0, fmt.Errorf("no symbol %q", name)
}
