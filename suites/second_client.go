// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"mcdtest/harness/rawclient"
)

// second drops the connection of whoever was there, which changes nothing about the machine, and goes on with a raw packet client
// whose server and core 0 are open.
func (m *Machine) second(ctx context.Context) *rawclient.Client {
	ginkgo.GinkgoHelper()
	m.hangUp()
	c := m.Packets(ctx)
	_, err := c.OpenServer(ctx)
	Expect(err).NotTo(HaveOccurred())
	Expect(c.OpenCore(ctx, 0)).To(Succeed())
	return c
}

// hangUp closes every connection to the endpoint without a word.
func (m *Machine) hangUp() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.conns {
		c.Close()
	}
	m.conns = nil
}
