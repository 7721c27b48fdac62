package tree

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func open(t *testing.T) (*Tree, string) {
	t.Helper()
	top := t.TempDir()
	for _, directory := range []string{"in/a/b", "out"} {
		if err := os.MkdirAll(filepath.Join(top, directory), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := Open(filepath.Join(top, "in"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tree.Close)
	return tree, top
}

// everything is each way to change something by a name.
func everything(tree *Tree, name string) map[string]error {
	results := map[string]error{}
	_, results["stat"] = tree.Stat(name)
	_, results["readlink"] = tree.Readlink(name)
	_, results["names"] = tree.Names(name)
	file, _, err := tree.Read(name)
	if results["read"] = err; err == nil {
		file.Close()
	}
	if file, _, err = tree.Write(name); err == nil {
		file.Close()
	}
	results["write"] = err
	if file, _, err = tree.Temporary(name); err == nil {
		file.Close()
	}
	results["temporary"] = err
	results["mkdir"] = tree.Mkdir(name, 0o755)
	results["mkdirs"] = tree.MkdirAll(name, 0o755)
	results["symlink"] = tree.Symlink("x", name)
	results["link"] = tree.Link("file", name)
	results["link from"] = tree.Link(name, "linked")
	results["mknod"] = tree.Mknod(name, unix.S_IFIFO|0o600)
	results["rename to"] = tree.Rename("file", name)
	results["rename"] = tree.Rename(name, "renamed")
	results["chmod"] = tree.Chmod(name, 0o777)
	results["chown"] = tree.Chown(name, -1, -1)
	results["time"] = tree.SetTime(name, time.Now())
	results["rmdir"] = tree.Rmdir(name)
	results["unlink"] = tree.Unlink(name)
	return results
}

func TestNoNameLeadsOut(t *testing.T) {
	for _, name := range []string{"", "..", "../out/x", "a/../../out/x", "/etc/passwd", "a//b", "a/./b", "./a", "a/", "a\x00b", "a/..", "../in/a"} {
		tree, top := open(t)
		for what, err := range everything(tree, name) {
			if !errors.Is(err, ErrName) {
				t.Errorf("%s of %q: %v, want a refusal", what, name, err)
			}
		}
		empty(t, filepath.Join(top, "out"))
	}
}

func empty(t *testing.T, directory string) {
	t.Helper()
	if found, err := os.ReadDir(directory); err != nil || len(found) > 0 {
		t.Errorf("outside: %v, %v", found, err)
	}
}

func TestNoLinkLeadsOut(t *testing.T) {
	for _, target := range []string{"../out", "a", "."} {
		tree, top := open(t)
		if err := os.Symlink(target, filepath.Join(top, "in/link")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(top, "in/file"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for what, err := range everything(tree, "link/x") {
			if err == nil {
				t.Errorf("%s through a link to %s is done", what, target)
			}
		}
		// The link itself is not followed either.
		if _, _, err := tree.Write("link"); err == nil {
			t.Error("a link is written through")
		}
		if _, err := tree.Names("link"); err == nil {
			t.Error("a link is listed through")
		}
		empty(t, filepath.Join(top, "out"))
	}
}

// What was walked before is not believed once it was moved away.
func TestReplacedDirectoryIsWalkedAgain(t *testing.T) {
	tree, top := open(t)
	if _, err := tree.Stat("a/b/x"); !errors.Is(err, unix.ENOENT) {
		t.Fatal(err)
	}
	if err := tree.Rmdir("a/b"); err != nil {
		t.Fatal(err)
	}
	if err := tree.Rename("a", "moved"); err != nil {
		t.Fatal(err)
	}
	if err := tree.Symlink("../out", "a"); err != nil {
		t.Fatal(err)
	}
	if err := tree.Mkdir("a/made", 0o755); err == nil {
		t.Error("a directory is made through a link")
	}
	empty(t, filepath.Join(top, "out"))
	if err := tree.MkdirAll("moved/x/y/z", 0o755); err != nil {
		t.Error(err)
	}
}

func TestPipesAreNotWaitedFor(t *testing.T) {
	tree, _ := open(t)
	if err := tree.Mknod("pipe", unix.S_IFIFO|0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tree.Read("pipe"); err == nil {
		t.Error("a pipe is read as a file")
	}
	if _, _, err := tree.Write("pipe"); err == nil {
		t.Error("a pipe is written as a file")
	}
}

func TestTemporaryNames(t *testing.T) {
	tree, _ := open(t)
	for _, name := range []string{"f", "a/b/f", ".hidden", strings.Repeat("n", 255), strings.Repeat("λ", 127)} {
		file, temporary, err := tree.Temporary(name)
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
		if filepath.Dir(temporary) != filepath.Dir(name) || !strings.HasPrefix(filepath.Base(temporary), ".") {
			t.Errorf("%q beside %q", temporary, name)
		}
		if strings.ToValidUTF8(temporary, "?") != temporary {
			t.Errorf("%q is cut within a character", temporary)
		}
		stat, err := tree.Stat(temporary)
		if err != nil || stat.Mode&0o777 != 0o600 {
			t.Errorf("%q: mode %o, %v", temporary, stat.Mode, err)
		}
		if err := tree.Rename(temporary, name); err != nil {
			t.Error(err)
		}
	}
}

func TestBesideReplacesInOneStep(t *testing.T) {
	tree, top := open(t)
	for range 2 {
		if err := tree.Beside("link", func(at string) error { return tree.Symlink("target", at) }); err != nil {
			t.Fatal(err)
		}
	}
	wrong := errors.New("wrong")
	if err := tree.Beside("link", func(string) error { return wrong }); !errors.Is(err, wrong) {
		t.Error(err)
	}
	found, err := os.ReadDir(filepath.Join(top, "in"))
	if err != nil || len(found) != 2 {
		t.Errorf("%v, %v, want a and link", found, err)
	}
}

func FuzzValid(f *testing.F) {
	for _, name := range []string{".", "a/b", "../x", "/", "a/../b", "\x00"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if Valid(name) && !filepath.IsLocal(name) {
			t.Errorf("%q leads out", name)
		}
	})
}
