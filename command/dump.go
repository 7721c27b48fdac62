package command

import (
	"fmt"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/inmanta/inmanta-docker/topology"
)

// dumpSidecar is how the db-dump sidecar is asked.
var dumpSidecar = asked{service: topology.DBDump, user: "postgres", verb: "db-dump"}

func (a *app) dumpVerb() *cobra.Command {
	verb := &cobra.Command{
		Use:   "dump",
		Short: "Look at the dumps of the database, or make one now",
		Long: `Ask the db-dump sidecar: what dumps of the database there are, or to make one now.
What is printed and the exit code are the sidecar's own: 0 it is done, 1 it is not.`,
		SuggestionsMinimumDistance: 2,
		RunE:                       a.verbOf,
	}
	list := &cobra.Command{
		Use: "ls", Short: "List the dumps, and say when the next is made", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			args := []string{"ls"}
			if a.json {
				args = append(args, "--json")
			}
			return a.askSidecar(cmd.Context(), dumpSidecar, args)
		},
	}
	a.jsonFlag(list, "the dumps")
	verb.AddCommand(list, &cobra.Command{
		Use: "now", Short: "Dump the database, whether a dump is due or not", Args: cobra.NoArgs,
		Long: `Dump the database, whether a dump is due or not, and say which dump that is. It holds
all that was committed when it begins. One that is being made already is waited for.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.askSidecar(cmd.Context(), dumpSidecar, []string{"now"})
		},
	})
	return verb
}

// dumps is what the db-dump sidecar says of itself, as `dump ls --json` prints it.
type dumps struct {
	// Healthy is what its health check says at this moment, and Reasons why not,
	// each with what to do.
	Healthy bool     `json:"healthy"`
	Reasons []string `json:"reasons"`
	// Folder is where the dumps are, on the host, as the settings have it.
	Folder string `json:"folder"`
	// Schedule is when they are made.
	Schedule string `json:"schedule"`
	// Running is the one that is being made; absent where none is.
	Running *runningDump `json:"running,omitempty"`
	// Last is the last attempt that ended; absent where there was none.
	Last *dumpAttempt `json:"last,omitempty"`
	// Next is when the next one is due, or tried again.
	Next time.Time `json:"next,omitzero"`
	// FreeBytes is what the folder's file system has left, NeededBytes what the next
	// dump may take.
	FreeBytes   int64 `json:"free_bytes"`
	NeededBytes int64 `json:"needed_bytes"`
	// Dumps are in order, the oldest first.
	Dumps []oneDump `json:"dumps"`
}

// runningDump is a dump that is being made.
type runningDump struct {
	Since time.Time `json:"since"`
	// Host is the server that is dumped.
	Host string `json:"host"`
	Role string `json:"role" jsonschema:"enum=primary,enum=standby"`
}

// dumpAttempt is an attempt at a dump.
type dumpAttempt struct {
	Begun time.Time `json:"begun"`
	Ended time.Time `json:"ended"`
	// Dump is what came of it; else Error is why nothing did.
	Dump  string `json:"dump,omitempty"`
	Error string `json:"error,omitempty"`
	// Early is that it ended before there was anything to dump.
	Early bool `json:"early,omitempty"`
}

// oneDump is one dump in the folder. How it was made is empty where that is not
// known any more.
type oneDump struct {
	File string `json:"file"`
	// Begun is the moment of what is in it.
	Begun time.Time `json:"begun"`
	// Flaw is why it is no good; absent for a good one.
	Flaw      string `json:"flaw,omitempty"`
	SHA256    string `json:"sha256,omitempty"`
	SizeBytes int64  `json:"size_bytes"`
	// Entries is how many its table of contents has.
	Entries int `json:"entries"`
	// Host is the server that was dumped, Role what that was, Server its version.
	Host   string `json:"host"`
	Role   string `json:"role" jsonschema:"enum=,enum=primary,enum=standby"`
	Server string `json:"server"`
	// Seconds is how long it took.
	Seconds float64 `json:"seconds"`
}

// dumpsLine is the state of the db-dump sidecar in a line or two.
func dumpsLine(d dumps, now time.Time) string {
	var total int64
	var last oneDump
	for _, one := range d.Dumps {
		total += one.SizeBytes
		if one.Flaw == "" {
			last = one
		}
	}
	line := fmt.Sprintf("%d (%s) in %s\nlast: ", len(d.Dumps), units.BytesSize(float64(total)), d.Folder)
	switch {
	case last.File == "":
		line += "none"
	case last.Host == "":
		line += since(last.Begun, now)
	default:
		line += fmt.Sprintf("%s, of %s (%s)", since(last.Begun, now), last.Host, last.Role)
	}
	switch {
	case d.Running != nil:
		line += fmt.Sprintf(", one of %s is being made", d.Running.Host)
	case !d.Next.IsZero():
		line += fmt.Sprintf(", next: %s (in %s)", d.Next.Format(time.RFC3339), units.HumanDuration(d.Next.Sub(now)))
	}
	return line
}

// since is a moment, and how long ago it was.
func since(t, now time.Time) string {
	return fmt.Sprintf("%s (%s ago)", t.Format(time.RFC3339), units.HumanDuration(now.Sub(t)))
}
