// SPDX-License-Identifier: Apache-2.0

package gdbtarget

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcdtest/stub/target"
)

func TestParseDescription(t *testing.T) {
	files := parts{
		"target.xml": []byte(`<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target><architecture>x</architecture>
			<xi:include href="core.xml"/><xi:include href="sys.xml"/></target>`),
		// A comment that holds registers, a gap, and a name that occurs twice, as in QEMU's own files.
		"core.xml": []byte(`<feature name="org.gnu.gdb.x.core"><reg name="r0" bitsize="32"/><!-- <reg name="no" bitsize="32"/> -->
			<reg name="pc" bitsize="32" type="code_ptr"/><reg name="flags" bitsize="32" regnum="25"/><reg name="d0" bitsize="64"/></feature>`),
		"sys.xml": []byte(`<feature name="org.qemu.x.sys"><reg name="DUMMY" bitsize="32"/><reg name="DUMMY" bitsize="1"/></feature>`),
	}
	d, err := parseDescription(files)
	if err != nil {
		t.Fatal(err)
	}
	want := []target.Register{
		{Number: 0, Name: "r0", Bits: 32}, {Number: 1, Name: "pc", Bits: 32}, {Number: 25, Name: "flags", Bits: 32},
		{Number: 26, Name: "d0", Bits: 64}, {Number: 27, Name: "DUMMY", Bits: 32, Group: 1}, {Number: 28, Name: "DUMMY", Bits: 1, Group: 1},
	}
	if diff := cmp.Diff(want, d.registers); diff != "" {
		t.Errorf("registers: - want, + got\n%s", diff)
	}
	if diff := cmp.Diff([]target.RegisterGroup{{Name: "org.gnu.gdb.x.core"}, {Name: "org.qemu.x.sys"}}, d.groups); diff != "" {
		t.Errorf("groups: - want, + got\n%s", diff)
	}
	for _, bad := range []string{
		`<target><xi:include href="absent.xml"/></target>`,
		`<target><feature name="f"><reg name="r" bitsize="many"/></feature></target>`,
		`<target><feature name="f"><reg name="r" bitsize="8" regnum="x"/></feature></target>`,
		`<target><xi:include href="target.xml"/></target>`,
		`<target></target>`,
	} {
		files["target.xml"] = []byte(bad)
		if d, err := parseDescription(files); err == nil {
			t.Errorf("%s: no error, %+v", bad, d)
		}
	}
}

func TestParseMtree(t *testing.T) {
	views := parseMtree("FlatView #0\r\n" +
		" AS \"memory\", root: system\r\n" +
		" AS \"cpu-memory-0\", root: system\r\n" +
		" AS \"virtio-pci-dma\", root: bus master container, alias system\r\n" +
		" Root memory region: system\r\n" +
		"  0000000000000000-0000000003ffffff (prio 0, romd): virt.flash0\r\n" +
		"  0000000009000000-0000000009000fff (prio 0, i/o): pl011\r\n" +
		"  0000000040000000-00000000400bffff (prio 0, ram): mach-virt.ram\r\n" +
		"  00000000400c0000-0000000040ffffff (prio 0, ram): mach-virt.ram @00000000000c0000\r\n" +
		"\r\nFlatView #1\r\n" +
		" AS \"cpu-secure-memory-0\", root: secure-memory\r\n" +
		" Root memory region: secure-memory\r\n" +
		"  000000000e000000-000000000effffff (prio 0, ram): virt.secure-ram\r\n" +
		"  0000000040000000-0000000040ffffff (prio 0, ram): mach-virt.ram\r\n" +
		"\r\nFlatView #2\r\n AS \"I/O\", root: io\r\n Root memory region: io\r\n  0000000000000000-000000000000ffff (prio 0, i/o): io\r\n")
	var names []string
	for _, v := range views {
		names = append(names, v.name+"/"+v.root)
	}
	if diff := cmp.Diff([]string{"memory/system", "cpu-memory-0/system", "virtio-pci-dma/bus master container",
		"cpu-secure-memory-0/secure-memory", "I/O/io"}, names); diff != "" {
		t.Errorf("- want, + got\n%s", diff)
	}
	normal, secure := findView(views, "cpu-memory-0"), findView(views, "cpu-secure-memory-0")
	for _, c := range []struct {
		addr   uint64
		n      int
		mapped bool
		kind   memoryKind
	}{
		{0x40000000, 4, true, ram},
		{0x400bfffe, 4, true, ram}, // across two ranges of the same region
		{0x40fffffe, 4, false, ram},
		{0x40fffffc, 4, true, ram},
		{0x3ffffffe, 4, false, nothing},
		{0x00000000, 4, true, rom},
		{0x09000ffc, 4, true, device},
		{0x09000ffe, 4, false, device},
		{0x0e000000, 4, false, nothing},
		{0xfffffffffffffffe, 2, false, nothing},
	} {
		if mapped, kind := normal.covers(c.addr, c.n); mapped != c.mapped || kind != c.kind {
			t.Errorf("covers(%#x, %d) = %v, %v", c.addr, c.n, mapped, kind)
		}
	}
	if !normal.same(secure, 0x400bfff0, 64) {
		t.Error("RAM that both views have is not the same")
	}
	if normal.same(secure, 0x0e000000, 4) || normal.same(secure, 0x40fffffe, 4) {
		t.Error("memory that one view lacks is the same")
	}
}

func TestParseStop(t *testing.T) {
	for reply, want := range map[string]stopReply{
		"T05thread:p01.02;":                        {trap: true, signal: 5, thread: "p01.02"},
		"T02thread:01;":                            {signal: 2, thread: "01"},
		"T05thread:p01.01;watch:0000000040202000;": {trap: true, signal: 5, thread: "p01.01", kind: target.Write, addr: 0x40202000},
		"T05thread:p01.01;rwatch:40202000;":        {trap: true, signal: 5, thread: "p01.01", kind: target.Read, addr: 0x40202000},
		"T05core:01;awatch:ffffffff80000000;":      {trap: true, signal: 5, kind: target.Access, addr: 0xffffffff80000000},
		"S05":                                      {trap: true, signal: 5},
		"OK":                                       {},
		"":                                         {},
	} {
		if got := parseStop([]byte(reply)); got != want {
			t.Errorf("%q: %+v, want %+v", reply, got, want)
		}
	}
	for _, c := range []struct {
		a, b string
		same bool
	}{{"p1.1", "p01.01", true}, {"p1.10", "p01.1", false}, {"1", "01", true}, {"p2.1", "p1.1", false}} {
		if sameThread(c.a, c.b) != c.same {
			t.Errorf("sameThread(%s, %s) is %v", c.a, c.b, !c.same)
		}
	}
}

func TestMachineName(t *testing.T) {
	for qom, want := range map[string]string{
		"virt-7.2-machine": "virt", "virt-machine": "virt", "pc-i440fx-10.0-machine": "pc", "pc-q35-7.2-machine": "q35",
		"microvm-machine": "microvm", "none-machine": "none",
	} {
		if got := machineName(qom); got != want {
			t.Errorf("%s: %s, want %s", qom, got, want)
		}
	}
}

// The pieces of a part are asked for before it is known how long it is, and how much a reply holds.
func TestParts(t *testing.T) {
	for _, test := range []struct {
		replies []string
		text    string
		missing []string
	}{
		{[]string{"mabcd", "mefgh", "li", "E00"}, "abcdefghi", nil},
		{[]string{"mabcd", "l", "E00"}, "abcd", nil},
		{[]string{"mabcd", "mefgh"}, "abcdefgh", []string{"a.xml"}},
		{[]string{"mabcd", "mef", "mijkl"}, "abcdef", []string{"a.xml"}}, // gh are missing
		{[]string{`l<xi:include href="b.xml"/><xi:include href="c.xml"/>`}, `<xi:include href="b.xml"/><xi:include href="c.xml"/>`, []string{"b.xml"}},
	} {
		p := parts{"c.xml": []byte("<feature/>")}
		missing, err := p.add("a.xml", test.replies, 4)
		if err != nil || !slices.Equal(missing, test.missing) || string(p["a.xml"]) != test.text {
			t.Errorf("%q: missing %q, %v, and it is %q", test.replies, missing, err, p["a.xml"])
		}
	}
	for _, replies := range [][]string{{"E00"}, {""}, {"mabcd", "E01"}} {
		if missing, err := (parts{}).add("a.xml", replies, 4); err == nil || !strings.Contains(err.Error(), "a.xml") {
			t.Errorf("%q: %q, %v", replies, missing, err)
		}
	}
}
