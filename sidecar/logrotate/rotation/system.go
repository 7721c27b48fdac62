package rotation

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// system is what the algorithm relies on the kernel for. Tests replace parts of
// it, to show what each is for.
type system struct {
	// rename never replaces: unix.EEXIST where the new name is taken.
	rename func(folder *os.File, from, to string) error
	// lease takes a read lease: errHeld where somebody may write.
	lease func(file *os.File) error
	// leased says whether the lease is still there, or somebody waits to write.
	leased func(file *os.File) bool
	sync   func(file *os.File) error
	// syncAll is sync for all that is in the folder's file system, where there is
	// such a thing.
	syncAll  func(folder *os.File) error
	punch    func(file *os.File, length int64) error
	collapse func(file *os.File, length int64) error
	// open opens what is in the folder and nothing that a link leads to.
	open func(folder *os.File, base string, flags int) (*os.File, error)
}

// errHeld is that some process has the file open for writing.
var errHeld = errors.New("somebody has it open for writing")

var linux = system{
	rename: func(folder *os.File, from, to string) error {
		fd := int(folder.Fd())
		return unix.Renameat2(fd, from, fd, to, unix.RENAME_NOREPLACE)
	},
	lease: func(file *os.File) error {
		_, err := unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
		if errors.Is(err, unix.EAGAIN) {
			return errHeld
		}
		return err
	},
	leased: func(file *os.File) bool {
		kind, err := unix.FcntlInt(file.Fd(), unix.F_GETLEASE, 0)
		return err == nil && kind == unix.F_RDLCK
	},
	sync: (*os.File).Sync,
	syncAll: func(folder *os.File) error {
		if !syncsAll(folder) {
			return errors.ErrUnsupported
		}
		return unix.Syncfs(int(folder.Fd()))
	},
	punch: punch,
	collapse: func(file *os.File, length int64) error {
		return unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_COLLAPSE_RANGE, 0, length)
	},
	open: func(folder *os.File, base string, flags int) (*os.File, error) {
		// Not to wait for the other end of a pipe, and not to follow a link.
		fd, err := unix.Openat(int(folder.Fd()), base, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		return os.NewFile(uintptr(fd), base), nil
	},
}

// punch gives back the blocks up to length. Whoever writes to the file waits
// while it does, so that is slice by slice, from the beginning on; and may
// truncate it between two.
func punch(file *os.File, length int64) error {
	for r, err := range data(file, 0, length) {
		if err != nil {
			return err
		}
		for at := r.Start; at < r.End; at += slice {
			end := min(at+slice, r.End)
			uncache(file, at, end)
			if is, err := look(file, ""); err != nil || is.size < length {
				return errors.Join(err, errShrunk)
			}
			if err := unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, end-at); err != nil {
				return err
			}
		}
	}
	return nil
}

// slice takes a few milliseconds to be given back, in bytes.
const slice = 8 << 20

// uncache takes a part of a file out of memory where it is on the disk, too:
// most of what keeps its writer waiting while that part is given back or moved.
func uncache(file *os.File, start, end int64) {
	_ = unix.Fadvise(int(file.Fd()), start, end-start, unix.FADV_DONTNEED)
}

// create makes a file that was not there, readable to nobody else until it is done.
func create(folder *os.File, base string) (*os.File, error) {
	fd, err := unix.Openat(int(folder.Fd()), base, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), base), nil
}

// unlink removes a name, which may be gone already.
func unlink(folder *os.File, base string) error {
	err := unix.Unlinkat(int(folder.Fd()), base, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// exists says whether something has the name.
func exists(folder *os.File, base string) (bool, error) {
	var stat unix.Stat_t
	err := unix.Fstatat(int(folder.Fd()), base, &stat, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return err == nil, err
}

// Inode is a file of the folder whatever its name. Born tells one from a later one
// to which the file system gave the same number; 0 where it does not keep that.
// The number of the device is left out: it may be another after the next boot.
type Inode struct {
	Number uint64 `json:"number"`
	Born   int64  `json:"born"`
}

// facts are what the kernel says of a file.
type facts struct {
	inode     Inode
	size      int64
	allocated int64 // bytes
	mode      uint32
	links     uint32
	uid       uint32
	modified  int64 // nanoseconds since 1970
	born      int64
}

const wanted = unix.STATX_BASIC_STATS | unix.STATX_BTIME

// look is of the file of that name in the folder, or of the folder's
// descriptor itself where the name is empty.
func look(file *os.File, base string) (facts, error) {
	flags := unix.AT_SYMLINK_NOFOLLOW
	if base == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	var s unix.Statx_t
	if err := unix.Statx(int(file.Fd()), base, flags, wanted, &s); err != nil {
		return facts{}, err
	}
	f := facts{
		inode:     Inode{Number: s.Ino},
		size:      int64(s.Size),
		allocated: int64(s.Blocks) * 512,
		mode:      uint32(s.Mode),
		links:     s.Nlink,
		uid:       s.Uid,
		modified:  s.Mtime.Sec*1e9 + int64(s.Mtime.Nsec),
	}
	if s.Mask&unix.STATX_BTIME != 0 {
		f.born = s.Btime.Sec*1e9 + int64(s.Btime.Nsec)
		f.inode.Born = f.born
	}
	return f, nil
}

// unfit is why a file is not rotated, or empty. A second name, or a link, may
// lead to what is none of ours.
func (f facts) unfit() string {
	switch f.mode & unix.S_IFMT {
	case unix.S_IFREG:
		if f.links > 1 {
			return fmt.Sprintf("it has %d names (hard links), and only files with one are rotated", f.links)
		}
		return ""
	case unix.S_IFLNK:
		return "it is a symbolic link, and those are not followed"
	case unix.S_IFDIR:
		return "it is a folder"
	}
	return "it is no regular file"
}
