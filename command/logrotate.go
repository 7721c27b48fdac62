package command

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/inmanta/inmanta-docker/topology"
)

func (a *app) logrotateVerb() *cobra.Command {
	verb := &cobra.Command{
		Use:   "logrotate",
		Short: "Look at the rotated logs, or rotate them now",
		Long: `Ask the logrotate sidecar: what logs and archives there are, what is in them, or
to rotate now. What is printed and the exit code are the sidecar's own: 0 it is
done, 1 it is not.`,
		SuggestionsMinimumDistance: 2,
		RunE:                       a.verbOf,
	}
	show := &cobra.Command{
		Use:   "show LOG",
		Short: "Print a log with all its archives, in order",
		Long: `Print a log from its oldest archive to its last line as one stream: in order,
without a gap, a duplicate, or a wait for a rotation that goes on. It is neither held
in memory here nor there, however long it is.`,
		Example: `  inmanta-docker logrotate show server.log | grep ERROR
  inmanta-docker logrotate show server.log --since 3d
  inmanta-docker logrotate show server.log --since 2026-11-27T06:00:00Z | head`,
		Args: cobra.ExactArgs(1),
	}
	since := show.Flags().String("since", "", "Leave out lines before this `time`: 30m, 12h, 3d or 2w ago, or 2026-11-27, or 2026-11-27T06:00:00Z")
	show.RunE = func(cmd *cobra.Command, args []string) error {
		if *since != "" {
			args = append(args, "--since", *since)
		}
		return a.logrotate(cmd.Context(), append([]string{"show"}, args...))
	}
	list := &cobra.Command{
		Use: "ls", Short: "List the logs, their archives, and when they are rotated next", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.json {
				return a.logrotate(cmd.Context(), []string{"ls", "--json"})
			}
			return a.logrotate(cmd.Context(), []string{"ls"})
		},
	}
	a.jsonFlag(list, "the logs")
	verb.AddCommand(list, show,
		&cobra.Command{
			Use:   "now [LOG…]",
			Short: "Rotate these logs, or all, whether they are due or not",
			Long: `Rotate these logs, or all, whether they are due or not, and say what became of each.
A log that its writer still holds open is set aside, and archived once it can be.`,
			Example: `  inmanta-docker logrotate now
  inmanta-docker logrotate now server.log`,
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.logrotate(cmd.Context(), append([]string{"now"}, args...))
			},
		},
		&cobra.Command{
			Use: "metrics", Short: "Print figures for Prometheus", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return a.logrotate(cmd.Context(), []string{"metrics"})
			},
		},
	)
	return verb
}

// logrotate has the sidecar do what the arguments say, and passes on what it
// prints.
func (a *app) logrotate(ctx context.Context, args []string) error {
	return a.askSidecar(ctx, logrotateSidecar, args)
}

// logrotateSidecar is how the logrotate sidecar is asked.
var logrotateSidecar = asked{service: topology.Logrotate, user: sidecarUser, verb: "logrotate"}

// rotation is what the logrotate sidecar says of itself, as `logrotate ls --json`
// prints it.
type rotation struct {
	// Healthy is what its health check says at this moment, and Reasons why not.
	Healthy bool     `json:"healthy"`
	Reasons []string `json:"reasons"`
	// Notes are about what its file system cannot do, and what is not rotated.
	Notes []string `json:"notes"`
	// Folder is where the logs are, in the container.
	Folder string `json:"folder"`
	// Next is when the next log is rotated; absent where only size decides.
	Next time.Time `json:"next,omitzero"`
	// FreeBytes is what the folder's file system has left.
	FreeBytes int64        `json:"free_bytes"`
	Logs      []rotatedLog `json:"logs"`
}

// rotatedLog is one log, with all that became of it.
type rotatedLog struct {
	Name string `json:"name"`
	// SizeBytes is the live file's.
	SizeBytes int64 `json:"size_bytes"`
	// Writer is how its writer holds it, as far as that has been found out.
	Writer string `json:"writer" jsonschema:"enum=unknown,enum=reopens,enum=keeps,enum=appends,enum=own offset"`
	// LastRotation is absent where there was none, NextRotation where only size decides.
	LastRotation time.Time `json:"last_rotation,omitzero"`
	NextRotation time.Time `json:"next_rotation,omitzero"`
	// Result is "ok", "none yet", or what was wrong with the last rotation.
	Result string `json:"result"`
	// Archives are in order, the oldest first.
	Archives []rotatedArchive `json:"archives"`
	// Waiting is what was set aside and is not archived yet.
	Waiting []rotatedAside `json:"waiting"`
}

// rotatedArchive is one archive of a log.
type rotatedArchive struct {
	File string `json:"file"`
	// Time is when it was rotated.
	Time      time.Time `json:"time"`
	SizeBytes int64     `json:"size_bytes"`
	// Format is how it is compressed.
	Format string `json:"format"`
}

// rotatedAside is a log that was set aside, and why it waits.
type rotatedAside struct {
	File      string `json:"file"`
	SizeBytes int64  `json:"size_bytes"`
	Why       string `json:"why"`
}

// rotationLine is the state of the logrotate sidecar in a line or two.
func rotationLine(r rotation, now time.Time) string {
	var last time.Time
	archives, waiting := 0, 0
	var live, archived int64
	for _, log := range r.Logs {
		live += log.SizeBytes
		archives += len(log.Archives)
		waiting += len(log.Waiting)
		for _, one := range log.Archives {
			archived += one.SizeBytes
		}
		if log.LastRotation.After(last) {
			last = log.LastRotation
		}
	}
	line := fmt.Sprintf("%d logs (%s), %d archives (%s)", len(r.Logs), units.BytesSize(float64(live)), archives, units.BytesSize(float64(archived)))
	if waiting > 0 {
		line += fmt.Sprintf(", %d set aside", waiting)
	}
	line += "\nlast rotation: none"
	if !last.IsZero() {
		line = strings.TrimSuffix(line, "none") + since(last, now)
	}
	if !r.Next.IsZero() {
		line += fmt.Sprintf(", next: %s (in %s)", r.Next.Format(time.RFC3339), units.HumanDuration(r.Next.Sub(now)))
	}
	return line
}
