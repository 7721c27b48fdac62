package command

import (
	"fmt"
	"time"

	"github.com/docker/go-units"

	"github.com/inmanta/inmanta-docker/topology"
)

// archiveSidecar is how the db-archive sidecar is asked.
var archiveSidecar = asked{service: topology.DBArchive, user: "postgres", verb: "db-archive"}

// archive is what the db-archive sidecar says of itself.
type archive struct {
	// Healthy is what its health check says at this moment, and Reasons why not,
	// each with what to do.
	Healthy bool     `json:"healthy"`
	Reasons []string `json:"reasons"`
	// Folder is where the archive is, on the host, as the settings have it.
	Folder string `json:"folder"`
	// Streaming says whether the database's log is received at this moment, and
	// HeldBytes how much of it the database keeps for the archive.
	Streaming bool  `json:"streaming"`
	HeldBytes int64 `json:"held_bytes"`
	// Next is when the next base backup is due, or tried again.
	Next time.Time `json:"next,omitzero"`
	// Stretches are in order, the oldest first.
	Stretches []archiveStretch `json:"stretches"`
}

// archiveStretch is a log without a gap: every moment from From to To can be brought
// back. Both are absent where none can.
type archiveStretch struct {
	Name string    `json:"name"`
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
}

// archiveLine is the state of the db-archive sidecar in a line or more: what can be
// brought back.
func archiveLine(a archive, now time.Time) string {
	line := "in " + a.Folder
	has := false
	for _, one := range a.Stretches {
		if !one.To.IsZero() {
			has = true
			line += fmt.Sprintf("\nfrom %s to %s (%s ago)", one.From.Format(time.RFC3339), one.To.Format(time.RFC3339), units.HumanDuration(now.Sub(one.To)))
		}
	}
	if !has {
		line += "\nnothing can be brought back yet"
	}
	if !a.Next.IsZero() {
		line += fmt.Sprintf("\nnext base backup: %s (in %s)", a.Next.Format(time.RFC3339), units.HumanDuration(a.Next.Sub(now)))
	}
	return line
}
