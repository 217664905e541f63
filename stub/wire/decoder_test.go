// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// events feeds chunks to a Decoder and writes down what it finds.
func events(limit int, chunks ...string) []string {
	d := NewDecoder(limit)
	var list []string
	for _, chunk := range chunks {
		for b := []byte(chunk); len(b) > 0; {
			n, ev := d.Next(b)
			b = b[n:]
			switch ev {
			case NeedMore:
				if len(b) > 0 {
					list = append(list, fmt.Sprintf("stopped before %q", b))
					return list
				}
			case Packet:
				list = append(list, "packet "+string(d.Payload()))
			default:
				list = append(list, [...]string{AckByte: "ack", NackByte: "nack", BadEnd: "bad end", TooLong: "too long", NULInside: "NUL"}[ev])
			}
		}
	}
	return list
}

func TestDecoder(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, test := range []struct {
		stream string
		want   []string
	}{
		{"", nil},
		{"$a#|", []string{"packet a"}},
		{"$a#~", []string{"packet a"}},
		{"$#|", []string{"packet "}},
		{"$a#|$b#|", []string{"packet a", "packet b"}},
		{"+-x$a#|\x00-", []string{"ack", "nack", "packet a", "nack"}},
		{"$a$b+-|~#|", []string{"packet a$b+-|~"}},
		{"$a#x$b#|", []string{"bad end", "packet b"}},
		{"$a#$b#|", []string{"bad end"}},
		{"$a##|", []string{"bad end"}},
		{"$a#\x00", []string{"bad end"}},
		{"$a\x00b#|$c#|", []string{"NUL", "packet c"}},
		{"$" + x(10) + "#|", []string{"packet " + x(10)}},
		{"$" + x(11) + "#|", []string{"too long"}},
		{"$" + x(11) + "$b#|", []string{"too long", "packet b"}},
		{"$" + x(10) + "$b#|", []string{"too long"}},
		{"$" + x(10) + "\x00$b#|", []string{"NUL", "packet b"}},
	} {
		if diff := cmp.Diff(test.want, events(10, test.stream)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.stream, diff)
		}
		if diff := cmp.Diff(test.want, events(10, strings.Split(test.stream, "")...)); diff != "" {
			t.Errorf("%q, byte by byte (-want +got):\n%s", test.stream, diff)
		}
	}
	if got := events(0, "$"+x(1<<20)+"#|"); len(got) != 1 || len(got[0]) != len("packet ")+1<<20 {
		t.Errorf("without a limit a packet of 1 MiB gives %d events", len(got))
	}
	if got := events(MaxPayload, "$"+x(1023)+"#|$"+x(1024)+"#|"); len(got) != 2 || got[1] != "too long" {
		t.Errorf("1,023 and 1,024 bytes give %d events", len(got))
	}
}

func TestInside(t *testing.T) {
	d := NewDecoder(0)
	for _, test := range []struct {
		b      string
		inside bool
	}{{"x", false}, {"$", true}, {"a", true}, {"#", true}, {"|", false}, {"$", true}, {"\x00", false}, {"$#", true}, {"x", false}} {
		d.Next([]byte(test.b))
		if d.Inside() != test.inside {
			t.Errorf("behind %q: inside %v, want %v", test.b, d.Inside(), test.inside)
		}
	}
}

func TestAppendPacket(t *testing.T) {
	if got := string(AppendPacket([]byte("+"), []byte("qsystem"))); got != "+$qsystem#|" {
		t.Errorf("%q", got)
	}
}

func TestDecoderAllocatesNothing(t *testing.T) {
	d := NewDecoder(MaxPayload)
	packet := []byte("$m0;1;1075904512;4#|")
	d.Next(packet)
	if n := testing.AllocsPerRun(100, func() { d.Next(packet) }); n > 0 {
		t.Errorf("%v allocations for a packet", n)
	}
}

// FuzzDecoder checks that it does not matter how a stream is cut, that every byte is used once, and that what was found
// rebuilds the stream's packets.
func FuzzDecoder(f *testing.F) {
	for _, s := range []string{
		"$I#|", "$qsystem#~$qcores#|", "+-+-", "$a#x", "$a\x00b#|", "$qs$qsystem#|", "$" + strings.Repeat("x", 1023) + "#|",
		"$" + strings.Repeat("x", 1024) + "#|", "$##|", "xyz$#|\x00\x00",
	} {
		f.Add([]byte(s), uint64(1), uint16(MaxPayload))
		f.Add([]byte(s), uint64(2), uint16(3))
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64, limit uint16) {
		whole := events(int(limit), string(stream))
		random := rand.New(rand.NewPCG(seed, 0))
		var chunks []string
		for rest := string(stream); rest != ""; {
			n := 1 + random.IntN(len(rest))
			chunks = append(chunks, rest[:n])
			rest = rest[n:]
		}
		if diff := cmp.Diff(whole, events(int(limit), chunks...)); diff != "" {
			t.Errorf("%q cut as %q (-whole +cut):\n%s", stream, chunks, diff)
		}
		var packets []byte
		for _, ev := range whole {
			payload, ok := strings.CutPrefix(ev, "packet ")
			if !ok {
				continue
			}
			if strings.ContainsAny(payload, "#\x00") || limit > 0 && len(payload) > int(limit) {
				t.Errorf("%q is no payload", payload)
			}
			packets = AppendPacket(packets, []byte(payload))
		}
		again := events(int(limit), string(packets))
		var only []string
		for _, ev := range whole {
			if strings.HasPrefix(ev, "packet ") {
				only = append(only, ev)
			}
		}
		if diff := cmp.Diff(only, again); diff != "" {
			t.Errorf("the packets of %q, sent again (-want +got):\n%s", stream, diff)
		}
	})
}
