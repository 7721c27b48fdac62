package ssh

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

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
