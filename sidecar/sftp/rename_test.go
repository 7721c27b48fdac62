package sftp

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// The way that file systems take which cannot rename without replacing. None
// of those is at hand in every test, so it is taken directly.
func TestRenameInSteps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what, from, to string
		want           error
	}{
		{"a file", "file", "new", nil},
		{"a file over another", "file", "other", unix.EEXIST},
		{"a file over itself", "file", "file", unix.EEXIST},
		{"a file over a directory", "file", "full", unix.EEXIST},
		{"a file over a link to nowhere", "file", "link", unix.EEXIST},
		{"a file to nowhere", "file", "no/new", unix.ENOENT},
		{"nothing", "missing", "new", unix.ENOENT},
		{"a link", "link", "new", nil},
		{"a link over a file", "link", "file", unix.EEXIST},
		{"a directory", "full", "new", nil},
		{"a directory over an empty one", "full", "empty", unix.EEXIST},
		{"a directory over a link to nowhere", "full", "link", unix.EEXIST},
		{"a directory below itself", "full", "full/new", unix.EINVAL},
		{"a directory below a file", "full", "file/new", unix.ENOTDIR},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for _, name := range []string{"full", "empty"} {
				check(t, os.Mkdir(filepath.Join(dir, name), 0o755))
			}
			for _, name := range []string{"file", "other", "full/inside"} {
				check(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644))
			}
			check(t, os.Symlink("nowhere", filepath.Join(dir, "link")))
			fd, err := unix.Open(dir, unix.O_PATH, 0)
			check(t, err)
			defer unix.Close(fd)
			before, err := os.Lstat(filepath.Join(dir, c.from))
			if c.from != "missing" {
				check(t, err)
			}
			if err := renameInSteps(fd, c.from, c.to); err != c.want {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if c.want == nil {
				after, err := os.Lstat(filepath.Join(dir, c.to))
				check(t, err)
				if _, err := os.Lstat(filepath.Join(dir, c.from)); !os.IsNotExist(err) || !os.SameFile(before, after) {
					t.Fatalf("%s is not what %s was (%v)", c.to, c.from, err)
				}
			}
			if c.want != nil {
				for _, name := range []string{"file", "other", "full/inside"} {
					contents, err := os.ReadFile(filepath.Join(dir, name))
					if err != nil || string(contents) != name {
						t.Fatalf("%s holds %q (%v)", name, contents, err)
					}
				}
			}
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
