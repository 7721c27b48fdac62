package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mostProcesses is where the kernel says how many processes a container may have
// (its cgroup-v2.rst and pids.rst): with the one and with the other kind of
// control groups.
var mostProcesses = []string{"/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"}

// KeepRoom leaves some of the processes that this container may have to this
// process: its children of other users, and theirs, may not have all of them.
// Otherwise one that starts processes without end would end this one, for Go
// cannot go on without a thread that it needs.
//
// The bound is RLIMIT_NPROC (getrlimit(2)), which is by real user: those of the
// same user in other containers count as well. Where the container may have any
// number there is none.
func KeepRoom(room uint64) error {
	for _, path := range mostProcesses {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("finding out how many processes this container may have: %w", err)
		}
		most, limited := share(string(text), room)
		if !limited {
			return nil
		}
		var now unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NPROC, &now); err != nil {
			return fmt.Errorf("finding out how many processes a user may have: %w", err)
		}
		bound := unix.Rlimit{Cur: min(most, now.Cur), Max: min(most, now.Max)}
		if err := unix.Setrlimit(unix.RLIMIT_NPROC, &bound); err != nil {
			return fmt.Errorf("bounding how many processes a user may have: %w", err)
		}
		return nil
	}
	return nil
}

// share is what is left of a container's processes, a number or "max", without
// the room; at least half of them.
func share(text string, room uint64) (most uint64, limited bool) {
	all, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return 0, false
	}
	return all - min(room, all/2), true
}
