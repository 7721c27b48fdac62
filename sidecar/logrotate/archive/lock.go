package archive

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Lock is held while the files of a log are listed and opened, and while a part
// of one is read from which the daemon takes what it has archived. The daemon
// holds the same lock alone as long as anything is both in an archive and in
// its source.
type Lock interface {
	Lock() error
	Unlock() error
}

// alone is the lock of a folder that nobody rotates.
type alone struct{}

func (alone) Lock() error   { return nil }
func (alone) Unlock() error { return nil }

// Flock is a lock on an open file by flock(2), shared with other readers.
type Flock struct{ File *os.File }

// Lock waits for the lock.
func (f Flock) Lock() error { return f.flock(unix.LOCK_SH) }

// Unlock gives it back.
func (f Flock) Unlock() error { return f.flock(unix.LOCK_UN) }

func (f Flock) flock(how int) error {
	for {
		if err := unix.Flock(int(f.File.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
