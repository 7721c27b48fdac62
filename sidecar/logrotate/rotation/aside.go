package rotation

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
)

// SetAside gives the live files of the logs names of their own. Each has its
// error, where there is one; a log whose file is gone has neither.
func (f *Folder) SetAside(logs []Log) ([]File, map[string]error) {
	var aside []File
	failed := map[string]error{}
	err := f.exclusively(func() error {
		for _, l := range logs {
			segment, err := f.setAside(l)
			if errors.Is(err, unix.ENOENT) {
				continue
			}
			if err != nil {
				failed[l.Name] = err
				continue
			}
			aside = append(aside, segment)
		}
		return nil
	})
	if err != nil {
		for _, l := range logs {
			failed[l.Name] = err
		}
	}
	return aside, failed
}

func (f *Folder) setAside(l Log) (File, error) {
	name, err := f.rename(l.Name, l.Newest())
	if err != nil {
		return File{}, err
	}
	is, err := look(f.dir, name.String())
	if err != nil {
		return File{}, fmt.Errorf("setting %s aside: %w", l.Name, err)
	}
	return f.file(name.String(), name, is), nil
}

// rename gives a log's file the name of a segment that is newer than all there
// is, also when the clock is not: the names keep the order in which the bytes
// were written.
func (f *Folder) rename(log string, newest time.Time) (archive.Name, error) {
	at := f.options.Now().UTC().Truncate(time.Second)
	if !at.After(newest) {
		at = newest.Add(time.Second)
	}
	for range 100 {
		name, err := archive.New(log, at, 0, archive.Plain)
		if err != nil {
			return name, fmt.Errorf("setting %s aside: %w", log, err)
		}
		f.options.Step("set aside")
		err = f.sys.rename(f.dir, log, name.String())
		if errors.Is(err, unix.EEXIST) {
			at = at.Add(time.Second)
			continue
		}
		if err != nil {
			return name, fmt.Errorf("setting %s aside: %w", log, err)
		}
		return name, nil
	}
	return archive.Name{}, fmt.Errorf("setting %s aside: the names up to that of %s are taken", log, at.Format(time.RFC3339))
}

// putBack gives a segment the log's name again, unless that is taken.
func (f *Folder) putBack(segment File) (bool, error) {
	f.options.Step("put back")
	err := f.exclusively(func() error { return f.sys.rename(f.dir, segment.Base, segment.Name.Log) })
	if errors.Is(err, unix.EEXIST) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("giving %s its name back: %w", segment.Base, err)
	}
	delete(f.watches, segment.Base)
	return true, nil
}
