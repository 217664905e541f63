// SPDX-License-Identifier: Apache-2.0

package stub

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The tests of this file hold claims of docs/security.md that no other test does, and that every claim has a test.

// citation is how the document names a test: package folder and function.
var citation = regexp.MustCompile("`((?:stub|harness|cmd|suites)[a-z/0-9]*)\\.(Test[A-Za-z0-9]+|Fuzz[A-Za-z0-9]+)`")

func TestEveryClaimHasATest(t *testing.T) {
	text, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	claims := 0
	for line := range strings.Lines(string(text)) {
		cited := citation.FindAllStringSubmatch(line, -1)
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| claim") {
			claims++
			if len(cited) == 0 {
				t.Errorf("no test is named for this claim: %s", line)
			}
		}
		for _, c := range cited {
			if !hasTest(t, filepath.Join("..", c[1]), c[2]) {
				t.Errorf("there is no %s in %s: %s", c[2], c[1], line)
			}
		}
	}
	if claims < 10 {
		t.Errorf("found %d claims; has the form of the document changed?", claims)
	}
}

func hasTest(t *testing.T, folder, name string) bool {
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}

// What this package and those below it may do to the host, beside speaking on connections. Everything else is an error.
var (
	hostPackages = []string{"os", "syscall", "golang.org/x/sys/unix"}
	hostCalls    = map[string][]string{
		"listen.go": {"os.Remove", "os.Lstat", "os.Chmod", "net.Listen", "net.Dial", "syscall.Fchmod", "os.Open", "syscall.Flock", "syscall.LOCK_EX", "syscall.LOCK_NB"}, // opens the folder of a socket
		"busypoll/conn_linux.go": { // of the connections that it is given
			"syscall.Read", "syscall.Write", "unix.Read", "unix.Write", "unix.Close", "unix.Shutdown", "unix.Ppoll", "unix.Timespec",
			"unix.NsecToTimespec", "unix.FcntlInt", "unix.F_DUPFD_CLOEXEC", "unix.SHUT_RDWR", "unix.Eventfd", "unix.EFD_CLOEXEC",
			"unix.EFD_NONBLOCK", "unix.RawSyscall", "unix.SYS_SCHED_YIELD",
		},
		"rsp/rsp.go":             {"syscall.Read"}, // of its own connection
		"hangup/hangup_linux.go": {"unix.Poll"},
	}
	harmless    = regexp.MustCompile(`^(os\.Err\w+|syscall\.(E[A-Z]+|Errno|RawConn|Conn)|unix\.(POLL\w+|PollFd|E[A-Z]+)|os\.NewSyscallError|net\.(ParseIP|SplitHostPort|Conn|Err\w+|Listener|TCPAddr|TCPConn|OpError|Error|ListenConfig|Addr|UnixConn))$`)
	monitorWord = []string{"memsave", "query-target", "query-cpus-fast", "query-status", "system_reset", "quit", "qmp_capabilities", "human-monitor-command"}
	hmpWord     = []string{"info mtree -f", "gva2gpa %#x", "xp /%dxb %#x", "cpu %d", "qom-get %s type"}
)

// TestNothingElseTouchesTheHost reads the source: no program is started, no file is opened, nothing is dialled, and QEMU's
// monitor is sent a fixed set of commands, with numbers for arguments, or a path that QEMU has given.
func TestNothingElseTouchesTheHost(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files++
		checkSource(t, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Errorf("only %d files were read", files)
	}
}

func checkSource(t *testing.T, path string) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	watched := map[string]bool{"net": true}
	for _, i := range file.Imports {
		name, _ := strconv.Unquote(i.Path.Value)
		switch {
		case slices.Contains(hostPackages, name):
			watched[name[strings.LastIndexByte(name, '/')+1:]] = true
		case name == "unsafe", name == "plugin", name == "os/exec", strings.HasPrefix(name, "net/"), strings.HasPrefix(name, "os/"):
			t.Errorf("%s imports %s", path, name)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			checkMonitor(t, set, path, call)
		}
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		if !ok || !watched[x.Name] || x.Obj != nil { // Obj: a variable of that name
			return true
		}
		name := x.Name + "." + sel.Sel.Name
		if !harmless.MatchString(name) && !slices.Contains(hostCalls[filepath.ToSlash(path)], name) {
			t.Errorf("%v uses %s", set.Position(n.Pos()), name)
		}
		return true
	})
}

// checkMonitor demands that commands for QEMU's monitor are constants of the lists.
func checkMonitor(t *testing.T, set *token.FileSet, path string, call *ast.CallExpr) {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !strings.HasPrefix(path, "gdbtarget/") {
		return
	}
	at, allowed := -1, monitorWord
	switch sel.Sel.Name {
	case "Execute", "Send":
		at = 1
	case "hmp":
		at, allowed = 2, hmpWord
	case "QueueRcmd":
		at, allowed = 0, hmpWord
	case "HMP":
		if path == "gdbtarget/target.go" { // hmp itself
			return
		}
		at, allowed = 2, hmpWord
	case "Run", "RunContext":
		if x, ok := sel.X.(*ast.SelectorExpr); !ok || x.Sel.Name != "mon" {
			return
		}
	default:
		return
	}
	if at >= 0 && at < len(call.Args) {
		arg := call.Args[at]
		if inner, ok := arg.(*ast.CallExpr); ok && len(inner.Args) > 0 { // fmt.Sprintf
			arg = inner.Args[0]
		}
		if lit, ok := arg.(*ast.BasicLit); ok {
			if word, err := strconv.Unquote(lit.Value); err == nil && slices.Contains(allowed, word) {
				return
			}
		}
	}
	t.Errorf("%v: a monitor command that is not on the list", set.Position(call.Pos()))
}

// TestPendingOutputIsBounded has a client that asks for gigabytes and reads nothing: the server holds one reply, not all.
func TestPendingOutputIsBounded(t *testing.T) {
	r := serve(t, Options{WriteTimeout: patience})
	conn, err := net.Dial("tcp", r.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	request := strings.Repeat("$m0;1;1073741824;1000000#|", 100)
	if _, err := io.WriteString(conn, "$i0#|"); err != nil {
		t.Fatal(err)
	}
	sent := 0
	conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	for err == nil { // until the server takes no more
		_, err = io.WriteString(conn, request)
		sent += 100
		if sent > 10_000_000 {
			t.Fatal("the server goes on reading requests whose replies nobody reads")
		}
	}
	const limit = 16 << 20 // a reply of 2 MB, grown buffers
	if after := heap(); after > before+limit {
		t.Errorf("%d bytes are held for a client that does not read", after-before)
	}
}
