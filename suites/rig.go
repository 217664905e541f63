// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/format"

	"mcdtest/guest"
	"mcdtest/harness"
	"mcdtest/harness/debugger"
	"mcdtest/harness/exchange"
	"mcdtest/harness/fault"
	"mcdtest/harness/jsonclient"
	"mcdtest/harness/launch"
	"mcdtest/harness/rawclient"
	"mcdtest/harness/result"
	"mcdtest/harness/transcript"
	"mcdtest/stub/wire"
)

// Rig is what a spec works with: a machine, clients of its endpoint, observers, and what is kept of all that happens.
type Rig struct {
	Case
	Settings Settings
	Spec     *Spec
	// Machine is the one that was started last.
	*Machine

	id       string
	fault    *faultInUse
	starting sync.Mutex // of machines; Describe is called while the spec runs
	machines []*Machine
	// unstarted is what is left of a QEMU that did not become a machine.
	unstarted *harness.StartError
	// why is what explains the failure of the spec, beside what it says itself.
	why string
}

// Machine is a QEMU of a spec with the record of what was said to its endpoint.
type Machine struct {
	*harness.Machine
	Recorder *transcript.Recorder

	wrapConn   fault.ConnWrapper
	config     MachineConfig
	mu         sync.Mutex
	conns      []net.Conn
	unexpected error // what Close said
	closed     bool
	endEvents  context.CancelFunc
	seen       chan struct{}
}

// current is the rig of the spec that runs, for the fail handler. Specs of a process run one after another.
var current atomic.Pointer[Rig]

func newRig(settings Settings, f *faultInUse, item Item) *Rig {
	r := &Rig{Case: item.Case, Settings: settings, Spec: item.Spec, id: item.ID(), fault: f}
	current.Store(r)
	return r
}

// What an error says is enough; its insides are for who looks for faults of this package.
func init() {
	format.RegisterCustomFormatter(func(value any) (string, bool) {
		_, isError := value.(error)
		return "", isError
	})
}

// Fail is the fail handler of a suite of this package. What explains a failure stands before it: the end of QEMU, or
// an endpoint that hangs.
func Fail(message string, skip ...int) {
	n := 1
	if len(skip) > 0 {
		n += skip[0]
	}
	if r := current.Load(); r != nil {
		if r.why == "" {
			r.why = r.diagnose()
		}
		if r.why != "" {
			message = r.why + "\n\n" + message
		}
	}
	ginkgo.Fail(message, n)
}

// MachineConfig is what a spec may say of its machine.
type MachineConfig struct {
	Variant guest.Variant
	Cores   int
	Args    []string
	Running bool
	// AnyDialect is for an endpoint that speaks both; the spec is skipped for one that does not.
	AnyDialect bool
}

// Config is the machine that the spec's entry asks for.
func (s *Spec) Config() MachineConfig {
	return MachineConfig{Variant: s.Variant, Cores: s.Cores, Args: s.Args, Running: s.Running}
}

// StartMachine starts a machine, which is then the Rig's Machine. The spec is skipped if the build cannot have it.
func (r *Rig) StartMachine(ctx context.Context, cfg MachineConfig) *Machine {
	ginkgo.GinkgoHelper()
	build, err := r.Settings.FindBuild(r.Arch)
	if err != nil {
		if errors.Is(err, harness.ErrNoTarget) {
			ginkgo.Skip(fmt.Sprintf("not applicable: %v", err))
		}
		Expect(err).NotTo(HaveOccurred())
	}
	if cfg.Variant == "" {
		cfg.Variant = guest.Loop
	}
	image, err := guest.Lookup(r.Arch, cfg.Variant)
	if err != nil {
		ginkgo.Skip(fmt.Sprintf("not applicable: %v", err))
	}
	if cfg.Cores == 0 {
		cfg.Cores = r.Cores
	}
	endpoint, dialect := r.Settings.EndpointOf(build), r.Dialect
	if cfg.AnyDialect {
		dialect = ""
		if endpoint == harness.Native && !(build.Speaks(harness.Packet) && build.Speaks(harness.JSON)) {
			ginkgo.Skip(fmt.Sprintf("not applicable: the -mcd of %v speaks one dialect only", build))
		}
	}
	m, err := harness.Start(ctx, harness.Config{
		Build: build, Guest: image, Cores: cfg.Cores, Endpoint: endpoint, Dialect: dialect,
		Running: cfg.Running, Args: cfg.Args, WrapTarget: r.fault.wrapTarget(),
	})
	if err != nil {
		errors.As(err, &r.unstarted)
		Fail(fmt.Sprintf("no machine to test: %v", err))
	}
	sm := &Machine{Machine: m, config: cfg, Recorder: transcript.NewRecorder(recorderLimit), wrapConn: r.fault.wrapConns(), seen: make(chan struct{})}
	r.Machine = sm
	r.starting.Lock()
	r.machines = append(r.machines, sm)
	r.starting.Unlock()
	sm.Recorder.Comment("mcdtest: %s", r.id)
	sm.Recorder.Comment("%s %s, %s endpoint: %s %s", build.Program(), build.Version, m.Endpoint(), build.Program(), strings.Join(m.Args(), " "))
	sm.recordEvents()
	return sm
}

// recorderLimit bounds what is kept of a spec's conversation, in bytes.
const recorderLimit = 8 << 20

// recordEvents puts QMP's events into the record, so that the state of the VM stands between the packets.
func (m *Machine) recordEvents() {
	ctx, cancel := context.WithCancel(context.Background())
	m.endEvents = cancel
	events, err := m.QMP().Events(ctx)
	if err != nil {
		close(m.seen)
		return
	}
	go func() {
		defer close(m.seen)
		for ev := range events {
			switch ev.Event {
			case "STOP", "RESUME", "RESET", "SHUTDOWN", "GUEST_PANICKED":
				m.Recorder.Comment("VM %s", ev.Event)
			}
		}
	}()
}

// Connect makes a new connection to the endpoint. Nothing is recorded of what goes over it; that is its client's part.
func (m *Machine) Connect(ctx context.Context) net.Conn {
	ginkgo.GinkgoHelper()
	conn, err := m.Dial(ctx)
	Expect(err).NotTo(HaveOccurred())
	conn = m.wrapConn(conn)
	m.mu.Lock()
	m.conns = append(m.conns, conn)
	m.mu.Unlock()
	return conn
}

// Packets is a raw packet client on a new connection.
func (m *Machine) Packets(ctx context.Context) *rawclient.Client {
	ginkgo.GinkgoHelper()
	return rawclient.New(m.Connect(ctx), rawclient.Options{
		Recorder: m.Recorder, Gone: m.Done(), GoneErr: m.ended,
	})
}

// Objects is a raw client of the JSON dialect on a new connection.
func (m *Machine) Objects(ctx context.Context) *jsonclient.Client {
	ginkgo.GinkgoHelper()
	return jsonclient.New(m.Connect(ctx), jsonclient.Options{Recorder: m.Recorder, Gone: m.Done(), GoneErr: m.ended})
}

func (m *Machine) ended() error {
	if exit := m.Exit(); exit != nil {
		return exit
	}
	return nil
}

// Session is a session on a new connection, in the case's dialect, that is not open yet.
func (m *Machine) Session(ctx context.Context) debugger.Debugger {
	ginkgo.GinkgoHelper()
	if m.Dialect() == harness.JSON {
		return debugger.NewJSON(m.Objects(ctx))
	}
	return debugger.NewPacket(m.Packets(ctx))
}

// Debugger is an open session on a new connection, in the case's dialect.
func (m *Machine) Debugger(ctx context.Context) debugger.Debugger {
	ginkgo.GinkgoHelper()
	d := m.Session(ctx)
	Expect(d.Open(ctx)).To(Succeed())
	return d
}

// crash says what went wrong with the machines beside the spec's own assertions.
func (r *Rig) crash() string {
	var b strings.Builder
	if u := r.unstarted; u != nil && u.Exit != nil {
		fmt.Fprintf(&b, "QEMU ended: %v\n", u.Exit)
	}
	for _, m := range r.machines {
		m.mu.Lock()
		unexpected := m.unexpected
		m.mu.Unlock()
		// The client may see the end of QEMU before its monitor does.
		if exit := m.endsNow(); exit != nil && !m.EndExpected() {
			fmt.Fprintf(&b, "QEMU ended: %v\n", exit)
		} else if unexpected != nil {
			fmt.Fprintf(&b, "%v\n", unexpected)
		}
		for _, line := range m.Complaints() {
			fmt.Fprintf(&b, "QEMU says: %s\n", line)
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// endsNow is how QEMU has ended, or ends in this moment.
func (m *Machine) endsNow() *launch.Exit {
	moment := time.NewTimer(endMoment)
	defer moment.Stop()
	select {
	case <-m.Done():
	case <-m.QMP().Done():
	case <-moment.C:
	}
	return m.Ended()
}

// endMoment is how long a failed spec waits for a QEMU that may just be ending.
const endMoment = 100 * time.Millisecond

// Describe says where the spec's machines stand.
func (r *Rig) Describe() string {
	r.starting.Lock()
	machines := slices.Clone(r.machines)
	r.starting.Unlock()
	var b strings.Builder
	for _, m := range machines {
		b.WriteString(m.Machine.Describe())
		b.WriteString(tail(m.Recorder, 10))
	}
	return b.String()
}

// tail is the end of a conversation.
func tail(rec *transcript.Recorder, n int) string {
	entries := rec.Entries()
	if len(entries) > n {
		entries = entries[len(entries)-n:]
	}
	return string(transcript.FormatTimed(entries))
}

// finish ends the machines and keeps what is worth keeping.
func (r *Rig) finish(context.Context) {
	defer current.CompareAndSwap(r, nil)
	failed := ginkgo.CurrentSpecReport().Failed()
	why := r.why
	if failed && why == "" { // it was Ginkgo that ended the spec
		why = r.diagnose()
	}
	var problems []error
	for _, m := range r.machines {
		if err := m.shut(); err != nil {
			problems = append(problems, err)
		}
		if list := m.Complaints(); len(list) > 0 {
			problems = append(problems, fmt.Errorf("QEMU says that something is wrong with itself: %s", strings.Join(list, "; ")))
		}
	}
	if why == "" {
		why = r.crash()
	}
	if failed || len(problems) > 0 || r.Settings.Record {
		r.report(why, failed || len(problems) > 0)
	}
	if len(problems) > 0 && !failed {
		ginkgo.Fail(errors.Join(problems...).Error())
	}
}

// shut ends a machine.
func (m *Machine) shut() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return m.unexpected
	}
	m.closed = true
	conns := m.conns
	m.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
	err := m.Machine.Close()
	m.endEvents()
	<-m.seen
	m.mu.Lock()
	m.unexpected = err
	m.mu.Unlock()
	return err
}

// Limits of the look at an endpoint after a failure.
const (
	monitorLimit = 2 * time.Second
	slowLimit    = 3 * time.Second
)

// diagnose tells, after a failure, a QEMU that hangs from an endpoint that hangs or is slow.
func (r *Rig) diagnose() string {
	if why := r.crash(); why != "" {
		return why
	}
	if r.Machine == nil || !unanswered(r.Recorder.Entries()) {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), monitorLimit)
	defer cancel()
	state, err := r.RunState(ctx)
	if err != nil {
		return fmt.Sprintf("QEMU hangs: its monitor does not answer either: %v", err)
	}
	r.mu.Lock()
	conns := r.conns
	r.mu.Unlock()
	if len(conns) == 0 {
		return ""
	}
	conn := conns[len(conns)-1]
	start := time.Now()
	if conn.SetReadDeadline(start.Add(slowLimit)) != nil {
		return ""
	}
	late := make([]byte, 4096)
	n, err := conn.Read(late)
	if n > 0 {
		r.Recorder.Received(late[:n])
		return fmt.Sprintf("the endpoint is slow: its answer came %v after the wait for it was over", time.Since(start).Round(time.Millisecond))
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Sprintf("the endpoint hangs: nothing came for another %v, while QEMU's monitor answers (run state %q)", slowLimit, state)
	}
	return ""
}

// unanswered reports whether a conversation ends with a request whose answer is missing.
func unanswered(entries []transcript.Entry) bool {
	list := exchange.Pair(entries)
	for i := len(list) - 1; i >= 0; i-- {
		x := list[i]
		switch {
		case x.Comment != "":
			continue
		case x.Closed != "" || x.Name == "":
			return false // over, or bytes that need no answer
		case len(x.Answer) == 0:
			return true
		}
		// The answers to packets that were sent in one piece stand behind the last of them.
		replies := 0
		for last := i; i >= 0 && list[i].At == x.At && len(list[i].Sent) > 0 && (i == last || len(list[i].Answer) == 0); i-- {
			r, _ := wire.Match(bytes.TrimPrefix(list[i].Sent, []byte{wire.Start}))
			if list[i].Sent[0] == wire.Start && r != nil && r.Reply != wire.NoReply {
				replies++
			}
		}
		return bytes.Count(x.Answer, []byte{wire.Start}) < replies
	}
	return false
}

var notFileName = regexp.MustCompile(`[^A-Za-z0-9.]+`)

// report attaches the evidence to Ginkgo's report, and writes a script that plays the failure again.
func (r *Rig) report(crash string, failed bool) {
	ev := result.Evidence{
		ID: r.id, Subject: r.Spec.Subject, Arch: r.Arch, Cores: r.Cores, Dialect: string(r.Dialect), Crash: crash,
	}
	for _, m := range r.machines {
		build := m.Build()
		ev.QEMU, ev.Version, ev.Endpoint = build.Path, build.Version, string(m.Endpoint())
		var text bytes.Buffer
		m.Recorder.WriteTimed(&text)
		em := result.Machine{
			Command: append([]string{build.Path}, m.Args()...), Stderr: strings.Join(m.Stderr(), "\n"), Transcript: text.String(),
		}
		if exit := m.Exit(); exit != nil && !m.EndExpected() {
			em.Exit = exit.Error()
		}
		ev.Machines = append(ev.Machines, em)
	}
	if u := r.unstarted; u != nil {
		ev.QEMU, ev.Version = u.Build.Path, u.Build.Version
		em := result.Machine{Command: append([]string{u.Build.Path}, u.Args...), Stderr: strings.Join(u.Stderr, "\n")}
		if u.Exit != nil {
			em.Exit = u.Exit.Error()
		}
		ev.Machines = append(ev.Machines, em)
	}
	if failed {
		var err error
		if ev.Reproduce, err = r.reproduce(); err != nil {
			ev.Unsaved = err.Error()
		}
		r.print(ev)
	}
	ginkgo.AddReportEntry(result.EvidenceName, ev, ginkgo.ReportEntryVisibilityNever)
}

// reproduce writes the conversation as a script and returns the command that plays it, or the one that runs the spec
// alone if there is no place for scripts. An error says that there was to be a script.
func (r *Rig) reproduce() (string, error) {
	alone := commandLine(append(append([]string{"mcdtest", "suite"}, r.build()...),
		"--arch", r.Arch, "--cores", strconv.Itoa(r.Cores), "--dialect", string(r.Dialect), "--specs", "^"+regexp.QuoteMeta(r.id)+"$"))
	if r.Settings.Artifacts == "" || r.Machine == nil {
		return alone, nil
	}
	name := filepath.Join(r.Settings.Artifacts, strings.Trim(notFileName.ReplaceAllString(r.id, "-"), "-")+".txt")
	var text bytes.Buffer
	fmt.Fprintf(&text, "# Recorded from a failed spec: %s\n# To run the spec: %s\n", r.id, alone)
	text.Write(reproduction(r.Recorder.Entries()))
	err := os.MkdirAll(r.Settings.Artifacts, 0o777)
	if err == nil {
		if err = os.WriteFile(name, text.Bytes(), 0o666); err != nil {
			os.Remove(name) // there may be half of it
		}
	}
	if err != nil {
		return alone, err
	}
	cmd := append(append([]string{"mcdtest", "play"}, r.build()...),
		"--arch", r.Arch, "--cores", strconv.Itoa(r.Machine.Machine.Cores()), "--dialect", string(r.Dialect), "--variant", string(r.Guest().Variant))
	if r.Machine.config.Running {
		cmd = append(cmd, "--running")
	}
	for _, arg := range r.Machine.config.Args {
		cmd = append(cmd, "--qemu-arg="+arg)
	}
	return commandLine(append(cmd, name)), nil
}

// build is what a command needs to test the same QEMU in the same way.
func (r *Rig) build() []string {
	var args []string
	if r.Settings.QEMU != "" {
		args = append(args, "--qemu", r.Settings.QEMU)
	}
	if r.Settings.Endpoint != harness.Auto {
		args = append(args, "--endpoint", string(r.Settings.Endpoint))
	}
	return args
}

// print shows the evidence to whoever reads the output of the run.
func (r *Rig) print(ev result.Evidence) {
	w := ginkgo.GinkgoWriter
	if ev.Crash != "" {
		w.Println(ev.Crash)
	}
	for i, m := range ev.Machines {
		w.Printf("QEMU: %s\n", strings.Join(m.Command, " "))
		if m.Stderr != "" {
			w.Printf("stderr:\n%s\n", m.Stderr)
		}
		if i < len(r.machines) {
			w.Printf("the last packets:\n%s", tail(r.machines[i].Recorder, 30))
		}
	}
	if ev.Unsaved != "" {
		w.Printf("the script that reproduces this could not be written: %s\n", ev.Unsaved)
	}
	w.Printf("to reproduce: %s\n", ev.Reproduce)
}
