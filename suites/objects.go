// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"mcdtest/harness/debugger"
	"mcdtest/harness/jsonclient"
	"mcdtest/stub/jsonwire"
)

// objectSeat is a client of the JSON dialect with everything open, and what it was told.
type objectSeat struct {
	*Machine
	c *jsonclient.Client
	d *debugger.JSON // the session on the same connection

	server uint32
	cons   []jsonwire.Con // of the cores
	uids   []uint32       // of the cores
	spaces []jsonwire.MemSpace
}

// objectSeat opens a session on a new connection; earlier ones are dropped.
func (m *Machine) objectSeat(ctx context.Context) *objectSeat {
	ginkgo.GinkgoHelper()
	m.hangUp()
	o := &objectSeat{Machine: m, c: m.Objects(ctx)}
	o.open(ctx)
	return o
}

// open opens everything on the seat's connection.
func (o *objectSeat) open(ctx context.Context) {
	ginkgo.GinkgoHelper()
	o.d = debugger.NewJSON(o.c)
	Expect(o.d.Open(ctx)).To(Succeed())
	o.server, o.uids = o.d.ServerUID(), o.d.CoreUIDs()
	var err error
	o.cons, err = o.c.Cores(ctx)
	Expect(err).NotTo(HaveOccurred())
	o.spaces, err = o.c.MemSpaces(ctx, o.uids[0])
	Expect(err).NotTo(HaveOccurred())
}

// space is the id of the first memory space with all of these bits, and no world but the non-secure one.
func (o *objectSeat) space(bits jsonwire.MemType) uint32 {
	ginkgo.GinkgoHelper()
	for _, s := range o.spaces {
		if s.Type&bits == bits && s.Type&jsonwire.MemIsSecure == 0 {
			return s.ID
		}
	}
	ginkgo.Fail(fmt.Sprintf("no memory space of type %v among %+v", bits, o.spaces))
	return 0
}

// anyCode is for mistakes whose error-code the specification leaves open.
const anyCode = jsonwire.ErrNone

// refused makes sure that a call ended with status 3 and left the code in a slot.
func (o *objectSeat) refused(ctx context.Context, err error, slot uint32, code jsonwire.ErrorCode, what string, args ...any) {
	ginkgo.GinkgoHelper()
	what = fmt.Sprintf(what, args...)
	Expect(err).To(MatchError(jsonclient.ErrRefused), what)
	info, asked := o.c.QryErrorInfo(ctx, slot)
	Expect(asked).NotTo(HaveOccurred(), what)
	Expect(info.Status).To(Equal(jsonwire.RetActHandleError), "status of slot %d after %s", slot, what)
	if code == anyCode {
		Expect(info.Code).NotTo(Equal(jsonwire.ErrNone), "error-code in slot %d after %s (%s)", slot, what, info.Str)
	} else {
		Expect(info.Code).To(Equal(code), "error-code in slot %d after %s: %v (%s)", slot, what, info.Code, info.Str)
	}
	Expect(info.Str).NotTo(BeEmpty(), "error-str in slot %d after %s", slot, what)
}

// The bytes of the following specs are written by hand, not by the package that the stub reads with.

// goodObject is a request that needs nothing to be open.
const goodObject = `{"execute":"mcd-initialize","arguments":{"version-req":{"v-api-major":1,"v-api-minor":1,"author":""}}}`

func objectSpec(name string, s Spec, body func(ctx context.Context, r *Rig, c *jsonclient.Client)) bool {
	s.Subject, s.Name, s.Dialects = "objects", name, jsonOnly
	s.Labels = append(s.Labels, "wire")
	s.Body = func(ctx context.Context, r *Rig) {
		c := r.Objects(ctx)
		body(ctx, r, c)
		expectGood(ctx, c, "at the end of the spec")
		r.hangUp()
		expectGood(ctx, r.Objects(ctx), "on a new connection")
	}
	return register(s)
}

// expectGood sends the good request and expects its answer and nothing else.
func expectGood(ctx context.Context, c *jsonclient.Client, when string) {
	ginkgo.GinkgoHelper()
	Expect(c.Send(ctx, []byte(goodObject))).To(Succeed())
	expectGoodAnswer(ctx, c, when)
}

func expectGoodAnswer(ctx context.Context, c *jsonclient.Client, when string) {
	ginkgo.GinkgoHelper()
	r, err := c.ReadReply(ctx)
	Expect(err).NotTo(HaveOccurred(), "the answer to a good request %s", when)
	expectSuccess(r, "the answer to a good request "+when)
}

// expectSuccess expects a return with return-status 0, wherever in it that stands.
func expectSuccess(r jsonwire.Reply, what string) {
	ginkgo.GinkgoHelper()
	Expect(r.Error).To(BeNil(), what)
	var result struct {
		Status *int `json:"return-status"`
	}
	Expect(json.Unmarshal(r.Return, &result)).To(Succeed(), "%s: %s", what, r.Return)
	Expect(result.Status).To(HaveValue(BeZero()), "%s: return-status in %s", what, r.Return)
}

// expectErrors sends something bad and a good request behind it, and expects one error at least and then the good answer.
// It returns the class of the first error.
func expectErrors(ctx context.Context, c *jsonclient.Client, bad string) string {
	ginkgo.GinkgoHelper()
	what := shortened(bad)
	Expect(c.Send(ctx, []byte(bad+goodObject))).To(Succeed())
	class := ""
	for n := 0; ; n++ {
		Expect(n).To(BeNumerically("<=", len(bad)), "errors after %s", what) // one for each byte is a lot, and no more
		r, err := c.ReadReply(ctx)
		Expect(err).NotTo(HaveOccurred(), "the answers to %s and a good request", what)
		if r.Return != nil {
			expectSuccess(r, "the answer to a good request after "+what)
			Expect(n).To(BeNumerically(">", 0), "errors that answer %s", what)
			return class
		}
		Expect(r.Error).NotTo(BeNil(), "%s was answered with neither an error nor a return", what)
		Expect(r.Error.Desc).NotTo(BeEmpty(), "desc of the error that answers %s", what)
		if n == 0 {
			class = r.Error.Class
		}
	}
}

var _ = objectSpec("a request is answered by one object on one line", Spec{Fast: true}, func(ctx context.Context, _ *Rig, c *jsonclient.Client) {
	for _, text := range []string{
		goodObject,
		`{"arguments":{"version-req":{"author":"me","v-api-minor":0,"v-api-major":1}},"execute":"mcd-initialize"}`,
		`{"arguments":{"config-string":"","system-key":""},"execute":"mcd-open-server"}`,
		`{"arguments":{"num-systems":5,"start-index":0},"execute":"mcd-qry-systems"}`,
		`{"arguments":{},"execute":"mcd-exit"}`,
		`{"execute":"mcd-exit"}`,
	} {
		Expect(c.Send(ctx, []byte(text))).To(Succeed())
		var line []byte
		for !bytes.HasSuffix(line, []byte("\n")) {
			part, err := c.Receive(ctx)
			Expect(err).NotTo(HaveOccurred(), "a line that answers %s; so far %q", text, line)
			line = append(line, part...)
		}
		Expect(bytes.Count(line, []byte("\n"))).To(Equal(1), "lines in %q", line)
		var reply struct{ Return map[string]json.RawMessage }
		Expect(json.Unmarshal(line, &reply)).To(Succeed(), "JSON: %q", line)
		Expect(reply.Return).NotTo(BeNil(), "a return in %q", line)
	}
})

var _ = objectSpec("objects need nothing between them", Spec{}, func(ctx context.Context, _ *Rig, c *jsonclient.Client) {
	for _, n := range []int{2, 3, 50, 500} {
		Expect(c.Send(ctx, []byte(strings.Repeat(goodObject, n)))).To(Succeed())
		for i := range n {
			expectGoodAnswer(ctx, c, fmt.Sprintf("number %d of %d", i, n))
		}
	}
})

var _ = objectSpec("answers come in the order of the requests", Spec{}, func(ctx context.Context, _ *Rig, c *jsonclient.Client) {
	Expect(c.Send(ctx, []byte(`{"execute":"mcd-exit"}`+goodObject+`{"execute":"no-such"}`+goodObject))).To(Succeed())
	first, err := c.ReadReply(ctx)
	Expect(err).NotTo(HaveOccurred())
	Expect(first.Return).To(MatchJSON(`{}`))
	expectGoodAnswer(ctx, c, "behind mcd-exit")
	third, err := c.ReadReply(ctx)
	Expect(err).NotTo(HaveOccurred())
	Expect(third.Error).NotTo(BeNil(), "the answer to an unknown command")
	expectGoodAnswer(ctx, c, "behind an unknown command")
})

var _ = objectSpec("white space may be between and inside them", Spec{}, func(ctx context.Context, _ *Rig, c *jsonclient.Client) {
	spaced := strings.NewReplacer(":", " \t:\r\n ", ",", "\n, ", "{", "{ \n", "}", "\t }").Replace(goodObject)
	for _, text := range []string{"\n" + goodObject + "\n", " \t\r\n" + goodObject, spaced, "\r\n\r\n" + spaced + "\n\n", strings.Repeat(" ", 5000) + goodObject} {
		Expect(c.Send(ctx, []byte(text))).To(Succeed())
		expectGoodAnswer(ctx, c, shortened(text))
	}
})

var _ = objectSpec("an object may be cut anywhere", Spec{Fast: true}, func(ctx context.Context, _ *Rig, c *jsonclient.Client) {
	text := `{"execute":"mcd-initialize","arguments":{"version-req":{"v-api-major":1,"v-api-minor":1,"author":"\u00e9\"\\}{é"}}}`
	for cut := 1; cut < len(text); cut++ {
		Expect(c.Send(ctx, []byte(text[:cut]))).To(Succeed())
		Expect(c.Send(ctx, []byte(text[cut:]))).To(Succeed())
		expectGoodAnswer(ctx, c, fmt.Sprintf("cut at %d", cut))
	}
	Expect(c.SendBytewise(ctx, []byte(text+text))).To(Succeed())
	expectGoodAnswer(ctx, c, "byte by byte")
	expectGoodAnswer(ctx, c, "byte by byte, the second")
})

var _ = objectSpec("brackets and quotes within strings end nothing", Spec{}, func(ctx context.Context, _ *Rig, c *jsonclient.Client) {
	for _, author := range []string{`}`, `{`, `]`, `[`, `\"`, `\\`, `\\\"}`, `\"}}}`, `{\"execute\":\"mcd-exit\"}`, `\u007d`, `\\\\`, `'`} {
		text := `{"execute":"mcd-initialize","arguments":{"version-req":{"v-api-major":1,"v-api-minor":1,"author":"` + author + `"}}}`
		Expect(c.Send(ctx, []byte(text))).To(Succeed())
		expectGoodAnswer(ctx, c, "with author "+author)
	}
})

var _ = objectSpec("strings keep their characters", Spec{}, func(ctx context.Context, _ *Rig, c *jsonclient.Client) {
	for text, want := range map[string]string{
		`plain`: "plain", `\u00e9é`: "éé", `\ud83d\ude00😀`: "😀😀", `\"\\\/\b\f\n\r\t`: "\"\\/\b\f\n\r\t", `a\u0001b`: "a\x01b", `%s%n`: "%s%n",
	} {
		Expect(c.Send(ctx, []byte(`{"execute":"mcd-open-server","arguments":{"system-key":"","config-string":"`+text+`"}}`))).To(Succeed())
		obj, err := c.ReadObject(ctx)
		Expect(err).NotTo(HaveOccurred())
		var reply struct {
			Return struct {
				Config string `json:"config-string"`
				Status *int   `json:"return-status"`
			}
		}
		Expect(json.Unmarshal(obj, &reply)).To(Succeed(), "%s", obj)
		Expect(reply.Return.Status).To(HaveValue(BeZero()), "%s", obj)
		Expect(reply.Return.Config).To(Equal(want), "config-string %s", text)
		Expect(c.Exit(ctx)).To(Succeed())
	}
})

var _ = objectSpec("a name may be written with escapes", Spec{}, func(ctx context.Context, _ *Rig, c *jsonclient.Client) {
	Expect(c.Send(ctx, []byte(strings.NewReplacer("mcd-", `mcd\u002d`, "author", `\u0061uthor`).Replace(goodObject)))).To(Succeed())
	expectGoodAnswer(ctx, c, "with escapes")
})

var _ = objectSpec("large objects are taken", Spec{}, func(ctx context.Context, _ *Rig, c *jsonclient.Client) {
	for _, n := range []int{4000, 32768, 65000, 65535, 65536, 65537, 131072, 1 << 20} {
		// White space, and a string that is echoed.
		Expect(c.Send(ctx, []byte(strings.Replace(goodObject, ",", ","+strings.Repeat(" ", n), 1)))).To(Succeed())
		expectGoodAnswer(ctx, c, fmt.Sprintf("with %d spaces", n))
		text := strings.Repeat("0123456789abcdef", n/16)
		r, err := c.OpenServer(ctx, "", text)
		Expect(err).NotTo(HaveOccurred(), "config-string of %d bytes", len(text))
		Expect(r.ConfigString == text).To(BeTrue(), "config-string of %d bytes came back as %s", len(text), shortened(r.ConfigString))
		Expect(c.Exit(ctx)).To(Succeed())
	}
})

var _ = objectSpec("an object that is too large for anybody is refused or taken, and the next one is answered", Spec{Labels: []string{"hostile"}},
	func(ctx context.Context, _ *Rig, c *jsonclient.Client) {
		text := strings.Replace(goodObject, `"author":""`, `"author":"`+strings.Repeat("a", 10<<20)+`"`, 1)
		Expect(c.Send(ctx, []byte(text))).To(Succeed())
		r, err := c.ReadReply(ctx)
		Expect(err).NotTo(HaveOccurred(), "an answer to an object of %d bytes", len(text))
		Expect(r.Return != nil || r.Error != nil).To(BeTrue())
		expectGood(ctx, c, "after an object of 10 MiB")
	})

var _ = objectSpec("deep nesting is refused, and the next object is answered", Spec{Fast: true, Labels: []string{"hostile"}},
	func(ctx context.Context, _ *Rig, c *jsonclient.Client) {
		for _, n := range []int{1, 2, 10, 100, 1000, 1023, 1024, 1025, 2000, 100_000} {
			for _, b := range []string{"[]", "{}"} {
				inner := strings.Repeat(b[:1], n) + strings.Repeat(b[1:], n)
				if b == "{}" {
					inner = strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n)
				}
				expectErrors(ctx, c, `{"execute":"mcd-initialize","arguments":{"version-req":`+inner+`}}`)
			}
		}
	})

var _ = objectSpec("what is no UTF-8 is refused, and the next object is answered", Spec{Fast: true, Labels: []string{"hostile"}},
	func(ctx context.Context, _ *Rig, c *jsonclient.Client) {
		for _, text := range []string{"\x80", "\xbf", "\xc0\x80", "\xc3", "\xc3(", "\xe2\x82", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80"} {
			expectErrors(ctx, c, strings.Replace(goodObject, `"author":""`, `"author":"`+text+`"`, 1))
			expectErrors(ctx, c, strings.Replace(goodObject, `"author"`, `"author`+text+`"`, 1))
			expectErrors(ctx, c, strings.Replace(goodObject, `mcd-initialize`, `mcd-initialize`+text, 1))
		}
	})

var _ = objectSpec("a key that comes twice is refused", Spec{Fast: true, Labels: []string{"hostile"}}, func(ctx context.Context, _ *Rig, c *jsonclient.Client) {
	for _, text := range []string{
		strings.Replace(goodObject, `{"execute"`, `{"execute":"mcd-exit","execute"`, 1),
		strings.Replace(goodObject, `"arguments"`, `"arguments":{},"arguments"`, 1),
		strings.Replace(goodObject, `"author"`, `"author":"x","author"`, 1),
		strings.Replace(goodObject, `"v-api-major":1`, `"v-api-major":1,"v-api-major":1`, 1),
		strings.Replace(goodObject, `"author"`, `"\u0061uthor":"x","author"`, 1),
		strings.Replace(goodObject, `"arguments":{`, `"arguments":{"version-req":{"v-api-major":1,"v-api-minor":1,"author":""},`, 1),
	} {
		Expect(expectErrors(ctx, c, text)).To(Equal(jsonwire.GenericError), text)
	}
})

var _ = objectSpec("numbers that do not fit are refused", Spec{Labels: []string{"hostile"}}, func(ctx context.Context, _ *Rig, c *jsonclient.Client) {
	for _, n := range []string{
		"65536", "4294967296", "9223372036854775808", "18446744073709551615", "18446744073709551616", "-1", "-9223372036854775809", "1.5", "1e400",
		"99999999999999999999999999999999", strings.Repeat("9", 10_000), "-" + strings.Repeat("9", 10_000), "1" + strings.Repeat("0", 65536),
	} {
		Expect(expectErrors(ctx, c, strings.Replace(goodObject, `"v-api-major":1`, `"v-api-major":`+n, 1))).To(Equal(jsonwire.GenericError), shortened(n))
	}
})

// badObjects are complete, so that what follows them can be told from them.
var badObjects = []string{
	`{}`, `{ }`, `[]`, `[1,2]`, `[{}]`, `[{"execute":"mcd-exit"}]`, `{"execute"}`, `{"execute":}`, `{"execute":"mcd-exit",}`, `{,}`, `{"execute":"mcd-exit" "arguments":{}}`,
	`{execute:"mcd-exit"}`, `{"execute":mcd-exit}`, `{"execute":1}`, `{"execute":null}`, `{"execute":["mcd-exit"]}`, `{"execute":{"execute":"mcd-exit"}}`,
	`{"execute":true}`, `{"arguments":{}}`, `{"return":{}}`, `{"event":"x"}`, `{"execute":"mcd-exit","arguments":null}`, `{"execute":"mcd-exit","arguments":[]}`,
	`{"execute":"mcd-exit","arguments":""}`, `{"execute":"mcd-exit","arguments":1}`, `{"execute":"mcd-exit","more":1}`, `{"execute":"mcd-exit","arguments":{"more":1}}`,
	`{"execute":""}`, `{"execute":"MCD-EXIT"}`, `{"execute":"mcd-exit "}`, `{"execute":"mcd-exit\u0000"}`, `{"execute":"mcd"}`, `{"execute":"qmp_capabilities"}`,
	`{"execute":"mcd-exit":"x"}`, `{"execute":"\x"}`, `{"execute":"\u12"}`, `{"a":01}`, `{"a":+1}`, `{"a":.5}`, `{"a":1.}`, `{"a":0x10}`, `{"a":1e}`, `{"a":--1}`, `{"a":NaN}`,
	`{"a":Infinity}`, `{"a":tru}`, `{"a":nul}`, `{"a":undefined}`, `{"a":[1,]}`, `{"a":[,1]}`, `{"a":[1 2]}`, `{"a":{"b"}}`, `{"execute":"mcd-exit"/**/}`, `{"a":#}`,
	`{"execute-oob":"mcd-exit"}`, `{"id":1}`,
}

// brokenObjects leave the brackets, or a string, open or match them wrongly; a line end, which no string can have, ends them.
var brokenObjects = []string{
	"}\n", "]\n", "{]\n", "[}\n", `{"execute":"mcd-exit"]` + "\n", "abc\n", "1\n", `"abc"` + "\n", "null\n", "$qsystem#|\n", "GET / HTTP/1.1\r\n\r\n",
	"{\"execute\":\"mcd-\nexit\"}\n", "\x00\n", "\x01\x02\x03\n", "}}}}}}\n", ",\n", ":\n", "\xef\xbb\xbf\n",
}

var _ = objectSpec("what is no request is answered with an error, and the next object is answered", Spec{Labels: []string{"hostile"}},
	func(ctx context.Context, _ *Rig, c *jsonclient.Client) {
		for _, text := range badObjects {
			Expect(expectErrors(ctx, c, text)).To(BeElementOf(jsonwire.GenericError, jsonwire.CommandNotFound), text)
		}
		for _, text := range brokenObjects {
			Expect(expectErrors(ctx, c, text)).To(Equal(jsonwire.GenericError), "%q", text)
		}
	})

var _ = register(Spec{
	Subject: "objects", Name: "what is no request does so on a connection of its own, too", Dialects: jsonOnly, Labels: []string{"hostile", "wire"},
	Body: func(ctx context.Context, r *Rig) {
		for _, text := range append(badObjects, brokenObjects...) {
			if text[0] != '{' && text[0] != '[' {
				continue // the first byte tells the dialect where an endpoint speaks both
			}
			r.hangUp()
			expectErrors(ctx, r.Objects(ctx), text)
		}
		r.hangUp()
		expectGood(ctx, r.Objects(ctx), "on a new connection")
	},
})

var _ = objectSpec("an id is repeated", Spec{Labels: []string{"ours"}}, func(ctx context.Context, _ *Rig, c *jsonclient.Client) {
	for _, id := range []string{`1`, `"a"`, `null`, `[1,{"a":2}]`, `{"x":"}"}`, `18446744073709551615`} {
		for _, execute := range []string{"mcd-initialize", "no-such-command"} {
			Expect(c.Send(ctx, []byte(strings.Replace(goodObject, `{"execute":"mcd-initialize"`, `{"id":`+id+`,"execute":"`+execute+`"`, 1)))).To(Succeed())
			obj, err := c.ReadObject(ctx)
			Expect(err).NotTo(HaveOccurred())
			var reply struct{ ID json.RawMessage }
			Expect(json.Unmarshal(obj, &reply)).To(Succeed())
			var compact bytes.Buffer // and not MatchJSON, which takes numbers for doubles
			Expect(json.Compact(&compact, reply.ID)).To(Succeed())
			Expect(compact.String()).To(Equal(id), "%s", obj)
		}
	}
})

var _ = register(Spec{
	Subject: "objects", Name: "half an object is gone with its connection", Dialects: jsonOnly, Labels: []string{"wire", "ours"}, Fast: true,
	Body: func(ctx context.Context, r *Rig) {
		for _, half := range []string{`{`, `{"execute":"mcd-`, goodObject[:len(goodObject)-1], `{"execute":"mcd-exit","arguments":{`, `[[[`} {
			r.hangUp()
			c := r.Objects(ctx)
			Expect(c.Send(ctx, []byte(half))).To(Succeed())
			r.hangUp()
			expectGood(ctx, r.Objects(ctx), "on the connection after "+half)
		}
		r.hangUp()
		expectGood(ctx, r.Objects(ctx), "at the end")
	},
})

var _ = register(Spec{
	Subject: "objects", Name: "a second client waits until the first has left", Dialects: jsonOnly, Labels: []string{"wire"},
	Body: func(ctx context.Context, r *Rig) {
		first := r.Objects(ctx)
		expectGood(ctx, first, "of the first client")
		second := r.Objects(ctx)
		Expect(second.Send(ctx, []byte(goodObject))).To(Succeed())
		Expect(second.ExpectSilence(ctx, 50*time.Millisecond)).To(Succeed(), "while the first is served")
		expectGood(ctx, first, "of the first client, again")
		Expect(first.Close()).To(Succeed())
		expectGoodAnswer(ctx, second, "after the first client has left")
	},
})

var _ = register(Spec{
	Subject: "objects", Name: "a client that never reads does not stop the machine, and later ones are served", Dialects: jsonOnly,
	Labels: []string{"observer", "ours"},
	Body: func(ctx context.Context, r *Rig) {
		d := r.Debugger(ctx)
		r.ToLoop(ctx, d)
		Expect(d.Go(ctx, 0)).To(Succeed())
		r.hangUp()
		conn := r.Connect(ctx)
		flood := []byte(strings.Repeat(goodObject, 10))
		for range 2000 {
			if conn.SetWriteDeadline(time.Now().Add(100*time.Millisecond)) != nil {
				break
			}
			if _, err := conn.Write(flood); err != nil {
				break // the stub has stopped to read, as it may
			}
		}
		r.ExpectGrowth(ctx, 0)
		r.ExpectRunState(ctx, "running")
		r.hangUp()
		d = r.Debugger(ctx)
		Expect(d.Stop(ctx, 0)).To(Succeed())
	},
})
