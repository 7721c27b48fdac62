package rotation

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
)

// Saved is what became of logs that were to be saved. Those that are in none of
// it are gone, or empty.
type Saved struct {
	// Aside are those that were set aside, Held those that somebody has open for
	// writing.
	Aside, Held []string
	// Failed says of the others why not.
	Failed map[string]error
}

// Save sets those of the logs aside that have something in them and that nobody
// has open for writing: before their next writers truncate them. It may be called
// while another method is at work.
func (f *Folder) Save(logs []string) Saved {
	s := Saved{Failed: map[string]error{}}
	if len(logs) == 0 {
		return s
	}
	err := f.exclusively(func() error {
		// Once for all of them: when the orchestrator ends, thousands are closed.
		newest, err := f.newest(logs)
		if err != nil {
			return err
		}
		for _, log := range logs {
			switch aside, err := f.saveOne(log, newest[log]); {
			case errors.Is(err, errHeld):
				s.Held = append(s.Held, log)
			case err != nil:
				s.Failed[log] = err
			case aside:
				s.Aside = append(s.Aside, log)
			}
		}
		return nil
	})
	if err != nil {
		for _, log := range logs {
			s.Failed[log] = err
		}
	}
	return s
}

func (f *Folder) saveOne(log string, newest time.Time) (bool, error) {
	file, is, err := f.openFit(log, unix.O_RDONLY)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	if is.size == 0 {
		return false, nil
	}
	switch err := f.sys.lease(file); {
	case errors.Is(err, errHeld):
		return false, err
	case err != nil:
		return false, nil // that it cannot be known is told when it is rotated
	}
	_, err = f.rename(log, newest)
	return err == nil, err
}

// newest are the times of the newest segments or archives of logs.
func (f *Folder) newest(logs []string) (map[string]time.Time, error) {
	newest := make(map[string]time.Time, len(logs))
	for _, log := range logs {
		newest[log] = time.Time{}
	}
	bases, err := f.Bases()
	for _, base := range bases {
		name, is := archive.Parse(base)
		if before, wanted := newest[name.Log]; is && wanted && name.Time.After(before) {
			newest[name.Log] = name.Time
		}
	}
	return newest, err
}
