// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mcdtest/stub/memtarget"
	"mcdtest/stub/target"
	"mcdtest/stub/wire"
)

// count is what the framing rules say of a stream that begins with a new connection: how many '+' and '-' answer it. It is written
// without the package that is tested.
func count(stream []byte) (acks, nacks int) {
	const (
		between = iota
		inside
		end
	)
	state, length := between, 0
	for _, c := range stream {
		switch state {
		case between:
			if c == '$' {
				state, length = inside, 0
			}
		case inside:
			switch {
			case c == '#':
				state = end
			case c == 0:
				state = between
			case length == 1023:
				state = between
			default:
				length++
			}
		case end:
			if c == '|' || c == '~' {
				acks++
			} else {
				nacks++
			}
			state = between
		}
	}
	return acks, nacks
}

// answers takes what a stub sends apart: acknowledgements and packets.
type answers struct {
	all                  []byte
	acks, nacks, packets int
	inPacket             bool
	stray                []byte // what is none of them
}

func (a *answers) add(p []byte) {
	for _, c := range p {
		a.all = append(a.all, c)
		switch {
		case a.inPacket:
			if c == '|' && a.all[len(a.all)-2] == '#' {
				a.packets++
				a.inPacket = false
			}
		case c == '+':
			a.acks++
		case c == '-':
			a.nacks++
		case c == '$':
			a.inPacket = true
		default:
			a.stray = append(a.stray, c)
		}
	}
}

// FuzzSession feeds a stream to a session, cut into two chunks, and then asks a good question.
func FuzzSession(f *testing.F) {
	for _, seed := range recordedStreams(f) {
		f.Add(seed, uint16(len(seed)/2))
	}
	for _, r := range wire.Requests {
		for _, a := range []string{"", "0", "0;1", "0;1;1075904512", "0;1;1075904512;4", "0;1;1075904512;4;00112233", "-1", "18446744073709551616"} {
			f.Add([]byte("$i0#|$"+r.Name+a+"#|"), uint16(4))
		}
	}
	const question = "$qsystem#|"
	const answer = "+$qemu-system#|"
	f.Fuzz(func(t *testing.T, stream []byte, at uint16) {
		cfg := memtarget.ARMLoop()
		cfg.Cores, cfg.Secure, cfg.Manual = 2, true, true
		m := memtarget.New(cfg)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		client, stub := net.Pipe()
		served := make(chan error, 1)
		go func() { served <- NewDialect(m, new(target.Reports), Options{MaxRead: 4096}).Serve(ctx, stub) }()
		defer func() {
			client.Close()
			<-served
			m.Close()
		}()
		client.SetDeadline(time.Now().Add(patience))

		// "$#x" ends whatever is open; the second one is seen as a packet with a bad end by any stub, so a '-' comes right before
		// the answers.
		whole := append(stream[:len(stream):len(stream)], "$#x$#x"+question+question...)
		wantAcks, wantNacks := count(whole)
		last := []byte("-" + answer + answer)

		received := make(chan answers, 1)
		go func() {
			var got answers
			buf := make([]byte, 4096)
			for {
				n, err := client.Read(buf)
				got.add(buf[:n])
				if err != nil || got.acks >= wantAcks && bytes.HasSuffix(got.all, last) {
					received <- got
					return
				}
			}
		}()
		cut := min(int(at), len(whole))
		for _, chunk := range [][]byte{whole[:cut], whole[cut:]} {
			if _, err := client.Write(chunk); err != nil {
				t.Fatalf("the stub does not take the stream: %v; Serve says %v", err, ended(served))
			}
		}
		got := <-received
		if !bytes.HasSuffix(got.all, last) {
			t.Fatalf("good questions after the stream are not answered: %q; Serve says %v", got.all, ended(served))
		}
		if got.acks != wantAcks || got.nacks != wantNacks || len(got.stray) > 0 {
			t.Errorf("%d '+', %d '-', between packets %q; want %d '+', %d '-'", got.acks, got.nacks, got.stray, wantAcks, wantNacks)
		}
		if err := m.Err(); err != nil {
			t.Errorf("the machine has ended: %v", err)
		}
	})
}

func ended(served chan error) any {
	select {
	case err := <-served:
		served <- err
		return err
	default:
		return "that it runs"
	}
}

// recordedStreams are the client's halves of the recordings of the published stub.
func recordedStreams(f *testing.F) [][]byte {
	files, err := filepath.Glob(filepath.Join("testdata", "*.txt"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no recordings in testdata: %v", err)
	}
	var streams [][]byte
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		var stream []byte
		for line := range strings.Lines(string(text)) {
			if sent, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "> "); ok {
				stream = appendUnescaped(stream, sent)
			}
			if strings.HasPrefix(line, "# connection") && len(stream) > 0 {
				streams = append(streams, stream)
				stream = nil
			}
		}
		streams = append(streams, stream)
	}
	return streams
}

// appendUnescaped reads the recordings' way to write bytes: \xNN, and X{N} for a run.
func appendUnescaped(dst []byte, s string) []byte {
	for s != "" {
		c := s[0]
		s = s[1:]
		if c == '\\' && len(s) >= 3 && s[0] == 'x' {
			if v, err := strconv.ParseUint(s[1:3], 16, 8); err == nil {
				c = byte(v)
				s = s[3:]
			}
		}
		n := 1
		if run, rest, ok := strings.Cut(s, "}"); ok && strings.HasPrefix(run, "{") {
			if v, err := strconv.Atoi(run[1:]); err == nil {
				n, s = v, rest
			}
		}
		for range n {
			dst = append(dst, c)
		}
	}
	return dst
}
