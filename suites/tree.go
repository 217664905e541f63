// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"fmt"
	"strconv"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
)

// treeName is the outermost container: what stands in front of an item's ID in Ginkgo's names.
const treeName = "MCD"

// specTimeout ends a spec that hangs although each of its waits is bounded.
const specTimeout = 30 * time.Second

// The tree is one container a case and one a subject in it. Its closure runs when the tree is built, after all of the
// registry is filled and flags and environment are known.
var _ = ginkgo.Describe(treeName, func() {
	settings, err := FromEnvironment()
	if err != nil {
		broken("the settings can be read", err)
		return
	}
	items, err := Items(settings)
	if err != nil {
		broken("the specs can be listed", err)
		return
	}
	f, err := settings.fault()
	if err != nil {
		broken("the fault is known", err)
		return
	}
	for len(items) > 0 {
		c := items[0].Case
		n := 0
		for n < len(items) && items[n].Case == c {
			n++
		}
		ginkgo.Context(c.String(), ginkgo.Label(c.Arch, string(c.Dialect), "cores:"+strconv.Itoa(c.Cores)), func() {
			ofCase := items[:n]
			for len(ofCase) > 0 {
				subject := ofCase[0].Spec.Subject
				m := 0
				for m < len(ofCase) && ofCase[m].Spec.Subject == subject {
					m++
				}
				ginkgo.Context(subject+":", ginkgo.Label(subject), func() {
					for _, item := range ofCase[:m] {
						leaf(settings, f, item)
					}
				})
				ofCase = ofCase[m:]
			}
		})
		items = items[n:]
	}
})

func leaf(settings Settings, f *faultInUse, item Item) {
	labels := append(ginkgo.Labels{}, item.Spec.Labels...)
	if item.Spec.Fast {
		labels = append(labels, "fast")
	}
	ginkgo.It(item.Spec.Name, labels, ginkgo.SpecTimeout(specTimeout), func(ctx ginkgo.SpecContext) {
		mine(item)
		r := newRig(settings, f, item)
		ginkgo.DeferCleanup(r.finish)
		ginkgo.AttachProgressReporter(r.Describe)
		if !item.Spec.NoStart {
			r.StartMachine(ctx, item.Spec.Config())
		}
		item.Spec.Body(ctx, r)
	})
}

// broken makes a run fail that could not even be set up, instead of running nothing.
func broken(what string, err error) {
	ginkgo.It(what, func() { gomega.Expect(err).NotTo(gomega.HaveOccurred(), fmt.Sprint(err)) })
}
