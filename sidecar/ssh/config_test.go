package ssh

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
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

func TestKeysAreReadAgain(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := func(name string) string { return filepath.Join(folder, name) }
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	variable, file, first, second, hidden, nested := newKey(t), newKey(t), newKey(t), newKey(t), newKey(t), newKey(t)
	write("file", line("", file))
	if err := os.MkdirAll(path("d/nested"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("d/1", line("", first))
	write("d/2", line("", second))
	write("d/.hidden", line("", hidden))
	write("d/nested/3", line("", nested))
	s := serve(t, line("", variable), func(c *Config) { c.Keys.Paths = []string{path("file"), path("d"), path("none")} })
	in := func(who string, key ssh.Signer, want bool) {
		t.Helper()
		client, err := s.login(s.reach(t, here), s.account(), ssh.PublicKeys(key))
		if (err == nil) != want {
			t.Errorf("%s is let in: %t, want %t", who, err == nil, want)
		}
		if err == nil {
			_ = client.Close()
		}
	}
	for who, key := range map[string]ssh.Signer{"of the variable": variable, "of the file": file, "of the folder": first, "of its second file": second} {
		in(who, key, true)
	}
	in("of a hidden file", hidden, false)
	in("of a folder in it", nested, false)
	before := s.dial(t, second)
	write("d/2", "")
	write("late", "")
	if err := os.Remove(path("file")); err != nil {
		t.Fatal(err)
	}
	write("d/3", line("", nested))
	in("whose line is gone", second, false)
	in("whose file is gone", file, false)
	in("whose file is new", nested, true)
	unharmed(t, before)
}

func TestKeyFilesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := func(name string) string { return filepath.Join(folder, name) }
	good := newKey(t)
	if err := os.WriteFile(path("good"), []byte(line("", good)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path("huge"), []byte(strings.Repeat(line("", newKey(t)), largestKeyFile/80+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	makeFIFO(t, path("fifo"))
	if err := os.Symlink("/dev/zero", path("device")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path("dangling"), path("dangling")); err != nil {
		t.Fatal(err)
	}
	s := serve(t, "", func(c *Config) { c.Keys.Paths = []string{folder} })
	for _, name := range []string{"huge", "fifo", "device", "dangling"} {
		s.log.await(t, name, func(e Event) bool {
			return e.Event == EventProblem && strings.Contains(e.Problem, path(name)) && strings.Contains(e.Problem, "cannot be read") && e.Fix != ""
		})
	}
	unharmed(t, s.dial(t, good))
}

// A server that lets nobody in says so, and what to do.
func TestNobodyIsAuthorized(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string]string{"no key": "", "comments": "# none\n\n", "a broken one": "ssh-ed25519 AAAA\n"} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, lines)
			s.log.await(t, "that", func(e Event) bool { return e.Event == EventProblem && e.Problem == nobody && e.Fix == nobodyFix })
			s.refused(t, s.account(), ssh.PublicKeys(newKey(t)))
			s.refused(t, s.account())
		})
	}
}
