// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"

	. "github.com/onsi/gomega"
)

var _ = register(Spec{
	Subject: "kill", Name: "k ends QEMU with exit status 0 and closes the connection", Dialects: packetOnly, Fast: true,
	Labels: []string{"observer"},
	Body:   func(ctx context.Context, r *Rig) { killed(ctx, r, false) },
})

var _ = register(Spec{
	Subject: "kill", Name: "k does so while the core runs, too", Dialects: packetOnly, Labels: []string{"observer"},
	Body: func(ctx context.Context, r *Rig) { killed(ctx, r, true) },
})

func killed(ctx context.Context, r *Rig, running bool) {
	c := r.Packets(ctx)
	_, err := c.OpenServer(ctx)
	Expect(err).NotTo(HaveOccurred())
	Expect(c.OpenCore(ctx, 0)).To(Succeed())
	if running {
		Expect(c.Go(ctx, true, 0)).To(Succeed())
		r.ExpectGrowth(ctx, 0)
	}
	r.ExpectExit()
	Expect(c.Kill(ctx)).To(Succeed())
	Eventually(r.Done()).WithContext(ctx).WithTimeout(growTimeout).Should(BeClosed(), "QEMU ends")
	Expect(r.Exit().Status).To(BeZero(), "%v", r.Exit())
	Expect(c.ExpectEOF(ctx)).To(Succeed())
}
