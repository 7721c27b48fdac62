package proof

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fill takes all room of a file system but for some bytes, and returns what
// gives it back.
func fill(t *testing.T, folder string, but int64) (free func()) {
	t.Helper()
	path := filepath.Join(folder, "filler")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	block := make([]byte, 4096)
	for {
		if _, err := file.Write(block); err != nil {
			break // there is no more
		}
	}
	is, err := file.Stat()
	if err == nil {
		err = file.Truncate(max(is.Size()-but, 0))
	}
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// small are file systems with little room, all of which anybody may use.
func small(t *testing.T, name string) filesystem {
	t.Helper()
	fs := on(t, name)
	fs.size = 48
	if fs.make != nil {
		fs.make = append(fs.make, "-m", "0")
	}
	return fs
}

// stuffed are logs of each kind with more in them than what there will be room for.
func stuffed(t *testing.T, folder string) []*book {
	t.Helper()
	books := []*book{
		keep(t, folder, "server.log", os.O_APPEND),
		keep(t, folder, "callback.log", os.O_APPEND),
		keep(t, folder, "policy_engine.log", 0),
	}
	for _, one := range books {
		one.write(20_000)
	}
	books[0].close()
	return books
}

// countAll counts what is in all of them.
func countAll(books []*book) sum {
	var total sum
	for _, one := range books {
		total.add(one.found())
	}
	return total
}

// No room for archives; then a second rotation, still without; then there is.
func TestNoRoomForArchives(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ext4", "tmpfs"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if fs := small(t, name); fs.there(t) {
				noRoomForArchives(t, fs.mount(t))
			}
		})
	}
}

func noRoomForArchives(t *testing.T, folder string) {
	books := stuffed(t, folder)
	s := runs(t, taskIn(t, folder), nil)
	s.settled("callback.log", "policy_engine.log")
	free := fill(t, filepath.Dir(folder), 64<<10)
	for range 2 {
		if failed := s.failures(); len(failed) == 0 || !strings.Contains(fmt.Sprint(failed), "no space left") {
			t.Errorf("without room, this failed: %q", failed)
		}
		if s.reason("no space left") == "" {
			t.Errorf("it is not unhealthy for that: %q", s.state().Reasons)
		}
		if found := countAll(books); !found.perfect() {
			t.Fatal(found)
		}
	}
	free()
	s.mended(books)
}

// mended sees that, with nothing in the way any more, all is rotated, the sidecar
// is healthy, and no line is missing.
func (s *sidecar) mended(books []*book) {
	s.t.Helper()
	eventually(s.t, func() error {
		if failed := s.failures(); len(failed) > 0 {
			return fmt.Errorf("%q", failed)
		}
		return nil
	})
	for _, one := range books[1:] {
		one.write(100)
	}
	s.settled()
	s.fine()
	for _, one := range books {
		one.close()
	}
	s.healthy()
	s.rest()
	if found := countAll(books); !found.perfect() {
		s.t.Error(found)
	} else {
		s.t.Log(found)
	}
}

// No room for its own notes: without them, nothing may be removed.
func TestNoRoomForNotes(t *testing.T) {
	t.Parallel()
	fs, notes := on(t, "ext4"), on(t, "tmpfs")
	if !fs.there(t) || !notes.there(t) {
		return
	}
	folder := fs.mount(t)
	notes.size = 1
	what := taskIn(t, folder)
	what.State = notes.mount(t)
	books := stuffed(t, folder)
	s := runs(t, what, nil)
	free := fill(t, filepath.Dir(what.State), 0)
	for range 2 {
		if failed := s.failures(); len(failed) == 0 {
			t.Error("without room for notes, nothing failed")
		}
		if found := countAll(books); !found.perfect() {
			t.Fatal(found)
		}
	}
	free()
	s.mended(books)
}

// No inode for an archive.
func TestNoInodesLeft(t *testing.T) {
	t.Parallel()
	fs := on(t, "tmpfs")
	fs.options = []string{"-o", "nr_inodes=12"}
	if !fs.there(t) {
		return
	}
	folder := fs.mount(t)
	books := stuffed(t, folder)
	s := runs(t, taskIn(t, folder), nil)
	taken := 0
	for range 2 {
		for refused := 0; refused < 5; {
			file, err := os.Create(fmt.Sprintf("%s/taken%d", filepath.Dir(folder), taken+1))
			if err != nil {
				// What others had a moment ago may come back a moment later.
				refused++
				time.Sleep(20 * time.Millisecond)
				continue
			}
			taken++
			if err := file.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if failed := s.failures(); len(failed) == 0 {
			t.Error("without inodes, nothing failed")
		}
		if s.state().Healthy {
			t.Error("it is healthy without inodes")
		}
		if found := countAll(books); !found.perfect() {
			t.Fatal(found)
		}
	}
	run(t, "mount", "-o", "remount,nr_inodes=100", filepath.Dir(folder))
	s.mended(books)
}

// limit is struct if_dqblk of quotactl(2).
type limit struct {
	blocksHard, blocksSoft, space, inodesHard, inodesSoft, inodes, blockTime, inodeTime uint64
	valid, _                                                                            uint32
}

const (
	setQuota    = 0x800008 << 8 // Q_SETQUOTA of users
	validBlocks = 1             // QIF_BLIMITS
)

// The logs' owner may not take more room.
func TestQuota(t *testing.T) {
	t.Parallel()
	fs := on(t, "ext4")
	fs.name, fs.make, fs.options = "quota", append(fs.make, "-O", "quota"), []string{"-o", "usrquota"}
	if !fs.there(t) {
		return
	}
	folder := fs.mount(t)
	books := stuffed(t, folder)
	s := runs(t, taskIn(t, folder), nil)
	allow := func(kib uint64) {
		at, err := unix.Open(filepath.Dir(folder), unix.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(at)
		l := limit{blocksHard: kib, blocksSoft: kib, valid: validBlocks}
		if _, _, failed := unix.Syscall6(unix.SYS_QUOTACTL_FD, uintptr(at), setQuota, uintptr(owner), uintptr(unsafe.Pointer(&l)), 0, 0); failed != 0 {
			t.Fatalf("limiting what the logs' owner may take: %v", failed)
		}
	}
	var is unix.Stat_t
	taken := uint64(0)
	for _, one := range books {
		if err := unix.Stat(filepath.Join(folder, one.name), &is); err != nil {
			t.Fatal(err)
		}
		taken += uint64(is.Blocks) / 2
	}
	allow(taken + 64)
	for range 2 {
		if failed := s.failures(); len(failed) == 0 || !strings.Contains(fmt.Sprint(failed), "quota") {
			t.Errorf("beyond the quota, this failed: %q", failed)
		}
		if found := countAll(books); !found.perfect() {
			t.Fatal(found)
		}
	}
	allow(1 << 30)
	s.mended(books)
}

// The volume is read-only from some moment on, and again later.
func TestReadOnlyMeanwhile(t *testing.T) {
	t.Parallel()
	folder, is := ext4(t)
	if !is {
		return
	}
	books := stuffed(t, folder)
	s := runs(t, taskIn(t, folder), nil)
	// Files that are open for writing would keep it from becoming read-only.
	at := filepath.Dir(folder)
	for _, one := range books {
		one.close()
	}
	s.fine()
	s.settled()
	// What starts at this moment in another test may have our files open until
	// it is what it is to be.
	eventually(t, func() error { return unix.Mount("", at, "", unix.MS_REMOUNT|unix.MS_RDONLY, "") })
	for range 2 {
		s.now()
		if s.reason(folder) == "" {
			t.Errorf("it does not say that its folder is read-only: %q", s.state().Reasons)
		}
	}
	if found := countAll(books); !found.perfect() {
		t.Fatal(found)
	}
	// One that starts then.
	s.kill()
	s = runs(t, s.what, nil)
	if s.state().Healthy {
		t.Error("it is healthy on a folder that is read-only")
	}
	run(t, "mount", "-o", "remount,rw", at)
	books[0].write(100)
	books[0].close()
	eventually(t, func() error {
		if state := s.state(); !state.Healthy {
			return fmt.Errorf("%q", state.Reasons)
		}
		return nil
	})
	s.mended(books)
}

// The disk goes away: everything fails with EIO, until it is back.
func TestDiskThatFails(t *testing.T) {
	t.Parallel()
	fs := on(t, "ext4")
	if !fs.there(t) {
		return
	}
	d, folder := fs.plug(t)
	books := stuffed(t, folder)
	what := taskIn(t, folder)
	d.sync()
	s := runs(t, what, nil)
	d.cut()
	s.now()
	if s.state().Healthy {
		t.Error("it is healthy on a disk that fails")
	}
	s.kill()
	for _, one := range books {
		one.close()
	}
	d.back()
	if found := countAll(books); !found.perfect() {
		t.Fatal(found)
	}
	for _, one := range books[1:] {
		one.reopen()
	}
	runs(t, what, nil).mended(books)
}

// The disk is full when it starts, with its notes on it, too. It is told to keep
// less, which is what makes room, so that comes before anything that needs some.
func TestFullAtTheStart(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ext4", "tmpfs"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := small(t, name)
			if !fs.there(t) {
				return
			}
			folder := fs.mount(t)
			what := taskIn(t, folder)
			what.State = owned(t, filepath.Join(filepath.Dir(folder), "state"))
			b := keep(t, folder, "server.log", os.O_APPEND)
			s := runs(t, what, map[string]string{"SCHEDULE": "daily", "COMPRESSION": "none"})
			for range 4 {
				b.write(20_000)
				b.close()
				s.fine()
				s.must("advance 86400")
				b = keep(t, folder, "server.log", os.O_APPEND)
			}
			s.settled()
			s.finish()
			before := len(archivesOf(t, folder, b.name))
			fill(t, filepath.Dir(folder), 0)
			what.Clock = time.Now().Add(5 * 24 * time.Hour).Unix()
			s = runs(t, what, map[string]string{"SCHEDULE": "daily", "COMPRESSION": "none", "KEEP": "1"})
			eventually(t, func() error {
				if after := len(archivesOf(t, folder, b.name)); before < 4 || after != 1 {
					return fmt.Errorf("of %d archives %d are left", before, after)
				}
				return nil
			})
			s.healthy()
			s.finish()
		})
	}
}
