package deployment

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/problem"
)

// program is this test's own binary, a real program for Linux, with one byte
// more for each that is to be another.
func program(t *testing.T, path string, more string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(content, more...), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestSidecar(t *testing.T) {
	for _, c := range []struct {
		name string
		// what is in the deployment's directory and beside the command line.
		arrange func(t *testing.T, here, own string)
		// replaced says that own is to be put there; found that there is a binary then.
		replaced, found, irregular bool
	}{
		{name: "nowhere", arrange: func(*testing.T, string, string) {}},
		{name: "beside the command line only", found: true, replaced: true, arrange: func(t *testing.T, _, own string) { program(t, own, "") }},
		{name: "here only", found: true, arrange: func(t *testing.T, here, _ string) { program(t, here, "") }},
		{name: "the same", found: true, arrange: func(t *testing.T, here, own string) { program(t, here, ""); program(t, own, "") }},
		{name: "another of the same size", found: true, replaced: true, arrange: func(t *testing.T, here, own string) { program(t, here, "a"); program(t, own, "b") }},
		{name: "another", found: true, replaced: true, arrange: func(t *testing.T, here, own string) { program(t, here, ""); program(t, own, "b") }},
		{name: "the very same file", found: true, arrange: func(t *testing.T, here, own string) {
			program(t, here, "")
			if err := os.Link(here, own); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "a link to it", found: true, arrange: func(t *testing.T, here, own string) {
			program(t, own, "")
			if err := os.Symlink(own, here); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "a link that leads nowhere", found: true, replaced: true, arrange: func(t *testing.T, here, own string) {
			program(t, own, "")
			if err := os.Symlink(here+".gone", here); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "not executable", found: true, replaced: true, arrange: func(t *testing.T, here, own string) {
			program(t, here, "")
			program(t, own, "")
			if err := os.Chmod(here, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "a directory made by the engine", irregular: true, arrange: func(t *testing.T, here, own string) {
			program(t, own, "")
			if err := os.Mkdir(here, 0o755); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, own := t.TempDir(), filepath.Join(t.TempDir(), SidecarFile)
			c.arrange(t, filepath.Join(dir, SidecarFile), own)
			if _, err := os.Stat(own); err != nil {
				own = ""
			}
			s, err := FindSidecar(dir, own)
			if err != nil {
				t.Fatal(err)
			}
			if (s.From != "") != c.replaced || (s.Digest != "") != c.found || s.Irregular != c.irregular {
				t.Fatalf("found %+v", s)
			}
			if s.Since.IsZero() == (c.found && !c.replaced) || time.Since(s.Since) > time.Minute && !s.Since.IsZero() {
				t.Errorf("it is there since %v", s.Since)
			}
			if c.found && s.Processor != runtime.GOARCH {
				t.Errorf("it is for %q", s.Processor)
			}
			written, ok, err := s.Place()
			if err != nil || ok != c.replaced || ok && written.Path != s.Path {
				t.Fatalf("placed %v, %v, %v", written, ok, err)
			}
			if !c.found {
				return
			}
			again, err := FindSidecar(dir, own)
			if err != nil || again.From != "" || again.Digest != s.Digest {
				t.Errorf("once it is there, it is %+v, %v; was %s", again, err, s.Digest)
			}
			if info, err := os.Stat(s.Path); err != nil || info.Mode().Perm() != 0o755 {
				t.Errorf("it is there as %v, %v", info.Mode(), err)
			}
			if entries, _ := os.ReadDir(dir); len(entries) != 1 {
				t.Errorf("left behind: %v", entries)
			}
		})
	}
}

// Whoever runs the old binary goes on with it: it is another file.
func TestPlacedSidecarIsAnotherFile(t *testing.T) {
	dir, own := t.TempDir(), filepath.Join(t.TempDir(), SidecarFile)
	program(t, filepath.Join(dir, SidecarFile), "old")
	program(t, own, "new")
	before, err := os.Stat(filepath.Join(dir, SidecarFile))
	if err != nil {
		t.Fatal(err)
	}
	s, err := FindSidecar(dir, own)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Place(); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(s.Path)
	if err != nil || os.SameFile(before, after) {
		t.Errorf("it was written over (%v)", err)
	}
}

func TestSidecarThatIsNone(t *testing.T) {
	dir := directory(t, map[string]string{SidecarFile: "#!/bin/sh\n"})
	s, err := FindSidecar(dir, "")
	if err != nil || s.Processor != "" || s.Digest == "" {
		t.Errorf("a script is %+v, %v", s, err)
	}
	_, err = FindSidecar(dir, filepath.Join(dir, "gone"))
	if p := problem.In(err); len(p) != 1 || p[0].ID != "sidecar-unreadable" || p[0].Fix == "" {
		t.Errorf("of one that cannot be read: %#v", p)
	}
}
