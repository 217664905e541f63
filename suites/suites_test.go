// SPDX-License-Identifier: Apache-2.0

package suites_test

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"mcdtest/suites"
)

// The Ginkgo CLI would run this package's Go tests once in each of its processes, and also where the compiled suite is
// without the checkout that they read. It wants the suite.
func TestMain(m *testing.M) {
	if slices.ContainsFunc(os.Args[1:], func(a string) bool { return strings.HasPrefix(a, "--ginkgo.seed=") }) {
		flag.Parse()
		if err := flag.Set("test.run", "^TestSuites$"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

func TestSuites(t *testing.T) {
	gomega.RegisterFailHandler(suites.Fail)
	ginkgo.RunSpecs(t, "Multi-Core Debug")
}
