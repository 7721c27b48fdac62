package inmantadocker_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// longestFile is in lines; a file beyond it holds more than one idea.
const longestFile = 500

// mayBeSkipped are the tests that may skip themselves, each with its reason
// beside it. A test that skips reads as one that passed.
var mayBeSkipped = []string{}

// emptyNames say nothing about what is in a file or a package.
var emptyNames = []string{"util", "utils", "common", "helper", "helpers", "misc", "shared"}

// file is one Go file of the module, parsed.
type file struct {
	path string // below the module's root
	tree *ast.File
	set  *token.FileSet
}

func (f file) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

func (f file) at(node ast.Node) string {
	return fmt.Sprintf("%s:%d", f.path, f.set.Position(node.Pos()).Line)
}

// files are all Go files of the module.
func files(t *testing.T) []file {
	t.Helper()
	listed := packages(t)
	root := listed["."].Dir
	var all []file
	for _, one := range listed {
		names, err := filepath.Glob(filepath.Join(one.Dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			set := token.NewFileSet()
			tree, err := parser.ParseFile(set, name, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			path, err := filepath.Rel(root, name)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, file{path, tree, set})
		}
	}
	return all
}

func TestEveryPackageHasOneComment(t *testing.T) {
	comments := map[string]int{}
	for _, f := range files(t) {
		if f.isTest() {
			continue
		}
		found := 0
		if f.tree.Doc != nil {
			found = 1
		}
		comments[filepath.Dir(f.path)] += found
	}
	for folder, found := range comments {
		if found != 1 {
			t.Errorf("package %s has %d package comments, want 1", folder, found)
		}
	}
}

func TestNamesSayWhatIsInThem(t *testing.T) {
	for _, f := range files(t) {
		base := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(f.path), ".go"), "_test")
		for _, name := range []string{base, f.tree.Name.Name} {
			if slices.Contains(emptyNames, name) {
				t.Errorf("%s: %q says nothing: name it after what it is about", f.path, name)
			}
		}
		if lines := f.set.Position(f.tree.FileEnd).Line; lines > longestFile {
			t.Errorf("%s has %d lines, more than %d: it holds more than one idea", f.path, lines, longestFile)
		}
	}
}

func TestExportedThingsAreExplained(t *testing.T) {
	for _, f := range files(t) {
		if f.isTest() {
			continue
		}
		for _, declaration := range f.tree.Decls {
			for _, node := range unexplained(declaration) {
				t.Errorf("%s: an exported thing without a comment", f.at(node))
			}
		}
	}
}

// unexplained are the exported names of a declaration that no comment speaks of.
func unexplained(declaration ast.Decl) []ast.Node {
	switch d := declaration.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || receiverIsExported(d.Recv)) {
			return []ast.Node{d.Name}
		}
	case *ast.GenDecl:
		var found []ast.Node
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
					found = append(found, s.Name)
				}
			case *ast.ValueSpec:
				for _, name := range s.Names {
					if name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
						found = append(found, name)
					}
				}
			}
		}
		return found
	}
	return nil
}

func receiverIsExported(receiver *ast.FieldList) bool {
	exported := false
	ast.Inspect(receiver.List[0].Type, func(node ast.Node) bool {
		if name, is := node.(*ast.Ident); is && !exported {
			exported = name.IsExported()
			return false
		}
		return true
	})
	return exported
}

// forbidden are calls that hide something, with what to do instead.
var forbidden = []struct {
	calls   []string
	where   func(file) bool
	instead string
}{
	{
		calls:   []string{"time.Sleep"},
		where:   func(f file) bool { return !f.isTest() },
		instead: "wait for what happens (an event, a channel, the context), or poll it with a ticker",
	},
	{
		calls:   []string{"os.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln"},
		where:   func(f file) bool { return !f.isTest() && f.tree.Name.Name != "main" },
		instead: "return an error: only main ends the process",
	},
	{
		calls:   []string{"t.Skip", "t.Skipf", "t.SkipNow", "b.Skip", "b.Skipf", "b.SkipNow", "f.Skip", "f.Skipf", "f.SkipNow"},
		where:   func(f file) bool { return !slices.Contains(mayBeSkipped, f.path) },
		instead: "fail: a test that skips reads as one that passed",
	},
}

func TestForbiddenCalls(t *testing.T) {
	for _, f := range files(t) {
		ast.Inspect(f.tree, func(node ast.Node) bool {
			call, is := node.(*ast.CallExpr)
			if !is {
				return true
			}
			name := called(call)
			for _, rule := range forbidden {
				if slices.Contains(rule.calls, name) && rule.where(f) {
					t.Errorf("%s: %s is not used here: %s", f.at(call), name, rule.instead)
				}
			}
			return true
		})
	}
}

// called is the name of what a call calls, as "time.Sleep"; empty when it is
// not of that form.
func called(call *ast.CallExpr) string {
	selector, is := call.Fun.(*ast.SelectorExpr)
	if !is {
		return ""
	}
	of, is := selector.X.(*ast.Ident)
	if !is {
		return ""
	}
	return of.Name + "." + selector.Sel.Name
}
