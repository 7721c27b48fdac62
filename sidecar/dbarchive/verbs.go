package dbarchive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/control"
	"github.com/inmanta/inmanta-docker/sidecar/figure"
)

// healthPatience is how long the daemon may take to say how it is.
const healthPatience = 4 * time.Second

// stateOf asks the daemon that runs in this container.
func stateOf(ctx context.Context, verb string) (State, error) {
	said, err := control.Ask[request, answer](ctx, socket, "the db-archive sidecar", request{Verb: verb})
	switch {
	case err != nil:
		return State{}, err
	case said.Error != "":
		return State{}, errors.New(said.Error)
	case said.State == nil:
		return State{}, errors.New("the db-archive sidecar does not say how it is")
	}
	return *said.State, nil
}

// Health says whether all is well, on out, or why not, as its error.
func Health(out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), healthPatience)
	defer cancel()
	s, err := stateOf(ctx, "state")
	if err != nil {
		return err
	}
	if !s.Healthy {
		return errors.New(strings.Join(s.Reasons, "\n"))
	}
	text := "the first base backup is being made"
	for _, one := range s.Stretches {
		if !one.To.IsZero() {
			text = fmt.Sprintf("what was from %s to %s can be brought back", figure.Time(one.From), figure.Time(one.To))
		}
	}
	_, err = fmt.Fprintln(out, text)
	return err
}

// List says what can be brought back, with all that was committed before it was
// asked, if the log is received.
func List(ctx context.Context, out io.Writer, asJSON bool) error {
	s, err := stateOf(ctx, "now")
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(s)
	}
	return s.table(out)
}

func (s State) table(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "BASE BACKUP\tENDED\tSIZE\tSERVER\tOF")
	for _, stretch := range s.Stretches {
		for _, one := range stretch.Bases {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", one.Name, figure.Time(one.Ended), figure.Bytes(one.Bytes), one.Server, stretch.Name)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, one := range s.Stretches {
		if !one.To.IsZero() {
			fmt.Fprintf(out, "%s: what was from %s to %s can be brought back\n", one.Name, one.From.Format(time.RFC3339), one.To.Format(time.RFC3339))
		}
	}
	switch {
	case !s.Running.IsZero():
		fmt.Fprintf(out, "a base backup has been running since %s\n", figure.Time(s.Running))
	case !s.Next.IsZero():
		fmt.Fprintf(out, "next base backup: %s\n", figure.Time(s.Next))
	}
	for _, reason := range s.Reasons {
		fmt.Fprintln(out, reason)
	}
	return nil
}
