package sftp

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// extensions are the requests beyond the draft, in the order in which clients
// are told of them. All but two are OpenSSH's, described in its PROTOCOL file;
// those without an @ are draft-ietf-secsh-filexfer-extensions-00's.
var extensions = []struct {
	name    string
	version string
	do      handler
}{
	{"posix-rename@openssh.com", "1", onNames((*session).posixRename)},
	{"statvfs@openssh.com", "2", onName((*session).statvfs)},
	{"fstatvfs@openssh.com", "2", onFile((*session).fstatvfs)},
	{"hardlink@openssh.com", "1", onNames((*session).hardlink)},
	{"fsync@openssh.com", "1", (*session).fsync},
	{"lsetstat@openssh.com", "1", (*session).lsetstat},
	{"limits@openssh.com", "1", (*session).limits},
	{"expand-path@openssh.com", "1", onName((*session).expandPath)},
	{"copy-data", "1", (*session).copyData},
	{"home-directory", "1", onName((*session).homeDirectory)},
	{"users-groups-by-id@openssh.com", "1", (*session).usersGroupsByID},
}

func (s *session) extended(f *fields) error {
	name := f.bytes()
	if err := f.err(); err != nil {
		return err
	}
	for _, e := range extensions {
		if e.name == string(name) {
			return e.do(s, f)
		}
	}
	return errUnsupported
}

// limits tells clients how much they may ask for at a time. OpenSSH's client
// asks for eight times as much as without it.
func (s *session) limits(*fields) error {
	out := s.reply(kindExtendedReply)
	out.uint64(maxPacket)
	out.uint64(maxData) // in a read
	out.uint64(maxData) // in a write
	out.uint64(maxHandles)
	return nil
}

func (s *session) statvfs(path string) error {
	fd, err := unix.Openat(s.directory, path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return s.replyFileSystem(fd)
}

func (s *session) fstatvfs(h *handle) error { return s.replyFileSystem(h.fd) }

// replyFileSystem answers with what statvfs says of where fd is.
func (s *session) replyFileSystem(fd int) error {
	var st unix.Statfs_t
	if err := uninterrupted(func() error { return unix.Fstatfs(fd, &st) }); err != nil {
		return err
	}
	fragment := st.Frsize
	if fragment == 0 {
		fragment = st.Bsize
	}
	out := s.reply(kindExtendedReply)
	out.uint64(uint64(st.Bsize))
	out.uint64(uint64(fragment))
	out.uint64(st.Blocks)
	out.uint64(st.Bfree)
	out.uint64(st.Bavail)
	out.uint64(st.Files)
	out.uint64(st.Ffree)
	out.uint64(st.Ffree) // of which all are for everybody
	out.uint64(uint64(uint32(st.Fsid.Val[0])) | uint64(uint32(st.Fsid.Val[1]))<<32)
	// Read-only is 1 and no set-uid is 2, there as here.
	out.uint64(uint64(st.Flags) & (unix.ST_RDONLY | unix.ST_NOSUID))
	out.uint64(uint64(st.Namelen))
	return nil
}

// homeDirectory answers with the home of a user, of the session's own for no name.
func (s *session) homeDirectory(user string) error {
	if user == "" {
		return s.replyName(s.start)
	}
	home, known := s.accounts.home(user)
	if !known {
		return errNoUser
	}
	return s.replyName(home)
}

// usersGroupsByID answers with the names of users and of groups, none for an
// id that has no name.
func (s *session) usersGroupsByID(f *fields) error {
	uids, gids := f.bytes(), f.bytes()
	if err := f.err(); err != nil {
		return err
	}
	if len(uids)%4 != 0 || len(gids)%4 != 0 {
		return errListOfNumbers
	}
	out := s.reply(kindExtendedReply)
	for _, list := range []struct {
		ids  []byte
		name func(id uint32) (string, bool)
	}{{uids, s.accounts.userName}, {gids, s.accounts.groupName}} {
		at := len(out.buffer)
		out.uint32(0)
		for ids := list.ids; len(ids) > 0; ids = ids[4:] {
			name, _ := list.name(binary.BigEndian.Uint32(ids))
			out.string(name)
			if len(out.buffer)-out.packet > maxPacket {
				return errTooLong
			}
		}
		binary.BigEndian.PutUint32(out.buffer[at:], uint32(len(out.buffer)-at-4))
	}
	return nil
}
