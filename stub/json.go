// SPDX-License-Identifier: Apache-2.0

package stub

import (
	"mcdtest/stub/mcdjson"
	"mcdtest/stub/target"
)

// newJSON makes the JSON dialect. It has no request that ends the machine.
func newJSON(t target.Target, reports *target.Reports, o Options) dialect {
	return mcdjson.NewDialect(t, reports, mcdjson.Options{
		MaxRequest: o.MaxRequest, MaxPending: o.MaxPending,
		WriteTimeout: o.WriteTimeout, RequestTimeout: o.RequestTimeout, IdleTimeout: o.IdleTimeout, Log: o.Log,
	})
}
