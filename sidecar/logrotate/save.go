package logrotate

import (
	"context"
	"maps"
	"path"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/rotation"
)

// saver sets a log aside the moment its last writer has closed it, where the
// next one would begin by truncating it. It does so whatever the keeper is busy
// with, and hands on what happened.
type saver struct {
	folder saves
	config Config

	mu sync.Mutex
	// kept are logs whose writers were seen to keep their files.
	kept map[string]bool
	// count is of those of the hour that began at since, by log.
	count map[string]int
	since time.Time
	// failed are those that could not be saved, with why.
	failed map[string]string
}

// saves is what a saver needs of the folder.
type saves interface {
	Save(logs []string) rotation.Saved
	Bases() ([]string, error)
}

func newSaver(folder saves, config Config) *saver {
	return &saver{folder: folder, config: config, kept: map[string]bool{}, count: map[string]int{}, failed: map[string]string{}}
}

// savesAnHour bounds how many archives a writer that ends again and again makes.
const savesAnHour = 60

// truncating are the files that the orchestrator opens anew as empty ones at
// each start of what writes them (inmanta-core, agentmanager.py and
// policy_engine.py: mode "wb+"). That cannot be found out before it happens.
var truncating = []string{"*.out", "*.err", "policy_engine.log"}

func truncates(log string) bool {
	return slices.ContainsFunc(truncating, func(pattern string) bool {
		is, err := path.Match(pattern, log)
		return err == nil && is
	})
}

// keeps says which logs have writers that keep their files.
func (s *saver) keeps(kept map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = kept
}

// keep is for a log whose writer was just seen to keep its file: it saves it if
// that writer has ended by now.
func (s *saver) keep(log string) bool {
	s.mu.Lock()
	s.kept[log] = true
	s.mu.Unlock()
	aside, _ := s.save([]string{log})
	return len(aside) > 0
}

// forward saves what is to be saved, and hands on what was seen as soon as
// somebody takes it.
func (s *saver) forward(ctx context.Context, seen <-chan []change, to chan<- []change) {
	var pending []change
	// again are logs that were said to be closed and are held all the same, and how
	// often they are looked at yet: a close is told a moment before the file is
	// free, and no more will be told of it. Mostly somebody else holds it.
	again := map[string]int{}
	var later <-chan time.Time
	for {
		var out chan<- []change
		if len(pending) > 0 {
			out = to
		}
		if later == nil && len(again) > 0 {
			later = time.After(lookAgain)
		}
		select {
		case <-ctx.Done():
			return
		case changes := <-seen:
			// What is being written to become an archive concerns nobody yet.
			changes = slices.DeleteFunc(changes, func(c change) bool { return archive.Temporary(c.base) })
			for _, log := range s.saveClosed(changes) {
				again[log] = looksAgain
			}
			if pending = append(pending, changes...); len(pending) > mostPending {
				pending = []change{{}} // look at everything
			}
		case <-later:
			later = nil
			aside, held := s.save(slices.Collect(maps.Keys(again)))
			left := again
			again = map[string]int{}
			for _, log := range held {
				if left[log] > 1 {
					again[log] = left[log] - 1
				}
			}
			for _, log := range aside {
				pending = append(pending, change{base: log, mask: unix.IN_CLOSE_WRITE, saved: true})
			}
		case out <- pending:
			pending = nil
		}
	}
}

// How soon a file is looked at again that was closed and is held, and how often.
const (
	lookAgain  = 100 * time.Millisecond
	looksAgain = 5
)

// saveClosed saves the logs that were closed, notes with the changes which were
// set aside, and says which are held.
func (s *saver) saveClosed(changes []change) (held []string) {
	var closed []string
	for _, c := range changes {
		switch {
		case c == (change{}):
			closed = append(closed, s.all()...)
		case c.mask&unix.IN_CLOSE_WRITE != 0:
			closed = append(closed, c.base)
		}
	}
	slices.Sort(closed)
	aside, held := s.save(slices.Compact(closed))
	saved := make(map[string]bool, len(aside))
	for _, log := range aside {
		saved[log] = true
	}
	for i := range changes {
		c := &changes[i]
		c.saved = c.mask&unix.IN_CLOSE_WRITE != 0 && saved[c.base]
	}
	return held
}

// all are the names in the folder, for when it is not known what happened.
func (s *saver) all() []string {
	bases, err := s.folder.Bases()
	if err != nil {
		return nil // the keeper finds the same, and says so
	}
	return bases
}

// mostPending is how many changes are remembered one by one.
const mostPending = 10_000

// save saves those of the logs that are to be, and says which it did and which
// somebody holds.
func (s *saver) save(logs []string) (aside, held []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.config.Now(); now.Sub(s.since).Abs() >= time.Hour {
		s.count, s.since = map[string]int{}, now
	}
	logs = slices.DeleteFunc(logs, func(log string) bool {
		_, ours := s.config.Policies.For(log)
		return !ours || !s.kept[log] && !truncates(log) || s.count[log] >= savesAnHour
	})
	saved := s.folder.Save(logs)
	for _, log := range logs {
		delete(s.failed, log)
	}
	for log, err := range saved.Failed {
		s.failed[log] = err.Error()
	}
	for _, log := range saved.Aside {
		s.count[log]++
	}
	return saved.Aside, saved.Held
}

// notes say what is not saved, and why.
func (s *saver) notes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var notes []string
	for _, log := range slices.Sorted(maps.Keys(s.count)) {
		if s.count[log] >= savesAnHour {
			notes = append(notes, log+": its writer ended more often than is saved in an hour; what it truncates until the next is lost")
		}
	}
	for _, log := range slices.Sorted(maps.Keys(s.failed)) {
		notes = append(notes, log+": could not be saved when its writer ended: "+s.failed[log])
	}
	return notes
}
