package dumps

import (
	"time"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/sidecar/schedule"
	"github.com/inmanta/inmanta-docker/sidecar/setting"
)

// Policy is when dumps are made and which are kept.
type Policy struct {
	Schedule schedule.Schedule
	// Keep is how many dumps are kept, the newest of them; -1 is all.
	Keep int
	// MaxAge is how old a dump may get, in days; 0 is no limit.
	MaxAge int
	// MaxTotal is how many bytes all of them may take together; 0 is no limit.
	MaxTotal int64
	// Zone is where a day begins at midnight.
	Zone *time.Location
}

// Prefix is what the names of the settings begin with.
const Prefix = "INMANTA_DB_DUMP_"

// FromSettings is the policy that the settings INMANTA_DB_DUMP_… describe. lookup
// gives the value of a variable, empty where it is not set. With any problem there
// is no policy.
func FromSettings(lookup func(string) string) (Policy, problem.List) {
	r := &setting.Reader{Prefix: Prefix, ID: "db-dump-setting", Lookup: lookup}
	p := Policy{
		Schedule: setting.Read(r, "SCHEDULE", "daily", func(text string) (schedule.Schedule, *setting.Fault) {
			return schedule.Parse(schedule.Words(text))
		}),
		Keep:     setting.Read(r, "KEEP", "10", setting.Keep("dumps")),
		MaxAge:   setting.Read(r, "MAX_AGE", "", setting.Days),
		MaxTotal: setting.Read(r, "MAX_TOTAL", "", setting.Size),
		Zone:     setting.Read(r, "TIMEZONE", "UTC", setting.Zone),
	}
	if p.Schedule.Every == schedule.BySize {
		r.Tell("SCHEDULE", setting.Wrong("write hourly, daily, weekly, monthly or yearly", "a dump is due by the clock, and size is none"))
	}
	if len(r.Problems) == 0 && p.Keep == 0 {
		r.Tell("KEEP", setting.Wrong("write how many dumps to keep, as 10; -1 keeps all of them", "with no dump kept there would be none"))
	}
	if len(r.Problems) > 0 {
		return Policy{}, r.Problems
	}
	return p, nil
}

// Newest is when the newest dump was begun; zero where there is none. One that is
// more than 25 hours ahead was named by a clock that was wrong, and does not count:
// nobody is to wait until it is past.
func Newest(all []Dump, now time.Time) time.Time {
	var newest time.Time
	for _, one := range all {
		if one.Begun.After(newest) && schedule.Credible(one.Begun, now).Equal(one.Begun) {
			newest = one.Begun
		}
	}
	return newest
}

// Due says when a dump is due: the last good one was begun at last, as Newest has
// it. It is not after now when one is due.
func (p Policy) Due(last, now time.Time) time.Time {
	if last.IsZero() {
		return now
	}
	return p.Schedule.Next(last, now, p.Zone)
}

// How long after a failure it is tried again: Look where nothing was begun yet,
// which costs a connection; else the first time soon, later ever less.
const (
	Look    = 5 * time.Second
	soonest = 10 * time.Second
	latest  = 10 * time.Minute
)

// Pause is how long it is before the next attempt after so many that failed in a
// row once they had begun.
func Pause(failures int) time.Duration {
	return min(latest, soonest<<min(max(failures-1, 0), 10))
}
