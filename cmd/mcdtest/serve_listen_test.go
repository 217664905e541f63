// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"reflect"
	"testing"
)

// Nobody but this host's users reaches a server that was not told where to listen.
func TestServeListensOnLoopback(t *testing.T) {
	field, _ := reflect.TypeFor[serveCmd]().FieldByName("Listen")
	host, _, err := net.SplitHostPort(field.Tag.Get("default"))
	if err != nil {
		t.Fatal(err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		t.Errorf("the default of --listen is %q, which is not loopback", field.Tag.Get("default"))
	}
}
