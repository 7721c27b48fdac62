package tree

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Stat is what a name is; a link is the link itself.
func (t *Tree) Stat(name string) (unix.Stat_t, error) {
	var stat unix.Stat_t
	at, base, err := t.parent(name)
	if err == nil {
		err = unix.Fstatat(at, base, &stat, unix.AT_SYMLINK_NOFOLLOW)
	}
	return stat, err
}

// Readlink is where a link points to.
func (t *Tree) Readlink(name string) (string, error) {
	at, base, err := t.parent(name)
	if err != nil {
		return "", err
	}
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(at, base, buffer)
	if err != nil {
		return "", err
	}
	return string(buffer[:n]), nil
}

// Names are what is in a directory, in no order.
func (t *Tree) Names(directory string) ([]string, error) {
	file, err := t.open(directory, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return file.Readdirnames(-1)
}

func (t *Tree) open(name string, flags int, mode uint32) (*os.File, error) {
	at, base, err := t.parent(name)
	if err != nil {
		return nil, err
	}
	descriptor, err := openAt(at, base, flags|unix.O_NOFOLLOW, mode)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(descriptor), t.Full(name)), nil
}

// Read opens a regular file, and nothing else, for reading.
func (t *Tree) Read(name string) (*os.File, unix.Stat_t, error) {
	// A pipe of this name must not make us wait for its other end.
	file, err := t.open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, unix.Stat_t{}, err
	}
	return regular(file)
}

// Write opens a regular file for writing, and makes it where there is none.
func (t *Tree) Write(name string) (*os.File, unix.Stat_t, error) {
	file, err := t.open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_NONBLOCK|unix.O_NOCTTY, 0o600)
	if err != nil {
		return nil, unix.Stat_t{}, err
	}
	return regular(file)
}

func regular(file *os.File) (*os.File, unix.Stat_t, error) {
	var stat unix.Stat_t
	err := unix.Fstat(int(file.Fd()), &stat)
	if err == nil && stat.Mode&unix.S_IFMT != unix.S_IFREG {
		err = unix.EINVAL
	}
	if err != nil {
		file.Close()
		return nil, stat, err
	}
	return file, stat, nil
}

// Temporary makes a new file beside a name, hidden and named after it, that
// only its owner can read, and returns its name.
func (t *Tree) Temporary(name string) (*os.File, string, error) {
	if !Valid(name) || name == "." {
		return nil, "", fmt.Errorf("%q: %w", name, ErrName)
	}
	for tries := 0; ; tries++ {
		beside := besides(name)
		file, err := t.open(beside, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
		if !errors.Is(err, unix.EEXIST) || tries == 100 {
			return file, beside, err
		}
	}
}

// besides is a name nothing has, in the same directory: ".NAME.XXXXXX". A long
// one is cut, at the beginning of a character.
func besides(name string) string {
	directory, base := "", name
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		directory, base = name[:i+1], name[i+1:]
	}
	const most = unix.NAME_MAX - len("..ABCDEF")
	if base = strings.TrimPrefix(base, "."); len(base) > most {
		cut := most
		for cut > 0 && base[cut]&0xc0 == 0x80 {
			cut--
		}
		base = base[:cut]
	}
	return directory + "." + base + "." + rand.Text()[:6]
}

// Beside makes something new beside a name with make, which is given a name
// that nothing has, and puts it in the name's place in one step.
func (t *Tree) Beside(name string, make func(beside string) error) error {
	for tries := 0; ; tries++ {
		beside := besides(name)
		err := make(beside)
		if errors.Is(err, unix.EEXIST) && tries < 100 {
			continue
		}
		if err != nil {
			return err
		}
		if err = t.Rename(beside, name); err != nil {
			_ = t.Unlink(beside)
		}
		return err
	}
}

// Mkdir makes a directory.
func (t *Tree) Mkdir(name string, mode uint32) error {
	at, base, err := t.parent(name)
	if err != nil {
		return err
	}
	return unix.Mkdirat(at, base, mode)
}

// MkdirAll makes a directory and those above it that are missing.
func (t *Tree) MkdirAll(name string, mode uint32) error {
	err := t.Mkdir(name, mode)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	i := strings.LastIndexByte(name, '/')
	if !errors.Is(err, unix.ENOENT) || i < 0 {
		return err
	}
	if err := t.MkdirAll(name[:i], mode); err != nil {
		return err
	}
	return t.Mkdir(name, mode)
}

// Symlink makes a link that points wherever it says.
func (t *Tree) Symlink(target, name string) error {
	at, base, err := t.parent(name)
	if err != nil {
		return err
	}
	return unix.Symlinkat(target, at, base)
}

// Link makes another name for a file.
func (t *Tree) Link(old, name string) error {
	from, oldBase, err := t.hold(old)
	if err != nil {
		return err
	}
	defer unix.Close(from)
	at, base, err := t.parent(name)
	if err != nil {
		return err
	}
	return unix.Linkat(from, oldBase, at, base, 0)
}

// hold opens the directory of a name apart from what is remembered.
func (t *Tree) hold(name string) (int, string, error) {
	at, base, err := t.parent(name)
	if err != nil {
		return -1, "", err
	}
	at, err = unix.FcntlInt(uintptr(at), unix.F_DUPFD_CLOEXEC, 0)
	return at, base, err
}

// Mknod makes a pipe or a socket.
func (t *Tree) Mknod(name string, mode uint32) error {
	at, base, err := t.parent(name)
	if err != nil {
		return err
	}
	return unix.Mknodat(at, base, mode, 0)
}

// Rename puts a file in another's place.
func (t *Tree) Rename(old, name string) error { return t.RenameTo(old, t, name) }

// RenameTo puts a file into another tree.
func (t *Tree) RenameTo(old string, other *Tree, name string) error {
	if i := strings.LastIndexByte(old, '/'); t == other && strings.LastIndexByte(name, '/') == i && old[:i+1] == name[:i+1] {
		_, oldBase, err := t.parent(old)
		if err != nil {
			return err
		}
		at, base, err := t.parent(name)
		if err != nil {
			return err
		}
		err = unix.Renameat(at, oldBase, at, base)
		t.moved(old)
		return err
	}
	from, oldBase, err := t.hold(old)
	if err != nil {
		return err
	}
	defer unix.Close(from)
	at, base, err := other.parent(name)
	if err != nil {
		return err
	}
	err = unix.Renameat(from, oldBase, at, base)
	t.moved(old)
	return err
}

// Unlink removes what is not a directory.
func (t *Tree) Unlink(name string) error { return t.remove(name, 0) }

// Rmdir removes an empty directory.
func (t *Tree) Rmdir(name string) error {
	t.moved(name)
	return t.remove(name, unix.AT_REMOVEDIR)
}

func (t *Tree) remove(name string, flags int) error {
	at, base, err := t.parent(name)
	if err != nil {
		return err
	}
	return unix.Unlinkat(at, base, flags)
}

// Chmod sets the mode of what is not a link.
func (t *Tree) Chmod(name string, mode uint32) error {
	at, base, err := t.parent(name)
	if err != nil {
		return err
	}
	return unix.Fchmodat(at, base, mode, 0)
}

// Chown sets owner and group, of a link itself too; -1 leaves one as it is.
func (t *Tree) Chown(name string, uid, gid int) error {
	at, base, err := t.parent(name)
	if err != nil {
		return err
	}
	return unix.Fchownat(at, base, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
}

// SetTime sets when the contents changed, of a link itself too.
func (t *Tree) SetTime(name string, when time.Time) error {
	at, base, err := t.parent(name)
	if err != nil {
		return err
	}
	modified, err := unix.TimeToTimespec(when)
	if err != nil {
		return err
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, modified}
	return unix.UtimesNanoAt(at, base, times, unix.AT_SYMLINK_NOFOLLOW)
}
