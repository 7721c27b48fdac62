package dbdump

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/dumps"
	"github.com/inmanta/inmanta-docker/sidecar/figure"
	"github.com/inmanta/inmanta-docker/sidecar/hostfolder"
)

// State is what the sidecar says of itself: as JSON, what `db-dump ls --json`
// prints.
type State struct {
	// Healthy: everything is as it should be; if not, Reasons say why, each with
	// what to do.
	Healthy bool     `json:"healthy"`
	Reasons []string `json:"reasons"`
	// Folder is where the dumps are, on the host.
	Folder   string `json:"folder"`
	Schedule string `json:"schedule"`
	// Running is the dump that is being made; Last the last attempt that ended.
	Running *Running `json:"running,omitempty"`
	Last    *Attempt `json:"last,omitempty"`
	// Next is when the next dump is due, or tried again.
	Next time.Time `json:"next,omitzero"`
	// FreeBytes is the room in the folder's file system, NeededBytes what the next
	// dump may take.
	FreeBytes   int64 `json:"free_bytes"`
	NeededBytes int64 `json:"needed_bytes"`
	// Dumps are oldest first.
	Dumps []DumpState `json:"dumps"`
}

// Running is a dump that is being made.
type Running struct {
	Since time.Time `json:"since"`
	Host  string    `json:"host"`
	Role  string    `json:"role"`
}

// DumpState is one dump in the folder.
type DumpState struct {
	File  string    `json:"file"`
	Begun time.Time `json:"begun"`
	// Flaw is why it is no good; absent for a good one.
	Flaw   string `json:"flaw,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	// Made is how it was made; but for its size, zero where that is not known.
	Made
}

// publish makes what the keeper knows the state that is told.
func (d *daemon) publish(k *keeper, now time.Time) {
	s := &State{
		Folder: k.config.Shown, Schedule: k.config.Policy.Schedule.String(), Last: k.memory.Last, Next: k.next(now).UTC(),
		NeededBytes: dumps.Room(good(k.found)), Reasons: []string{}, Dumps: []DumpState{},
	}
	for _, one := range k.found {
		made := k.memory.Made[one.Name]
		made.SizeBytes = one.Size
		s.Dumps = append(s.Dumps, DumpState{File: one.Name, Begun: one.Begun.UTC(), Flaw: one.flaw, SHA256: one.SHA256, Made: made})
	}
	d.state.Store(s)
}

// silence is how long the keeper may show no sign of life: it looks up every tick,
// and between any two pieces of work, one of which is to wait for the disk.
const silence = 15 * time.Minute

// late is how long a dump may be due before that is a fault.
const late = 2 * time.Minute

// moment is what is found out when somebody asks.
type moment struct {
	now time.Time
	// quiet is how long the keeper has shown no sign of life, busy that it is at work.
	quiet time.Duration
	busy  bool
	// barred is why the folder cannot be read and written, unknown why its room
	// cannot be found out.
	barred, unknown error
}

// State is the keeper's state, and what there is to say of the folder right now.
func (d *daemon) State() State {
	s := *d.state.Load()
	s.Running = d.running.Load()
	m := moment{now: d.config.Now(), quiet: d.pulse.Quiet(), busy: d.busy.Load()}
	m.barred = unix.Access(d.config.Folder, unix.R_OK|unix.W_OK|unix.X_OK)
	s.FreeBytes, m.unknown = hostfolder.Room(d.config.Folder)
	s.Reasons = judge(s, m, d.config.Policy)
	s.Healthy = len(s.Reasons) == 0
	return s
}

// judge says why it is not healthy, each reason with what to do.
func judge(s State, m moment, p dumps.Policy) []string {
	reasons := slices.Clone(s.Reasons)
	tell := func(fix, what string, arguments ...any) {
		reasons = append(reasons, fmt.Sprintf(what, arguments...)+"; "+fix)
	}
	if m.barred != nil {
		tell(advice("permission denied", s.Folder), "%s cannot be read and written by the user postgres: %v", s.Folder, m.barred)
	}
	var newest *DumpState
	for i, one := range s.Dumps {
		if one.Flaw == "" {
			newest = &s.Dumps[i]
			continue
		}
		tell("remove it, or bring back what it was", "%s is no dump any more: %s", one.File, one.Flaw)
	}
	if len(s.Reasons) > 0 { // there is nobody who would make any
		return reasons
	}
	has := "there is no dump yet"
	if newest != nil {
		has = fmt.Sprintf("the last good one is %s, %s old", newest.File, age(m.now.Sub(newest.Begun)))
	}
	switch {
	case s.Last != nil && s.Last.Error != "":
		tell(advice(s.Last.Error, s.Folder), "the dump of %s failed: %s (%s; it is tried again at %s)", figure.Time(s.Last.Begun), s.Last.Error, has, s.Next.Format(time.RFC3339))
	case newest == nil && s.Running == nil:
		tell("wait, or see inmanta-docker logs db-dump", "%s", has)
	}
	switch {
	case m.quiet > silence:
		tell(restart, "the scheduler has been stuck for %s", m.quiet.Truncate(time.Second))
	case m.busy && s.Running != nil && !p.Schedule.Next(s.Running.Since, m.now, p.Zone).After(m.now.Add(-late)):
		tell("choose a longer INMANTA_DB_DUMP_SCHEDULE, or see what the database waits for", "a dump of %s has been running since %s, beyond the time of the next (%s)", s.Running.Host, s.Running.Since.UTC().Format(time.RFC3339), has)
	case !m.busy && !s.Next.IsZero() && m.now.Sub(s.Next) > late:
		tell(restart, "a dump has been due since %s (%s)", s.Next.Format(time.RFC3339), has)
	}
	switch {
	case m.unknown != nil:
		tell(restart, "%s: how much room there is cannot be found out: %v", s.Folder, m.unknown)
	case s.FreeBytes < s.NeededBytes && s.Running == nil:
		tell(makeRoom(s.Folder), "%s has %s free, and the next dump may need %s", s.Folder, figure.Bytes(s.FreeBytes), figure.Bytes(s.NeededBytes))
	}
	return reasons
}

const restart = "inmanta-docker restart db-dump, and please report it"

func makeRoom(folder string) string {
	return "make room in " + folder + ", or keep fewer dumps (INMANTA_DB_DUMP_KEEP, INMANTA_DB_DUMP_MAX_TOTAL)"
}

// advice is what to do about an error.
func advice(said, folder string) string {
	for _, known := range []struct{ words, fix string }{
		{"No space left on device", makeRoom(folder)},
		{"no space left on device", makeRoom(folder)},
		{"isk quota exceeded", makeRoom(folder)},
		{"password authentication failed", "the database has another password than .env says: see `inmanta-docker up`"},
		{"no database answers", "see inmanta-docker status, and start the database: inmanta-docker up"},
		{"server closed the connection", "see inmanta-docker status: the database has ended, or was restarted"},
		{"not a single table", "nothing has to be done if the orchestrator is only starting; else bring the database back from a dump"},
		{"another db-dump sidecar", "stop the other one, or give one of the deployments another INMANTA_NAME or INMANTA_DB_DUMP_FOLDER"},
		{"ermission denied for ", "let the user inmanta read all of the database, as a superuser may"},
		{"ermission denied", "inmanta-docker restart db-dump takes " + folder + " back"},
		{"ead-only file system", "mount " + folder + " so that it can be written"},
		{"lock timeout", "see which session holds a lock on a table for so long (pg_stat_activity)"},
		{"executable file not found", "run an image with PostgreSQL's programs (POSTGRESQL_IMAGE)"},
		{"server version mismatch", "run the sidecar with the server's image, or a newer one (POSTGRESQL_IMAGE)"},
	} {
		if strings.Contains(said, known.words) {
			return known.fix
		}
	}
	return "see inmanta-docker logs db-dump"
}

// age is a duration as people say it.
func age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "0 seconds"
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return fmt.Sprintf("%d seconds", d/time.Second)
}
