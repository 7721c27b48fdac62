package passwd

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestShells(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, passwd, first string }{
		{"as it says", "inmanta:x:997:995::/var/lib/inmanta:/bin/zsh\n", "/bin/zsh"},
		{"among others", "root:x:0:0:root:/root:/bin/sh\ninmanta:x:997:995::/h:/bin/dash\nz:x:1:1::/:/bin/zsh\n", "/bin/dash"},
		{"without a last new line", "inmanta:x:997:995::/h:/bin/dash", "/bin/dash"},
		{"with a carriage return", "inmanta:x:997:995::/h:/bin/dash\r\n", "/bin/dash"},
		{"the first of two", "inmanta:x:997:995::/h:/bin/dash\ninmanta:x:0:0::/h:/bin/zsh\n", "/bin/dash"},
		{"the first of two that lets nobody in", "inmanta:x:997:995::/h:/sbin/nologin\ninmanta:x:0:0::/h:/bin/zsh\n", "/bin/bash"},
		{"nologin", "inmanta:x:997:995::/h:/usr/sbin/nologin\n", "/bin/bash"},
		{"false", "inmanta:x:997:995::/h:/bin/false\n", "/bin/bash"},
		{"none", "inmanta:x:997:995::/h:\n", "/bin/bash"},
		{"relative", "inmanta:x:997:995::/h:bin/dash\n", "/bin/bash"},
		{"a name that begins so", "inmanta2:x:997:995::/h:/bin/dash\n", "/bin/bash"},
		{"too few fields", "inmanta:x:997:/bin/dash\n", "/bin/bash"},
		{"too many fields", "inmanta:x:997:995::/h:/bin/dash:x\n", "/bin/bash"},
		{"a comment", "#inmanta:x:997:995::/h:/bin/dash\n", "/bin/bash"},
		{"nothing", "", "/bin/bash"},
	} {
		got := shells(c.passwd, "inmanta")
		if got[0] != c.first || !slices.Contains(got, "/bin/bash") || !slices.Contains(got, "/bin/sh") {
			t.Errorf("%s: %s, want %s first", c.name, got, c.first)
		}
	}
}

func FuzzShells(f *testing.F) {
	f.Add("inmanta:x:997:995::/var/lib/inmanta:/bin/bash\n", "inmanta")
	f.Add("a:b:c:d:e:f:/g\n:::::::\n", "")
	f.Add("\x00:\n:::", "a:b")
	f.Fuzz(func(t *testing.T, passwd, name string) {
		for _, shell := range shells(passwd, name) {
			if !filepath.IsAbs(shell) || strings.ContainsAny(shell, "\n:") {
				t.Errorf("%q", shell)
			}
		}
	})
}
