package proof

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// secret is a file of the logs' owner that is none of their folder's.
func secret(t *testing.T, folder string) (path string, unharmed func()) {
	t.Helper()
	path = filepath.Join(filepath.Dir(folder), "secret")
	content := bytes.Repeat([]byte("of nobody's concern\n"), 1000)
	put(t, path, content)
	if err := os.Chown(path, owner, owner); err != nil {
		t.Fatal(err)
	}
	return path, func() {
		t.Helper()
		now, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(now, content) {
			t.Errorf("what a link led to is another now: %d bytes, %v", len(now), err)
		}
		archives, err := filepath.Glob(folder + "/*.gz")
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range archives {
			if is, err := os.Lstat(one); err != nil || !is.Mode().IsRegular() {
				continue
			}
			if text, _ := exec.Command("zcat", one).Output(); bytes.Contains(text, content[:20]) {
				t.Errorf("%s holds what a link led to", one)
			}
		}
	}
}

// Links in the place of a log, and of all that a rotation is about to make: the
// clock is known, and so are the names.
func TestLinksInTheWay(t *testing.T) {
	t.Parallel()
	folder, is := ext4(t)
	if !is {
		return
	}
	path, unharmed := secret(t, folder)
	links := []string{"link.log"}
	for second := range 20 {
		name := fmt.Sprintf("server.log-20240101T0000%02dZ", second)
		links = append(links, name, name+".gz", name+"-1.gz", "."+name+".gz.tmp", "."+name+"-1.gz.tmp")
	}
	for _, link := range links {
		if err := os.Symlink(path, filepath.Join(folder, link)); err != nil {
			t.Fatal(err)
		}
	}
	what := taskIn(t, folder)
	what.Clock = 1704067200 // 2024-01-01
	b := keep(t, folder, "server.log", os.O_APPEND)
	s := runs(t, what, nil)
	for range 3 {
		b.write(100)
		s.now()
		b.write(1)
		s.now()
	}
	b.close()
	s.now()
	s.settled()
	unharmed()
	if found := b.found(); !found.perfect() {
		t.Error(found)
	}
	if notes := fmt.Sprint(s.state().Notes); !strings.Contains(notes, "link.log is not rotated: it is a symbolic link") {
		t.Errorf("it does not say that a log is a link: %s", notes)
	}
	s.finish()
}

// What has a log's name and is none: it is left alone and told of, and nothing
// waits for it.
func TestNoFilesOfLogs(t *testing.T) {
	t.Parallel()
	folder, is := ext4(t)
	if !is {
		return
	}
	path, unharmed := secret(t, folder)
	for name, make := range map[string]func(path string) error{
		"folder.log": func(path string) error { return os.Mkdir(path, 0o755) },
		"pipe.log":   func(path string) error { return syscall.Mkfifo(path, 0o666) },
		"device.log": func(path string) error { return syscall.Mknod(path, syscall.S_IFCHR|0o666, int(unix.Mkdev(1, 5))) },
		"disk.log":   func(path string) error { return syscall.Mknod(path, syscall.S_IFBLK|0o666, int(unix.Mkdev(7, 0))) },
		"socket.log": func(path string) error { return syscall.Mknod(path, syscall.S_IFSOCK|0o666, 0) },
		"second.log": func(name string) error { return os.Link(path, name) },
	} {
		if err := make(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	b := keep(t, folder, "server.log", os.O_APPEND)
	b.write(100)
	b.close()
	s := runs(t, taskIn(t, folder), nil)
	s.now()
	s.settled()
	unharmed()
	if found := b.found(); !found.perfect() {
		t.Error(found)
	}
	state := s.state()
	notes := fmt.Sprint(state.Notes, state.Reasons)
	for name, why := range map[string]string{
		"folder.log": "a folder", "pipe.log": "no regular file", "device.log": "no regular file", "disk.log": "no regular file",
		"socket.log": "no regular file", "second.log": "2 names",
	} {
		if !strings.Contains(notes, name+" is not rotated: it ") || !strings.Contains(notes, why) {
			t.Errorf("of %s it does not say %q: %s", name, why, notes)
		}
		if _, err := os.Lstat(filepath.Join(folder, name)); err != nil {
			t.Error(err)
		}
	}
	s.finish()
}

// The folder is put aside, and another one takes its place, in the middle of a
// rotation: nothing of that other one is touched.
func TestFolderIsExchanged(t *testing.T) {
	t.Parallel()
	folder, is := ext4(t)
	if !is {
		return
	}
	other := owned(t, folder+"-other")
	put(t, filepath.Join(other, "server.log"), []byte("another one's\n"))
	put(t, filepath.Join(other, "callback.log"), []byte("another one's\n"))
	what := taskIn(t, folder)
	shelved := stock(t, what)
	shelved.write(100)
	if err := os.Chmod(filepath.Dir(folder), 0o777); err != nil {
		t.Fatal(err)
	}
	what.DoAt, what.Do = "fill archive", fmt.Sprintf("mv %[1]s %[1]s-was && mv %[1]s-other %[1]s", folder)
	p := launch(t, what)
	if _, err := p.answered(); err != nil {
		t.Fatal(err)
	}
	if failed := p.must("rotate").failures(); len(failed) > 0 {
		t.Errorf("%+v", failed)
	}
	p.finish()
	for _, name := range []string{"server.log", "callback.log"} {
		if text, err := os.ReadFile(filepath.Join(folder, name)); err != nil || string(text) != "another one's\n" {
			t.Errorf("%s of the other folder: %q, %v", name, text, err)
		}
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 2 {
		t.Errorf("the other folder has %v, %v", entries, err)
	}
	for _, one := range shelved.books {
		one.folder = folder + "-was"
		if found := one.found(); !found.perfect() {
			t.Errorf("%s: %v", one.name, found)
		}
	}
}

// A log, or what it was set aside as, is removed at some step: that is noticed,
// the others are rotated, and nothing stays behind.
func TestRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	folder, is := ext4(t)
	if !is {
		return
	}
	what := taskIn(t, folder)
	shelved := stock(t, what)
	for _, step := range append(steps(t), stepLooked) {
		shelved.begin()
		shelved.write(100)
		doing := what
		doing.DoAt, doing.Do = step, fmt.Sprintf("rm -f %[1]s/removed.log %[1]s/removed.log-*Z", folder)
		put(t, filepath.Join(folder, "removed.log"), []byte("a line\n"))
		if err := os.Chown(filepath.Join(folder, "removed.log"), owner, owner); err != nil {
			t.Fatal(err)
		}
		once(t, doing)
		if found := shelved.mend(what); !found.perfect() {
			t.Fatalf("removed before %q: %v", step, found)
		}
		if left, err := filepath.Glob(folder + "/.*.tmp"); err != nil || len(left) > 0 {
			t.Errorf("removed before %q: %q stay, %v", step, left, err)
		}
	}
}

// Files that may not be changed (chattr +a, +i), that are somebody else's, and
// that may not be read: they stay as they are, that is told, and others are rotated.
func TestFilesThatMayNotBeRotated(t *testing.T) {
	t.Parallel()
	folder, is := ext4(t)
	if !is {
		return
	}
	var books []*book
	for _, name := range []string{"server.log", "append-only.log", "immutable.log", "root.log", "root-only.log"} {
		b := keep(t, folder, name, os.O_APPEND)
		b.write(100)
		b.close()
		books = append(books, b)
	}
	path := func(i int) string { return filepath.Join(folder, books[i].name) }
	for _, i := range []int{3, 4} {
		if err := os.Chown(path(i), 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(path(4), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "chattr", "+a", path(1))
	run(t, "chattr", "+i", path(2))
	s := runs(t, taskIn(t, folder), nil)
	for range 2 {
		said := fmt.Sprintf("%+v %+v", s.now(), s.state())
		for i, why := range map[int]string{1: "operation not permitted", 2: "operation not permitted", 3: "belongs to user 0", 4: "root-only.log"} {
			if !strings.Contains(said, why) {
				t.Errorf("of %s it does not say %q: %s", books[i].name, why, said)
			}
		}
		if found := countAll(books); !found.perfect() {
			t.Fatal(found)
		}
	}
	run(t, "chattr", "-a", path(1))
	run(t, "chattr", "-i", path(2))
	for _, i := range []int{3, 4} {
		matches, err := filepath.Glob(path(i) + "*")
		if err != nil || len(matches) != 1 {
			t.Fatalf("%q, %v", matches, err)
		}
		if err := os.Chown(matches[0], owner, owner); err != nil {
			t.Fatal(err)
		}
	}
	s.fine()
	s.settled()
	if found := countAll(books); !found.perfect() {
		t.Error(found)
	}
	s.healthy()
	s.finish()
}

// A folder that everybody may write to is rotated like any other.
func TestFolderThatEverybodyMayWriteTo(t *testing.T) {
	t.Parallel()
	folder, is := ext4(t)
	if !is {
		return
	}
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	b := keep(t, folder, "server.log", os.O_APPEND)
	b.write(100)
	b.close()
	s := runs(t, taskIn(t, folder), nil)
	s.fine()
	s.settled()
	s.healthy()
	if found := b.found(); !found.perfect() {
		t.Error(found)
	}
	s.finish()
}
