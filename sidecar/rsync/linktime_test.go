package rsync

import (
	"time"

	"golang.org/x/sys/unix"
)

// setLinkTime sets the time of a link itself.
func setLinkTime(path string, when time.Time) error {
	stamp, err := unix.TimeToTimespec(when)
	if err != nil {
		return err
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{stamp, stamp}, unix.AT_SYMLINK_NOFOLLOW)
}
