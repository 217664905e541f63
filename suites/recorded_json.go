// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"mcdtest/harness/transcript"
)

// realClient is a session of the real client library in its own tests, on virt,secure=on and QEMU 7.2.
//
//go:embed recordings/real-client.txt
var realClient string

var _ = register(Spec{
	Subject: "scripts", Name: "the real client's session gets the recorded replies", Dialects: jsonOnly, Archs: []string{"arm"}, Cores: 1,
	Args: []string{"-M", "virt,secure=on"}, Fast: true,
	Body: func(ctx context.Context, r *Rig) {
		c := r.Objects(ctx)
		look := comparison{otherQEMU: !strings.HasPrefix(r.Build().Version, "7.2.")}
		request, compared := "", 0
		// The recording's server took the device's name from the command line; the specification wants the machine's name. The client
		// says it again.
		session := strings.ReplaceAll(realClient, `"device":"virt,secure=on"`, `"device":"virt"`)
		for n, line := range strings.Split(session, "\n") {
			if text, ok := strings.CutPrefix(line, "> "); ok {
				request = lengthen(text)
				Expect(c.Send(ctx, []byte(request))).To(Succeed())
				continue
			}
			recorded, ok := strings.CutPrefix(line, "< ")
			if !ok {
				continue
			}
			got, err := c.ReadObject(ctx)
			Expect(err).NotTo(HaveOccurred(), "the reply to line %d: %s", n, shortened(request))
			var want, have any
			Expect(json.Unmarshal([]byte(recorded), &want)).To(Succeed(), "line %d of the recording", n+1)
			Expect(json.Unmarshal(got, &have)).To(Succeed(), "the reply to line %d: %s", n, transcript.Escape(got))
			look.same("", want, have, fmt.Sprintf("in the reply to line %d, %s", n, shortened(request)))
			compared++
		}
		Expect(compared).To(BeNumerically(">", 30), "exchanges that were compared")
	},
})

// leftOut is how the recording leaves elements of an array out; lengthen puts zeros in their place, as all of them are numbers.
var leftOut = regexp.MustCompile(`,"…(\d+)"\]`)

func lengthen(request string) string {
	return leftOut.ReplaceAllStringFunc(request, func(m string) string {
		var n int
		fmt.Sscanf(m, `,"…%d"]`, &n)
		return strings.Repeat(",0", n) + "]"
	})
}

// comparison compares a reply with the recorded one. What it leaves aside is what the recording cannot fix.
type comparison struct {
	otherQEMU bool // than the recording's, which has other registers
}

func (c comparison) same(key string, want, have any, where string) {
	ginkgo.GinkgoHelper()
	registers := strings.Contains(key, "reg-info") || strings.HasSuffix(key, "num-regs") || strings.HasSuffix(key, "num-reg-groups") || strings.Contains(key, "reg-groups")
	switch w := want.(type) {
	case map[string]any:
		Expect(have).To(BeAssignableToTypeOf(w), "%s %s", key, where)
		h := have.(map[string]any)
		Expect(slices.Sorted(maps.Keys(h))).To(Equal(slices.Sorted(maps.Keys(w))), "keys of %s %s", key, where)
		for k := range w {
			c.same(key+"/"+k, w[k], h[k], where)
		}
	case []any:
		Expect(have).To(BeAssignableToTypeOf(w), "%s %s", key, where)
		h := have.([]any)
		more := 0
		if text, ok := w[len(w)-1].(string); ok {
			if n, _ := fmt.Sscanf(text, "…%d", &more); n == 1 {
				w = w[:len(w)-1]
			}
		}
		if registers && c.otherQEMU {
			Expect(h).NotTo(BeEmpty(), "%s %s", key, where)
			w = w[:min(len(w), len(h))]
		} else {
			Expect(h).To(HaveLen(len(w)+more), "%s %s", key, where)
		}
		for i := range w {
			c.same(fmt.Sprintf("%s[%d]", key, i), w[i], h[i], where)
		}
	default:
		switch {
		case strings.HasSuffix(key, "/error-str"): // words for people
			Expect(have).To(BeAssignableToTypeOf(""), "%s %s", key, where)
			Expect(have).NotTo(BeEmpty(), "%s %s", key, where)
		case registers && c.otherQEMU:
			Expect(have).To(BeAssignableToTypeOf(want), "%s %s", key, where)
		default:
			Expect(have).To(Equal(want), "%s %s", key, where)
		}
	}
}
