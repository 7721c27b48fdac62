package sftp_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestListing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := map[string]uint64{".": unix.S_IFDIR, "..": unix.S_IFDIR}
	for i := range 1000 {
		name := fmt.Sprintf("%d%s", i, strings.Repeat("ä", i%120))
		put(t, filepath.Join(dir, name), "")
		want[name] = unix.S_IFREG
	}
	for _, name := range []string{" ", "-rf", "new\nline", "\xff\xfe not text", "*", strings.Repeat("l", 255)} {
		must(t, os.Symlink("nowhere", filepath.Join(dir, name)))
		want[name] = unix.S_IFLNK
	}
	must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o666))
	want["fifo"] = unix.S_IFIFO
	c := connect(t, dir)
	got := c.list(".")
	if !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))) {
		t.Fatalf("%d names, want %d", len(got), len(want))
	}
	for name, kind := range want {
		r := c.ok(fxpLstat, name)
		if s := r.stat(); s != got[name].stat || s.mode&unix.S_IFMT != kind {
			t.Fatalf("%q: %+v listed, %+v on its own", name, got[name].stat, s)
		}
		if !strings.HasSuffix(got[name].long, " "+name) {
			t.Fatalf("%q: %q", name, got[name].long)
		}
	}
}

// Every answer is one that any client takes: the draft asks them for 34,000 bytes.
func TestListingsComeInPortions(t *testing.T) {
	t.Parallel()
	for _, length := range []int{1, 20, 250} {
		dir := t.TempDir()
		for i := range 400 {
			name := fmt.Sprintf("%0*d", length, i)
			put(t, filepath.Join(dir, name[max(0, len(name)-max(length, 3)):]), "")
		}
		c := connect(t, dir)
		r := c.ok(fxpOpendir, ".")
		handle := r.string()
		seen := 0
		for {
			r := c.do(fxpReaddir, handle)
			if r.code() == fxEOF {
				break
			}
			if len(r.rest) > 34_000 {
				t.Fatalf("names of %d bytes: an answer of %d", length, len(r.rest))
			}
			seen += len(r.names())
		}
		if seen != 402 {
			t.Fatalf("names of %d bytes: %d entries", length, seen)
		}
		c.want(fxEOF, fxpReaddir, handle)
	}
}

// A directory that is moved, emptied or removed while it is read.
func TestListingWhileItChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
	for i := range 1000 {
		put(t, filepath.Join(dir, "d", fmt.Sprintf("file %d", i)), "")
	}
	c := connect(t, dir)
	r := c.ok(fxpOpendir, "d")
	handle := r.string()
	r = c.ok(fxpReaddir, handle)
	if len(r.names()) == 0 {
		t.Fatal("nothing listed")
	}
	must(t, os.Rename(filepath.Join(dir, "d"), filepath.Join(dir, "e")))
	r = c.ok(fxpReaddir, handle)
	if len(r.names()) == 0 {
		t.Fatal("nothing listed after it was moved")
	}
	must(t, os.RemoveAll(filepath.Join(dir, "e")))
	for {
		r := c.do(fxpReaddir, handle)
		if code := r.code(); code == fxEOF || code == fxNoSuchFile {
			break
		} else if code != fxOK {
			t.Fatalf("%+v", r)
		}
	}
	c.ok(fxpClose, handle)
	c.want(fxNoSuchFile, fxpOpendir, "d")
}

func TestMakingAndRemoving(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := connect(t, dir)
	c.ok(fxpMkdir, "d", attrs{})
	c.want(fxFailure, fxpMkdir, "d", attrs{})
	c.want(fxNoSuchFile, fxpMkdir, "no/d", attrs{})
	c.want(fxNoSuchFile, fxpMkdir, "", attrs{})
	put(t, filepath.Join(dir, "d", "f"), "")
	must(t, os.Symlink("d", filepath.Join(dir, "l")))
	c.want(fxFailure, fxpRmdir, "d")
	c.want(fxFailure, fxpRemove, "d")
	c.want(fxNoSuchFile, fxpRmdir, "d/f")
	c.want(fxNoSuchFile, fxpRmdir, "l")
	c.ok(fxpRemove, "l") // the link, not what it leads to
	c.ok(fxpRemove, "d/f")
	c.want(fxNoSuchFile, fxpRemove, "d/f")
	c.ok(fxpRmdir, "d")
	absent(t, filepath.Join(dir, "d"))
}
