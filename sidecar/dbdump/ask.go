package dbdump

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

// ask asks the daemon that runs in this container.
func ask(ctx context.Context, address, verb string) (answer, error) {
	said, err := control.Ask[request, answer](ctx, address, "the db-dump sidecar", request{Verb: verb})
	if err == nil && said.Error != "" {
		err = errors.New(said.Error)
	}
	return said, err
}

// Health says whether all is well, on out, or why not, as its error.
func Health(out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), healthPatience)
	defer cancel()
	said, err := ask(ctx, socket, "state")
	if err != nil {
		return err
	}
	if !said.State.Healthy {
		return errors.New(strings.Join(said.State.Reasons, "\n"))
	}
	_, err = fmt.Fprintln(out, said.State.sentence(time.Now()))
	return err
}

// sentence is how it is, where all is well.
func (s State) sentence(now time.Time) string {
	text := "no dump yet"
	if n := len(s.Dumps); n > 0 {
		text = fmt.Sprintf("%d dumps, the last %s old", n, age(now.Sub(s.Dumps[n-1].Begun)))
	}
	if s.Running != nil {
		return text + ", one of " + s.Running.Host + " is being made"
	}
	return text + ", next " + s.Next.UTC().Format(time.RFC3339)
}

// Now makes a dump and says which; the error is why it could not be made.
func Now(ctx context.Context, out io.Writer) error {
	said, err := ask(ctx, socket, "now")
	if err != nil {
		return err
	}
	if said.Now.Error != "" {
		return fmt.Errorf("the dump failed: %s; %s", said.Now.Error, advice(said.Now.Error, said.State.Folder))
	}
	for _, one := range said.State.Dumps {
		if one.File == said.Now.Dump {
			_, err = fmt.Fprintf(out, "%s/%s  %s, of %s (%s), in %s\n", strings.TrimRight(said.State.Folder, "/"), one.File, figure.Bytes(one.SizeBytes), one.Host, one.Role, seconds(one.Seconds))
			return err
		}
	}
	_, err = fmt.Fprintln(out, said.Now.Dump)
	return err
}

// List says which dumps there are.
func List(ctx context.Context, out io.Writer, asJSON bool) error {
	said, err := ask(ctx, socket, "state")
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(said.State)
	}
	return said.State.table(out)
}

func (s State) table(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "DUMP\tBEGUN\tSIZE\tOF\tTOOK\tRESULT")
	for _, one := range s.Dumps {
		result, of, took := "ok", "-", "-"
		if one.Flaw != "" {
			result = one.Flaw
		}
		if one.Host != "" {
			of, took = fmt.Sprintf("%s (%s)", one.Host, one.Role), seconds(one.Seconds)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", one.File, figure.Time(one.Begun), figure.Bytes(one.SizeBytes), of, took, result)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if s.Running != nil {
		fmt.Fprintf(out, "one of %s (%s) has been running since %s\n", s.Running.Host, s.Running.Role, figure.Time(s.Running.Since))
	} else if !s.Next.IsZero() {
		fmt.Fprintf(out, "next: %s\n", figure.Time(s.Next))
	}
	for _, reason := range s.Reasons {
		fmt.Fprintln(out, reason)
	}
	return nil
}

// seconds is how long something took.
func seconds(s float64) string {
	return (time.Duration(s * float64(time.Second))).Round(100 * time.Millisecond).String()
}
