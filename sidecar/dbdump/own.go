package dbdump

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/dumps"
)

// folderMode lets the sidecar and the operator's group do what they like, and
// nobody else look: a dump has all the secrets of the models. What is made in the
// folder is of its group.
const folderMode = unix.S_ISGID | 0o770

// takeFolder gives the folder of the dumps, and those in it, to the user, and
// leaves it to the operator's group: that of the folder or, where the engine made
// it, that of a file which the operator put there. It is for root with CAP_CHOWN
// and nothing else, hence the detour over its own. A folder that is the user's
// stays as it is, whatever was changed about it.
func takeFolder(folder, operators, deployment string, uid int) error {
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
	if err := unix.Chmod(folder, folderMode); err != nil {
		return fmt.Errorf("closing the folder to others: %w", err)
	}
	// Another image may have another user of the same name.
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("listing the folder: %w", err)
	}
	for _, entry := range entries {
		if kind, _, _ := dumps.Parse(deployment, entry.Name()); kind == dumps.Others || !entry.Type().IsRegular() {
			continue
		}
		if err := unix.Lchown(filepath.Join(folder, entry.Name()), uid, gid); err != nil {
			return fmt.Errorf("taking over %s: %w", entry.Name(), err)
		}
	}
	if err := unix.Chown(folder, uid, gid); err != nil {
		return fmt.Errorf("giving the folder away: %w", err)
	}
	return nil
}
