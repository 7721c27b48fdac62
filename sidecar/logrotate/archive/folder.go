package archive

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// item is one file of a log: an archive, a segment, or the live file.
type item struct {
	Name
	live bool
}

func (i item) base() string {
	if i.live {
		return i.Log
	}
	return i.String()
}

// fixed tells whether what is in the file never changes: it got its name when it
// was complete.
func (i item) fixed() bool {
	return i.foreign() || !i.live && (i.Part != 0 || i.Format != Plain)
}

// foreign tells whether the file is an archive of others.
func (i item) foreign() bool { return !i.live && i.Kind != Ours }

// after tells whether an item comes later in the stream than another; the live
// file is the last.
func (i item) after(other item) bool {
	return !other.live && (i.live || Compare(i.Name, other.Name) > 0)
}

// listing is what a folder has of a log, oldest first.
type listing struct {
	items []item
	// modified is the folder's time when it was listed, and settled that any
	// change since would show in it: clocks of file systems are coarse.
	modified unix.Timespec
	settled  bool
}

// settling is longer than the resolution of any file system's clock.
const settling = 2 * time.Second

func list(folder *os.File, log string) (listing, error) {
	modified, err := modifiedAt(folder)
	if err != nil {
		return listing{}, err
	}
	now := time.Now()
	l := listing{modified: modified, settled: now.Sub(time.Unix(modified.Unix())) > settling}
	bases, err := names(folder)
	if err != nil {
		return listing{}, err
	}
	for _, base := range bases {
		if base == log {
			l.items = append(l.items, item{Name{Log: log}, true})
		} else if !strings.HasPrefix(base, log) {
			continue // most of a large folder: it need not be parsed
		} else if name, is := Parse(base); is && name.Log == log {
			l.items = append(l.items, item{name, false})
		}
	}
	slices.SortFunc(l.items, func(a, b item) int {
		switch {
		case a.after(b):
			return 1
		case b.after(a):
			return -1
		default:
			return 0
		}
	})
	return l, nil
}

// current tells whether a folder is as it was when it was listed.
func (l listing) current(folder *os.File) bool {
	modified, err := modifiedAt(folder)
	return err == nil && l.settled && modified == l.modified
}

// next is the first item that comes after another.
func (l listing) next(than item) (item, bool) {
	i := slices.IndexFunc(l.items, func(i item) bool { return i.after(than) })
	if i < 0 {
		return item{}, false
	}
	return l.items[i], true
}

func (l listing) has(i item) bool { return slices.Contains(l.items, i) }

// dropForeign leaves out the archives of others.
func (l *listing) dropForeign() {
	l.items = slices.DeleteFunc(l.items, item.foreign)
}

func modifiedAt(folder *os.File) (unix.Timespec, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(folder.Fd()), &stat); err != nil {
		return unix.Timespec{}, fmt.Errorf("looking at the folder %s: %w", folder.Name(), err)
	}
	return stat.Mtim, nil
}

// names are all names in a folder.
func names(folder *os.File) ([]string, error) {
	// A descriptor of its own: the place where a listing is belongs to it.
	again, err := openAt(folder, ".", unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("listing the folder %s: %w", folder.Name(), err)
	}
	defer again.Close()
	bases, err := again.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("listing the folder %s: %w", folder.Name(), err)
	}
	return bases, nil
}

// openRegular opens a regular file of the folder, and nothing that a link leads to.
func openRegular(folder *os.File, base string) (*os.File, unix.Stat_t, error) {
	var stat unix.Stat_t
	// A pipe of this name must not make us wait for its other end.
	file, err := openAt(folder, base, unix.O_NONBLOCK)
	if errors.Is(err, unix.ELOOP) {
		return nil, stat, errors.New("it is a symbolic link, and those are not followed")
	}
	if err != nil {
		return nil, stat, err
	}
	err = unix.Fstat(int(file.Fd()), &stat)
	if err == nil && stat.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errors.New("it is not a regular file")
	}
	if err != nil {
		file.Close()
		return nil, stat, err
	}
	return file, stat, nil
}

func openAt(folder *os.File, base string, flags int) (*os.File, error) {
	for {
		fd, err := unix.Openat(int(folder.Fd()), base, flags|unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			if err != nil {
				return nil, err
			}
			return os.NewFile(uintptr(fd), base), nil
		}
	}
}

// inode is that of a name, 0 where there is none.
func inode(folder *os.File, base string) uint64 {
	var stat unix.Stat_t
	if unix.Fstatat(int(folder.Fd()), base, &stat, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return 0
	}
	return stat.Ino
}
