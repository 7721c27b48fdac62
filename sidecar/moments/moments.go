package moments

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/sidecar/schedule"
	"github.com/inmanta/inmanta-docker/sidecar/setting"
)

// Policy is when base backups are made and which are kept.
type Policy struct {
	Schedule schedule.Schedule
	// Keep is how many base backups are kept, the newest of them; -1 is all.
	Keep int
}

// Prefix is what the names of the settings begin with.
const Prefix = "INMANTA_DB_ARCHIVE_"

// FromSettings is the policy that the settings INMANTA_DB_ARCHIVE_… describe. lookup
// gives the value of a variable, empty where it is not set. With any problem there
// is no policy.
func FromSettings(lookup func(string) string) (Policy, problem.List) {
	r := &setting.Reader{Prefix: Prefix, ID: "db-archive-setting", Lookup: lookup}
	p := Policy{
		Schedule: setting.Read(r, "SCHEDULE", "weekly", func(text string) (schedule.Schedule, *setting.Fault) {
			return schedule.Parse(schedule.Words(text))
		}),
		Keep: setting.Read(r, "KEEP", "2", setting.Keep("base backups")),
	}
	if p.Schedule.Every == schedule.BySize {
		r.Tell("SCHEDULE", setting.Wrong("write hourly, daily, weekly, monthly or yearly", "a base backup is due by the clock, and size is none"))
	}
	if len(r.Problems) == 0 && p.Keep == 0 {
		r.Tell("KEEP", setting.Wrong("write how many base backups to keep, as 2; -1 keeps all of them", "with no base backup kept nothing could be brought back"))
	}
	if len(r.Problems) > 0 {
		return Policy{}, r.Problems
	}
	return p, nil
}

// Backup is a base backup: a copy of the database's files, which the log is
// replayed on.
type Backup struct {
	Name string `json:"name"`
	// Begun and Ended are when it was made; it can bring back no moment before it
	// ended.
	Begun time.Time `json:"begun"`
	Ended time.Time `json:"ended"`
	Bytes int64     `json:"size_bytes"`
	// Segment is the first of the log that it needs.
	Segment string `json:"segment"`
	// Server is the version of the server that it is of.
	Server string `json:"server"`
}

// Stretch is the log of one database without a gap, and what it can be replayed on.
type Stretch struct {
	Name string `json:"name"`
	// System is the database's own number for itself.
	System string `json:"system"`
	// Until is the moment up to which everything that was committed is in it.
	Until time.Time `json:"until"`
	// Bases are oldest first.
	Bases []Backup `json:"bases"`
}

// Window are the moments that a stretch can bring back, from the first to the last;
// ok is false where there are none.
func (s Stretch) Window() (from, to time.Time, ok bool) {
	if len(s.Bases) == 0 {
		return time.Time{}, time.Time{}, false
	}
	from = slices.MinFunc(s.Bases, func(a, b Backup) int { return a.Ended.Compare(b.Ended) }).Ended
	return from, s.Until, !s.Until.Before(from)
}

// Latest asks Choose for all that there is.
var Latest = time.Time{}

// Choose is what a moment is brought back from: the newest base backup that ended
// before it, in the newest stretch that has it. The error says which moments there
// are.
func Choose(all []Stretch, moment time.Time) (Stretch, Backup, error) {
	newestFirst := slices.SortedFunc(slices.Values(all), func(a, b Stretch) int { return cmp.Compare(b.Name, a.Name) })
	var windows []string
	for _, s := range newestFirst {
		from, to, ok := s.Window()
		if !ok {
			continue
		}
		windows = append(windows, fmt.Sprintf("from %s to %s", exactly(from), exactly(to)))
		if moment != Latest && (moment.Before(from) || moment.After(to)) {
			continue
		}
		var newest Backup
		for _, one := range s.Bases {
			if (moment == Latest || !one.Ended.After(moment)) && !one.Ended.After(s.Until) && one.Ended.After(newest.Ended) {
				newest = one
			}
		}
		return s, newest, nil
	}
	if len(windows) == 0 {
		return Stretch{}, Backup{}, fmt.Errorf("the archive has no complete base backup yet, and can bring back nothing")
	}
	return Stretch{}, Backup{}, fmt.Errorf("the archive does not have %s: it has what was %s", exactly(moment), strings.Join(windows, ", and "))
}

// exactly is a moment to the second and, if it has some, its fraction.
func exactly(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.999Z07:00")
}

// Due says when the next base backup of a stretch is due. It is not after now when
// one is.
func (p Policy) Due(s Stretch, now time.Time) time.Time {
	var newest time.Time
	for _, one := range s.Bases {
		if one.Begun.After(newest) && schedule.Credible(one.Begun, now).Equal(one.Begun) {
			newest = one.Begun
		}
	}
	if newest.IsZero() {
		return now
	}
	return p.Schedule.Next(newest, now, time.UTC)
}

// Expired is what is not kept once a base backup has been made in the stretch named
// current: base backups, by stretch, and those stretches that go as a whole. It is
// to be asked then and at no other time; the newest base backup is never among them.
func (p Policy) Expired(all []Stretch, current string) (bases map[string][]string, whole []string) {
	type placed struct {
		Backup
		stretch string
	}
	var newestFirst []placed
	for _, s := range all {
		for _, one := range s.Bases {
			newestFirst = append(newestFirst, placed{one, s.Name})
		}
	}
	slices.SortFunc(newestFirst, func(a, b placed) int {
		return cmp.Or(cmp.Compare(b.stretch, a.stretch), cmp.Compare(b.Name, a.Name))
	})
	bases, kept := map[string][]string{}, map[string]bool{current: true}
	for i, one := range newestFirst {
		if p.Keep < 0 || i < max(1, p.Keep) {
			kept[one.stretch] = true
			continue
		}
		bases[one.stretch] = append(bases[one.stretch], one.Name)
	}
	for _, s := range all {
		if !kept[s.Name] {
			whole = append(whole, s.Name)
			delete(bases, s.Name)
		}
	}
	return bases, whole
}

// Unneeded are those files of the log, by their names, that no base backup of the
// stretch needs.
func (s Stretch) Unneeded(files []string) []string {
	var first Segment
	for i, one := range s.Bases {
		needed, _, ok := ParseSegment(one.Segment)
		if !ok {
			return nil
		}
		if i == 0 || needed.Before(first) {
			first = needed
		}
	}
	var unneeded []string
	for _, file := range files {
		if segment, _, ok := ParseSegment(file); ok && len(s.Bases) > 0 && segment.Before(first) {
			unneeded = append(unneeded, file)
		}
	}
	return unneeded
}

// How long after a failure it is tried again: the first time soon, later ever less.
const (
	soonest = time.Second
	latest  = time.Minute
)

// Pause is how long it is before the next attempt after so many failures in a row.
func Pause(failures int) time.Duration {
	return min(latest, soonest<<min(max(failures-1, 0), 10))
}
