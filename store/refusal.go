package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/problem"
)

// The IDs of what can be wrong with a store, as a problem.Problem has them.
const (
	// Exists is a name that is taken.
	Exists = "backup-exists"
	// Missing is a file, or a place, that is not there.
	Missing = "backup-missing"
	// Full is a place without room.
	Full = "store-full"
	// Refused is a place that does not let us do it.
	Refused = "store-refused"
	// Broken is a place that does not do what it says.
	Broken = "store-broken"
	// Malformed is a place that cannot be named so.
	Malformed = "store-malformed"
	// Unreachable is a place that does not answer, or no longer.
	Unreachable = "store-unreachable"
)

func exists(where string) problem.Problem {
	return problem.Problem{
		ID: Exists, Where: where,
		What: "there is a file of this name already, and none is overwritten",
		Fix:  "give another name, or remove that file",
	}
}

// sizeDiffers is a file that has another size than the place says.
func sizeDiffers(where string, read, said int64) error {
	return problem.Problem{
		ID: Broken, Where: where,
		What: fmt.Sprintf("it has %d bytes, and %d were announced", read, said),
		Fix:  "see whether something still writes to it, and try again; if that does not help, take another copy of this backup",
	}
}

// refusal puts what a file system says into words.
func refusal(where string, err error) error {
	if _, is := errors.AsType[problem.Problem](err); err == nil || is || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	p := problem.Problem{ID: Broken, Where: where, Err: err, What: fmt.Sprintf("its file system says: %v", cause(err)), Fix: "see to the disk, or give another folder"}
	switch {
	case errors.Is(err, unix.ENOSPC):
		p.ID, p.What, p.Fix = Full, "the disk is full", "make room there, or give another folder"
	case errors.Is(err, unix.EDQUOT):
		p.ID, p.What, p.Fix = Full, "the quota there is used up", "make room there, or give another folder"
	case errors.Is(err, unix.EFBIG):
		p.ID, p.What, p.Fix = Full, "the file would be larger than one may be there", "give a folder on another file system"
	case errors.Is(err, unix.EROFS):
		p.ID, p.What, p.Fix = Refused, "the file system is read-only", "give another folder"
	case errors.Is(err, fs.ErrPermission):
		p.ID, p.What, p.Fix = Refused, "this user may not do that there", "run this as a user who may, or give another folder"
	case errors.Is(err, unix.ENOTDIR):
		p.ID, p.What, p.Fix = Missing, "a folder on the way to it is a file", "give another folder"
	case errors.Is(err, fs.ErrNotExist):
		p.ID, p.What, p.Fix = Missing, "it is not there", "see whether the name is right, and whether what should be mounted there is"
	case errors.Is(err, fs.ErrExist):
		return exists(where)
	}
	return p
}

// cause is what the system said, without the names that went to it.
func cause(err error) error {
	if errno, is := errors.AsType[unix.Errno](err); is {
		return errno
	}
	return err
}
