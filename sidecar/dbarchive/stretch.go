package dbarchive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/hostfolder"
	"github.com/inmanta/inmanta-docker/sidecar/moments"
)

// about is the file that says what a stretch is.
type about struct {
	System string    `json:"system"`
	Until  time.Time `json:"until"`
}

// largestNote is more than a file of those that say what something is has, in bytes.
const largestNote = 64 << 10

// readNote reads a small file, and nothing through a link.
func readNote(path string, into any) error {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	text := make([]byte, largestNote)
	n, err := file.Read(text)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	if err := json.Unmarshal(text[:n], into); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}

// writeNote replaces a small file, on the disk where that is asked for.
func writeNote(path string, what any, sync bool) error {
	text, err := json.Marshal(what)
	if err != nil {
		return err
	}
	temporary := filepath.Join(filepath.Dir(path), moments.Partial(filepath.Base(path)))
	file, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|unix.O_NOFOLLOW, 0o640)
	if err == nil {
		_, err = file.Write(append(text, '\n'))
		if sync {
			err = errors.Join(err, file.Sync())
		}
		err = errors.Join(err, file.Close())
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// readStretches are a deployment's stretches in the folder of an archive, oldest
// first. One that does not say what it is counts for nothing.
func readStretches(folder, deployment string) ([]moments.Stretch, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("listing the archive: %w", err)
	}
	var all []moments.Stretch
	for _, entry := range entries {
		if !entry.IsDir() || !moments.IsStretch(deployment, entry.Name()) {
			continue
		}
		var what about
		if readNote(filepath.Join(folder, entry.Name(), moments.About), &what) != nil {
			continue
		}
		s := moments.Stretch{Name: entry.Name(), System: what.System, Until: what.Until, Bases: []moments.Backup{}}
		inside, err := os.ReadDir(filepath.Join(folder, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("listing the archive: %w", err)
		}
		for _, one := range inside {
			kind, name := moments.Parse(one.Name())
			if kind != moments.Base || !one.IsDir() {
				continue
			}
			backup := moments.Backup{}
			if readNote(filepath.Join(folder, s.Name, moments.Note(name)), &backup) == nil && backup.Name == name {
				s.Bases = append(s.Bases, backup)
			}
		}
		all = append(all, s)
	}
	return all, nil
}

// segments are the names of the files of a stretch's log, in order.
func segments(folder, stretch string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(folder, stretch, moments.WAL))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the log: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if _, _, is := moments.ParseSegment(entry.Name()); is {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// newStretch makes an empty stretch.
func newStretch(folder, deployment, system string, now time.Time) (moments.Stretch, error) {
	s := moments.Stretch{Name: moments.StretchName(deployment, now), System: system, Bases: []moments.Backup{}}
	path := filepath.Join(folder, s.Name)
	if err := os.MkdirAll(filepath.Join(path, moments.WAL), 0o770); err != nil {
		return s, fmt.Errorf("making room for a new stretch of the archive: %w", err)
	}
	if err := writeNote(filepath.Join(path, moments.About), about{System: system}, true); err != nil {
		return s, err
	}
	return s, errors.Join(hostfolder.Sync(path), hostfolder.Sync(folder))
}

// goesOn says why the log that the server would send does not go on where that of
// the stretch, with those files, ends; nil where it does.
func goesOn(s moments.Stretch, files []string, now server) error {
	var last moments.Segment
	found := false
	for _, file := range files {
		if segment, whole, ok := moments.ParseSegment(file); ok && whole && (!found || last.Before(segment)) {
			last, found = segment, true
		}
	}
	partial := slices.ContainsFunc(files, func(file string) bool { _, whole, ok := moments.ParseSegment(file); return ok && !whole })
	switch {
	case s.System != now.system:
		return errors.New("the database is another one")
	case !now.hasSlot && (found || partial || len(s.Bases) > 0):
		return errors.New("the database has no replication slot for the archive any more")
	case !now.hasSlot:
		return nil
	case now.lost:
		return errors.New("the database has removed some of its log that the archive does not have")
	case found && !now.needs.Follows(last, now.size):
		return fmt.Errorf("after %s the database goes on with %s", last, now.needs)
	case !found && len(s.Bases) > 0 && !partial:
		return errors.New("the log of the archive is gone")
	}
	return nil
}
