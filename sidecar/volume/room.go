package volume

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// reserve is how much room a restore leaves, in bytes: what still runs on the
// volume needs some.
const reserve = 64 << 20

// perEntry is what an entry takes besides its content, at most as a rule.
const perEntry = 4 << 10

// Needs is how much has to be free in a volume for so many files with so many bytes
// to be unpacked into it.
func Needs(files, bytes int64) int64 { return bytes + files*perEntry + reserve }

var errRoom = errors.New("there is not enough room in the volume")

// room is what may still be taken of a file system.
type room struct {
	fd   int
	left int64
}

// take counts what an entry with so many bytes takes. The kernel is asked only
// when what it said last is used up.
func (r *room) take(size int64) error {
	needs := size + perEntry
	if needs > r.left {
		free, _, err := statfs(r.fd)
		if err != nil {
			return err
		}
		if r.left = free - reserve; needs > r.left {
			return errRoom
		}
		// Asked again before it can have run out by what others write.
		r.left = max(needs, min(r.left, 32<<20))
	}
	r.left -= needs
	return nil
}

func statfs(fd int) (free, total int64, err error) {
	var s unix.Statfs_t
	if err := unix.Fstatfs(fd, &s); err != nil {
		return 0, 0, fmt.Errorf("asking for the room in the volume: %w", err)
	}
	return int64(s.Bavail) * s.Frsize, int64(s.Blocks) * s.Frsize, nil
}

// Room is how much of a volume is taken and free, in bytes.
type Room struct {
	// Free is what an ordinary user may still take, of Total.
	Free  int64 `json:"free"`
	Total int64 `json:"total"`
	// Used is what the files of the volume take, which may be less than what they
	// would without holes and with one name each, Bytes. Files are all there are,
	// as Pack counts them.
	Used  int64 `json:"used"`
	Bytes int64 `json:"bytes"`
	Files int64 `json:"files"`
}

// Look measures a volume's folder, without what a restore keeps in it.
func Look(where string, out io.Writer) error {
	top, _, err := openTop(where)
	if err != nil {
		return err
	}
	defer top.release()
	var r Room
	if r.Free, r.Total, err = statfs(top.fd); err != nil {
		return err
	}
	if err := r.add(top, true, map[inode]bool{}); err != nil {
		return fmt.Errorf("measuring the volume at %s: %w", where, err)
	}
	return writeLine(out, r)
}

// add measures what is in a folder.
func (r *Room) add(f *folder, top bool, known map[inode]bool) error {
	names, err := f.names()
	if vanished(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range names {
		if top && e.name == restoreName {
			continue
		}
		var stat unix.Stat_t
		err := unix.Fstatat(f.fd, e.name, &stat, unix.AT_SYMLINK_NOFOLLOW)
		if vanished(err) {
			continue
		}
		if err != nil {
			return err
		}
		r.count(&stat, known)
		if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		below, _, err := f.below(e.name)
		if vanished(err) {
			continue
		}
		if err != nil {
			return err
		}
		err = r.add(below, false, known)
		below.release()
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Room) count(stat *unix.Stat_t, known map[inode]bool) {
	kind := stat.Mode & unix.S_IFMT
	if kind != unix.S_IFREG && kind != unix.S_IFDIR && kind != unix.S_IFLNK && kind != unix.S_IFIFO {
		return
	}
	r.Files++
	if kind == unix.S_IFREG && stat.Nlink > 1 {
		key := inode{stat.Dev, stat.Ino}
		if known[key] {
			return
		}
		known[key] = true
	}
	r.Used += stat.Blocks * 512
	if kind == unix.S_IFREG {
		r.Bytes += stat.Size
	}
}
