package sftp

import (
	"bytes"
	"encoding/binary"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/filelog"
)

// entriesSize is how much of a directory is read for one answer, in bytes: at
// most 170 entries, about what OpenSSH's server sends at once, and whatever
// their names are, an answer that every client takes.
const entriesSize = 4 << 10

func (s *session) opendir(path string) error {
	if s.handles.full() {
		return errTooMany
	}
	fd, err := openAt(s.directory, path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return s.replyHandle(&handle{fd: fd, path: path, directory: true})
}

// readdir answers with the next entries of an open directory, "." and ".."
// among them.
func (s *session) readdir(f *fields) error {
	key := f.bytes()
	if err := f.err(); err != nil {
		return err
	}
	h, err := s.handles.directory(key)
	if err != nil {
		return err
	}
	// Entries that went away since they were read are left out; where that
	// leaves none, the answer is in what follows.
	for {
		var n int
		err := uninterrupted(func() (err error) {
			n, err = unix.Getdents(h.fd, s.entries[:])
			return err
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return errEOF
		}
		if s.list(h.fd, s.entries[:n]) {
			return nil
		}
	}
}

// list answers with those entries that can be looked at, if there are any.
func (s *session) list(directory int, entries []byte) bool {
	out := s.reply(kindName)
	count := len(out.buffer)
	out.uint32(0)
	now := time.Now()
	found := uint32(0)
	for len(entries) > 0 {
		var name string
		name, entries = nextEntry(entries)
		st, err := statAt(directory, name, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil {
			continue
		}
		out.string(name)
		long := len(out.buffer)
		out.uint32(0)
		out.buffer = appendListing(out.buffer, name, st, s.accounts.user(st.Uid), s.accounts.groupOf(st.Gid), now)
		binary.BigEndian.PutUint32(out.buffer[long:], uint32(len(out.buffer)-long-4))
		out.attributes(st)
		found++
	}
	binary.BigEndian.PutUint32(out.buffer[count:], found)
	if found == 0 {
		out.takeBack()
		s.replied = false
	}
	return found > 0
}

// nextEntry takes the first of the kernel's directory entries: its name, and
// the entries behind it.
func nextEntry(entries []byte) (name string, rest []byte) {
	const header = unsafe.Offsetof(unix.Dirent{}.Name)
	size := binary.NativeEndian.Uint16(entries[unsafe.Offsetof(unix.Dirent{}.Reclen):])
	padded := entries[header:size]
	if end := bytes.IndexByte(padded, 0); end >= 0 {
		padded = padded[:end]
	}
	return string(padded), entries[size:]
}

func (s *session) mkdir(f *fields) error {
	path, a := f.name(), f.attributes()
	if err := f.err(); err != nil {
		return err
	}
	return uninterrupted(func() error { return unix.Mkdirat(s.directory, path, a.mode(0o777)) })
}

func (s *session) rmdir(path string) error { return s.unlink(path, unix.AT_REMOVEDIR) }

func (s *session) remove(path string) error { return s.unlink(path, 0) }

func (s *session) unlink(path string, flags int) error {
	err := uninterrupted(func() error { return unix.Unlinkat(s.directory, path, flags) })
	if err == nil {
		s.audit(filelog.Event{Operation: filelog.Remove, Path: s.absolute(path)})
	}
	return err
}
