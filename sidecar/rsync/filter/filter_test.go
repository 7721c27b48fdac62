package filter

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"testing"
)

func TestWildcards(t *testing.T) {
	for _, one := range []struct {
		pattern, text string
		want          bool
	}{
		{"foo", "foo", true},
		{"foo", "fo", false},
		{"", "", true},
		{"*", "", true},
		{"*", "foo", true},
		{"*", "a/b", false},
		{"**", "a/b", true},
		{"f*", "foo", true},
		{"*o*r", "foobar", true},
		{"*ab", "aaaaabab", true},
		{"foo*/bar", "foo/baz/bar", false},
		{"foo**/bar", "foo/baz/bar", true},
		{"**/bar", "/bar", true},
		{"**/bar", "foo/baz/bar", true},
		{"*/**/c", "a/b/c", true},
		{"a/*/c", "a/b/x/c", false},
		{"a**b*c", "a/x/b/yb/z/bzc", true},
		{"?", "/", false},
		{"f?o", "foo", true},
		{"\\*", "*", true},
		{"\\*", "x", false},
		{"foo\\", "foo\\", false},
		{"[abc]", "b", true},
		{"[!abc]", "b", false},
		{"[^abc]", "d", true},
		{"[a-c]x", "bx", true},
		{"[a-c]", "-", false},
		{"[]]", "]", true},
		{"[!]]", "]", false},
		{"[]-]", "-", true},
		{"[a-]", "-", true},
		{"[\\]]", "]", true},
		{"[\\a-c]", "b", true},
		{"[[:digit:]]x", "7x", true},
		{"[[:alpha:][:digit:]]", "z", true},
		{"[![:space:]]", " ", false},
		{"[[:nothing:]]", "a", false},
		{"[[:digit]", ":", true},
		{"[abc", "a", false},
		{"[!a]", "/", false},
		{"[a/]", "/", false},
		{strings.Repeat("*a", 50) + "b", strings.Repeat("a", 200), false},
		{strings.Repeat("**a", 50) + "b", strings.Repeat("a/", 200), false},
	} {
		if got := wildcard(one.pattern, one.text); got != one.want {
			t.Errorf("wildcard(%q, %q) is %v, want %v", one.pattern, one.text, got, one.want)
		}
	}
}

// slowly is wildcard without remembering anything.
func slowly(pattern, text string) bool {
	if pattern == "" {
		return text == ""
	}
	if pattern[0] == '*' {
		rest := strings.TrimLeft(pattern, "*")
		far := len(pattern)-len(rest) > 1
		for i := 0; i <= len(text); i++ {
			if slowly(rest, text[i:]) {
				return true
			}
			if i < len(text) && text[i] == '/' && !far {
				return false
			}
		}
		return false
	}
	if text == "" {
		return false
	}
	next, ok := one(pattern, 0, text[0])
	return ok && slowly(pattern[next:], text[1:])
}

func FuzzWildcard(f *testing.F) {
	f.Add("a*b**c?[a-d]", "axb/yc/zcqd")
	f.Add("[[:alpha:]]\\*", "x*")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(text) > 40 || strings.Count(pattern, "*") > 6 {
			_ = wildcard(pattern, text)
			return
		}
		if got, want := wildcard(pattern, text), slowly(pattern, text); got != want {
			t.Errorf("wildcard(%q, %q) is %v, want %v", pattern, text, got, want)
		}
	})
}

// files are what Read finds.
type files map[string]string

func (f files) read(name string) ([]byte, error) {
	text, found := f[name]
	if !found {
		return nil, fmt.Errorf("%s: %w", name, os.ErrNotExist)
	}
	return []byte(text), nil
}

func rules(t *testing.T, side Side, found files, given ...string) *Rules {
	t.Helper()
	t.Setenv("HOME", "/home/somebody")
	t.Setenv("CVSIGNORE", "*.env")
	r := &Rules{Side: side, Top: "/data/top", Read: found.read}
	for _, one := range given {
		if err := r.Add(one); err != nil {
			t.Fatalf("%q: %v", one, err)
		}
	}
	return r
}

// within is the scope of the directory a name is in.
func within(t *testing.T, r *Rules, name string) *Scope {
	t.Helper()
	scope := r.Scope()
	directories := []string{"."}
	for i := range len(name) {
		if name[i] == '/' {
			directories = append(directories, name[:i])
		}
	}
	for _, one := range directories {
		var err error
		if scope, err = scope.Enter(one); err != nil {
			t.Fatal(err)
		}
	}
	return scope
}

func TestRules(t *testing.T) {
	for _, one := range []struct {
		rules   string // separated by ";"
		out, in string // names, separated by spaces; directories end in a slash
	}{
		{"- foo", "foo a/foo a/foo/", "foobar a/xfoo"},
		{"- /foo", "foo foo/", "a/foo"},
		{"- foo/", "foo/ a/foo/", "foo"},
		{"- a/b", "a/b x/a/b", "b a/x/b xa/b"},
		{"- /a/b", "a/b", "x/a/b"},
		{"- *.o", "x.o a/b/x.o", "x.oo"},
		{"- a*/b", "ax/b y/ax/b", "ax/y/b"},
		{"- a**/b", "ax/y/b z/ax/b", "b"},
		{"- **/b", "b a/b", "a/bc"},
		{"- /a/***", "a/ a/b a/b/c", "b a"},
		{"- a/***", "a/ x/a/ a/b", "xa/"},
		{"+ *.txt;- *", "x a/y", "x.txt a/x.txt"},
		{"+ a/;- /*/", "b/", "a/ b"},
		{"exclude foo;include bar", "foo", "bar"},
		{"-! */", "x a/x", "a/ a/b/"},
		{"-,s foo", "foo", "bar"},
		{"H foo;P bar;R baz;S qux", "foo", "bar baz qux"},
		{"hide,! *.c", "x.h", "x.c"},
		{"- a b", "a·b", "ab"},
		{"-/ /data/top/a", "a", "data/top/a x/a"},
		{"-/ top/a", "a", "x/a"},
		{"- x;!;- y", "y", "x"},
		{"- x;clear;- y", "y", "x"},
		{"-C", "x.o core a.env .svn/ y~", "x.c svn/"},
		{"-x *", "", "a b/"},
		{"exclude,! foo", "bar", "foo"},
		{"- foo\\bar", "foo\\bar", "foobar"},
		{"- foo\\*bar*", "foo*barx", "fooxbar"},
	} {
		t.Run(one.rules, func(t *testing.T) {
			r := rules(t, Sending, files{"/home/somebody/.cvsignore": "*.c2"}, strings.Split(one.rules, ";")...)
			check(t, r, one.out, true)
			check(t, r, one.in, false)
		})
	}
}

func check(t *testing.T, r *Rules, names string, want bool) {
	t.Helper()
	for name := range strings.FieldsSeq(names) {
		name = strings.ReplaceAll(name, "·", " ")
		bare, directory := strings.CutSuffix(name, "/")
		if got := within(t, r, bare).Excluded(bare, directory); got != want {
			t.Errorf("%q excluded: %v, want %v", name, got, want)
		}
	}
}

func TestReceivingSideHasItsOwn(t *testing.T) {
	r := rules(t, Receiving, nil, "P kept", "H hidden", "- both", "-s there", "-r here", "-p gone")
	check(t, r, "kept both here gone", true)
	check(t, r, "hidden there", false)
	if r.Scope().ExcludedFirmly("gone", false) || !r.Scope().ExcludedFirmly("both", false) {
		t.Error("only what is not perishable keeps a directory")
	}
	r = &Rules{Side: Receiving, DeleteExcluded: true}
	for _, one := range []string{"- x", "P y", "-r z"} {
		if err := r.Add(one); err != nil {
			t.Fatal(err)
		}
	}
	check(t, r, "y z", true)
	check(t, r, "x", false)
}

func TestFilesOnTheWay(t *testing.T) {
	found := files{
		"/data/top/.ignore":      "*.log\n# comment\n/only-here\n+keep\n",
		"/data/top/a/.ignore":    "*.tmp\n",
		"/data/top/.g":           "- *.log\n",
		"/data/top/a/.g":         "- *.old\n!\n- *.tmp\n",
		"/data/top/b/.ignore":    "/anchored\r\nsub/deep\n",
		"/data/top/f/.f":         "- *.x\n: .more\n",
		"/data/top/f/g/.more":    "- *.y\n",
		"/data/top/.words":       "one two\n\n three",
		"/.rules":                "- top\n- /data/top/exact\n",
		"/data/.rules":           "- middle\n- /top/other\n",
		"/data/top/.rules":       "- bottom\n",
		"/etc/list":              "- given\n+ all\n",
		"/data/top/n/.once":      "- once\n",
		"/data/top/loop":         ". loop\n",
		"/data/top/c/.cvsignore": "*.mine !\n*.after",
	}
	for _, one := range []struct{ rules, out, in string }{
		{":- .ignore", "x.log b/x.log a/x.log a/x.tmp only-here b/anchored b/sub/deep b/c/sub/deep", "b/x.tmp b/only-here b/c/anchored"},
		{": .g", "x.log b/x.log a/x.tmp a/b/x.tmp", "a/x.log a/x.old x.tmp"},
		{":-n .ignore", "x.log b/anchored", "b/x.log"},
		{":e .f", "x/.f f/z.x f/g/z.y f/.f", "z.x f/z.y"},
		{":w- .words", "one a/two three", "four"},
		{": /.rules", "top middle bottom a/bottom exact other", "data"},
		{": ../.rules", "middle bottom other", "top exact"},
		{":- /elsewhere/.ignore", "x.log b/anchored", "y"},
		{". /etc/list", "given", "all x"},
		{":n .once;- x", "n/once x", "n/m/once"},
		{":C", "c/x.after", "c/x.mine x.o"},
		{":- .ignore;:- .ignore", "x.log", "y"},
		{"dir-merge,- .ignore", "x.log", "y"},
		{"+ x.log;:- .ignore", "y.log", "x.log"},
	} {
		t.Run(one.rules, func(t *testing.T) {
			r := rules(t, Sending, found, strings.Split(one.rules, ";")...)
			check(t, r, one.out, true)
			check(t, r, one.in, false)
		})
	}
}

func TestFaultyRulesAreRefused(t *testing.T) {
	found := files{"/data/top/.f": "? what", "/loop": ". /loop", "/sides": "-s x"}
	for _, rule := range []string{
		"", "foo", "?x", "-", "- ", "-q x", "+- x", ":!x .f", "! x", "H,s x", "-C- x", "e x", ":", "-n x", "-w x", "-e x",
		". /missing", ". /loop", ".s /sides", ":-- x",
	} {
		r := &Rules{Read: found.read}
		err := r.Add(rule)
		if rule == ":" || rule == "" {
			continue // ".cvsignore", nothing
		}
		if err == nil {
			t.Errorf("%q is taken", rule)
		}
	}
	r := &Rules{Top: "/data/top", Read: found.read}
	if err := r.Add(": .f"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Scope().Enter("."); err == nil || !strings.Contains(err.Error(), "/data/top/.f") {
		t.Errorf("a faulty file: %v, want its name", err)
	}
	r.Read = func(string) ([]byte, error) { return nil, errors.New("broken disk") }
	if _, err := r.Scope().Enter("."); err == nil {
		t.Error("a file that cannot be read has no rules")
	}
	r.Read = func(string) ([]byte, error) { return make([]byte, LongestFile+1), nil }
	if _, err := r.Scope().Enter("."); err == nil {
		t.Error("a file of any length is read")
	}
}

func TestRulesAreCounted(t *testing.T) {
	r := &Rules{Read: files{"/f": strings.Repeat("- x\n", mostRules+1)}.read}
	if err := r.Add(". /f"); err == nil {
		t.Error("any number of rules is taken")
	}
}

func FuzzRules(f *testing.F) {
	f.Add(": .f\n- *.o\n+ a/**", "- x\n!\n:C", "a/b/x.o")
	f.Add(".- /f\n-C\nP **/x/***", "/a\n+ b/", "f/g")
	f.Fuzz(func(t *testing.T, given, file, name string) {
		found := files{"/f": file, "/top/.f": file, "/top/a/.f": given}
		r := &Rules{Top: "/top", Read: found.read}
		for rule := range strings.SplitSeq(given, "\n") {
			if err := r.Add(rule); err != nil {
				return
			}
		}
		scope := r.Scope()
		for _, directory := range []string{".", "a", "a/b"} {
			var err error
			if scope, err = scope.Enter(directory); err != nil {
				return
			}
		}
		if name = path.Clean(name); name != "." {
			_ = scope.Excluded(name, true)
			_ = scope.ExcludedFirmly(name, false)
		}
	})
}
