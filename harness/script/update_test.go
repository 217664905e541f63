// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"mcdtest/harness/transcript"
	"mcdtest/stub/memtarget"
	"mcdtest/stub/wire"
)

func TestUpdate(t *testing.T) {
	for _, test := range []struct{ name, script, want string }{
		{"nothing to do", "# a\n\n> $I#|\n< +\n< ${*}#|\n", ""},
		{"remarks and layout stay", "#!/usr/bin/env x\n# a\n> $I#|\n< +\n# b\n< $sh{*}#|\n\n\n#! timeout 3s\n> $two#|\n< +$1#|\n< +$3#|\n# end\n",
			"#!/usr/bin/env x\n# a\n> $I#|\n< +\n# b\n< $sh{*}#|\n\n\n#! timeout 3s\n> $two#|\n< +$1#|\n< +$2#|\n# end\n"},
		{"a first recording", "# greet\n> $I#|\n# more\n> $two#|\n\n> $nothing#|\n> $close#|\n",
			"# greet\n> $I#|\n< +$shaking your hand#|\n# more\n> $two#|\n< +$1#|\n< +$2#|\n\n> $nothing#|\n> $close#|\n< EOF\n"},
		{"a plain answer", "> $I#|\n< +$hello#|\n", "> $I#|\n< +$shaking your hand#|\n"},
		{"more than before", "> $I#|\n< +\n\n> EOF\n", "> $I#|\n< +\n< $shaking your hand#|\n\n> EOF\n"},
		{"more than before at the end", "> $I#|\n< +\n", "> $I#|\n< +\n< $shaking your hand#|\n"},
		{"closed at the end", "> $I#|\n< +{*}#|\n> $close#|\n", "> $I#|\n< +{*}#|\n> $close#|\n< EOF\n"},
		{"an answer becomes nothing", "#! timeout 20ms\n> $nothing#|\n< +\n< $x#|\n", "#! timeout 20ms\n> $nothing#|\n# (no answer)\n"},
		{"nothing becomes an answer", "#! silence 5s\n> $I#|\n# (no answer)\n", "#! silence 5s\n> $I#|\n< +$shaking your hand#|\n"},
		{"the stub closes", "> $close#|\n< +\n> $I#|\n< +{*}#|\n", "> $close#|\n< EOF\n> $I#|\n< +{*}#|\n"},
		{"the stub does not close", "#! timeout 20ms\n> $I#|\n< +${*}#|\n< EOF\n", "#! timeout 20ms\n> $I#|\n< +${*}#|\n# (no answer)\n"},
		{"patterns that fit stay", "> $a#|\n< +$x={n=num}.y=1234.z={hex:8}.#|\n> $m{n+4084}#|\n< +${le32:4096}#|\n",
			"> $a#|\n< +$x={n=num}.y=00ff.z={hex:8}.#|\n> $m{n+4084}#|\n< +${le32:4096}#|\n"},
		{"patterns that do not fit go", "> $a#|\n< +$x={num>12}.y={hex:4}.z={*}.#|\n", "> $a#|\n< +$x=12.y={hex:4}.z={*}.#|\n"},
		{"a field more", "> $a#|\n< +$x={n=num}.z={hex:8}.#|\n", "> $a#|\n< +$x={n=num}.y=00ff.z={hex:8}.#|\n"},
		{"a field less", "> $a#|\n< +$x={n=num}.w=7.v={num}.y={hex:4}.z={hex:8}.#|\n", "> $a#|\n< +$x={n=num}.y={hex:4}.z={hex:8}.#|\n"},
		{"a pattern for the rest stays", "> $a#|\n< +$x=13.{*}#|\n", "> $a#|\n< +$x=12.{*}#|\n"},
		{"a pattern for several fields stays", "> $a#|\n< +$x={*}.z=00000000.{/.*/}#|\n", "> $a#|\n< +$x={*}.z=1d000000.{/.*/}#|\n"},
		{"values that fit stay", "> $m4096#|\n< +${le32:4096}#~\n", "> $m4096#|\n< +${le32:4096}#|\n"},
		{"what looks like a pattern is escaped", "> $\\x7ba\\x7b1}*#|\n< +x\n", "> $\\x7ba\\x7b1}*#|\n< +$\\x7bodd}#|\n"},
		{"until is satisfied", "#! until 5s\n> $count#|\n< +$3#|\n", ""},
		{"until is not", "#! until 20ms\n> $two#|\n< +$1#|\n< +$3#|\n", "#! until 20ms\n> $two#|\n< +$1#|\n< +$2#|\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := 0
			plain := canned(answers)
			env := answering(t, func(payload string) string {
				if payload == "count" {
					n++
					return "+$" + string(rune('0'+n)) + "#|"
				}
				return plain(payload)
			})
			if test.want == "" {
				test.want = test.script
			}
			got, err := Update(t.Context(), parsed(t, test.script), env)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.want, string(got)); d != "" {
				t.Errorf("- want / + got\n%s", d)
			}
		})
	}
}

// A stub that lets its client wait for the reply behind the acknowledgement is not cut off.
func TestUpdateSlowStub(t *testing.T) {
	env := serving(t, func(conn net.Conn) {
		buf := make([]byte, 100)
		for {
			if _, err := conn.Read(buf); err != nil {
				return
			}
			conn.Write([]byte("+"))
			<-time.After(60 * time.Millisecond) // three times Env.Settle
			conn.Write([]byte("$late#|"))
		}
	})
	got, err := Update(t.Context(), parsed(t, "> $qsystem#|\n\n> $qsystem#|\n< +$early#|\n"), env)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff("> $qsystem#|\n< +$late#|\n\n> $qsystem#|\n< +$late#|\n", string(got)); d != "" {
		t.Errorf("- want / + got\n%s", d)
	}
}

// lateConn sends from the second time on only when the other end has closed.
type lateConn struct {
	net.Conn
	writes int
	closed <-chan struct{}
}

func (c *lateConn) Write(p []byte) (int, error) {
	if c.writes++; c.writes > 1 {
		<-c.closed
	}
	return c.Conn.Write(p)
}

// A stub that has closed the connection when the next request is sent is noted in front of that request.
func TestUpdateClosedInBetween(t *testing.T) {
	closed := make(chan struct{})
	n := 0
	env := serving(t, func(conn net.Conn) {
		if n++; n == 1 {
			conn.Read(make([]byte, 100))
			conn.Write([]byte("+"))
			conn.Close()
			close(closed)
			return
		}
		conn.Read(make([]byte, 100))
		conn.Write([]byte("+$b#|"))
	})
	dial := env.Dial
	env.Dial = func(ctx context.Context) (net.Conn, error) {
		conn, err := dial(ctx)
		return &lateConn{Conn: conn, closed: closed}, err
	}
	got, err := Update(t.Context(), parsed(t, "> $a#|\n< +\n> $b#|\n< +{*}#|\n"), env)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff("> $a#|\n< +\n< EOF\n> $b#|\n< +{*}#|\n", strings.TrimSuffix(string(got), "< EOF\n")); d != "" {
		t.Errorf("- want / + got\n%s", d)
	}
}

func TestUpdateErrors(t *testing.T) {
	for _, test := range []struct{ script, want string }{
		{"> ${nonesuch}#|\n", `t.txt:1: {nonesuch}: no capture "nonesuch"`},
		{"> $a#|\n< +${n=le32}.#|\n> ${n}#|\n", `t.txt:3: {n}: no capture "n"`}, // it did not fit and is gone
		{"> EOF\n", "t.txt:1: there is no connection to close"},
	} {
		_, err := Update(t.Context(), parsed(t, test.script), answering(t, canned(answers)))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: want error %q, got %v", test.script, test.want, err)
		}
	}
}

func TestUpdateJSON(t *testing.T) {
	env := memory(t, memtarget.ARMLoop())
	s := parsed(t, `> {"execute":"mcd-open-server","arguments":{"system-key":"","config-string":""}}
< {"return":{"return-status":3,"server-uid":{server=num},"host":"{*}","config-string":""}}
> {"execute":"mcd-close-server","arguments":{"server-uid":{server}}}
`)
	const want = `> {"execute":"mcd-open-server","arguments":{"system-key":"","config-string":""}}
< {"return":{"return-status":0,"server-uid":{server=num},"host":"{*}","config-string":""}}
> {"execute":"mcd-close-server","arguments":{"server-uid":{server}}}
< {"return":{"return-status":0}}
`
	got, err := Update(t.Context(), s, env)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("- want / + got\n%s", d)
	}
}

// What Update writes is what was received, whatever stood there before.
func TestUpdatedScriptsPlay(t *testing.T) {
	payload := rapid.StringMatching(`[a-c1-3.=;!+$\\{}* ]{0,12}`)
	expected := rapid.SampledFrom([]string{"a", "1", "12", ".", "=", ";", "!", "+", "$", " ", "\\x7b", "{*}", "{num}", "{x=num}", "{hex:2}", "{hex}", "{/[a-c]+/}", "#|", "{num>1}"})
	rapid.Check(t, func(rt *rapid.T) {
		reply := "+" + string(wire.AppendPacket(nil, []byte(payload.Draw(rt, "reply"))))
		text := strings.Join(rapid.SliceOfN(expected, 1, 8).Draw(rt, "expected"), "")
		s, err := Parse("t.txt", strings.NewReader("> $x#|\n< +$"+text+"#|\n"))
		if err != nil {
			rt.Skip(err)
		}
		p := newPlayer(s, Env{})
		lines := p.rewrite(s.exchanges[0].expects, []byte(reply))
		again := "> $x#|\n"
		for _, l := range lines {
			again += "< " + l + "\n"
		}
		s, err = Parse("t.txt", strings.NewReader(again))
		if err != nil {
			rt.Fatalf("%q for %q: %v", again, reply, err)
		}
		var tokens []token
		for _, l := range s.exchanges[0].expects {
			tokens = append(tokens, l.tokens...)
		}
		if _, _, v := newPlayer(s, Env{}).match(tokens, []byte(reply), true); v != matched {
			rt.Fatalf("%q does not match %q", again, reply)
		}
	})
}

// The answers of a recording are made anew from its client's half.
func TestUpdateMakesARecording(t *testing.T) {
	env := memory(t, memtarget.ARMLoop())
	full := "> $I#|\n< +$shaking your hand#|\n\n> $qsystem#|\n< +$qemu-system#|\n\n> $qstate0#|\n< +$state=halted.event=0.thread=0.type=0.address=0.stop_str=.info_str=vm halted since boot.#|\n"
	var half []string
	for _, l := range strings.SplitAfter(full, "\n") {
		if !strings.HasPrefix(l, "<") {
			half = append(half, l)
		}
	}
	got, err := Update(t.Context(), parsed(t, strings.Join(half, "")), env)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(full, string(got)); d != "" {
		t.Errorf("- want / + got\n%s", d)
	}
	if _, err := transcript.Parse(strings.NewReader(string(got))); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"> $I#|\n< +{*}\n", "#! until 5s\n> a\n< {n=u32>=4+x*3}{/a{2}/}\n", "> {\"a\":{x}}\n< {\"b\":\"…12\"}\n",
		"#! let a = b-1\n#! client q\n> EOF\n< …{12 digits}\n# (no answer)\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("f", strings.NewReader(text))
		if err != nil {
			return
		}
		p := newPlayer(s, Env{})
		for _, x := range s.exchanges {
			for _, l := range x.expects {
				if len(l.text) < 200 {
					p.match(l.tokens, []byte("+$x=12.y=00ff.z=1d000000.#|"), false)
				}
			}
		}
	})
}
