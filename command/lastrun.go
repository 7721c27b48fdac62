package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/inmanta/inmanta-docker/readiness"
	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
	"github.com/inmanta/inmanta-docker/topology"
)

// lastRun is what is known of the init sidecar's last run.
type lastRun struct {
	initrecord.Record
}

// lastRun reads it off the container's volume; nil where none is on record.
func (s survey) lastRun(ctx context.Context, containers []readiness.Container) (*lastRun, error) {
	for _, c := range containers {
		if c.Service != topology.Init {
			continue
		}
		text, err := s.engine.ReadFile(ctx, c.ID, path.Join(initrecord.Folder, initrecord.File))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		record, err := initrecord.ParseRecord(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		run := settled(record, c.State)
		return &run, nil
	}
	return nil, nil
}

// settled is a record as it is to be read beside the container's state: a run
// that was killed could not write down that it was.
func settled(r initrecord.Record, state string) lastRun {
	if r.Result == initrecord.ResultRunning && state != "running" {
		r.Result = initrecord.ResultStopped
		r.Problem, r.Fix = "it was killed before it was done", "run it again: inmanta-docker up"
	}
	return lastRun{r}
}

// version is which version of the module it was about.
func (r lastRun) version() string {
	return strings.TrimSpace(r.Branch + " " + r.Commit[:min(len(r.Commit), 10)])
}

// outcome is what became of it, in a few words.
func (r lastRun) outcome() string {
	switch {
	case r.Result == initrecord.ResultRunning:
		return "at work"
	case r.Problem != "":
		return fmt.Sprintf("%s: %s", r.Result, r.Problem)
	}
	return fmt.Sprintf("%s, %s", r.Result, r.Tests)
}

// line is all of it, for people.
func (r lastRun) line(now time.Time) string {
	took := ""
	if r.Seconds > 0 {
		took = fmt.Sprintf(", in %.1f s", r.Seconds)
	}
	return fmt.Sprintf("%s, %s%s, %s ago", r.version(), r.outcome(), took, strings.ToLower(units.HumanDuration(now.Sub(r.Started))))
}
