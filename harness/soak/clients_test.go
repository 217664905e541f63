// SPDX-License-Identifier: Apache-2.0

package soak

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"mcdtest/harness/debugger"
	"mcdtest/harness/jsonclient"
	"mcdtest/harness/rawclient"
	"mcdtest/stub/wire"
)

// behaviour is a client. It may fail in any way: the server may drop it, the machine may end.
type behaviour struct {
	name string
	run  func(ctx context.Context, conn net.Conn, r *rand.Rand, g places)
}

// places are addresses of the guest, and whether there is time for what takes long.
type places struct {
	loop, scratch, counter, ram uint64
	long                        bool
}

var behaviours = []behaviour{
	{"packet worker", work},
	{"packet pipeline", pipeline},
	{"packet that does not read", stall},
	{"packet rubbish", rubbish},
	{"packet, changed", changed},
	{"half a packet", half},
	{"silence", silence},
	{"nothing at all", func(context.Context, net.Conn, *rand.Rand, places) {}},
	{"json worker", objects},
	{"json that does not read", stallObjects},
	{"json rubbish", rubbishObjects},
	{"half an object", halfObject},
}

// request is one that makes sense, most of the time.
func request(r *rand.Rand, g places) string {
	at := []uint64{g.loop, g.scratch, g.counter, g.ram, 0, r.Uint64()}[r.IntN(6)]
	switch r.IntN(16) {
	case 0:
		return "I"
	case 1:
		return fmt.Sprintf("C%d;0", r.IntN(2))
	case 2:
		return "b"
	case 3:
		return fmt.Sprintf("c%d;0", r.IntN(2))
	case 4:
		return fmt.Sprintf("p0;%d", r.IntN(100))
	case 5:
		return fmt.Sprintf("P0;%d;4;%08x", r.IntN(15), r.Uint32())
	case 6:
		return fmt.Sprintf("m0;%d;%d;%d", 1+r.IntN(3), at, 1<<r.IntN(14))
	case 7:
		return fmt.Sprintf("M0;%d;%d;4;%08x", 1+r.IntN(2), g.scratch+uint64(r.IntN(100)), r.Uint32())
	case 8, 9:
		return fmt.Sprintf("%c0;%d;%d", "tT"[r.IntN(2)], 1+r.IntN(4), at)
	case 10:
		return "qregf0"
	case 11:
		return fmt.Sprintf("qregc%d", r.IntN(400))
	case 12:
		return "i0"
	case 13:
		return []string{"qsystem", "qcores", "qtrigger", "qresetf", "qmemoryf0", "qreggroupf0"}[r.IntN(6)]
	case 14:
		if r.IntN(10) == 0 {
			return "r0"
		}
	}
	return "qstate0"
}

func work(ctx context.Context, conn net.Conn, r *rand.Rand, g places) {
	c := rawclient.New(conn, rawclient.Options{Timeout: time.Second})
	defer c.Close()
	if _, err := c.OpenServer(ctx); err != nil {
		return
	}
	if c.OpenCore(ctx, 0) != nil {
		return
	}
	for range r.IntN(100) {
		if _, err := c.Do(ctx, request(r, g)); err != nil {
			return
		}
	}
	if r.IntN(2) == 0 {
		c.CloseServer(ctx)
	}
}

func pipeline(ctx context.Context, conn net.Conn, r *rand.Rand, g places) {
	out := []byte("$i0#|")
	for range 300 {
		out = wire.AppendPacket(out, []byte(request(r, g)))
	}
	go conn.Write(append(out, "$qsystem#|"...)) // ends with the connection
	conn.SetReadDeadline(time.Now().Add(time.Second))
	io.Copy(io.Discard, io.LimitReader(conn, 1<<20))
}

// stall asks for far more than sockets hold and reads nothing until it is dropped, or bored.
func stall(ctx context.Context, conn net.Conn, r *rand.Rand, g places) {
	text := "$i0#|" + strings.Repeat(fmt.Sprintf("$m0;1;%d;1000000#|", g.ram), 20)
	conn.SetWriteDeadline(time.Now().Add(time.Second))
	for range 50 {
		if _, err := io.WriteString(conn, text); err != nil {
			return
		}
	}
}

func rubbish(ctx context.Context, conn net.Conn, r *rand.Rand, _ places) {
	p := make([]byte, r.IntN(20_000))
	for i := range p {
		if r.IntN(3) == 0 {
			p[i] = "$#|~+-;0"[r.IntN(8)]
		} else {
			p[i] = byte(r.Uint32())
		}
	}
	if len(p) > 0 {
		p[0] = '$'
	}
	conn.SetDeadline(time.Now().Add(300 * time.Millisecond))
	conn.Write(p)
	io.Copy(io.Discard, conn)
}

// changed sends requests with a few bytes replaced.
func changed(ctx context.Context, conn net.Conn, r *rand.Rand, g places) {
	out := []byte("$i0#|")
	for range 50 {
		p := wire.AppendPacket(nil, []byte(request(r, g)))
		for range r.IntN(3) {
			p[r.IntN(len(p))] = byte(r.Uint32())
		}
		out = append(out, p...)
	}
	conn.SetDeadline(time.Now().Add(300 * time.Millisecond))
	conn.Write(out)
	io.Copy(io.Discard, conn)
}

func half(_ context.Context, conn net.Conn, r *rand.Rand, g places) {
	p := wire.AppendPacket(nil, []byte(request(r, g)))
	conn.Write(p[:r.IntN(len(p))])
}

// silence waits until the server loses its patience, or leaves before that, which costs less time.
func silence(_ context.Context, conn net.Conn, r *rand.Rand, g places) {
	limit := time.Second
	if g.long && r.IntN(8) == 0 {
		limit = 2 * impatience
	}
	conn.SetReadDeadline(time.Now().Add(limit))
	conn.Read(make([]byte, 1))
}

func objects(ctx context.Context, conn net.Conn, r *rand.Rand, g places) {
	c := jsonclient.New(conn, jsonclient.Options{Timeout: time.Second})
	defer c.Close()
	d := debugger.NewJSON(c)
	if d.Open(ctx) != nil {
		return
	}
	cores, err := d.Cores(ctx)
	if err != nil {
		return
	}
	logical, err := cores[0].Logical(false)
	if err != nil {
		return
	}
	for range r.IntN(30) {
		switch r.IntN(6) {
		case 0:
			d.Go(ctx, debugger.AllCores)
		case 1:
			d.Stop(ctx, debugger.AllCores)
		case 2:
			d.Step(ctx, 0)
		case 3:
			_, err = d.State(ctx, 0)
		default:
			d.ReadMemory(ctx, 0, logical.ID, g.ram, 1<<r.IntN(16))
		}
		if err != nil {
			return
		}
	}
	if r.IntN(2) == 0 {
		d.Close(ctx)
	}
}

func stallObjects(_ context.Context, conn net.Conn, _ *rand.Rand, _ places) {
	text := strings.Repeat(`{"execute":"mcd-qry-servers","arguments":{"host":"","running":true,"start-index":0,"num-servers":1}}`+"\n", 1000)
	conn.SetWriteDeadline(time.Now().Add(time.Second))
	for range 100 {
		if _, err := io.WriteString(conn, text); err != nil {
			return
		}
	}
}

func rubbishObjects(_ context.Context, conn net.Conn, r *rand.Rand, _ places) {
	const alphabet = `{}[]",:\ 01etfmcd-qry` + "\n\x00\xff"
	p := make([]byte, 1+r.IntN(20_000))
	for i := range p {
		p[i] = alphabet[r.IntN(len(alphabet))]
	}
	p[0] = '{'
	if r.IntN(4) == 0 { // depth
		p = []byte(strings.Repeat(`{"arguments":[`, 50_000))
	}
	conn.SetDeadline(time.Now().Add(300 * time.Millisecond))
	conn.Write(p)
	io.Copy(io.Discard, conn)
}

func halfObject(_ context.Context, conn net.Conn, r *rand.Rand, _ places) {
	text := `{"execute":"mcd-open-server","arguments":{"system-key":"","config-string":""}}`
	io.WriteString(conn, text[:1+r.IntN(len(text)-1)])
}
