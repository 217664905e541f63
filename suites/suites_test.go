// SPDX-License-Identifier: Apache-2.0

package suites_test

import (
	"testing"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"mcdtest/suites"
)

func TestSuites(t *testing.T) {
	gomega.RegisterFailHandler(suites.Fail)
	ginkgo.RunSpecs(t, "Multi-Core Debug")
}
