package sftp

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/filelog"
)

const (
	// maxPath is the kernel's limit on a path, in bytes with the NUL behind it.
	maxPath = 4096
	// maxLinks is the kernel's limit on symbolic links in one path.
	maxLinks = 40
)

// canonical is the absolute path without links, "." and ".." that stands for
// the given absolute one. What it names need not exist, the directory of it must.
func canonical(path string) (string, error) {
	done, rest, links := "", path, 0
	for rest != "" {
		part, behind, more := strings.Cut(rest, "/")
		rest = behind
		switch part {
		case "", ".":
			continue
		case "..":
			done = done[:max(strings.LastIndexByte(done, '/'), 0)]
			continue
		}
		next := done + "/" + part
		if len(next)+len(rest) >= maxPath {
			return "", unix.ENAMETOOLONG
		}
		st, err := statAt(unix.AT_FDCWD, next, unix.AT_SYMLINK_NOFOLLOW)
		if err == unix.ENOENT && !more {
			return next, nil
		}
		if err != nil {
			return "", err
		}
		if kindOf(st) != unix.S_IFLNK {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", unix.ELOOP
		}
		target, err := readLink(unix.AT_FDCWD, next)
		if err != nil {
			return "", err
		}
		if strings.HasPrefix(target, "/") {
			done = ""
		}
		if more {
			target += "/" + rest
		}
		rest = target
	}
	if done == "" {
		return "/", nil
	}
	return done, nil
}

// realpath resolves a path; clients also ask it where they are, with ".".
func (s *session) realpath(path string) error {
	if !strings.HasPrefix(path, "/") {
		path = s.start + "/" + path
	}
	resolved, err := canonical(path)
	if err != nil {
		return err
	}
	return s.replyName(resolved)
}

// expandPath resolves a path as a shell would: "~" is where the session
// started, "~NAME" the home of that user.
func (s *session) expandPath(path string) error {
	if !strings.HasPrefix(path, "~") {
		return s.realpath(path)
	}
	user, below, _ := strings.Cut(path[1:], "/")
	home := s.start
	if user != "" {
		var known bool
		if home, known = s.accounts.home(user); !known {
			return errNoHome
		}
	}
	return s.realpath(home + "/" + below)
}

func (s *session) readlink(path string) error {
	target, err := readLink(s.directory, path)
	if err != nil {
		return err
	}
	return s.replyName(target)
}

func readLink(directory int, path string) (string, error) {
	var buffer [maxPath]byte
	var n int
	err := uninterrupted(func() (err error) {
		n, err = unix.Readlinkat(directory, path, buffer[:])
		return err
	})
	if err != nil {
		return "", err
	}
	return string(buffer[:n]), nil
}

// symlink makes a link; the target comes first, as OpenSSH has it and not as
// the draft does, and is taken as it is.
func (s *session) symlink(target, path string) error {
	return uninterrupted(func() error { return unix.Symlinkat(target, s.directory, path) })
}

func (s *session) hardlink(from, to string) error {
	return uninterrupted(func() error { return unix.Linkat(s.directory, from, s.directory, to, 0) })
}

// rename gives a file a new name that must be free.
func (s *session) rename(from, to string) error {
	// That there is nothing to rename comes before whatever else is wrong.
	if _, err := statAt(s.directory, from, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	err := uninterrupted(func() error {
		return unix.Renameat2(s.directory, from, s.directory, to, unix.RENAME_NOREPLACE)
	})
	if err == unix.EINVAL || err == unix.ENOSYS {
		// Network file systems, most of all.
		err = renameInSteps(s.directory, from, to)
	}
	return s.renamed(from, to, err)
}

// posixRename gives a file a new name and removes what had it before.
func (s *session) posixRename(from, to string) error {
	return s.renamed(from, to, uninterrupted(func() error {
		return unix.Renameat(s.directory, from, s.directory, to)
	}))
}

func (s *session) renamed(from, to string, err error) error {
	if err == nil {
		s.audit(filelog.Event{Operation: filelog.Rename, Path: s.absolute(from), To: s.absolute(to)})
	}
	return err
}

// renameInSteps renames where the kernel cannot be told to replace nothing. A
// second name for a file is only ever made where there was none; a directory
// cannot have two, so for it, and where there are no hard links, what comes to
// be between the look and the renaming is lost.
func renameInSteps(directory int, from, to string) error {
	st, err := statAt(directory, from, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return err
	}
	if kindOf(st) == unix.S_IFREG {
		switch err := unix.Linkat(directory, from, directory, to, 0); err {
		case nil:
			err := unix.Unlinkat(directory, from, 0)
			if err != nil {
				unix.Unlinkat(directory, to, 0)
			}
			return err
		case unix.EOPNOTSUPP, unix.ENOSYS, unix.EPERM, unix.EMLINK:
		default:
			return err
		}
	}
	if _, err := statAt(directory, to, unix.AT_SYMLINK_NOFOLLOW); err != unix.ENOENT {
		if err == nil {
			err = unix.EEXIST
		}
		return err
	}
	return unix.Renameat(directory, from, directory, to)
}
