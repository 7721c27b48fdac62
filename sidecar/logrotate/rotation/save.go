package rotation

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
)

// Save sets a log's file aside if there is something in it and nobody has it
// open for writing: before its next writer truncates it. It says whether it did.
// It may be called while another method is at work.
func (f *Folder) Save(log string) (saved bool, err error) {
	err = f.exclusively(func() error {
		file, is, err := f.openFit(log, unix.O_RDONLY)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return err
		}
		defer file.Close()
		if is.size == 0 || f.sys.lease(file) != nil {
			return nil
		}
		newest, err := f.newest(log)
		if err != nil {
			return err
		}
		_, err = f.rename(log, newest)
		saved = err == nil
		return err
	})
	return saved, err
}

// newest is the time of the newest segment or archive of a log.
func (f *Folder) newest(log string) (time.Time, error) {
	var newest time.Time
	bases, err := f.Bases()
	for _, base := range bases {
		if name, is := archive.Parse(base); is && name.Log == log && name.Time.After(newest) {
			newest = name.Time
		}
	}
	return newest, err
}
