package rotation

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Remove removes archives, and segments that nobody holds. Those that stay have
// an error.
func (f *Folder) Remove(files []File) map[string]error {
	failed := map[string]error{}
	if len(files) == 0 {
		return failed
	}
	err := f.exclusively(func() error {
		for _, file := range files {
			f.options.Step("remove archive")
			if err := f.removeOne(file); err != nil {
				failed[file.Base] = fmt.Errorf("removing %s: %w", file.Base, err)
			}
		}
		return f.sys.sync(f.dir)
	})
	if err != nil {
		for _, file := range files {
			failed[file.Base] = err
		}
	}
	return failed
}

func (f *Folder) removeOne(file File) error {
	is, err := look(f.dir, file.Base)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	if is.inode != file.Inode {
		return errors.New("another file has taken its place")
	}
	if !segment(file.Name) {
		// It need not be readable: those of another tool may be root's.
		return unlink(f.dir, file.Base)
	}
	open, is, err := f.openFit(file.Base, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer open.Close()
	// Of a segment that may still be written to, what comes would be lost without
	// anybody having decided so.
	if err := f.sys.lease(open); err != nil {
		return err
	}
	if is.inode != file.Inode {
		return errors.New("another file has taken its place")
	}
	return unlink(f.dir, file.Base)
}

// Free says whether nobody has a log's file open for writing.
func (f *Folder) Free(file File) bool {
	open, _, err := f.openFit(file.Base, unix.O_RDONLY)
	if err != nil {
		return false
	}
	defer open.Close()
	return f.sys.lease(open) == nil
}

// Ready says whether a live file is worth to be set aside: not empty, and, where
// its writer keeps it, with more than what is left there anyway.
func (f *Folder) Ready(file File, empty bool) bool {
	if file.Writer == Unknown || f.can.Block == 0 {
		return empty || file.Size > 0
	}
	return file.Allocated > f.can.Block || f.Free(file)
}
