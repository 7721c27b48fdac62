// Package hostfolder is a folder of the host that a sidecar keeps things in: whose
// it is, how much room it has, and that what is in it is on the disk.
package hostfolder

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mode lets the sidecar and the operator's group do what they like, and nobody else
// look: what is in it has all the secrets of the models. What is made in the folder
// is of its group.
const mode = unix.S_ISGID | 0o770

// Take gives a folder to a user, and leaves it to the operator's group: that of the
// folder or, where the engine made it, of the file operators, which the operator put
// there. give gives away what is in it, while the folder is root's. A folder that is
// the user's stays as it is, whatever was changed about it.
//
// It is for root with CAP_CHOWN and nothing else, hence the detour over its own.
func Take(folder, operators string, uid int, give func(gid int) error) error {
	var is, of unix.Stat_t
	if err := unix.Stat(folder, &is); err != nil {
		return fmt.Errorf("looking at the folder: %w", err)
	}
	if int(is.Uid) == uid {
		return nil
	}
	gid := int(is.Gid)
	if is.Uid == 0 && gid == 0 && unix.Stat(operators, &of) == nil {
		gid = int(of.Gid)
	}
	if err := unix.Chown(folder, 0, 0); err != nil {
		return fmt.Errorf("taking over the folder: %w", err)
	}
	if err := unix.Chmod(folder, mode); err != nil {
		return fmt.Errorf("closing the folder to others: %w", err)
	}
	if err := give(gid); err != nil {
		return err
	}
	if err := unix.Chown(folder, uid, gid); err != nil {
		return fmt.Errorf("giving the folder away: %w", err)
	}
	return nil
}

// Sync has what was named, renamed or removed in a folder be on the disk. Of a file
// system that cannot say so of folders it is no error.
func Sync(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	err = dir.Sync()
	if errors.Is(err, unix.EINVAL) {
		err = nil
	}
	return errors.Join(err, dir.Close())
}

// Room is what a folder's file system has left for an ordinary user, in bytes.
func Room(path string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Frsize, nil
}
