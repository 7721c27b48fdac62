package logrotate

import (
	"context"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/rotation"
)

// saver sets a log aside the moment its writer has ended, where the next one
// would begin by truncating it. It does so whatever the keeper is busy with, and
// hands on what happened.
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
	Save(endings []rotation.Ending) rotation.Saved
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
	return len(s.save([]rotation.Ending{{Log: log, Sign: log}}).Aside) > 0
}

// begin saves those whose writers ended while nobody looked, and are about to come
// back.
func (s *saver) begin() { s.save(endingsOf(s.all())) }

// endingsOf are what may have ended when logs were closed: their own writers; and
// those of what a scheduler prints, which its children hold for up to a second
// longer than it lives. Its log is its own, and it closes that first.
func endingsOf(closed []string) []rotation.Ending {
	var all []rotation.Ending
	for _, log := range closed {
		all = append(all, rotation.Ending{Log: log, Sign: log})
		if name, is := strings.CutSuffix(log, ".log"); is {
			all = append(all, rotation.Ending{Log: name + ".out", Sign: log}, rotation.Ending{Log: name + ".err", Sign: log})
		}
	}
	return all
}

// forward saves what is to be saved, and hands on what was seen as soon as
// somebody takes it.
func (s *saver) forward(ctx context.Context, seen <-chan []change, to chan<- []change) {
	var pending []change
	// again are those whose signs were said to be closed and are held all the same,
	// with until when they are looked at yet: a close is told a moment before the file
	// is free, and no more will be told of it. Mostly somebody else holds it.
	again := map[rotation.Ending]time.Time{}
	soon := lookAgain
	var later <-chan time.Time
	for {
		var out chan<- []change
		if len(pending) > 0 {
			out = to
		}
		if later == nil && len(again) > 0 {
			later = time.After(soon)
		}
		var saved rotation.Saved
		select {
		case <-ctx.Done():
			return
		case changes := <-seen:
			// What is being written to become an archive concerns nobody yet.
			changes = slices.DeleteFunc(changes, func(c change) bool { return archive.Temporary(c.base) })
			saved = s.save(endingsOf(s.closed(changes)))
			if len(saved.Held) > 0 && soon > lookAgain {
				soon, later = lookAgain, nil
			}
			for _, e := range saved.Held {
				again[e] = time.Now().Add(looksAgain)
			}
			pending = append(pending, changes...)
		case now := <-later:
			soon, later = 2*soon, nil
			saved = s.save(slices.Collect(maps.Keys(again)))
			until := again
			again = map[rotation.Ending]time.Time{}
			for _, e := range saved.Held {
				if now.Before(until[e]) {
					again[e] = until[e]
				}
			}
		case out <- pending:
			pending = nil
		}
		for _, log := range saved.Aside {
			pending = append(pending, change{base: log, mask: unix.IN_CLOSE_WRITE, saved: true})
		}
		if len(pending) > mostPending {
			pending = []change{{}} // look at everything
		}
	}
}

// How soon a file is looked at again that was closed and is held: twice as long
// each time; and for how long.
const (
	lookAgain  = time.Millisecond
	looksAgain = time.Second
)

// closed are the logs that were.
func (s *saver) closed(changes []change) []string {
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
	return slices.Compact(closed)
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

// save saves those of the logs that are to be.
func (s *saver) save(endings []rotation.Ending) rotation.Saved {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.config.Now(); now.Sub(s.since).Abs() >= time.Hour {
		s.count, s.since = map[string]int{}, now
	}
	endings = slices.DeleteFunc(endings, func(e rotation.Ending) bool {
		_, ours := s.config.Policies.For(e.Log)
		return !ours || !s.kept[e.Log] && !truncates(e.Log) || s.count[e.Log] >= savesAnHour
	})
	saved := s.folder.Save(endings)
	for _, e := range endings {
		delete(s.failed, e.Log)
	}
	for log, err := range saved.Failed {
		s.failed[log] = err.Error()
	}
	for _, log := range saved.Aside {
		s.count[log]++
	}
	return saved
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
