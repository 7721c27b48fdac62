package sftp

import (
	"math"
	"strconv"

	"golang.org/x/sys/unix"
)

// Which attributes are there, section 5 of the draft.
const (
	hasSize        = 0x1
	hasOwner       = 0x2
	hasPermissions = 0x4
	hasTimes       = 0x8
	hasExtended    = 0x80000000
)

// attributes are what a client wants a file to be; present says which of them count.
type attributes struct {
	present      uint32
	size         uint64
	uid, gid     uint32
	permissions  uint32
	atime, mtime uint32 // seconds since 1970
}

func (f *fields) attributes() attributes {
	a := attributes{present: f.uint32()}
	if a.present&hasSize != 0 {
		a.size = f.uint64()
	}
	if a.present&hasOwner != 0 {
		a.uid, a.gid = f.uint32(), f.uint32()
	}
	if a.present&hasPermissions != 0 {
		a.permissions = f.uint32()
	}
	if a.present&hasTimes != 0 {
		a.atime, a.mtime = f.uint32(), f.uint32()
	}
	if a.present&hasExtended != 0 {
		// No extended attribute is known; the request behind them may go on.
		for n := f.uint32(); n > 0 && f.fault == ""; n-- {
			f.bytes()
			f.bytes()
		}
	}
	return a
}

// mode is what a file or directory is made with: what the client wants, or
// otherwise. The kernel takes the umask off.
func (a attributes) mode(otherwise uint32) uint32 {
	if a.present&hasPermissions == 0 {
		return otherwise
	}
	return a.permissions & 0o7777
}

func (r *replies) attributes(st *unix.Stat_t) {
	r.uint32(hasSize | hasOwner | hasPermissions | hasTimes)
	r.uint64(uint64(st.Size))
	r.uint32(st.Uid)
	r.uint32(st.Gid)
	r.uint32(st.Mode)
	r.uint32(uint32(st.Atim.Sec))
	r.uint32(uint32(st.Mtim.Sec))
}

func (s *session) replyAttributes(st *unix.Stat_t, err error) error {
	if err != nil {
		return err
	}
	s.reply(kindAttrs).attributes(st)
	return nil
}

func (s *session) stat(path string) error {
	return s.replyAttributes(statAt(s.directory, path, 0))
}

func (s *session) lstat(path string) error {
	return s.replyAttributes(statAt(s.directory, path, unix.AT_SYMLINK_NOFOLLOW))
}

func (s *session) fstat(h *handle) error {
	return s.replyAttributes(statOf(h.fd))
}

func statAt(directory int, path string, flags int) (*unix.Stat_t, error) {
	var st unix.Stat_t
	err := uninterrupted(func() error { return unix.Fstatat(directory, path, &st, flags) })
	return &st, err
}

func statOf(fd int) (*unix.Stat_t, error) {
	var st unix.Stat_t
	err := uninterrupted(func() error { return unix.Fstat(fd, &st) })
	return &st, err
}

// kindOf is what a file is, one of the S_IF constants.
func kindOf(st *unix.Stat_t) uint32 { return st.Mode & unix.S_IFMT }

func (s *session) setstat(f *fields) error {
	path, a := f.name(), f.attributes()
	if err := f.err(); err != nil {
		return err
	}
	return a.apply(named{s.directory, path, 0})
}

func (s *session) lsetstat(f *fields) error {
	path, a := f.name(), f.attributes()
	if err := f.err(); err != nil {
		return err
	}
	if a.present&hasSize != 0 {
		return errLinkSize
	}
	return a.apply(named{s.directory, path, unix.AT_SYMLINK_NOFOLLOW})
}

func (s *session) fsetstat(f *fields) error {
	key, a := f.bytes(), f.attributes()
	if err := f.err(); err != nil {
		return err
	}
	h, err := s.handles.file(key)
	if err != nil {
		return err
	}
	return a.apply(opened(h.fd))
}

// changeable is a file whose attributes can be set, whichever way it is reached.
type changeable interface {
	truncate(size int64) error
	chmod(mode uint32) error
	touch(times []unix.Timespec) error
	chown(uid, gid int) error
}

// apply sets what is present, each whether or not another could be, and
// returns what went wrong last.
func (a attributes) apply(file changeable) error {
	var failed error
	try := func(present uint32, set func() error) {
		if a.present&present == 0 {
			return
		}
		if err := uninterrupted(set); err != nil {
			failed = err
		}
	}
	try(hasSize, func() error { return file.truncate(int64(a.size)) })
	try(hasPermissions, func() error { return file.chmod(a.permissions & 0o7777) })
	try(hasTimes, func() error {
		return file.touch([]unix.Timespec{
			unix.NsecToTimespec(int64(a.atime) * 1e9),
			unix.NsecToTimespec(int64(a.mtime) * 1e9),
		})
	})
	try(hasOwner, func() error { return file.chown(owner(a.uid), owner(a.gid)) })
	return failed
}

// owner is an id as system calls take it: all bits set leave it as it is.
func owner(id uint32) int {
	if id == math.MaxUint32 {
		return -1
	}
	return int(id)
}

// opened is a file reached by its descriptor.
type opened int

func (o opened) truncate(size int64) error { return unix.Ftruncate(int(o), size) }
func (o opened) chmod(mode uint32) error   { return unix.Fchmod(int(o), mode) }
func (o opened) chown(uid, gid int) error  { return unix.Fchown(int(o), uid, gid) }
func (o opened) touch(times []unix.Timespec) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, descriptor(int(o)), times, 0)
}

// named is a file reached by its path; flags say whether a symbolic link is
// meant itself.
type named struct {
	directory int
	path      string
	flags     int
}

func (n named) truncate(size int64) error {
	fd, err := openAt(n.directory, n.path, unix.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Ftruncate(fd, size)
}

// chmod of a link itself is not possible on Linux; of what is no link it goes
// through a descriptor, for the system call that takes the flag is young and
// older engines forbid it.
func (n named) chmod(mode uint32) error {
	if n.flags == 0 {
		return unix.Fchmodat(n.directory, n.path, mode, 0)
	}
	fd, err := unix.Openat(n.directory, n.path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	st, err := statOf(fd)
	if err != nil {
		return err
	}
	if kindOf(st) == unix.S_IFLNK {
		return unix.EOPNOTSUPP
	}
	return unix.Chmod(descriptor(fd), mode)
}

func (n named) touch(times []unix.Timespec) error {
	return unix.UtimesNanoAt(n.directory, n.path, times, n.flags)
}

func (n named) chown(uid, gid int) error {
	return unix.Fchownat(n.directory, n.path, uid, gid, n.flags)
}

// descriptor is a path to what fd is open on, for what takes only a path.
func descriptor(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }
