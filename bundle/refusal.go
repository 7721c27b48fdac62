package bundle

import (
	"errors"
	"fmt"
	"io"

	"github.com/inmanta/inmanta-docker/problem"
)

// The IDs of what can be wrong with a file, as a problem.Problem has them.
const (
	// Foreign is a file that is something else.
	Foreign = "backup-foreign"
	// Newer is a backup of a later format.
	Newer = "backup-newer"
	// Damaged is a backup that is not what was written.
	Damaged = "backup-damaged"
	// Unfinished is a backup that ends before its end.
	Unfinished = "backup-unfinished"
)

func foreign(where string, err error) error {
	return problem.Problem{
		ID: Foreign, Where: where, Err: err,
		What: "this is no backup of inmanta-docker",
		Fix:  "give a file that `inmanta-docker backup` made",
	}
}

func newer(where string) error {
	return problem.Problem{
		ID: Newer, Where: where,
		What: "this backup was made by a newer inmanta-docker, in a format that this one does not know",
		Fix:  "use the version of inmanta-docker that made it, or a later one",
	}
}

// damaged is a file that is not what was written; err continues "the backup is damaged".
func damaged(where string, err error) error {
	return problem.Problem{
		ID: Damaged, Where: where, Err: err,
		What: fmt.Sprintf("the backup is damaged: %v", err),
		Fix:  "take another copy of this backup, or an older one",
	}
}

func unfinished(where string) error {
	return problem.Problem{
		ID: Unfinished, Where: where, Err: io.ErrUnexpectedEOF,
		What: "the backup is not complete: it was cut short, or never finished",
		Fix:  "take another copy of this backup, or an older one",
	}
}

// unreadable is what a failed read means: that of a file that ends is its own
// fault, any other that of where it comes from.
func unreadable(where string, err error) error {
	if _, is := errors.AsType[problem.Problem](err); is {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return unfinished(where)
	}
	return fmt.Errorf("reading the backup %s: %w", where, err)
}

func locked(where string) error {
	return problem.Problem{
		ID: Encrypted, Where: where,
		What: "the backup is encrypted, and no key was given",
		Fix:  "give the file of the secret key of one whom it is encrypted for, or the passphrase",
	}
}
