// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"runtime/debug"
)

type versionCmd struct{}

func (versionCmd) Run(con *console) error {
	fmt.Fprintln(con.out, "mcdtest", version())
	return nil
}

// version is that of the module, or the commit that was built.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "of unknown origin"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "(development build)"
	}
	return v + " " + info.GoVersion
}
