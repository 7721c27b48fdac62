package dbarchive

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/figure"
	"github.com/inmanta/inmanta-docker/sidecar/hostfolder"
	"github.com/inmanta/inmanta-docker/sidecar/moments"
)

// State is what the sidecar says of itself: as JSON, what `db-archive ls --json`
// prints.
type State struct {
	// Healthy: everything is as it should be; if not, Reasons say why, each with
	// what to do.
	Healthy bool     `json:"healthy"`
	Reasons []string `json:"reasons"`
	// Folder is where the archive is, on the host.
	Folder   string `json:"folder"`
	Schedule string `json:"schedule"`
	// Streaming says whether the log is received at this moment. BehindBytes and
	// BehindSeconds are how much of it the archive does not have, and since when;
	// HeldBytes is how much the database keeps for the archive.
	Streaming     bool    `json:"streaming"`
	BehindBytes   int64   `json:"behind_bytes"`
	BehindSeconds float64 `json:"behind_seconds"`
	HeldBytes     int64   `json:"held_bytes"`
	// Running is since when a base backup is being made; Last the last attempt at
	// one since the sidecar was started; Next when the next is due, or tried again.
	Running time.Time `json:"running,omitzero"`
	Last    *Attempt  `json:"last,omitempty"`
	Next    time.Time `json:"next,omitzero"`
	// FreeBytes is the room in the folder's file system, NeededBytes what the next
	// base backup may take.
	FreeBytes   int64 `json:"free_bytes"`
	NeededBytes int64 `json:"needed_bytes"`
	// Stretches are what can be brought back, oldest first.
	Stretches []StretchState `json:"stretches"`
}

// StretchState is a stretch, of which every moment from From to To can be brought
// back; both are zero where none can.
type StretchState struct {
	moments.Stretch
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
}

// spare is room that is always needed, in bytes.
const spare = 64 << 20

// needed is how much room the next base backup may need.
func needed(stretches []moments.Stretch, s server) int64 {
	last := s.bytes
	for _, one := range stretches {
		for _, backup := range one.Bases {
			last = backup.Bytes
		}
	}
	return last + last/10 + spare
}

// State is how the sidecar is.
func (d *daemon) State() State {
	now := time.Now()
	next, due := d.next(now)
	d.mu.Lock()
	k := d.known
	stretches := append([]moments.Stretch{}, k.stretches...)
	d.mu.Unlock()
	s := State{
		Folder: d.config.Shown, Schedule: d.config.Policy.Schedule.String(), Streaming: k.receiving, HeldBytes: k.server.held,
		Running: k.running, Last: k.last, NeededBytes: needed(stretches, k.server), Reasons: append([]string{}, d.config.Problems...), Stretches: []StretchState{},
	}
	if due {
		s.Next = next.UTC()
	}
	for _, one := range stretches {
		from, to, ok := one.Window()
		shown := StretchState{Stretch: one}
		if ok {
			shown.From, shown.To = from.UTC(), to.UTC()
		}
		s.Stretches = append(s.Stretches, shown)
		if one.Name == k.current && !k.pending.moment.IsZero() {
			s.BehindSeconds = now.Sub(k.pending.moment).Seconds()
			s.BehindBytes = max(0, k.server.at-max(k.server.stored, k.server.at-k.server.held))
		}
	}
	m := moment{stopped: k.stopped, unanswered: k.unanswered, current: k.current}
	m.barred = unix.Access(d.config.Folder, unix.R_OK|unix.W_OK|unix.X_OK)
	s.FreeBytes, m.unknown = hostfolder.Room(d.config.Folder)
	if len(s.Reasons) == 0 {
		s.Reasons = judge(s, m)
	}
	s.Healthy = len(s.Reasons) == 0
	return s
}

// moment is what else is found out when somebody asks.
type moment struct {
	// stopped is why the log is not received, unanswered why the database did not
	// say how it is, barred why the folder cannot be read and written, unknown why
	// its room cannot be found out.
	stopped, unanswered, barred, unknown error
	// current is the stretch that is being received.
	current string
}

// judge says why it is not healthy, each reason with what to do.
func judge(s State, m moment) []string {
	reasons := []string{}
	tell := func(fix, what string, arguments ...any) {
		reasons = append(reasons, fmt.Sprintf(what, arguments...)+"; "+fix)
	}
	if m.barred != nil {
		tell(advice("permission denied", s.Folder), "%s cannot be read and written by the user postgres: %v", s.Folder, m.barred)
	}
	has := "nothing can be brought back"
	var to time.Time
	based := false
	for _, one := range s.Stretches {
		if one.To.After(to) {
			to = one.To
			has = "what was until " + to.Format(time.RFC3339) + " can be brought back"
		}
		based = based || one.Name == m.current && !one.To.IsZero()
	}
	why := m.stopped
	if why == nil {
		why = m.unanswered
	}
	switch {
	case why != nil:
		tell(advice(why.Error(), s.Folder), "nothing is archived: %v (%s)", why, has)
	case s.BehindSeconds > lagPatience.Seconds():
		tell("see whether "+s.Folder+" is slow, or the database writes more than that takes", "the archive is %s behind, since %.0f seconds ago", figure.Bytes(s.BehindBytes), s.BehindSeconds)
	}
	if s.HeldBytes > mostHeld {
		tell("have the log archived, or give it up: inmanta-docker stop db-archive, then drop the replication slot "+slot, "the database keeps %s of its log for the archive, which takes room on its disk", figure.Bytes(s.HeldBytes))
	}
	switch {
	case s.Last != nil && s.Last.Error != "":
		tell(advice(s.Last.Error, s.Folder), "the base backup of %s failed: %s (%s; it is tried again at %s)", figure.Time(s.Last.Begun), s.Last.Error, has, s.Next.Format(time.RFC3339))
	case !based && s.Running.IsZero() && why == nil:
		tell("wait, or see inmanta-docker logs db-archive", "there is no base backup yet")
	}
	switch {
	case m.unknown != nil:
		tell(advice("", s.Folder), "how much room %s has cannot be found out: %v", s.Folder, m.unknown)
	case s.FreeBytes < s.NeededBytes && s.Running.IsZero():
		tell(makeRoom(s.Folder), "%s has %s free, and the next base backup may need %s", s.Folder, figure.Bytes(s.FreeBytes), figure.Bytes(s.NeededBytes))
	}
	return reasons
}

func makeRoom(folder string) string {
	return "make room in " + folder + ", or keep fewer base backups (INMANTA_DB_ARCHIVE_KEEP)"
}

// advice is what to do about an error.
func advice(said, folder string) string {
	for _, known := range []struct{ words, fix string }{
		{"o space left on device", makeRoom(folder)},
		{"isk quota exceeded", makeRoom(folder)},
		{"does not answer", "see inmanta-docker status, and start the database: inmanta-docker up"},
		{"could not connect", "see inmanta-docker status, and start the database: inmanta-docker up"},
		{"closed the connection", "see inmanta-docker status, and start the database: inmanta-docker up"},
		{"connection to server", "see inmanta-docker status, and start the database: inmanta-docker up"},
		{"starting up", "wait"},
		{"it is starting", "wait"},
		{"another db-archive sidecar", "stop the other one, or give one of the deployments another INMANTA_NAME or INMANTA_DB_ARCHIVE_FOLDER"},
		{"is active for PID", "stop whatever else uses the replication slot " + slot},
		{"ermission denied", "inmanta-docker restart db-archive takes " + folder + " back"},
		{"ead-only file system", "mount " + folder + " so that it can be written"},
		{"executable file not found", "run an image with PostgreSQL's programs (POSTGRESQL_IMAGE)"},
	} {
		if strings.Contains(said, known.words) {
			return known.fix
		}
	}
	return "see inmanta-docker logs db-archive"
}
