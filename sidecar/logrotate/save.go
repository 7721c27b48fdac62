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
	folder *rotation.Folder
	config Config

	mu sync.Mutex
	// kept are logs whose writers were seen to keep their files.
	kept map[string]bool
	// saves counts those of the hour that began at since, by log.
	saves map[string]int
	since time.Time
	// failed are those that could not be saved, with why.
	failed map[string]string
}

func newSaver(folder *rotation.Folder, config Config) *saver {
	return &saver{folder: folder, config: config, kept: map[string]bool{}, saves: map[string]int{}, failed: map[string]string{}}
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
	return s.save(log)
}

// forward saves what is to be saved, and hands on what was seen as soon as
// somebody takes it.
func (s *saver) forward(ctx context.Context, seen <-chan []change, to chan<- []change) {
	var pending []change
	for {
		var out chan<- []change
		if len(pending) > 0 {
			out = to
		}
		select {
		case <-ctx.Done():
			return
		case changes := <-seen:
			// What is being written to become an archive concerns nobody yet.
			changes = slices.DeleteFunc(changes, func(c change) bool { return archive.Temporary(c.base) })
			for i := range changes {
				c := &changes[i]
				switch {
				case *c == (change{}):
					s.saveAll()
				case c.mask&unix.IN_CLOSE_WRITE != 0:
					c.saved = s.save(c.base)
				}
			}
			if pending = append(pending, changes...); len(pending) > mostPending {
				pending = []change{{}} // look at everything
			}
		case out <- pending:
			pending = nil
		}
	}
}

// mostPending is how many changes are remembered one by one.
const mostPending = 10_000

// save saves a log if it is one of those, and says whether it did.
func (s *saver) save(log string) bool {
	if _, ours := s.config.Policies.For(log); !ours {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.kept[log] && !truncates(log) {
		return false
	}
	if now := s.config.Now(); now.Sub(s.since).Abs() >= time.Hour {
		s.saves, s.since = map[string]int{}, now
	}
	if s.saves[log] >= savesAnHour {
		return false
	}
	saved, err := s.folder.Save(log)
	delete(s.failed, log)
	if err != nil {
		s.failed[log] = err.Error()
	}
	if saved {
		s.saves[log]++
	}
	return saved
}

// saveAll is for when it is not known what happened.
func (s *saver) saveAll() {
	bases, err := s.folder.Bases()
	if err != nil {
		return // the keeper finds the same, and says so
	}
	for _, base := range bases {
		s.save(base)
	}
}

// notes say what is not saved, and why.
func (s *saver) notes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var notes []string
	for _, log := range slices.Sorted(maps.Keys(s.saves)) {
		if s.saves[log] >= savesAnHour {
			notes = append(notes, log+": its writer ended more often than is saved in an hour; what it truncates until the next is lost")
		}
	}
	for _, log := range slices.Sorted(maps.Keys(s.failed)) {
		notes = append(notes, log+": could not be saved when its writer ended: "+s.failed[log])
	}
	return notes
}
