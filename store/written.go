package store

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// written is a file in a folder that is being written.
type written struct {
	ctx    context.Context
	folder *os.Root
	file   *os.File
	// name is what it will have, hidden what it has.
	name, hidden string
	path         string
	done         bool
	err          error
}

// begin makes the file under its hidden name, and locks it.
func (u *written) begin() error {
	switch _, err := u.folder.Lstat(u.name); {
	case err == nil:
		return exists(u.path)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := removeAbandoned(u.folder); err != nil {
		return err
	}
	for {
		u.hidden = "." + u.name + "." + rand.Text()[:8] + partial
		file, err := u.folder.OpenFile(u.hidden, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		u.file = file
		err = lock(file)
		if err != nil && !errors.Is(err, errNoLocks) && !errors.Is(err, unix.EWOULDBLOCK) {
			return errors.Join(err, u.drop())
		}
		// Between the two steps another process may have taken it for abandoned, and
		// removes it, or has.
		if !errors.Is(err, unix.EWOULDBLOCK) && is(u.folder, u.hidden, file) {
			return nil
		}
		_ = file.Close()
	}
}

// Write implements io.Writer.
func (u *written) Write(p []byte) (int, error) {
	if err := errors.Join(u.err, u.ctx.Err()); err != nil {
		return 0, err
	}
	n, err := u.file.Write(p)
	u.err = refusal(u.path, err)
	return n, u.err
}

// Commit implements Upload.
func (u *written) Commit() error {
	if err := errors.Join(u.err, u.ctx.Err()); err != nil {
		return err
	}
	if err := u.file.Sync(); err != nil {
		return refusal(u.path, err)
	}
	if err := publish(u.folder, u.hidden, u.name); err != nil {
		return refusal(u.path, err)
	}
	u.done = true
	return refusal(u.path, errors.Join(flush(u.folder), u.file.Close(), u.folder.Close()))
}

// Abort implements Upload.
func (u *written) Abort() error {
	if u.done {
		return nil
	}
	u.done = true
	return refusal(u.path, errors.Join(u.drop(), u.folder.Close()))
}

// drop removes the file.
func (u *written) drop() error {
	return errors.Join(u.folder.Remove(u.hidden), u.file.Close())
}

// publish gives a file its name, if nothing has it, in the first of the ways that
// the file system knows.
func publish(folder *os.Root, hidden, name string) error {
	var err error
	for _, way := range []func(*os.Root, string, string) error{renameNew, linkNew, renameFree} {
		if err = way(folder, hidden, name); err == nil || errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return err
}

// renameNew renames, and the kernel sees to it that nothing is replaced.
func renameNew(folder *os.Root, hidden, name string) error {
	open, err := folder.Open(".")
	if err != nil {
		return err
	}
	defer open.Close()
	at := int(open.Fd())
	return unix.Renameat2(at, hidden, at, name, unix.RENAME_NOREPLACE)
}

// linkNew gives the second name first. NFS has no other way.
func linkNew(folder *os.Root, hidden, name string) error {
	if err := folder.Link(hidden, name); err != nil {
		return err
	}
	return folder.Remove(hidden)
}

// renameFree looks, and then renames: where there is nothing else somebody who
// takes the name in the same moment loses.
func renameFree(folder *os.Root, hidden, name string) error {
	if _, err := folder.Lstat(name); err == nil {
		return fs.ErrExist
	}
	return folder.Rename(hidden, name)
}

// errNoLocks is a file system that has no locks.
var errNoLocks = errors.New("no locks here")

// lock takes the lock on a file, if nobody has it. The kernel gives it back when
// the process ends, however it ends.
func lock(file *os.File) error {
	for {
		switch err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOLCK), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
			return errNoLocks
		default:
			return err
		}
	}
}

// is says that a name is still that of an open file.
func is(folder *os.Root, name string, file *os.File) bool {
	named, err := folder.Lstat(name)
	if err != nil {
		return false
	}
	open, err := file.Stat()
	return err == nil && os.SameFile(named, open)
}

// removeAbandoned removes what was being written by somebody who is gone: the
// files whose lock can be had. Where there are no locks nothing is known, and
// nothing is removed.
func removeAbandoned(folder *os.Root) error {
	entries, err := fs.ReadDir(folder.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") || !strings.HasSuffix(e.Name(), partial) || !e.Type().IsRegular() {
			continue
		}
		// For writing, because locks need that on network file systems.
		file, err := folder.OpenFile(e.Name(), os.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue // gone, or somebody else's
		}
		if lock(file) == nil && is(folder, e.Name(), file) {
			_ = folder.Remove(e.Name())
		}
		_ = file.Close()
	}
	return nil
}
