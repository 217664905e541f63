// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mcdtest/harness/jsonclient"
	"mcdtest/stub/jsonwire"
)

// TestEveryCommandHasASpec makes sure that each command of the JSON dialect is called by a spec beside the hostile ones, which try its
// arguments and know nothing of what it is for. It looks for calls of the client's method in the files of the specs.
func TestEveryCommandHasASpec(t *testing.T) {
	called := jsonCalls(t)
	client := reflect.TypeFor[*jsonclient.Client]()
	for _, c := range jsonwire.Commands {
		method := ""
		for i := range client.NumMethod() {
			if name := client.Method(i).Name; strings.EqualFold(name, strings.ReplaceAll(strings.TrimPrefix(c.Name, "mcd-"), "-", "")) {
				method = name
			}
		}
		switch {
		case method == "":
			t.Errorf("%s: package jsonclient has no method for it", c.Name)
		case !called[method] && !slices.ContainsFunc(objectLists, func(l objectList) bool { return l.command == c.Name }): // whose lists are walked
			t.Errorf("%s: no spec calls %s", c.Name, method)
		}
	}
}

// jsonCalls are the methods that the specs call on a client of the JSON dialect: on o.c of a seat, c where that is one, and Client() of
// a session.
func jsonCalls(t *testing.T) map[string]bool {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	called := make(map[string]bool)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") || strings.HasPrefix(e.Name(), "hostile") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool {
			return i.Path.Value == `"mcdtest/harness/jsonclient"` || i.Path.Value == `"mcdtest/stub/jsonwire"`
		}) {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if method, ok := call.Fun.(*ast.SelectorExpr); ok && isClient(method.X) {
					called[method.Sel.Name] = true
				}
			}
			return true
		})
	}
	return called
}

func isClient(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name == "c"
	case *ast.SelectorExpr:
		return x.Sel.Name == "c"
	case *ast.CallExpr:
		f, ok := x.Fun.(*ast.SelectorExpr)
		return ok && f.Sel.Name == "Client"
	}
	return false
}
