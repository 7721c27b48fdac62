package rsync

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/rsync/tree"
)

// setAttributes gives what is at name what the transfer knows of e: owner and
// group as far as we may, time, mode. has is what is known of it, nil to look.
// exactly sets a time that only differs in nanoseconds too. It says whether
// anything was, or in a dry run would have been, changed.
func (s *session) setAttributes(t *tree.Tree, name string, e *entry, has *unix.Stat_t, exactly bool) (changed bool) {
	mode := e.permissions()
	if has == nil {
		stat, err := t.Stat(name)
		if err != nil {
			s.complain("stat", t.Full(name), err)
			return false
		}
		has = &stat
		if !s.perms && e.directory() {
			// A new directory stays in its directory's group.
			mode |= has.Mode & unix.S_ISGID
		}
	}
	current := has.Mode
	uid, gid := -1, -1
	if s.owner && s.privileged && e.uid != has.Uid {
		uid = int(e.uid)
	}
	if s.group && !e.skipGroup && e.gid != has.Gid {
		gid = int(e.gid)
	}
	if uid >= 0 || gid >= 0 {
		changed = true
		if err := s.change(func() error { return t.Chown(name, uid, gid) }); err != nil {
			s.complain("chown", t.Full(name), err)
			return changed
		}
		// The kernel takes such bits away from a file that is given away.
		current &^= unix.S_ISUID | unix.S_ISGID
	}
	if s.keepsTime(e) {
		same := s.sameTime(e.modified, e.nanoseconds, has.Mtim)
		if exactly {
			same = e.modified == has.Mtim.Sec && e.nanoseconds == int32(has.Mtim.Nsec)
		}
		if !same {
			changed = true
			when := time.Unix(e.modified, int64(e.nanoseconds))
			if err := s.change(func() error { return t.SetTime(name, when) }); err != nil {
				s.complain("setting the time of", t.Full(name), err)
			}
		}
	}
	if !e.isLink() && (current^mode)&permissionBits != 0 {
		changed = true
		if err := s.change(func() error { return t.Chmod(name, mode) }); err != nil {
			s.complain("chmod", t.Full(name), err)
		}
	}
	return changed
}

// change does something, unless this is a dry run.
func (s *session) change(do func() error) error {
	if s.dryRun {
		return nil
	}
	return do()
}
