package rotation

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Readers is the lock of whoever reads logs while they are rotated: an
// archive.Lock, shared with others that read.
type Readers struct{ busy, gate *os.File }

// OpenReaders opens the lock in the folder of a daemon's state. It is
// fs.ErrNotExist where none ever ran.
func OpenReaders(state string) (*Readers, error) {
	r := &Readers{}
	var err error
	if r.busy, err = os.Open(filepath.Join(state, BusyFile)); err != nil {
		return nil, fmt.Errorf("opening the lock for readers: %w", err)
	}
	if r.gate, err = os.Open(filepath.Join(state, GateFile)); err != nil {
		r.busy.Close()
		return nil, fmt.Errorf("opening the lock for readers: %w", err)
	}
	return r, nil
}

// Lock waits until no step of a rotation is half done, and keeps the next from
// being taken.
func (r *Readers) Lock() error {
	if err := flock(r.gate, unix.LOCK_SH); err != nil {
		return err
	}
	return errors.Join(flock(r.busy, unix.LOCK_SH), flock(r.gate, unix.LOCK_UN))
}

// Unlock lets the rotation go on.
func (r *Readers) Unlock() error { return flock(r.busy, unix.LOCK_UN) }

// Close gives back what OpenReaders opened.
func (r *Readers) Close() error { return errors.Join(r.busy.Close(), r.gate.Close()) }

func flock(file *os.File, how int) error {
	for {
		if err := unix.Flock(int(file.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
