package rsync

import (
	"io"

	"golang.org/x/sys/unix"
)

// sameTime says whether two times are one as far as the user cares: to the
// second, within --modify-window, or to the nanosecond with a window of -1.
func (o *options) sameTime(seconds int64, nanoseconds int32, other unix.Timespec) bool {
	theirs := int64(other.Sec)
	switch {
	case o.modifyWindow == 0:
		return seconds == theirs
	case o.modifyWindow < 0:
		return seconds == theirs && nanoseconds == int32(other.Nsec)
	}
	difference := seconds - theirs
	return difference <= int64(o.modifyWindow) && -difference <= int64(o.modifyWindow)
}

// modeFor is the mode a file gets when modes are not transferred: its own, or
// for a new one the sender's as far as umask allows. executable applies
// --executability.
func modeFor(sent uint32, has *unix.Stat_t, umask uint32, executable bool) uint32 {
	if has == nil {
		return sent & (^uint32(permissionBits) | 0o777&^umask)
	}
	mode := sent&^uint32(permissionBits) | has.Mode&permissionBits
	if executable && sent&unix.S_IFMT == unix.S_IFREG {
		switch {
		case sent&0o111 == 0:
			mode &^= 0o111
		case has.Mode&0o111 == 0:
			mode |= mode & 0o444 >> 2
		}
	}
	return mode
}

// itemFlags are what is said of a file: what is different from what is there.
// has is what is there, nil for nothing.
func (s *session) itemFlags(e *entry, has *unix.Stat_t, flags uint16, other string) uint16 {
	if has == nil {
		return flags | itemNew
	}
	if e.regular() && e.size != has.Size {
		flags |= itemSize
	}
	switch {
	case s.keepsTime(e):
		if !s.sameTime(e.modified, e.nanoseconds, has.Mtim) {
			flags |= itemTime
		}
	case flags&(itemTransfer|itemLocal) != 0 && (flags&itemOtherName == 0 || other != ""):
		flags |= itemTime
	}
	switch {
	case e.isLink():
	case s.perms:
		if (e.mode^has.Mode)&permissionBits != 0 {
			flags |= itemPerms
		}
	case s.executability && (e.mode&0o111 != 0) != (has.Mode&0o111 != 0):
		flags |= itemPerms
	}
	if s.owner && s.privileged && e.uid != has.Uid {
		flags |= itemOwner
	}
	if s.group && !e.skipGroup && e.gid != has.Gid {
		flags |= itemGroup
	}
	return flags
}

// keepsTime says whether a file's time is transferred.
func (o *options) keepsTime(e *entry) bool {
	switch {
	case e.directory():
		return o.times && !o.noDirTimes
	case e.isLink():
		return o.times && !o.noLinkTimes
	}
	return o.times
}

// unchanged is the quick check: a file that has the same size and time, or the
// same checksum with --checksum, is not transferred.
func (g *generator) unchanged(e *entry, name string, has *unix.Stat_t) bool {
	switch {
	case e.size != has.Size:
		return false
	case g.checksum:
		return g.sumHere(name) == e.sum
	case g.sizeOnly:
		return true
	case g.ignoreTimes:
		return false
	}
	return g.sameTime(e.modified, e.nanoseconds, has.Mtim)
}

// sumHere is the checksum of a file in the destination; "" when it cannot be
// read.
func (g *generator) sumHere(name string) string {
	file, _, err := g.tree.Read(name)
	if err != nil {
		return ""
	}
	defer file.Close()
	sum := g.fileSum.Plain()
	if _, err := io.Copy(sum, file); err != nil {
		return ""
	}
	return string(sum.Sum(nil))
}
