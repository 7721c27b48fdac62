package command

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/spf13/cobra"

	"github.com/inmanta/inmanta-docker/backup"
	"github.com/inmanta/inmanta-docker/database"
	"github.com/inmanta/inmanta-docker/engine"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/readiness"
	"github.com/inmanta/inmanta-docker/topology"
)

func (a *app) recoverVerb() *cobra.Command {
	var o restoreOptions
	var to string
	verb := &cobra.Command{
		Use:   "recover --to MOMENT",
		Short: "Bring the database back as it was at a moment of its archive",
		Long: `Bring the database back as it was at a moment of the archive that
docker-compose.db-archive.yml keeps: "2026-11-27 14:00:00" by the clock here,
2026-11-27T14:00:00Z, or latest. What was committed at that moment is in it, what was
committed later is not.

The archive is replayed in a container of its own, on a copy. What comes out is loaded
beside what is there, which stays in use, and compared with it; then both change
places, and the orchestrator is started with it. What was there is kept until it
serves, and put back if it does not. The state volume is left as it is.

One that was cut short is gone on with by restore --continue, or undone by restore
--put-back; until then up refuses.`,
		Example: `  inmanta-docker db recover --to "2026-11-27 14:00:00" --replace
  inmanta-docker db recover --to latest`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			moment, err := parseMoment(to, time.Local)
			if err != nil {
				return err
			}
			o.moment = moment
			return a.restore(cmd.Context(), "", o)
		},
	}
	flags := verb.Flags()
	flags.StringVar(&to, "to", "", "The `moment` to go back to")
	flags.BoolVar(&o.replace, "replace", false, "Replace the environments that the deployment has")
	flags.DurationVar(&o.timeout, "timeout", 10*time.Minute, "How long to wait until the orchestrator serves with it")
	return verb
}

// latest is the word for the last moment of an archive.
const latest = "latest"

// parseMoment reads a moment as people write it, by the clock of a zone where it
// names none, and writes it as the archive's sidecar reads it.
func parseMoment(text string, zone *time.Location) (string, error) {
	text = strings.TrimSpace(text)
	if text == latest {
		return latest, nil
	}
	for _, form := range []string{time.RFC3339, time.DateTime, "2006-01-02 15:04", "2006-01-02T15:04:05"} {
		if moment, err := time.ParseInLocation(form, text, zone); err == nil && moment.UTC().Year() >= 2000 && moment.UTC().Year() < 10000 {
			return moment.UTC().Format(time.RFC3339Nano), nil
		}
	}
	return "", problem.Problem{
		ID: "recover-moment", Where: "--to", What: fmt.Sprintf("%q is no moment", text),
		Fix: `write it as "2006-01-02 15:04:05", by the clock here, or as 2006-01-02T15:04:05Z; or write latest`,
	}
}

// archiveFolder is where a container has the archive, recoveredFolder where one has
// what is brought back.
const (
	archiveFolder   = "/db-archive"
	recoveredFolder = "/recovered"
)

// recover brings the database back to a moment.
func (r restoring) recover(ctx context.Context, moment string, replace bool) error {
	s := r.survey
	replay, err := s.replay(moment)
	if err != nil {
		return err
	}
	if err := r.mayReplace(ctx, "inmanta-docker db recover --replace --to "+moment, replace); err != nil {
		return err
	}
	l, err := r.prepare(ctx)
	if err != nil {
		return err
	}
	s.catchUp(ctx)
	r.say("Replaying", "the archive, in a container of its own", progress.Working)
	recovered, err := s.recovered(ctx, replay)
	if err != nil {
		return err
	}
	defer recovered.end()
	if err := l.hasRoom(ctx, recovered.id); err != nil {
		return err
	}
	j := backup.Journal{ID: moment, Where: "the archive of the database, to " + moment, Moment: moment, Began: time.Now().UTC(), Halted: []string{}}
	return r.replace(ctx, l, &j, func() error {
		defer recovered.end()
		return l.pour(ctx, recovered.id, j.Where)
	})
}

// replay is the container that brings back a moment.
func (s survey) replay(moment string) (engine.Once, error) {
	service, ok := s.stack.Project.Services[topology.DBArchive]
	at := slices.IndexFunc(service.Volumes, func(v types.ServiceVolumeConfig) bool { return path.Clean(v.Target) == archiveFolder })
	if !ok || at < 0 {
		return engine.Once{}, problem.Problem{
			ID: "no-archive", Where: s.deployment.Dir, What: "this deployment has no archive of its database, and so no moments to go back to",
			Fix: "add it, for those that are to come: " + upWith(s.deployment, topology.DBArchive) + "; and see which backups there are: inmanta-docker backup ls",
		}
	}
	if s.hasPair() {
		return engine.Once{}, problem.Problem{
			ID: "db-archive-pair", Where: s.deployment.Dir, What: "this deployment has two databases, and the archive is of one that it had",
			Fix: "leave docker-compose.db-replica.yml out to go back, or restore a backup: inmanta-docker backup ls",
		}
	}
	helper, err := s.helper()
	if err != nil {
		return engine.Once{}, err
	}
	name := "inmanta"
	if value := service.Environment["INMANTA_NAME"]; value != nil && *value != "" {
		name = *value
	}
	once := engine.Once{
		Image: service.Image, Project: s.stack.Project.Name, Command: []string{sidecarPath, "attached", "db-archive", "recover", name, moment},
		Files: map[string]string{helper: sidecarPath}, Writable: map[string]string{"": recoveredFolder},
		// To own that and become the database's user with nothing left to come back with.
		Capabilities: []string{"CHOWN", "SETGID", "SETPCAP", "SETUID"},
	}
	switch v := service.Volumes[at]; v.Type {
	case types.VolumeTypeVolume:
		once.Volumes = map[string]string{s.stack.Project.Volumes[v.Source].Name: archiveFolder}
	default:
		once.Files[v.Source] = archiveFolder
	}
	return once, nil
}

// catchUp returns once the archive has what was committed by now; what keeps it from
// that, the replay says.
func (s survey) catchUp(ctx context.Context) {
	containers, err := readiness.Observe(ctx, s.engine.API(), s.stack.Project.Name)
	if err != nil {
		return
	}
	for _, c := range containers {
		if c.Service == topology.DBArchive && c.State == "running" {
			_, _ = archiveSidecar.run(ctx, s.engine, c, []string{"ls"}, io.Discard, io.Discard)
		}
	}
}

// replayed is a database that has been brought back, in its container, until end.
type replayed struct {
	id  string
	end func()
}

// recovered runs a replay, and returns when the database that comes out serves.
func (s survey) recovered(ctx context.Context, once engine.Once) (replayed, error) {
	running, cancel := context.WithCancel(ctx)
	started, done := make(chan string, 1), make(chan error, 1)
	once.Started = func(id string) { started <- id }
	serves := awaitLine("recovered")
	go func() {
		result, err := s.engine.StreamOnce(running, once, nil, serves)
		if err == nil {
			err = problem.Problem{
				ID: "recover-refused", Where: "the archive of the database", What: lastOf(result.Stderr),
				Fix: "see which moments it has: inmanta-docker exec -T " + topology.DBArchive + " inmanta-sidecar db-archive ls",
			}
		}
		done <- err
		close(done)
	}()
	end := func() { cancel(); <-done }
	select {
	case <-serves.seen:
		return replayed{<-started, end}, nil
	case err := <-done:
		cancel()
		return replayed{}, err
	case <-ctx.Done():
		end()
		return replayed{}, ctx.Err()
	}
}

// lastOf is the last line of what was said.
func lastOf(said string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	return lines[len(lines)-1]
}

// hasRoom refuses what would fill the disk of the database in use: that would end it.
func (l loading) hasRoom(ctx context.Context, container string) error {
	e := l.survey.engine
	has, err := database.Ask(ctx, e, container)
	if err != nil {
		return err
	}
	_, free, err := database.Place(ctx, e, l.database.ID, databaseFolder)
	if err != nil || free >= has.Bytes {
		return err
	}
	return problem.Problem{
		ID: "recover-room", Where: l.database.Name, Fix: "make room on the engine's disk",
		What: fmt.Sprintf("what is there is kept until what is brought back serves, and the database's volume has %s free of the %s that takes", bytesText(free), bytesText(has.Bytes)),
	}
}

// pour loads the database that a container has beside the one in use, and compares
// every row of both.
func (l loading) pour(ctx context.Context, container, where string) error {
	e := l.survey.engine
	l.say("Loading", "beside what is there, which stays in use", progress.Working)
	if err := database.Prepare(ctx, e, l.database.ID); err != nil {
		return err
	}
	if err := database.Copy(ctx, e, container, database.User, l.database.ID, database.Loaded); err != nil {
		return err
	}
	event := progress.Event{ID: "Tables", Text: "Comparing", Status: progress.Working}
	l.report(event)
	nobody := func(database.Sum) {}
	want, err := database.Sums(ctx, e, container, database.User, nobody)
	if err != nil {
		return err
	}
	got, err := database.Sums(ctx, e, l.database.ID, database.Loaded, nobody)
	if err != nil {
		return err
	}
	if differences := backup.Differences(tablesOf(want), tablesOf(got)); len(differences) > 0 {
		return problem.Problem{
			ID: "recover-differs", Where: where, What: "what was loaded is not what was brought back: " + some(differences),
			Fix: "nothing was replaced; try again, and please report it",
		}
	}
	event.Text, event.Status, event.Detail = "Equal", progress.Done, fmt.Sprintf("every row of %d tables", len(got))
	l.report(event)
	return nil
}
