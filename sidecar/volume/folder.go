package volume

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// folder is an open folder of the volume. It is closed when nobody holds it any
// more: what is done to files in it is done by several goroutines.
type folder struct {
	fd      int
	holders atomic.Int32
}

// openTop opens the volume's folder, where somebody who may choose it says it is.
func openTop(where string) (*folder, unix.Stat_t, error) {
	f, stat, err := openFolder(unix.AT_FDCWD, where, 0)
	if err != nil {
		return nil, stat, fmt.Errorf("opening the volume at %s: %w", where, err)
	}
	return f, stat, nil
}

// openFolder opens a folder, held once.
func openFolder(at int, name string, flags int) (*folder, unix.Stat_t, error) {
	var stat unix.Stat_t
	fd, err := open(at, name, unix.O_RDONLY|unix.O_DIRECTORY|flags, 0)
	if err != nil {
		return nil, stat, err
	}
	f := &folder{fd: fd}
	f.hold()
	if err := unix.Fstat(fd, &stat); err != nil {
		f.release()
		return nil, stat, err
	}
	return f, stat, nil
}

// below opens a folder in this one; a link of that name is none.
func (f *folder) below(name string) (*folder, unix.Stat_t, error) {
	return openFolder(f.fd, name, unix.O_NOFOLLOW)
}

func (f *folder) hold() { f.holders.Add(1) }

// release lets go of it, and says whether that has closed it.
func (f *folder) release() bool {
	last := f.holders.Add(-1) == 0
	if last {
		_ = unix.Close(f.fd)
	}
	return last
}

// open opens as the kernel does, again when a signal came between.
func open(at int, name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Openat(at, name, flags|unix.O_CLOEXEC, mode)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// entry is one name in a folder.
type entry struct {
	name string
	kind uint8 // unix.DT_REG and the like, DT_UNKNOWN included
}

// names are what is in a folder, in the order of their bytes.
func (f *folder) names() ([]entry, error) {
	var found []entry
	buffer := make([]byte, 64<<10)
	for {
		n, err := unix.Getdents(f.fd, buffer)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n == 0 {
			break
		}
		found = parseNames(found, buffer[:n])
	}
	slices.SortFunc(found, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return found, nil
}

// Where a name that the kernel gives has its fields: getdents(2).
const (
	lengthAt    = 16
	kindOfAt    = 18
	nameStartAt = 19
)

// parseNames appends what the kernel gave.
func parseNames(found []entry, text []byte) []entry {
	for len(text) > nameStartAt {
		length := int(binary.NativeEndian.Uint16(text[lengthAt:]))
		name, _, _ := strings.Cut(string(text[nameStartAt:length]), "\x00")
		if name != "." && name != ".." {
			found = append(found, entry{name, text[kindOfAt]})
		}
		text = text[length:]
	}
	return found
}

// attributes are the extended attributes of an open file that are its owner's
// (user.*), and the rights that a program gets when it is started.
func attributes(fd int) ([]attribute, error) {
	var room [1024]byte
	list := room[:]
	n, err := unix.Flistxattr(fd, list)
	for errors.Is(err, unix.ERANGE) {
		list = make([]byte, 2*len(list))
		n, err = unix.Flistxattr(fd, list)
	}
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil || n == 0 {
		return nil, err
	}
	var found []attribute
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00") {
		if !kept(name) {
			continue
		}
		value := make([]byte, 64<<10) // the most that the kernel takes
		n, err := unix.Fgetxattr(fd, name, value)
		if errors.Is(err, unix.ENODATA) {
			continue // removed since
		}
		if err != nil {
			return nil, err
		}
		found = append(found, attribute{name, string(value[:n])})
	}
	slices.SortFunc(found, func(a, b attribute) int { return strings.Compare(a.name, b.name) })
	return found, nil
}

// kept says whether a stream has attributes of that name.
func kept(name string) bool { return strings.HasPrefix(name, "user.") || name == "security.capability" }
