// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bytes"
	"context"
	"embed"
	"net"
	"path"

	. "github.com/onsi/gomega"

	"mcdtest/harness/script"
)

// Scripts of the packet dialect: each file is a spec. docs/scripts.md says how to write one.
//
//go:embed scripts/*.txt
var scriptFiles embed.FS

var _ = registerScripts()

func registerScripts() bool {
	files, err := scriptFiles.ReadDir("scripts")
	if err != nil {
		panic(err)
	}
	for _, f := range files {
		register(Spec{
			Subject: "scripts", Name: f.Name() + " plays", Dialects: packetOnly, Fast: true,
			Body: func(ctx context.Context, r *Rig) { r.play(ctx, f.Name()) },
		})
	}
	return true
}

func (r *Rig) play(ctx context.Context, name string) {
	text, err := scriptFiles.ReadFile(path.Join("scripts", name))
	Expect(err).NotTo(HaveOccurred())
	s, err := script.Parse(path.Join("suites/scripts", name), bytes.NewReader(text))
	Expect(err).NotTo(HaveOccurred())
	env := script.Env{
		Dial:     func(ctx context.Context) (net.Conn, error) { return r.Connect(ctx), nil },
		Symbols:  r.Guest().Symbol,
		Recorder: r.Recorder, Gone: r.Done(), GoneErr: r.ended,
	}
	Expect(env.ForArch(r.Arch)).To(Succeed())
	if err := script.Play(ctx, s, env); err != nil {
		Fail(err.Error())
	}
}
