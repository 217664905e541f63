// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"mcdtest/guest"
	"mcdtest/harness/scenario"
)

var _ = register(Spec{
	Subject: "loop", Name: "the loop runs, stops, breaks, steps and goes on from what is written", Fast: true,
	Labels: []string{"observer", "ours"}, Body: playLoop,
})

var _ = register(Spec{
	Subject: "loop", Name: "the loop does so behind address translation, too", Variant: guest.MMU, Fast: true,
	Labels: []string{"observer", "mmu", "ours"}, Body: playLoop,
})

// playLoop tells the story of package scenario; its steps are what reviewers asked for.
func playLoop(ctx context.Context, r *Rig) {
	env := &scenario.Env{
		Debugger: r.Session(ctx), Image: r.Guest(), Cores: r.Machine.Cores(),
		RunState: r.RunState, Memory: r.QTest(),
	}
	for _, step := range scenario.Loop() {
		ginkgo.By(step.Name)
		Expect(step.Do(ctx, env)).To(Succeed(), step.Name)
	}
}
