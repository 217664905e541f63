// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"net"
	"slices"
	"strings"

	. "github.com/onsi/gomega"

	"mcdtest/harness"
	"mcdtest/harness/published"
)

// The client's half of the recordings is sent again, and every reply must be the published one, but for the differences
// that the specification names. See package published.
var _ = recordedSpec(published.Client, "the published client's session gets the published replies", "-M", "virt,secure=on")
var _ = recordedSpec(published.Control, "the recorded control of a loop gets the published replies")
var _ = recordedSpec(published.Framing, "the recorded framing gets the published replies")
var _ = recordedSpec(published.Tables, "the recorded tables, memory and registers get the published replies", "-M", "virt,secure=on")

func recordedSpec(recording, name string, args ...string) bool {
	return register(Spec{
		Subject: "scripts", Name: name, Dialects: packetOnly, Archs: []string{"arm"}, Cores: 1, Args: args, Fast: true,
		Body: func(ctx context.Context, r *Rig) {
			rec, err := published.Load(recording)
			Expect(err).NotTo(HaveOccurred())
			Expect(slices.Contains(rec.QEMU, "virt,secure=on")).To(Equal(len(args) > 0), "the machine of the recording: %s", strings.Join(rec.QEMU, " "))
			// The guest of the recordings is put where this one starts.
			Expect(r.Guest().Symbol("start")).To(BeEquivalentTo(published.CodeAddr))
			if recording == published.Client {
				r.put(ctx, published.CodeAddr, make([]byte, len(published.Code)))
			} else {
				r.put(ctx, published.CodeAddr, published.Code)
				r.put(ctx, published.CounterAddr, make([]byte, 4))
			}
			if recording == published.Framing { // it ends with k
				r.ExpectExit()
			}
			report, err := published.Replay(ctx, rec, func(ctx context.Context) (net.Conn, error) { return r.Connect(ctx), nil },
				published.Options{OtherQEMU: !strings.HasPrefix(r.Build().Version, "7.2."), Published: r.Machine.Endpoint() == harness.Native})
			Expect(err).NotTo(HaveOccurred())
			Expect(report.Mismatches).To(BeEmpty(), report.String())
			Expect(report.Exchanges).To(BeNumerically(">", 50), "exchanges that were compared")
		},
	})
}
