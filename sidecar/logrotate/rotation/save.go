package rotation

import (
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
)

// Ending is a log whose writer may have ended. Nobody has Sign open for writing
// then: the log itself, or another one of that writer's, which tells sooner where
// the writer leaves children behind that hold the log as well.
type Ending struct{ Log, Sign string }

// Saved is what became of logs that were to be saved. Those that are in none of
// it are gone, or empty.
type Saved struct {
	// Aside are the logs that were set aside.
	Aside []string
	// Held are those whose sign somebody has open for writing.
	Held []Ending
	// Failed says of the others why not, by log.
	Failed map[string]error
}

// Save sets those logs aside that have something in them and whose writers have
// ended: before their next writers truncate them. It may be called while another
// method is at work.
func (f *Folder) Save(endings []Ending) Saved {
	s := Saved{Failed: map[string]error{}}
	// Mostly there is nothing to save, and readers are not kept out for that.
	endings = slices.DeleteFunc(slices.Clone(endings), func(e Ending) bool {
		is, err := look(f.dir, e.Log)
		return errors.Is(err, unix.ENOENT) || err == nil && is.size == 0
	})
	if len(endings) == 0 {
		return s
	}
	err := f.exclusively(func() error {
		// Once for all of them: when the orchestrator ends, thousands are closed.
		newest, err := f.newest(endings)
		if err != nil {
			return err
		}
		for _, e := range endings {
			switch aside, err := f.saveOne(e, newest[e.Log]); {
			case errors.Is(err, errHeld):
				s.Held = append(s.Held, e)
			case err != nil:
				s.Failed[e.Log] = err
			case aside:
				s.Aside = append(s.Aside, e.Log)
			}
		}
		return nil
	})
	if err != nil {
		for _, e := range endings {
			s.Failed[e.Log] = err
		}
	}
	return s
}

func (f *Folder) saveOne(e Ending, newest time.Time) (bool, error) {
	file, is, err := f.openFit(e.Log, unix.O_RDONLY)
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
	sign := file
	if e.Sign != e.Log {
		if sign, _, err = f.openFit(e.Sign, unix.O_RDONLY); err != nil {
			return false, nil // it tells nothing
		}
		defer sign.Close()
	}
	switch err := f.sys.lease(sign); {
	case errors.Is(err, errHeld):
		return false, err
	case err != nil:
		return false, nil // that it cannot be known is told when it is rotated
	}
	_, err = f.rename(e.Log, newest)
	return err == nil, err
}

// newest are the times of the newest segments or archives of logs.
func (f *Folder) newest(endings []Ending) (map[string]time.Time, error) {
	newest := make(map[string]time.Time, len(endings))
	for _, e := range endings {
		newest[e.Log] = time.Time{}
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
