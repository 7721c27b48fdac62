package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func noEnv(string) string { return "" }

// put writes a file into a store.
func put(t testing.TB, s Store, name, text string) error {
	t.Helper()
	u, err := s.Create(t.Context(), name)
	if err != nil {
		return err
	}
	defer func() {
		if err := u.Abort(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := io.WriteString(u, text); err != nil {
		return err
	}
	return u.Commit()
}

func get(t testing.TB, s Store, name string) (string, error) {
	t.Helper()
	from, size, err := s.Open(t.Context(), name)
	if err != nil {
		return "", err
	}
	defer from.Close()
	text, err := io.ReadAll(from)
	if err == nil && int64(len(text)) != size {
		t.Errorf("the size of %s is said to be %d, and it has %d", name, size, len(text))
	}
	return string(text), err
}

// namesIn are the names in a folder, hidden ones included.
func namesIn(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestAt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := func(name string) string {
		return map[string]string{"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "secret"}[name]
	}
	for where, c := range map[string][2]string{
		"":                             {"./", ""},
		".":                            {"./", ""},
		dir:                            {dir + "/", ""},
		dir + "/":                      {dir + "/", ""},
		dir + "/absent/":               {dir + "/absent/", ""},
		dir + "/absent":                {dir + "/", "absent"},
		dir + "/../a.inmanta-backup":   {filepath.Dir(dir) + "/", "a.inmanta-backup"},
		"a.inmanta-backup":             {"./", "a.inmanta-backup"},
		"/":                            {"/", ""},
		"/absent":                      {"/", "absent"},
		"s3://bucket":                  {"s3://bucket/", ""},
		"s3://bucket/":                 {"s3://bucket/", ""},
		"s3://bucket/of/mine/":         {"s3://bucket/of/mine/", ""},
		"s3://bucket/of/mine/a.tar":    {"s3://bucket/of/mine/", "a.tar"},
		"s3://bucket/a.inmanta-backup": {"s3://bucket/", "a.inmanta-backup"},
	} {
		s, name, err := At(where, env)
		if err != nil || s.String() != c[0] || name != c[1] {
			t.Errorf("%q is %v and %q, %v", where, s, name, err)
		}
	}
	for _, where := range []string{"s3://", "s3:///a", "s3://B/", "s3://bucket//", "s3://bucket/../", "s3://bucket/a/./b", "s3://bucket/a\\b", "s3://bucket/a//b", "s3://bucket/\xff/"} {
		_, _, err := At(where, env)
		isProblem(t, err, Malformed, "")
	}
	_, _, err := At("s3://bucket/", noEnv)
	isProblem(t, err, Refused, "no credentials")
	for _, endpoint := range []string{"storage", "ftp://storage", "https://", "http://a:secret@storage", "http://storage/path", "http://storage?x", ":"} {
		_, _, err := At("s3://bucket/", func(name string) string {
			if name == "AWS_ENDPOINT_URL" {
				return endpoint
			}
			return env(name)
		})
		isProblem(t, err, Malformed, "no address")
		if strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("it tells a secret: %v", err)
		}
	}
}

func TestFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := Folder(dir)
	if list, err := s.List(t.Context()); err != nil || len(list) != 0 {
		t.Fatalf("%v, %v", list, err)
	}
	for _, text := range []string{"", "text", strings.Repeat("text", 1<<20)} {
		if err := put(t, s, file, text); err != nil {
			t.Fatal(err)
		}
		if got, err := get(t, s, file); err != nil || got != text {
			t.Errorf("it reads %d bytes, %v", len(got), err)
		}
		if info, err := os.Stat(filepath.Join(dir, file)); err != nil || info.Mode() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		list, err := s.List(t.Context())
		if err != nil || len(list) != 1 || list[0].Name != file || list[0].Size != int64(len(text)) || time.Since(list[0].Modified).Abs() > time.Minute {
			t.Errorf("%v, %v", list, err)
		}
		isProblem(t, put(t, s, file, "other"), Exists, "already")
		if err := s.Remove(t.Context(), file); err != nil {
			t.Error(err)
		}
		if left := namesIn(t, dir); len(left) != 0 {
			t.Errorf("left are %v", left)
		}
	}
}

// What is not ours is not listed, and what is comes newest first.
func TestFolderList(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := Folder(dir)
	for i, name := range []string{"c", "b", "a"} {
		if err := put(t, s, name+Extension, name); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(time.Duration(i) * time.Hour)
		if err := os.Chtimes(filepath.Join(dir, name+Extension), at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, "readme.txt"), nil, 0o600), os.WriteFile(filepath.Join(dir, ".hidden"+Extension), nil, 0o600),
		os.Mkdir(filepath.Join(dir, "folder"+Extension), 0o700), os.Symlink("a"+Extension, filepath.Join(dir, "link"+Extension)),
		syscall.Mkfifo(filepath.Join(dir, "pipe"+Extension), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	list, err := s.List(t.Context())
	var names []string
	for _, e := range list {
		names = append(names, strings.TrimSuffix(e.Name, Extension))
	}
	if err != nil || !slices.Equal(names, []string{"a", "b", "c"}) {
		t.Errorf("%v, %v", names, err)
	}
}

func TestFolderRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := Folder(dir)
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "folder"), 0o700), syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600), os.WriteFile(filepath.Join(dir, "plain"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	open := func(s Store, name string) error { _, err := get(t, s, name); return err }
	list := func(s Store) error { _, err := s.List(t.Context()); return err }
	for name, c := range map[string]struct {
		err      error
		id, says string
	}{
		"a name without its end":   {put(t, s, "mine", ""), Malformed, "ends in .inmanta-backup"},
		"a hidden name":            {put(t, s, ".a"+Extension, ""), Malformed, "ends in .inmanta-backup"},
		"a way as a name":          {put(t, s, "../a"+Extension, ""), Malformed, "no name of a file"},
		"no name":                  {put(t, s, "", ""), Malformed, "no name of a file"},
		"opening a way":            {open(s, "../a"), Malformed, "no name of a file"},
		"removing a way":           {s.Remove(t.Context(), ".."), Malformed, "no name of a file"},
		"opening what is not":      {open(s, "absent"), Missing, "not there"},
		"removing what is not":     {s.Remove(t.Context(), "absent"), Missing, "not there"},
		"opening a folder":         {open(s, "folder"), Missing, "no regular file"},
		"removing a folder":        {s.Remove(t.Context(), "folder"), Malformed, "a folder, not a backup"},
		"opening a pipe":           {open(s, "pipe"), Missing, "no regular file"},
		"writing where nothing is": {put(t, Folder(dir+"/absent"), file, ""), Missing, "not there"},
		"listing what is not":      {list(Folder(dir + "/absent")), Missing, "not there"},
		"writing into a file":      {put(t, Folder(dir+"/plain"), file, ""), Missing, "is a file"},
		"listing a file":           {list(Folder(dir + "/plain")), Missing, "is a file"},
		"opening below a file":     {open(Folder(dir+"/plain"), "a"), Missing, "is a file"},
	} {
		t.Run(name, func(t *testing.T) { isProblem(t, c.err, c.id, c.says) })
	}
	ctx, cancel := context.WithCancel(t.Context())
	u, err := s.Create(ctx, file)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := u.Write([]byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("after an interrupt it is written: %v", err)
	}
	if err := u.Commit(); !errors.Is(err, context.Canceled) {
		t.Errorf("after an interrupt it is finished: %v", err)
	}
	if err := errors.Join(u.Abort(), u.Abort()); err != nil {
		t.Error(err)
	}
	if names := namesIn(t, dir); !slices.Equal(names, []string{"folder", "pipe", "plain"}) {
		t.Errorf("left are %v", names)
	}
}

// A file that shrinks, or grows, while it is read is no file to restore from.
func TestFolderFileThatChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := Folder(dir)
	for _, size := range []int64{5, 15} {
		if err := put(t, s, file, "0123456789"); err != nil {
			t.Fatal(err)
		}
		from, _, err := s.Open(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(dir, file), size); err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadAll(from)
		isProblem(t, err, Broken, "10 were announced")
		if err := errors.Join(from.Close(), s.Remove(t.Context(), file)); err != nil {
			t.Fatal(err)
		}
	}
}

// smallDisk is a folder on a disk of its own.
func smallDisk(t *testing.T, flags uintptr, options string) string {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", flags, options); err != nil {
		t.Fatalf("making a small disk, which takes root: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	return disk
}

func TestFolderOnAFullDisk(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 0, "size=1m")
	s := Folder(disk)
	if err := put(t, s, "before"+Extension, "text"); err != nil {
		t.Fatal(err)
	}
	isProblem(t, put(t, s, file, strings.Repeat("x", 2<<20)), Full, "the disk is full")
	if names := namesIn(t, disk); !slices.Equal(names, []string{"before" + Extension}) {
		t.Errorf("left are %v", names)
	}
	// There is room again.
	if err := put(t, s, file, strings.Repeat("x", 500<<10)); err != nil {
		t.Error(err)
	}
	// Not even a name has room.
	crowded := smallDisk(t, 0, "nr_inodes=1")
	isProblem(t, put(t, Folder(crowded), file, ""), Full, "the disk is full")
}

func TestFolderThatIsReadOnly(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 0, "size=1m")
	s := Folder(disk)
	if err := put(t, s, "before"+Extension, "text"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, "size=1m"); err != nil {
		t.Fatal(err)
	}
	isProblem(t, put(t, s, file, ""), Refused, "read-only")
	isProblem(t, s.Remove(t.Context(), "before"+Extension), Refused, "read-only")
	if text, err := get(t, s, "before"+Extension); err != nil || text != "text" {
		t.Errorf("%q, %v", text, err)
	}
}

// What somebody else may not do there, they are told.
func TestFolderOfSomebodyElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := Folder(dir)
	if err := put(t, s, "mine"+Extension, "text"); err != nil {
		t.Fatal(err)
	}
	asNobody := func(do func() error) error {
		// The kernel takes root's rights to files from this thread for as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := unix.Setfsuid(65534); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = unix.Setfsuid(0) }()
		return do()
	}
	try := func(says string) {
		t.Helper()
		isProblem(t, asNobody(func() error { _, err := s.Create(t.Context(), file); return err }), Refused, says)
		isProblem(t, asNobody(func() error { _, _, err := s.Open(t.Context(), "mine"+Extension); return err }), Refused, says)
		isProblem(t, asNobody(func() error { return s.Remove(t.Context(), "mine"+Extension) }), Refused, says)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	try("may not do that")
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	try("may not do that")
	isProblem(t, asNobody(func() error { _, err := s.List(t.Context()); return err }), Refused, "may not do that")
}

// However many take one name at once, one gets it, and the others are told.
func TestFolderNameTakenMeanwhile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := Folder(dir)
	var got atomic.Int32
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			if err := put(t, s, file, fmt.Sprintf("of %d", i)); err == nil {
				got.Add(1)
			} else {
				isProblem(t, err, Exists, "already")
			}
			if err := put(t, s, fmt.Sprintf("%d%s", i, Extension), "its own"); err != nil {
				t.Errorf("while others write: %v", err)
			}
		})
	}
	group.Wait()
	if names := namesIn(t, dir); got.Load() != 1 || len(names) != 21 {
		t.Errorf("%d got it, and there are %v", got.Load(), names)
	}
}

// Each of the ways in which a file gets its name leaves alone what has it.
func TestFolderNothingIsReplaced(t *testing.T) {
	t.Parallel()
	for name, way := range map[string]func(*os.Root, string, string) error{"renameNew": renameNew, "linkNew": linkNew, "renameFree": renameFree, "publish": publish} {
		root, err := os.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if err := root.WriteFile("hidden", []byte("new"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := root.WriteFile("taken", []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := way(root, "hidden", "taken"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v", name, err)
		}
		if err := way(root, "hidden", "free"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		old, _ := root.ReadFile("taken")
		fresh, _ := root.ReadFile("free")
		if _, err := root.Stat("hidden"); string(old) != "old" || string(fresh) != "new" || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %q, %q, %v", name, old, fresh, err)
		}
		if err := root.Close(); err != nil {
			t.Error(err)
		}
	}
}
