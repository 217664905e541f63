// SPDX-License-Identifier: Apache-2.0

package expect

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"mcdtest/harness/result"
)

// From makes the text of a file from a result: an entry for each failure that nobody expected. The reasons are the
// first lines of the failures; whoever keeps the file replaces them by what is wrong.
func From(r *result.Result) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# What is known to fail. Written by mcdtest suite --write-expectations on %s.\n", r.Header.Started.Format("2006-01-02"))
	b.WriteString("# Each reason is what the spec said; replace it by what is wrong with the build. See docs/expectations.md.\n\n")
	fmt.Fprintf(&b, "build: %s\n", quote(r.Header.Build.String()))
	if r.Header.Build.Endpoint != "" {
		fmt.Fprintf(&b, "endpoint: %s\n", r.Header.Build.Endpoint)
	}
	sorted := result.Result{Specs: append([]result.Spec(nil), r.Specs...)}
	sorted.Sort()
	written := make(map[string]bool) // a run may have several rounds
	for _, s := range sorted.Specs {
		if s.Outcome != result.Failed || s.Expected != "" || written[s.ID] {
			continue
		}
		if len(written) == 0 {
			b.WriteString("\nexpect:\n")
		}
		written[s.ID] = true
		fmt.Fprintf(&b, "  - spec: %s\n    reason: %s\n", quote(s.ID), quote(cmp.Or(s.Headline(), "fails")))
	}
	if len(written) == 0 {
		b.WriteString("\nexpect: []\n")
	}
	return b.Bytes()
}

// New makes an empty file for Write. A file that is there stays as it is: somebody may have put reasons into it.
func New(name string) error {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("write expectations: %s exists; remove it or choose another name", name)
	case err != nil:
		return fmt.Errorf("write expectations: %w", err)
	}
	return file.Close()
}

// Write puts From's text into a file that New made.
func Write(name string, r *result.Result) error {
	if err := os.WriteFile(name, From(r), 0o666); err != nil {
		return fmt.Errorf("write expectations: %w", err)
	}
	return nil
}

// quote makes a YAML scalar in double quotes.
func quote(text string) string {
	return strconv.Quote(strings.ToValidUTF8(text, "?")) // \xNN of it means the same in YAML
}
