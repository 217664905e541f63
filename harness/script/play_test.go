// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"mcdtest/harness/rawclient"
	"mcdtest/harness/transcript"
	"mcdtest/stub/memtarget"
)

func parsed(t testing.TB, text string) *Script {
	t.Helper()
	s, err := Parse("t.txt", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// answers of the endpoint that most tests talk to.
var answers = map[string]string{
	"I":       "+$shaking your hand#|",
	"a":       "+$x=12.y=00ff.z=1d000000.#|",
	"b":       "+$x=13.y=00ff.z=1e000000.#|",
	"m4096":   "+$00100000#|",
	"m4097":   "+$00001001#|",
	"two":     "+$1#|+$2#|",
	"close":   "EOF",
	"half":    "+$abc",
	"long":    "+$" + strings.Repeat("a", 1000) + "#|",
	"back":    "+$8;2,4;7#|",
	"nothing": "",
	"{a{1}*":  "+${odd}#|",
}

func TestPlay(t *testing.T) {
	for _, test := range []struct{ name, script, err string }{
		{"one line", "> $I#|\n< +$shaking your hand#|\n", ""},
		{"two chunks", "> $I#|\n< +\n< $shaking your hand#|\n", ""},
		{"odd chunks", "> $I#|\n< +$sha\n# remark\n< king your hand#|\n", ""},
		{"send in pieces", "> $I\n> #\n> |\n< +$shaking your hand#|\n", ""},
		{"escapes", "> $I#|\\x00{100}\n< +$shaking\\x20your hand#|\n", ""},
		{"braces that are data", "> $\\x7ba\\x7b1}*#|\n< +$\\x7bodd}#|\n", ""},
		{"pipelined", "> $I#|\n> $a#|\n< +$shaking your hand#|+$x=12.y=00ff.z=1d000000.#|\n", ""},
		{"no answer expected in between", "> $nothing#|\n\n> $I#|\n< +$shaking your hand#|\n", ""},
		{"silence", "> $nothing#|\n# (no answer)\n", ""},
		{"reconnect", "> $I#|\n< +$shaking your hand#|\n> EOF\n> $I#|\n< +$shaking your hand#|\n", ""},
		{"closed by the stub, then again", "> $close#|\n< EOF\n> $I#|\n< +$shaking your hand#|\n", ""},
		{"the remark of the first recordings", "> $close#|\n# (connection closed by the stub)\n", ""},
		{"two clients", "#! client a\n> $I#|\n< +\n#! client b\n> $two#|\n< +$1#|+$2#|\n#! client a\n< $shaking your hand#|\n", ""},
		{"shebang", "#!/usr/bin/env -S mcdtest play\n> $I#|\n< +{*}#|\n", ""},
		{"a remark with an exclamation mark", "# !until\n> $I#|\n< +{*}#|\n", ""},
		{"a directive with a time", "0.000000 #! timeout 4s\n> $I#|\n< +{*}#|\n", ""},
		{"time column", "0.000001 > $I#|\n0.000123 < +$shaking your hand#|\n", ""},

		{"anything", "> $I#|\n< +${*}#|\n", ""},
		{"anything in the middle", "> $a#|\n< +$x={*}.z=1d{*}.#|\n", ""},
		{"anything that is nothing", "> $I#|\n< +$shaking{*} your{*} hand{*}#|\n", ""},
		{"numbers", "> $a#|\n< +$x={num}.y={hex:4}.z={hex}.#|\n", ""},
		{"expressions", "> $a#|\n< +$x={/[0-9]{2}/}.y={/(00|11)ff/}.z={*}.#|\n", ""},
		{"spelling", "> $I#|\n< +$sh{/a|e/}king your hand#|\n", ""},
		{"captures", "> $a#|\n< +$x={n=num}.y=00ff.z=1d000000.#|\n> $a#|\n< +$x={n}.{*}#|\n", ""},
		{"captures within a line", "> $a#|\n< +$x={n=num}.y={*}.z={n+17:hex}{*}#|\n", ""},
		{"a captured text", "> $a#|\n< +$x={*}.y={t=hex:4}.z={*}.#|\n> $a#|\n< +$x=12.y={t}.z=1d000000.#|\n", ""},
		{"a captured expression", "> $a#|\n< +$x={*}.y={t=/f+|0+f+/}.z={*}.#|\n> $a#|\n< +$x=12.y={t}.z=1d000000.#|\n", ""},
		{"growing", "> $a#|\n< +$x={n=num}.y=00ff.z={z=u32}.#|\n> $b#|\n< +$x={num>n}.y=00ff.z={u32>z}.#|\n", ""},
		{"comparisons", "> $a#|\n< +$x={num>=12}.y={be16<=255}.z={u32!=counter}.#|\n", ""},
		{"symbols", "> $m{counter}#|\n< +${le32:counter}#|\n> $m{counter+1}#|\n< +${be32:counter+1}#|\n", ""},
		{"formats", "> $m{counter+0*7}#|\n< +${u32:counter}#|\n> $m4096#|\n< +${word:2*counter-counter}#|\n> $m4096#|\n< +$00{counter:hex}00#|\n", ""},
		{"let", "#! let here = counter + 1\n> $m{here}#|\n< +$0000{here:hex}#|\n", ""},
		{"exact chunks", "#! chunks exact\n> $I#|\n< +$shaking your hand#|\n#! chunks any\n> $I#|\n< +\n< $shaking your hand#|\n", ""},
		{"elided digits", "> $a#|\n< +$x=…{2 digits}.y=00ff.z=1d000000.#|\n", ""},

		{"a capture of an attempt that failed is forgotten", "#! let n = 5\n> $back#|\n< +${*}{num>n};{n=num}#|\n", "t.txt:3: the answer differs"},
		{"a capture of an attempt that fits", "#! let n = 3\n> $back#|\n< +${*}{num>n};{n=num}#|\n> $I#|\n< +$shaking your hand#|\n", ""},
		{"another byte", "# remark\n> $I#|\n< +\n< $shaking my hand#|\n",
			"t.txt:4: the answer differs\n  sent      > $I#|\n  expected  - < +\n            - < $shaking my hand#|\n  got       + < +$shaking your hand#|"},
		{"nack for ack", "> $I#|\n< -\n", "t.txt:2: the answer differs\n"},
		{"too little", "#! timeout 20ms\n> $nothing#|\n< +\n", "t.txt:3: the answer differs: nothing more came within 20ms\n  sent      > $nothing#|\n  expected  - < +\n  got       + # (no answer)"},
		{"half a packet", "#! timeout 300ms\n> $half#|\n< +$abc#|\n", "got       + < +$abc"},
		{"too much", "> $two#|\n< +$1#|\n> $I#|\n< +$shaking your hand#|\n", "t.txt:3: more came than was expected: +$2#|"},
		{"too much at the end", "> $two#|\n< +$1#|\n", "t.txt:2: at the end of the script: more came than was expected: +$2#|"},
		{"too much for an end", "> $two#|\n< +$1#|\n> EOF\n", "t.txt:3: more came than was expected: +$2#|"},
		{"no silence", "#! silence 5s\n> $I#|\n# (no answer)\n", "t.txt:3: the answer differs\n  sent      > $I#|\n  expected  - # (no answer)\n  got       + < +$shaking your hand#|"},
		{"closed", "> $close#|\n< +\n", "t.txt:2: the answer differs\n  sent      > $close#|\n  expected  - < +\n  got       + < EOF"},
		{"closed for silence", "#! silence 5s\n> $close#|\n# (no answer)\n", "t.txt:3: the answer differs\n  sent      > $close#|\n  expected  - # (no answer)\n  got       + < EOF"},
		{"not closed", "#! timeout 20ms\n> $nothing#|\n< EOF\n", "t.txt:3: the answer differs: the connection stayed open for 20ms"},
		{"bytes for an end", "> $I#|\n< EOF\n", "t.txt:2: the answer differs\n  sent      > $I#|\n  expected  - < EOF\n  got       + < +$shaking your hand#|"},
		{"wrong number", "> $a#|\n< +$x={num>12}.{*}#|\n", "t.txt:2: the answer differs: {num>12} wants 12 > 12"},
		{"not growing", "> $b#|\n< +$x={n=num}.{*}#|\n> $a#|\n< +$x={num>n}.{*}#|\n", "t.txt:4: the answer differs: {num>n} wants 12 > 13"},
		{"wrong value", "> $m4096#|\n< +${be32:counter}#|\n", "t.txt:2: the answer differs: {be32:counter} is 00001000"},
		{"wrong digits", "> $I#|\n< +${hex:4}#|\n", "t.txt:2: the answer differs: {hex:4} wants 4 hex digits"},
		{"no digits", "> $I#|\n< +${num}#|\n", "t.txt:2: the answer differs: {num} wants digits"},
		{"no match", "> $a#|\n< +$x={/1[3-9]/}.y=00ff.z=1d000000.#|\n", "t.txt:2: the answer differs: 12.y=00ff.z=1d000000. does not match {/1[3-9]/}"},
		{"pattern does not leave its packet", "> $two#|\n< +${*}2#|\n", "t.txt:2: the answer differs"},
		{"unknown symbol", "\n> $m{nonesuch}#|\n", `t.txt:2: {nonesuch}: no capture "nonesuch", nor a symbol: no symbol "nonesuch"`},
		{"unknown symbol expected", "> $I#|\n< +${u32:nonesuch}#|\n", `t.txt:2: {u32:nonesuch}: no capture "nonesuch", nor a symbol`},
		{"too many ways", "> $long#|\n< +${*}a{*}a{*}a{*}a{*}a{*}a{*}b#|\n", "t.txt:2: the patterns of this answer fit in too many ways"},
		{"text in a sum", "> $a#|\n< +$x={t=*}.{*}#|\n> ${t+1}#|\n", `t.txt:3: {t+1}: t was captured as the text "12"; capture it with num`},
		{"number too large", "> ${u8:counter}#|\n", "t.txt:1: {u8:counter}: 0x1000 does not fit 1 bytes"},
		{"chunks differ", "#! chunks exact\n> $I#|\n< +\n< $shaking your hand#|\n", "t.txt:3: the answer differs: $shaking your hand#| is too much"},
		{"nothing to receive from", "< +\n", "t.txt:1: there is no connection"},
		{"nothing to close", "> EOF\n", "t.txt:1: there is no connection to close"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			env := answering(t, canned(answers))
			env.Symbols = func(name string) (uint64, error) {
				if name == "counter" {
					return 4096, nil
				}
				return 0, errors.New(`no symbol "` + name + `"`)
			}
			err := Play(t.Context(), parsed(t, test.script), env)
			switch {
			case test.err == "" && err != nil:
				t.Error(err)
			case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
				t.Errorf("want error %q, got: %v", test.err, err)
			}
			var mismatch *Mismatch
			var mistake *Mistake
			if differs := strings.Contains(test.err, "differs") || strings.Contains(test.err, "got   "); errors.As(err, &mismatch) != differs {
				t.Errorf("a mismatch: want %v, got: %v", differs, err)
			}
			if wrong := test.err != "" && mismatch == nil && !strings.Contains(test.err, "more came"); errors.As(err, &mistake) != wrong {
				t.Errorf("a mistake in the script: want %v, got: %v", wrong, err)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct{ script, want string }{
		{"> a\nb\n", `t.txt:2: "b" begins with neither`},
		{"> \\q\n", "t.txt:1: column 3: an escape is"},
		{"0.000001 > \\q\n", "t.txt:1: column 12: an escape is"},
		{"> {*}\n", "t.txt:1: column 3: {*} is a pattern: what is sent has to be exact"},
		{"> $m{hex:4}#|\n", "t.txt:1: column 5: {hex:4} is a pattern"},
		{"> {x\n", "t.txt:1: column 3: no `}` behind"},
		{"< {/x}\n", "t.txt:1: column 3: a regular expression ends in `/}`"},
		{"< {/(/}\n", "t.txt:1: column 3: {/(/}: error parsing regexp"},
		{"< {hex:0}\n", `{hex:0}: "0" is not a number of digits`},
		{"< {hex:x}\n", `{hex:x}: "x" is not a number of digits`},
		{"< {hex>3}\n", "only num, word, u32 and the like can be compared, not hex"},
		{"< {*>3}\n", "can be compared, not *"},
		{"< {num>}\n", "an expression is missing"},
		{"< {num>3-}\n", "a name or a number is missing"},
		{"< {a=b}\n", `"b" is no pattern`},
		{"< {num=num}\n", `"num" is a word of the script language`},
		{"< {a b}\n", `"b" is too much`},
		{"< {a:b}\n", `neither "a" nor "b" is a format`},
		{"< {u32:hex}\n", `"hex" is a word of the script language`},
		{"< {u32:3x}\n", `"3x" is not a number`},
		{"> …{12 digits}\n", "the line is abbreviated"},
		{"#! sleep 5s\n", `t.txt:1: no directive "sleep"`},
		{"#! until soon\n> a\n< b\n", "t.txt:1: `until` wants a time such as 5s or 20ms, not \"soon\""},
		{"#! until 5s\n> a\n", "`until` without an answer to wait for"},
		{"#! until 5s\n> a\n> EOF\n", "`until` without an answer to wait for"},
		{"#! timeout -1s\n", "`timeout` wants a time"},
		{"#! silence\n", "`silence` wants a time"},
		{"#! chunks no\n", "`chunks` is `exact` or `any`, not \"no\""},
		{"", "t.txt:1: nothing is sent and nothing expected"},
		{"# remark\n\n", "nothing is sent and nothing expected"},
		{"#! client\n", "`client` wants one name"},
		{"#! let x\n", "`let` wants NAME = EXPRESSION"},
		{"#! let hex = 3\n", "`let` wants NAME = EXPRESSION"},
		{"#! let x = y +\n", "`let x`: \"y +\" is not an expression"},
	} {
		_, err := Parse("t.txt", strings.NewReader(test.script))
		var e *Error
		var m *Mistake
		if !errors.As(err, &e) || !errors.As(err, &m) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: want error %q, got %v", test.script, test.want, err)
		}
	}
	if _, err := ParseFile("testdata/nonesuch"); err == nil || !strings.Contains(err.Error(), "testdata/nonesuch") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestUntil(t *testing.T) {
	n := 0
	env := answering(t, func(payload string) string {
		if payload != "s" {
			return "+"
		}
		if n++; n < 5 {
			return "+$running#|"
		}
		return "+$debug#|"
	})
	s := parsed(t, "> $c#|\n< +\n#! until 5s\n> $s#|\n< +\n< $debug#|\n> $c#|\n< +\n")
	if err := Play(t.Context(), s, env); err != nil || n != 5 {
		t.Errorf("asked %d times: %v", n, err)
	}
	n = -1 << 30
	s = parsed(t, "#! until 20ms\n> $s#|\n< +$debug#|\n")
	err := Play(t.Context(), s, env)
	var mismatch *Mismatch
	if !errors.As(err, &mismatch) || !strings.HasPrefix(err.Error(), "t.txt:3: not within 20ms, sent ") || !strings.Contains(err.Error(), "got       + < +$running#|") {
		t.Errorf("got: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	s = parsed(t, "#! until 20s\n> $s#|\n< +$debug#|\n")
	if err := Play(ctx, s, env); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got: %v", err)
	}
}

// What an attempt captured that did not fit in the end is forgotten before the next.
func TestUntilForgetsCaptures(t *testing.T) {
	n := 0
	env := serving(t, func(conn net.Conn) {
		buf := make([]byte, 100)
		for {
			if _, err := conn.Read(buf); err != nil {
				return
			}
			if n++; n < 3 {
				conn.Write([]byte("6\n7\nno\n"))
			} else {
				conn.Write([]byte("6\n7\nyes\n"))
			}
		}
	})
	s := parsed(t, "#! let a = 5\n#! until 1s\n> {\"x\":1}\n< {num>a}\n< {a=num}\n< yes\n")
	if err := Play(t.Context(), s, env); err != nil || n != 3 {
		t.Errorf("asked %d times: %v", n, err)
	}
}

// A script ends at once when the machine does, with the reason.
func TestMachineGone(t *testing.T) {
	gone := make(chan struct{})
	env := answering(t, func(string) string {
		close(gone)
		return ""
	})
	cause := errors.New("exit status 1")
	env.Gone, env.GoneErr = gone, func() error { return cause }
	start := time.Now()
	err := Play(t.Context(), parsed(t, "> $x#|\n< +\n"), env)
	if !errors.Is(err, cause) || !errors.Is(err, rawclient.ErrGone) || !strings.Contains(err.Error(), "t.txt:2: ") {
		t.Errorf("got: %v", err)
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestDialFails(t *testing.T) {
	cause := errors.New("connection refused")
	err := Play(t.Context(), parsed(t, "\n> x\n"), Env{Dial: func(context.Context) (net.Conn, error) { return nil, cause }})
	if !errors.Is(err, cause) || !strings.HasPrefix(err.Error(), "t.txt:2: connect to the endpoint") {
		t.Errorf("got: %v", err)
	}
	if err := Play(t.Context(), parsed(t, "> x\n"), Env{}); err == nil {
		t.Error("no error without an endpoint")
	}
}

// The bytes of a number depend on the machine, its words too.
func TestByteOrder(t *testing.T) {
	env := answering(t, canned(map[string]string{"m": "+$00001000#|", "p": "+$0000000000001000#|"}))
	env.ByteOrder, env.WordBytes = binary.BigEndian, 8
	s := parsed(t, "> $m#|\n< +${u32:4096}#|\n> $m#|\n< +${v=u32>4095}#|\n> $p#|\n< +${word:4096}#|\n> $p#|\n< +${word<4097}#|\n> $m#|\n< +${le32:0x100000}#|\n")
	if err := Play(t.Context(), s, env); err != nil {
		t.Error(err)
	}
}

// A recording of a played script is a script, with its remarks, that can be played in turn.
func TestRecordingIsAScript(t *testing.T) {
	env := memory(t, memtarget.ARMLoop())
	env.Recorder = transcript.NewRecorder(0)
	s := parsed(t, "# greet\n> $I#|\n< +${*}#|\n> $x{3}\\x00#|\n# (no answer)\n> EOF\n> $qsystem#|\n< +$qemu-system#|\n")
	if err := Play(t.Context(), s, env); err != nil {
		t.Fatal(err)
	}
	text := transcript.Format(env.Recorder.Entries())
	if !strings.HasPrefix(string(text), "# greet\n> $I#|\n< +") {
		t.Errorf("recorded:\n%s", text)
	}
	again, err := Parse("again", strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	env = memory(t, memtarget.ARMLoop())
	if err := Play(t.Context(), again, env); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestJSON(t *testing.T) {
	env := memory(t, memtarget.ARMLoop())
	s := parsed(t, `> {"execute": "mcd-open-server", "arguments": {"system-key": "", "config-string": ""}}
< {"return":{{*}"server-uid":{server=num}{*}}}
> {"execute": "mcd-nonesuch"}
< {"error":{{*}}}
> {"execute": "mcd-close-server", "arguments": {"server-uid": {server}}}
< {"return":{"return-status":0}}
`)
	if err := Play(t.Context(), s, env); err != nil {
		t.Error(err)
	}
}

// A stub that does not stop talking is answered with a mismatch, and not listened to for ever.
func TestPlayOfAStubThatDoesNotStopTalking(t *testing.T) {
	env := serving(t, func(conn net.Conn) {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			if _, err := conn.Write([]byte("+")); err != nil {
				return
			}
			<-tick.C
		}
	})
	env.Timeout = 300 * time.Millisecond
	env.Settle = time.Second
	played := make(chan error, 1)
	go func() { played <- Play(t.Context(), parsed(t, "> $I#|\n< +$x#|\n"), env) }()
	select {
	case err := <-played:
		var m *Mismatch
		if !errors.As(err, &m) {
			t.Errorf("got %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it is still listened to")
	}
}
