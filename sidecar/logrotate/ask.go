package logrotate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/figure"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/policy"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/rotation"
)

// healthPatience is how long the daemon may take to say how it is.
const healthPatience = 4 * time.Second

// Health says whether all is well, on out, or why not, as its error.
func Health(out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), healthPatience)
	defer cancel()
	said, err := ask(ctx, address, request{Verb: "health"})
	if err != nil {
		return err
	}
	if !said.State.Healthy {
		return errors.New(strings.Join(said.State.Reasons, "\n"))
	}
	fmt.Fprintf(out, "%d logs", said.Count)
	if next := said.State.Next; !next.IsZero() {
		fmt.Fprintf(out, ", next rotation %s", next.UTC().Format(time.RFC3339))
	}
	fmt.Fprintln(out)
	for _, note := range said.State.Notes {
		fmt.Fprintln(out, "note:", note)
	}
	return nil
}

// Now rotates logs, all where none is named, and says what became of them.
func Now(ctx context.Context, out io.Writer, logs []string) error {
	if len(logs) > 0 {
		said, err := ask(ctx, address, request{Verb: "state"})
		if err != nil {
			return err
		}
		for i := range logs {
			if logs[i], err = archive.Match(said.State.names(), logs[i]); err != nil {
				return err
			}
		}
	}
	said, err := ask(ctx, address, request{Verb: "now", Logs: logs})
	if err != nil {
		return err
	}
	failed := 0
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, r := range said.Now {
		if r.Error != "" {
			failed++
		}
		fmt.Fprintf(table, "%s\t%s\n", r.Log, r.text())
	}
	if len(said.Now) == 0 {
		fmt.Fprintln(table, "there are no logs yet")
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d logs could not be rotated; nothing of them is lost", failed, len(said.Now))
	}
	return nil
}

func (r Rotation) text() string {
	var parts []string
	if len(r.Archives) > 0 {
		parts = append(parts, "→ "+strings.Join(r.Archives, ", "))
	}
	switch {
	case r.Error != "":
		parts = append(parts, "failed: "+r.Error)
	case r.Waiting != "":
		parts = append(parts, "set aside: "+r.Waiting)
	case r.Nothing:
		parts = append(parts, "nothing to rotate")
	case len(r.Archives) == 0:
		parts = append(parts, "rotated")
	}
	return strings.Join(parts, "; ")
}

func (s State) names() []string {
	names := make([]string, len(s.Logs))
	for i, l := range s.Logs {
		names[i] = l.Name
	}
	return names
}

// List says what there is of each log.
func List(ctx context.Context, out io.Writer, asJSON bool) error {
	said, err := ask(ctx, address, request{Verb: "state"})
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(said.State)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "LOG\tSIZE\tARCHIVES\tTAKE\tLAST ROTATION\tNEXT\tWRITER\tRESULT")
	for _, l := range said.State.Logs {
		var size int64
		for _, a := range l.Archives {
			size += a.SizeBytes
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", l.Name, figure.Bytes(l.SizeBytes), len(l.Archives), figure.Bytes(size),
			figure.Time(l.LastRotation), figure.Time(l.NextRotation), l.Writer, l.Result)
		for _, w := range l.Waiting {
			fmt.Fprintf(table, "  %s\t%s\t\t\t\t\t\t%s\n", w.File, figure.Bytes(w.SizeBytes), w.Why)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, line := range append(slices.Clone(said.State.Reasons), said.State.Notes...) {
		fmt.Fprintln(out, line)
	}
	return nil
}

// Show writes all there is of a log, through its archives up to its last line;
// since, where it is not empty, leaves out what is older. What cannot be read is
// said on problems, and makes it fail in the end.
func Show(out, problems io.Writer, lookup func(string) string, log, since string) error {
	var options archive.Options
	var err error
	if since != "" {
		if options.Since, err = archive.ParseSince(since, time.Now()); err != nil {
			return err
		}
	}
	dir, err := os.Open(Folder)
	if err != nil {
		return fmt.Errorf("opening the folder of the logs: %w", err)
	}
	defer dir.Close()
	state, err := os.Open(stateFolder)
	if err != nil {
		return fmt.Errorf("opening the folder of the state: %w", err)
	}
	defer state.Close()
	lock, err := rotation.OpenReaders(stateFolder)
	if err != nil {
		return fmt.Errorf("the log rotation has not started yet: %w", err)
	}
	defer lock.Close()
	names, err := logNames(dir, lookup)
	if err != nil {
		return err
	}
	if log, err = archive.Match(names, log); err != nil {
		return err
	}
	options.Lock = lock
	options.Gaps = func(file *os.File) ([]archive.Range, error) { return rotation.Gaps(state, dir, file) }
	options.Report = func(err error) { fmt.Fprintln(problems, err) }
	stream, err := archive.Open(dir, log, options)
	if err != nil {
		return err
	}
	defer stream.Close()
	_, err = io.Copy(out, stream)
	return err
}

// logNames are the logs of which there is anything in the folder.
func logNames(dir *os.File, lookup func(string) string) ([]string, error) {
	all, wrong := policies(ConfigurationFile, lookup)
	if len(wrong) > 0 {
		all, _ = policy.FromSettings(func(string) string { return "" })
	}
	bases, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", Folder, err)
	}
	var names []string
	for _, base := range bases {
		if name, is := archive.Parse(base); is {
			base = name.Log
		}
		if _, ours := all.For(base); ours {
			names = append(names, base)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
