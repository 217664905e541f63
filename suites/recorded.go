// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bytes"
	"context"
	"embed"
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"mcdtest/harness/debugger"
	"mcdtest/harness/rawclient"
	"mcdtest/harness/transcript"
)

// Recordings of a real QEMU 7.2 with the published stub, and of its real client. The client's half is sent again and
// every reply must be the published one, but for the differences that the specification names.
//
//go:embed testdata/published-client.txt testdata/published-control.txt
var recordings embed.FS

var _ = register(Spec{
	Subject: "scripts", Name: "the published client's session gets the published replies", Dialects: packetOnly,
	Archs: []string{"arm"}, Args: []string{"-M", "virt,secure=on"}, Fast: true,
	Body: func(ctx context.Context, r *Rig) {
		r.replay(ctx, "published-client.txt")
	},
})

var _ = register(Spec{
	Subject: "scripts", Name: "the recorded control of a loop gets the published replies", Dialects: packetOnly,
	Archs: []string{"arm"}, Fast: true,
	Body: func(ctx context.Context, r *Rig) {
		r.putRecordedProgram(ctx)
		r.replay(ctx, "published-control.txt")
	},
})

// putRecordedProgram puts the guest of the recordings, as their heads list it, where the machine starts.
func (r *Rig) putRecordedProgram(ctx context.Context) {
	ginkgo.GinkgoHelper()
	const text, data = 0x40200000, 0x40210000
	Expect(r.Guest().Symbol("start")).To(BeEquivalentTo(text), "where the machine starts")
	var code []byte
	for _, word := range []uint32{
		0xe3a00000, // 40200000 mov r0, #0
		0xe59f1014, // 40200004 ldr r1, =counter
		0xe3a02000, // 40200008 mov r2, #0
		0xe2800001, // 4020000c loop: add r0, r0, #1
		0xe5810000, // 40200010 str r0, [r1]
		0xe5913000, // 40200014 ldr r3, [r1]
		0xe0822003, // 40200018 add r2, r2, r3
		0xeafffffa, // 4020001c b loop
		data,       // 40200020 the literal pool
	} {
		code = binary.LittleEndian.AppendUint32(code, word)
	}
	r.put(ctx, text, code)
	r.put(ctx, data, make([]byte, 4))
}

// A difference is a reply that may be another one than the published.
type difference struct {
	why     string
	request *regexp.Regexp // which requests it is about
	// want turns the published payload into the one of the specification. It is not asked if the reply is the
	// published one.
	want func(published string) string
	// any accepts whatever has the same form, since the value depends on the moment.
	any *regexp.Regexp
}

var index = regexp.MustCompile(`cpu->cpu_index`)

// differences are all that the specification names and the recordings have.
var differences = []difference{
	{why: "texts: empty instead of (null), the core's number instead of its source, because instead of beacuse; the address of a watchpoint instead of its source",
		request: regexp.MustCompile(`^qstate`), want: ourTexts},
	{why: "a stop by b is type 0 and called a break, also after a step request that was ignored",
		request: regexp.MustCompile(`^qstate`), want: func(p string) string {
			p = strings.Replace(ourTexts(p), "type=1.", "type=0.", 1)
			return regexp.MustCompile(`stopped because of (HW breakpoint|single step)`).ReplaceAllString(p, "stopped because of break")
		}},
	{why: "-1 is printed unsigned", request: regexp.MustCompile(`^qmemory`),
		want: func(p string) string { return strings.Replace(p, "max=-1.", "max=18446744073709551615.", 1) }},
	{why: "only the reset class that works is listed", request: regexp.MustCompile(`^qresetf`),
		want: func(string) string { return "0!name=full_system_reset.id=0." }},
	{why: "a handle past the end", request: regexp.MustCompile(`^qresetc`), want: func(string) string { return "error" }},
	{why: "a counter that runs", request: regexp.MustCompile(`^m0;1;1075904512;4$`), any: regexp.MustCompile(`^[0-9a-f]{8}$`)},
	{why: "where a running core was stopped", request: regexp.MustCompile(`^p0;15$`), any: regexp.MustCompile(`^[0-9a-f]{8}$`)},
	{why: "a global step steps", request: regexp.MustCompile(`^qstate`),
		want: func(p string) string {
			return strings.Replace(p, "stop_str=.info_str=.", "stop_str=stopped because of single step.info_str=cpu 0 in debug state.", 1)
		}},
	{why: "a global step steps, so the loop is one instruction further when it comes to the breakpoint",
		request: regexp.MustCompile(`^p0;0$`), any: regexp.MustCompile(`^0[01]000000$`)},
	{why: "names of system registers change between versions of QEMU, and there are more or fewer",
		request: regexp.MustCompile(`^qregc`), any: regexp.MustCompile(`^[0-9]+!id=[0-9]+\.name=[^.=]+\.size=[0-9]+\.reggroupid=[12]\.memspaceid=[56]\.type=0\.thread=0\.opcode=0\.$|^error$`)},
}

func ourTexts(p string) string {
	p = strings.Replace(p, "stop_str=(null).", "stop_str=.", 1)
	p = index.ReplaceAllString(p, "0")
	p = strings.Replace(p, "beacuse", "because", 1)
	if m := regexp.MustCompile(`address=(\d+)\.`).FindStringSubmatch(p); m != nil {
		p = strings.Replace(p, "cpu->watchpoint_hit->hitaddr", m[1], 1)
	}
	return p
}

// allowed says whether a reply may stand for the published one.
func allowed(request, published, reply string) bool {
	if published == reply {
		return true
	}
	for _, d := range differences {
		if d.request.MatchString(request) && (d.any != nil && d.any.MatchString(reply) || d.want != nil && d.want(published) == reply) {
			return true
		}
	}
	return false
}

// replay sends the client's half of a recording, a connection after the other, and compares the replies.
func (r *Rig) replay(ctx context.Context, name string) {
	ginkgo.GinkgoHelper()
	text, err := recordings.ReadFile("testdata/" + name)
	Expect(err).NotTo(HaveOccurred())
	entries, err := transcript.Parse(bytes.NewReader(text))
	Expect(err).NotTo(HaveOccurred())
	client := r.Packets(ctx)
	for i := 0; i < len(entries); {
		e := entries[i]
		i++
		if e.Kind == transcript.SentEOF {
			Expect(client.Close()).To(Succeed())
			client = r.Packets(ctx)
			continue
		}
		if e.Kind != transcript.Sent {
			continue
		}
		var published []byte
		for ; i < len(entries) && entries[i].Kind == transcript.Received; i++ {
			published = append(published, entries[i].Data...)
		}
		Expect(client.Send(ctx, e.Data)).To(Succeed())
		request := strings.TrimPrefix(strings.SplitN(string(e.Data), "#", 2)[0], "$")
		r.expectReply(ctx, client, request, published)
	}
}

func (r *Rig) expectReply(ctx context.Context, c *rawclient.Client, request string, published []byte) {
	ginkgo.GinkgoHelper()
	Expect(published).To(HavePrefix("+"), "the recording of %s", request)
	Expect(c.ExpectAck(ctx)).To(Succeed(), "after %s", request)
	payload, ok := strings.CutPrefix(string(published[1:]), "$")
	if !ok {
		Expect(published).To(HaveLen(1))
		return
	}
	payload = strings.TrimSuffix(payload, "#|")
	got, err := c.ReadPacket(ctx)
	Expect(err).NotTo(HaveOccurred(), "after %s", request)
	reply := string(got)
	if strings.HasPrefix(request, "qstate") && runs(reply) && !runs(payload) {
		// The machine of the recording had come to its stop between the two requests, this one is on its way.
		_, err := pollState(ctx, c, request, func(s string) bool { reply = s; return !runs(s) })
		Expect(err).NotTo(HaveOccurred())
	}
	if !allowed(request, payload, reply) {
		Fail(fmt.Sprintf("%s: the published reply is %q, this one is %q, and no named difference allows it", request, payload, reply))
	}
}

func runs(state string) bool { return strings.HasPrefix(state, "state=running.") }

// pollState repeats a request until its reply is as wanted.
func pollState(ctx context.Context, c *rawclient.Client, request string, ok func(string) bool) (string, error) {
	var last string
	ctx, cancel := context.WithTimeout(ctx, debugger.WaitTimeout)
	defer cancel()
	for n := 0; ; n++ {
		p, err := c.Do(ctx, request)
		if err != nil {
			return last, fmt.Errorf("%s until the core stands, asked %d times, last reply %q: %w", request, n, last, err)
		}
		if last = string(p); ok(last) {
			return last, nil
		}
	}
}
