// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"context"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"mcdtest/stub/target"
	"mcdtest/stub/wire"
)

// segments keeps what is written, by call.
type segments struct {
	net.Conn
	list []string
}

func (c *segments) Write(p []byte) (int, error) {
	c.list = append(c.list, string(p))
	return len(p), nil
}

// A change is acknowledged before it is made; what changes nothing is acknowledged together with its reply.
func TestSegments(t *testing.T) {
	for _, test := range []struct {
		payload string
		want    []string
	}{
		{"qsystem", []string{"+$qemu-system#|"}},
		{"qstate0", []string{"+$" + atBoot + "#|"}},
		{"m0;1;1075838976;4", []string{"+$0000a0e3#|"}},
		{"m0;1;4026531840;4", []string{"+$error#|"}},
		{"p0;15", []string{"+$00002040#|"}},
		{"M0;1;1075904512;1;00", []string{"+", "$success#|"}},
		{"P0;0;4;00000000", []string{"+", "$success#|"}},
		{"t0;1;0", []string{"+", "$success#|"}},
		{"T0;1;0", []string{"+", "$success#|"}},
		{"t0;9;0", []string{"+$error#|"}},
		{"C0;0", []string{"+"}},
		{"b", []string{"+"}},
	} {
		conn := new(segments)
		s := newSession(NewDialect(loop(t, nil), new(target.Reports), Options{}), conn)
		s.ctx = t.Context()
		s.request([]byte("i0"))
		if test.payload == "T0;1;0" {
			s.request([]byte("t0;1;0"))
		}
		conn.list, s.out, s.sent = nil, nil, 0
		s.decoder.Next(wire.AppendPacket(nil, []byte(test.payload)))
		if err := s.handle(wire.Packet); err != nil {
			t.Fatal(err)
		}
		if err := s.finish(); err != nil {
			t.Fatal(err)
		}
		if len(conn.list) != len(test.want) {
			t.Errorf("%s: %q, want %q", test.payload, conn.list, test.want)
			continue
		}
		for i, want := range test.want {
			if conn.list[i] != want {
				t.Errorf("%s: segment %d is %q, want %q", test.payload, i, conn.list[i], want)
			}
		}
	}
}

// sluggish takes about as long for a read as the watchdog holds a '+' back.
type sluggish struct{ target.Target }

func (s sluggish) ReadRegister(ctx context.Context, core, number int, p []byte) ([]byte, error) {
	timer := time.NewTimer(time.Duration(rand.Int64N(int64(3 * alert))))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return s.Target.ReadRegister(ctx, core, number, p)
}

func TestALateAcknowledgementIsSentOnce(t *testing.T) {
	p := open(t, sluggish{loop(t, nil)}, Options{})
	p.does("i0")
	for range 50 {
		p.send("$qsystem#|$p0;15#|$p0;0#|")
		p.expect("+$qemu-system#|+$00002040#|+$00000000#|")
	}
	p.settled()
}
