package rotation

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// syncArchives makes what was written to temporary files durable.
func (f *Folder) syncArchives(parts []part) {
	var made []*part
	for i := range parts {
		if p := &parts[i]; p.err == nil && p.temporary != "" {
			made = append(made, p)
		}
	}
	// Many small files cost least where the disk is waited for once. That this
	// failed may be due to somebody else's file: then each of ours is asked for.
	if len(made) >= many && f.sys.syncAll(f.dir) == nil {
		return
	}
	atOnce(made, func(p *part) { p.err = f.syncNamed(p.temporary) })
}

// many is from how many files on the whole file system is synced and not each of
// them: that waits for what others have written, too.
const many = 16

// syncsAll says whether syncfs(2) makes the files of a folder durable, and fails
// where it could not. Of a file system in user space or in the network that is
// not known, and before Linux 5.8 it never fails.
func syncsAll(folder *os.File) bool {
	var on unix.Statfs_t
	var system unix.Utsname
	if unix.Fstatfs(int(folder.Fd()), &on) != nil || unix.Uname(&system) != nil {
		return false
	}
	switch int64(on.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC:
	default:
		return false
	}
	var major, minor int
	_, err := fmt.Sscanf(unix.ByteSliceToString(system.Release[:]), "%d.%d", &major, &minor)
	return err == nil && (major > 5 || major == 5 && minor >= 8)
}

// waitingAtOnce is for how many files the disk is waited at the same time; each
// takes a thread.
const waitingAtOnce = 32

// atOnce does something with all parts that waits for the disk, which then works
// for many of them at once.
func atOnce(parts []*part, do func(p *part)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(waitingAtOnce, len(parts)) {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(parts)); i = next.Add(1) - 1 {
				do(parts[i])
			}
		})
	}
	all.Wait()
}

// syncNamed makes what was written to a file durable.
func (f *Folder) syncNamed(base string) error {
	file, err := f.sys.open(f.dir, base, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer file.Close()
	return f.sys.sync(file)
}
