// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"mcdtest/harness/debugger"
	"mcdtest/harness/rawclient"
	"mcdtest/stub/jsonwire"
	"mcdtest/stub/wire"
)

func topologySpec(name string, s Spec, body func(ctx context.Context, r *Rig)) bool {
	s.Subject, s.Name, s.Body = "topology", name, body
	return register(s)
}

// cpuTypes are the QOM types of the machine's CPUs, in the order of their indices, as QMP has them.
func (m *Machine) cpuTypes(ctx context.Context) []string {
	ginkgo.GinkgoHelper()
	var cpus []struct {
		Index int    `json:"cpu-index"`
		Path  string `json:"qom-path"`
	}
	Expect(m.QMP().Execute(ctx, "query-cpus-fast", nil, &cpus)).To(Succeed())
	types := make([]string, len(cpus))
	for _, cpu := range cpus {
		Expect(m.QMP().Execute(ctx, "qom-get", map[string]any{"path": cpu.Path, "property": "type"}, &types[cpu.Index])).To(Succeed())
	}
	return types
}

// addressSpaces are the names and root regions of a CPU's address spaces, as HMP lists them, but for the order: HMP goes by
// what the spaces show, which has no order, and the CPU's first one is that without a word before "memory".
func (m *Machine) addressSpaces(ctx context.Context, core int) (names, roots []string) {
	ginkgo.GinkgoHelper()
	var text string
	Expect(m.QMP().Execute(ctx, "human-monitor-command", map[string]any{"command-line": "info mtree -f"}, &text)).To(Succeed())
	first := fmt.Sprintf("cpu-memory-%d", core)
	for _, as := range regexp.MustCompile(fmt.Sprintf(`AS "(cpu-[a-z-]*-%d)", root: (\S+)`, core)).FindAllStringSubmatch(text, -1) {
		if as[1] == first {
			names, roots = slices.Insert(names, 0, as[1]), slices.Insert(roots, 0, as[2])
		} else {
			names, roots = append(names, as[1]), append(roots, as[2])
		}
	}
	Expect(names).NotTo(BeEmpty(), "address spaces of CPU %d in %.500s", core, text)
	return names, roots
}

// registerCounts are how many registers QEMU's own gdbstub describes for the guest's CPU, by version.
var registerCounts = map[string]map[string]int{
	"arm":     {"7.2.": 192, "10.0.": 195, "11.1.": 196},
	"aarch64": {"7.2.": 228, "10.0.": 237, "11.1.": 239},
	"riscv64": {"7.2.": 193, "10.0.": 214, "11.1.": 270},
	"riscv32": {"7.2.": 215, "10.0.": 259, "11.1.": 323},
	"i386":    {"7.2.": 50, "10.0.": 50, "11.1.": 50},
	"x86_64":  {"7.2.": 66, "10.0.": 66, "11.1.": 66},
}

func (r *Rig) registerCount() (n int, known bool) {
	for prefix, n := range registerCounts[r.Arch] {
		if strings.HasPrefix(r.Build().Version, prefix) {
			return n, true
		}
	}
	return 0, false
}

var _ = topologySpec("the cores are QEMU's CPUs, by number and by type", Spec{Fast: true, NoStart: true, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig) {
		for _, n := range []int{1, 3} {
			r.StartMachine(ctx, MachineConfig{Cores: n})
			want := r.cpuTypes(ctx)
			Expect(want).To(HaveLen(n))
			cores, err := r.Debugger(ctx).Cores(ctx)
			Expect(err).NotTo(HaveOccurred())
			var got []string
			for i, c := range cores {
				Expect(c.Index).To(Equal(i))
				got = append(got, c.Type)
			}
			Expect(got).To(Equal(want), "types of the cores, and what QMP says")
		}
	})

var _ = topologySpec("a core has one logical and one physical space of its world, and one at least for registers", Spec{Fast: true},
	func(ctx context.Context, r *Rig) {
		core := r.core0(ctx, r.Debugger(ctx))
		ids, names := make(map[int]bool), make(map[string]bool)
		count := make(map[string]int)
		for i, s := range core.Spaces {
			Expect(s.ID).To(Equal(i+1), "ids count from 1")
			Expect(ids).NotTo(HaveKey(s.ID))
			Expect(names).NotTo(HaveKey(s.Name), "names of spaces are unique")
			ids[s.ID], names[s.Name] = true, true
			kinds := 0
			for kind, is := range map[string]bool{"logical": s.Logical, "physical": s.Physical, "registers": s.Registers} {
				if is {
					kinds++
					if !s.Secure {
						count[kind]++
					}
				}
			}
			Expect(kinds).To(Equal(1), "%+v is logical, physical or for registers", s)
			Expect(s.BigEndian).To(Equal(r.Guest().BigEndian()), "%+v", s)
		}
		Expect(count["logical"]).To(BeNumerically(">=", 1))
		Expect(count["physical"]).To(Equal(count["logical"]), "%+v", core.Spaces)
		Expect(count["registers"]).To(BeNumerically(">=", 1))
		Expect(core.Spaces[len(core.Spaces)-1].Registers).To(BeTrue(), "the last space holds registers")
	})

var _ = topologySpec("every register is in a group and a space that exist, and has a number of its own", Spec{Fast: true, Labels: []string{"ours"}},
	func(ctx context.Context, r *Rig) {
		core := r.core0(ctx, r.Debugger(ctx))
		Expect(core.Registers).NotTo(BeEmpty())
		groups := make(map[int]int)
		for i, g := range core.Groups {
			Expect(g.ID).To(Equal(i+1), "ids of groups count from 1")
			Expect(g.Name).NotTo(BeEmpty())
			groups[g.ID] = 0
		}
		numbers := make(map[int]string)
		for _, reg := range core.Registers {
			Expect(groups).To(HaveKey(reg.Group), "group of %+v", reg)
			groups[reg.Group]++
			space := slices.IndexFunc(core.Spaces, func(s debugger.Space) bool { return s.ID == reg.Space })
			Expect(space).To(BeNumerically(">=", 0), "space of %+v is one of %+v", reg, core.Spaces)
			Expect(core.Spaces[space].Registers).To(BeTrue(), "space of %+v is for registers", reg)
			Expect(numbers).NotTo(HaveKey(reg.ID), "%s and %s", numbers[reg.ID], reg.Name)
			numbers[reg.ID] = reg.Name
			Expect(reg.Bits).To(And(BeNumerically(">", 0), BeNumerically("<=", 1024)), "%+v", reg)
			Expect(reg.Name).To(MatchRegexp(`^[A-Za-z0-9_$ ()/-]{1,63}$`), "%+v", reg)
		}
		for id, n := range groups {
			Expect(n).To(BeNumerically(">", 0), "registers in group %d", id)
		}
	})

var _ = topologySpec("the list of registers is complete", Spec{Fast: true, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig) {
		core := r.core0(ctx, r.Debugger(ctx))
		byName := make(map[string]debugger.Register)
		for _, reg := range core.Registers {
			byName[reg.Name] = reg
		}
		g := r.Guest()
		known := append(g.FreeRegisters(), g.PCRegister(), g.StackPointer(), g.ValueRegister(), g.SlotRegister(), g.PassesRegister(), g.CoreRegister())
		for _, want := range known {
			Expect(byName).To(HaveKey(want.Name), "a register that the program uses")
			Expect(byName[want.Name].Bits).To(Equal(want.Bits), "size of %s", want.Name)
		}
		n, measured := r.registerCount()
		if !measured {
			ginkgo.Skip(fmt.Sprintf("not applicable: how many registers the gdbstub of QEMU %s describes has not been measured", r.Build().Version))
		}
		Expect(core.Registers).To(HaveLen(n), "registers that the gdbstub of QEMU %s describes", r.Build().Version)
	})

var _ = topologySpec("the cores of a machine have the same tables", Spec{Cores: 3}, func(ctx context.Context, r *Rig) {
	cores, err := r.Debugger(ctx).Cores(ctx)
	Expect(err).NotTo(HaveOccurred())
	number := regexp.MustCompile(`-\d$`)
	for i := range cores {
		for k, s := range cores[i].Spaces {
			cores[i].Spaces[k].Name = number.ReplaceAllString(s.Name, "") // the JSON dialect has the name of the core's own address space
		}
	}
	for _, c := range cores[1:] {
		Expect(c.Spaces).To(Equal(cores[0].Spaces), "spaces of core %d", c.Index)
		Expect(c.Groups).To(Equal(cores[0].Groups), "groups of core %d", c.Index)
		Expect(c.Registers).To(Equal(cores[0].Registers), "registers of core %d", c.Index)
	}
})

var _ = topologySpec("with EL3 there are spaces of the secure world, too", Spec{Archs: []string{"arm", "aarch64"}, Args: []string{"-M", "virt,secure=on"}, Fast: true, Labels: []string{"secure"}},
	func(ctx context.Context, r *Rig) {
		core := r.core0(ctx, r.Debugger(ctx))
		for _, secure := range []bool{false, true} {
			_, err := core.Logical(secure)
			Expect(err).NotTo(HaveOccurred())
			_, err = core.Physical(secure)
			Expect(err).NotTo(HaveOccurred())
		}
	})

var _ = topologySpec("the byte order is that of the machine", Spec{}, func(ctx context.Context, r *Rig) {
	order, err := r.Debugger(ctx).ByteOrder(ctx)
	Expect(err).NotTo(HaveOccurred())
	Expect(order).To(Equal(r.order()))
})

// What follows is about the lists of the packet dialect, one reply after the other.

func packetTopology(name string, s Spec, body func(ctx context.Context, r *Rig, c *rawclient.Client)) bool {
	s.Dialects = packetOnly
	return topologySpec(name, s, func(ctx context.Context, r *Rig) {
		c := r.Packets(ctx)
		_, err := c.OpenServer(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(c.OpenCore(ctx, 0)).To(Succeed())
		body(ctx, r, c)
	})
}

// walk goes through a list and checks its handles: each is the index of the next element, that of the last one is 0.
func walk(ctx context.Context, c *rawclient.Client, first, next string) []rawclient.Fields {
	ginkgo.GinkgoHelper()
	e, err := c.First(ctx, first, 0)
	Expect(err).NotTo(HaveOccurred())
	list := []rawclient.Fields{e.Fields}
	for e.Handle != 0 {
		Expect(e.Handle).To(BeEquivalentTo(len(list)), "handle after %d elements of %s", len(list), first)
		Expect(len(list)).To(BeNumerically("<", rawclient.MaxList))
		e, err = c.Next(ctx, next, e.Handle)
		Expect(err).NotTo(HaveOccurred())
		list = append(list, e.Fields)
	}
	return list
}

// packetList is a list: the requests for its first and its next element, and the keys of its elements.
type packetList struct {
	first, next string
	keys        []string
}

var packetLists = []packetList{
	{wire.QueryResetFirst, wire.QueryResetNext, []string{"id", "name"}},
	{wire.QueryMemoryFirst, wire.QueryMemoryNext, []string{"bpm", "e", "i", "id", "max", "min", "name", "sao", "type"}},
	{wire.QueryGroupFirst, wire.QueryGroupNext, []string{"id", "name"}},
	{wire.QueryRegFirst, wire.QueryRegNext, []string{"id", "memspaceid", "name", "opcode", "reggroupid", "size", "thread", "type"}},
}

func keysOf(f rawclient.Fields) []string {
	var keys []string
	for k := range f {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

var _ = packetTopology("every list is walked to its end by handles that count, and every element has the list's keys", Spec{Fast: true},
	func(ctx context.Context, r *Rig, c *rawclient.Client) {
		for _, l := range packetLists {
			ids := make(map[string]bool)
			for _, f := range walk(ctx, c, l.first, l.next) {
				Expect(keysOf(f)).To(Equal(l.keys), "keys of %v in %s", f, l.first)
				Expect(ids).NotTo(HaveKey(f["id"]), "ids of %s are unique", l.first)
				Expect(f["id"]).To(MatchRegexp(`^\d+$`))
				ids[f["id"]] = true
				Expect(f["name"]).NotTo(BeEmpty())
			}
		}
	})

var _ = packetTopology("a handle gives the same element whenever and how often it is asked for", Spec{},
	func(ctx context.Context, r *Rig, c *rawclient.Client) {
		for _, l := range packetLists {
			list := walk(ctx, c, l.first, l.next)
			for _, i := range []int{len(list) - 1, len(list) / 2, 1, 1, len(list) - 1} {
				if i == 0 || i >= len(list) {
					continue
				}
				e, err := c.Next(ctx, l.next, uint64(i))
				Expect(err).NotTo(HaveOccurred())
				Expect(e.Fields).To(Equal(list[i]), "%s%d", l.next, i)
				want := uint64(i + 1)
				if i == len(list)-1 {
					want = 0
				}
				Expect(e.Handle).To(Equal(want), "handle of %s%d", l.next, i)
			}
			Expect(walk(ctx, c, l.first, l.next)).To(Equal(list), "%s walked again", l.first)
		}
	})

var _ = packetTopology("a handle past the end is refused, and the list is still there", Spec{Fast: true, Labels: []string{"ours"}},
	func(ctx context.Context, r *Rig, c *rawclient.Client) {
		for _, l := range packetLists {
			list := walk(ctx, c, l.first, l.next)
			for _, h := range []uint64{uint64(len(list)), uint64(len(list)) + 1, 1 << 31, 1 << 32, math.MaxUint64} {
				_, err := c.Next(ctx, l.next, h)
				Expect(err).To(MatchError(rawclient.ErrRefused), "%s%d", l.next, h)
			}
			Expect(walk(ctx, c, l.first, l.next)).To(Equal(list))
		}
	})

var _ = packetTopology("lists that are walked at the same time do not disturb each other", Spec{},
	func(ctx context.Context, r *Rig, c *rawclient.Client) {
		spaces := walk(ctx, c, wire.QueryMemoryFirst, wire.QueryMemoryNext)
		groups := walk(ctx, c, wire.QueryGroupFirst, wire.QueryGroupNext)
		e, err := c.First(ctx, wire.QueryMemoryFirst, 0)
		Expect(err).NotTo(HaveOccurred())
		for i := 1; i < len(spaces); i++ {
			g, err := c.First(ctx, wire.QueryGroupFirst, 0)
			Expect(err).NotTo(HaveOccurred())
			Expect(g.Fields).To(Equal(groups[0]))
			e, err = c.Next(ctx, wire.QueryMemoryNext, e.Handle)
			Expect(err).NotTo(HaveOccurred())
			Expect(e.Fields).To(Equal(spaces[i]))
		}
	})

var _ = packetTopology("the memory spaces are those that the specification lists", Spec{Fast: true, Labels: []string{"ours"}},
	func(ctx context.Context, r *Rig, c *rawclient.Client) { expectSpaces(ctx, r, c, false) })

var _ = packetTopology("the memory spaces with EL3 are those that the specification lists",
	Spec{Archs: []string{"arm", "aarch64"}, Args: []string{"-M", "virt,secure=on"}, Labels: []string{"secure", "ours"}},
	func(ctx context.Context, r *Rig, c *rawclient.Client) { expectSpaces(ctx, r, c, true) })

func expectSpaces(ctx context.Context, r *Rig, c *rawclient.Client, el3 bool) {
	ginkgo.GinkgoHelper()
	const logical, physical, registers = rawclient.SpaceLogical | rawclient.SpaceProgram, rawclient.SpacePhysical | rawclient.SpaceProgram, rawclient.SpaceRegisters
	type space struct {
		name string
		typ  int
	}
	var want []space
	switch {
	case r.Arch == "arm" && el3:
		want = []space{{"Non Secure", logical}, {"Physical (Non Secure)", physical}, {"Secure", logical}, {"Physical (Secure)", physical}, {"GPR Registers", registers}, {"CP15 Registers", registers}}
	case r.Arch == "arm":
		want = []space{{"Non Secure", logical}, {"Physical (Non Secure)", physical}, {"GPR Registers", registers}, {"CP15 Registers", registers}}
	case el3:
		want = []space{{"Logical", logical}, {"Physical", physical}, {"Secure Logical", logical}, {"Secure Physical", physical}, {"Registers", registers}}
	default:
		want = []space{{"Logical", logical}, {"Physical", physical}, {"Registers", registers}}
	}
	got, err := c.Spaces(ctx, 0)
	Expect(err).NotTo(HaveOccurred())
	var names []space
	for i, s := range got {
		names = append(names, space{s.Name, s.Type})
		s.Name, s.Type = "", 0
		Expect(s).To(Equal(rawclient.Space{ID: i + 1, BitsPerUnit: 8, Invariance: 1, Endian: 1, Max: math.MaxUint64}), "%+v", names[i])
	}
	Expect(names).To(Equal(want))
}

var _ = packetTopology("registers of 32-bit ARM are in the two groups that the specification has", Spec{Archs: []string{"arm"}, Args: []string{"-M", "virt,secure=on"}},
	func(ctx context.Context, r *Rig, c *rawclient.Client) {
		groups, err := c.Groups(ctx, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(groups).To(Equal([]rawclient.Group{{ID: 1, Name: "GPR Registers"}, {ID: 2, Name: "CP15 Registers"}}))
		registers, err := c.Registers(ctx, 0)
		Expect(err).NotTo(HaveOccurred())
		count := make(map[int]int)
		for _, reg := range registers {
			count[reg.Group]++
			Expect(reg.Space).To(Equal(4+reg.Group), "space of %+v: GPR Registers is 5, CP15 Registers 6", reg)
		}
		if strings.HasPrefix(r.Build().Version, "7.2.") {
			Expect(count).To(Equal(map[int]int{1: 68, 2: 260}), "registers by group")
		}
		for name, id := range map[string]int{"r0": 0, "r12": 12, "sp": 13, "lr": 14, "pc": 15, "cpsr": 25, "d0": 26} {
			i := slices.IndexFunc(registers, func(reg rawclient.Register) bool { return reg.Name == name })
			Expect(i).To(BeNumerically(">=", 0), name)
			Expect(registers[i].ID).To(Equal(id), "id of %s", name)
			Expect(registers[i].Group).To(Equal(1), "group of %s", name)
			Expect([]int{registers[i].Type, registers[i].Thread, registers[i].Opcode}).To(Equal([]int{0, 0, 0}), name)
		}
	})

var _ = packetTopology("the groups of other architectures have the names of GDB's features", Spec{Fast: true, Archs: []string{"aarch64", "riscv32", "riscv64", "i386", "x86_64"}},
	func(ctx context.Context, r *Rig, c *rawclient.Client) {
		groups, err := c.Groups(ctx, 0)
		Expect(err).NotTo(HaveOccurred())
		var names []string
		for _, g := range groups {
			Expect(g.Name).To(MatchRegexp(`^[a-z0-9_-]+$`))
			names = append(names, g.Name)
		}
		for _, want := range map[string][]string{
			"aarch64": {"core", "fpu"}, "riscv32": {"cpu", "csr"}, "riscv64": {"cpu", "csr"}, "i386": {"core"}, "x86_64": {"core"},
		}[r.Arch] {
			Expect(names).To(ContainElement(want))
		}
	})

var _ = packetTopology("the device is named after the architecture", Spec{}, func(ctx context.Context, r *Rig, c *rawclient.Client) {
	cores, err := c.Cores(ctx)
	Expect(err).NotTo(HaveOccurred())
	Expect(cores).To(Equal(rawclient.Cores{Device: "qemu-" + r.Arch + "-device", Core: r.cpuTypes(ctx)[0], Count: r.Machine.Cores()}))
})

var _ = packetTopology("the triggers are those that the specification lists", Spec{Fast: true}, func(ctx context.Context, r *Rig, c *rawclient.Client) {
	t, err := c.Triggers(ctx)
	Expect(err).NotTo(HaveOccurred())
	Expect(t).To(Equal(rawclient.Triggers{Count: 16, Types: []int{1, 2, 3, 4}, Option: "break_on_trigger", Action: "check_data_value"}))
})

var _ = packetTopology("reset class 0 is the reset of the whole system", Spec{Fast: true}, func(ctx context.Context, r *Rig, c *rawclient.Client) {
	list, err := c.ResetClasses(ctx)
	Expect(err).NotTo(HaveOccurred())
	Expect(list[0]).To(Equal(rawclient.ResetClass{ID: 0, Name: "full_system_reset"}))
})

// What follows is about the tables of the JSON dialect.

func jsonTopology(name string, s Spec, body func(ctx context.Context, r *Rig, o *objectSeat)) bool {
	s.Dialects = jsonOnly
	return topologySpec(name, s, func(ctx context.Context, r *Rig) { body(ctx, r, r.objectSeat(ctx)) })
}

var _ = jsonTopology("there is one server, one system and one device, named after the program and the machine", Spec{Fast: true},
	func(ctx context.Context, r *Rig, o *objectSeat) {
		servers, err := o.c.QryServers(ctx, "", true, 0, 10)
		Expect(err).NotTo(HaveOccurred())
		Expect(servers.ServerInfo).To(HaveLen(1))
		systems, err := o.c.QrySystems(ctx, 0, 10)
		Expect(err).NotTo(HaveOccurred())
		Expect(systems.SystemConInfo).To(HaveLen(1))
		Expect(systems.SystemConInfo[0].System).To(Equal("qemu-system-" + r.Arch))
		devices, err := o.c.QryDevices(ctx, systems.SystemConInfo[0], 0, 10)
		Expect(err).NotTo(HaveOccurred())
		Expect(devices.DeviceConInfo).To(HaveLen(1))
		Expect(devices.DeviceConInfo[0].System).To(Equal("qemu-system-" + r.Arch))
		Expect(devices.DeviceConInfo[0].Device).To(Equal(r.Guest().Machine()))
	})

var _ = jsonTopology("core-id is the index, core-uid one more, and the core's name its QOM type", Spec{Fast: true, Cores: 3, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, o *objectSeat) {
		types := r.cpuTypes(ctx)
		Expect(o.cons).To(HaveLen(len(types)))
		for i, con := range o.cons {
			Expect(con.CoreID).To(BeEquivalentTo(i))
			Expect(con.Core).To(Equal(types[i]))
			Expect(o.uids[i]).To(BeEquivalentTo(i + 1))
			regs, err := o.c.QryRegMap(ctx, o.uids[i], 0, 0, 1)
			Expect(err).NotTo(HaveOccurred())
			Expect(regs.RegInfo[0].HWThreadID).To(BeEquivalentTo(i+1), "hw-thread-id of core %d", i)
			st, err := o.c.QryState(ctx, o.uids[i])
			Expect(err).NotTo(HaveOccurred())
			Expect(st.HWThreadID).To(BeEquivalentTo(i+1), "hw-thread-id of core %d", i)
		}
	})

var _ = jsonTopology("the memory spaces are the CPU's address spaces as HMP lists them, and the registers", Spec{Fast: true, Cores: 2, Labels: []string{"observer"}},
	func(ctx context.Context, r *Rig, o *objectSeat) { o.expectAddressSpaces(ctx) })

var _ = jsonTopology("the memory spaces with EL3 are so, too", Spec{Archs: []string{"arm", "aarch64"}, Args: []string{"-M", "virt,secure=on"}, Labels: []string{"secure", "observer"}},
	func(ctx context.Context, r *Rig, o *objectSeat) {
		Expect(o.spaces).To(HaveLen(5))
		o.expectAddressSpaces(ctx)
	})

func (o *objectSeat) expectAddressSpaces(ctx context.Context) {
	ginkgo.GinkgoHelper()
	type space struct {
		id   uint32
		name string
		typ  jsonwire.MemType
	}
	for core, uid := range o.uids {
		names, roots := o.addressSpaces(ctx, core)
		var want, got []space
		for i := range names {
			var secure jsonwire.MemType
			if strings.Contains(names[i], "secure") {
				secure = jsonwire.MemIsSecure
			}
			want = append(want,
				space{uint32(2*i + 1), jsonwire.Cut(roots[i], 31), jsonwire.MemIsPhysical | secure},
				space{uint32(2*i + 2), jsonwire.Cut(names[i], 31), jsonwire.MemIsLogical | secure})
		}
		want = append(want, space{uint32(2*len(names) + 1), "GDB Registers", jsonwire.MemIsRegisters})
		list, err := o.c.MemSpaces(ctx, uid)
		Expect(err).NotTo(HaveOccurred())
		for _, s := range list {
			got = append(got, space{s.ID, s.Name, s.Type})
		}
		Expect(got).To(Equal(want), "memory spaces of core %d", core)
	}
}

var _ = jsonTopology("a register group is a GDB feature with as many registers as it says", Spec{Fast: true},
	func(ctx context.Context, r *Rig, o *objectSeat) {
		groups, err := o.c.RegGroups(ctx, 1)
		Expect(err).NotTo(HaveOccurred())
		all, err := o.c.Regs(ctx, 1, 0)
		Expect(err).NotTo(HaveOccurred())
		total := 0
		for i, g := range groups {
			Expect(g.ID).To(BeEquivalentTo(i + 1))
			Expect(g.Name).To(MatchRegexp(`^org\.(gnu|qemu)\.gdb\.`))
			of, err := o.c.Regs(ctx, 1, g.ID)
			Expect(err).NotTo(HaveOccurred())
			Expect(of).To(HaveLen(int(g.Registers)), "registers of group %s", g.Name)
			total += len(of)
			for _, reg := range of {
				Expect(reg.GroupID).To(Equal(g.ID), "%+v", reg)
				Expect(all).To(ContainElement(reg))
			}
		}
		Expect(all).To(HaveLen(total), "registers of all groups")
		last := o.spaces[len(o.spaces)-1].ID
		for _, reg := range all {
			Expect(reg.Addr.MemSpaceID).To(Equal(last), "space of %+v", reg)
			Expect(reg.Type).To(BeZero(), "%+v", reg)
			Expect(len(reg.Name)).To(BeNumerically("<=", 31), "%+v", reg)
		}
		if r.Arch == "aarch64" {
			Expect([]any{groups[0].Name, groups[0].Registers}).To(Equal([]any{"org.gnu.gdb.aarch64.core", uint32(34)}))
		}
	})
