package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/inmanta/inmanta-docker/backup"
	"github.com/inmanta/inmanta-docker/bundle"
	"github.com/inmanta/inmanta-docker/database"
	"github.com/inmanta/inmanta-docker/engine"
	"github.com/inmanta/inmanta-docker/pair"
	"github.com/inmanta/inmanta-docker/plan"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/readiness"
	"github.com/inmanta/inmanta-docker/topology"
)

type engineContainer = engine.Container

// loading is where a backup is loaded, beside what is there.
type loading struct {
	restoring
	database readiness.Container
	owner    owner
	known    map[string]int64
}

// databases has the databases run, and returns when they are ready: both in step, or
// else the primary.
func (r restoring) databases(ctx context.Context, both bool) error {
	s := r.survey
	containers, err := s.engine.Containers(ctx, s.stack.Project.Name)
	if err != nil {
		return err
	}
	runs := func(service string) bool {
		return slices.ContainsFunc(containers, func(c engineContainer) bool { return c.Service == service && c.State == "running" })
	}
	var start []string
	for _, service := range pairServices {
		if _, ok := s.stack.Project.Services[service]; ok && !runs(service) {
			start = append(start, service)
		}
	}
	if len(start) > 0 {
		if err := s.engine.Up(ctx, plan.Mark(s.stack.Project, s.program()), start, r.report); err != nil {
			return err
		}
	}
	limited, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	if !s.hasPair() {
		return s.waitFor(limited, topology.Database, r.report)
	}
	now, err := s.awaitPair(limited, r.report, func(now pair.Status) bool { return now.Durable || !both && now.Primary != "" })
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return problem.Problem{ID: "not-durable", Where: s.deployment.Dir, What: "what is restored is stored by both databases, and they are not in step: " + now.Verdict, Fix: now.Fix, Err: err}
	}
	return err
}

// prepare has the databases run, and the state volume be there.
func (r restoring) prepare(ctx context.Context) (loading, error) {
	s := r.survey
	l := loading{restoring: r}
	// What is loaded is stored by both, or not acknowledged.
	if err := r.databases(ctx, true); err != nil {
		return l, err
	}
	if _, err := s.stateVolume(); err != nil {
		return l, err
	}
	containers, err := s.engine.Containers(ctx, s.stack.Project.Name)
	if err != nil {
		return l, err
	}
	if !slices.ContainsFunc(containers, func(c engineContainer) bool { return c.Service == topology.Orchestrator }) {
		// It is a container that a new volume gets its owner from, before it is started.
		if err := s.engine.Create(ctx, plan.Mark(s.stack.Project, s.program()), []string{topology.Orchestrator}, r.report); err != nil {
			return l, err
		}
	}
	if l.database, err = s.primaryDatabase(ctx); err != nil {
		return l, err
	}
	// Before anything is loaded, or of an earlier restore removed: who knows what that is.
	if err := r.nothingAside(ctx, l.database, "see what is in it, and have it dropped: inmanta-docker exec "+l.database.Service+" dropdb -U inmanta "+database.Before); err != nil {
		return l, err
	}
	l.owner, l.known, err = s.lookIntoImage(ctx)
	return l, err
}

// facts are what is known of the target once its database runs.
func (l loading) facts(ctx context.Context, t backup.Target) (backup.Target, error) {
	s := l.survey
	t.Known = l.known
	asked, err := database.Ask(ctx, s.engine, l.database.ID)
	if err != nil {
		return t, err
	}
	major, _, _ := strings.Cut(asked.Version, ".")
	if t.Major, err = strconv.Atoi(major); err != nil {
		return t, fmt.Errorf("the database's version is %q", asked.Version)
	}
	if t.Encoding, t.DatabaseFree, err = database.Place(ctx, s.engine, l.database.ID, databaseFolder); err != nil {
		return t, err
	}
	room, err := s.room(ctx)
	if err != nil {
		return t, err
	}
	t.StateFree = room.Free
	containers, err := readiness.Observe(ctx, s.engine.API(), s.stack.Project.Name)
	if err != nil {
		return t, err
	}
	found := status{}
	// One that does not answer may be why somebody restores.
	if _, err := s.askOrchestrator(ctx, containers, &found, true); err == nil && found.Orchestrator != nil {
		t.Edition = found.Orchestrator.Edition
	}
	return t, nil
}

// load loads the backup and compares every table with what it says.
func (l loading) load(ctx context.Context, from source, m bundle.Manifest) error {
	s := l.survey
	l.say("Loading", "beside what is there, which stays in use", progress.Working)
	if err := database.Prepare(ctx, s.engine, l.database.ID); err != nil {
		return err
	}
	if _, err := s.onVolume(ctx, "discard"); err != nil {
		return err
	}
	event := progress.Event{ID: "Backup", Text: "Loading", Status: progress.Working}
	plain, closer, size, err := from.open(ctx, func(n, size int64) {
		now := event
		now.Current, now.Total = n, size
		l.report(now)
	})
	if err != nil {
		return err
	}
	defer closer.Close()
	reader, err := bundle.NewReader(plain, from.String())
	if err != nil {
		return err
	}
	for {
		name, part, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch name {
		case bundle.State:
			err = l.loadState(ctx, part, m.Content.State)
		case bundle.Database:
			err = database.Load(ctx, s.engine, l.database.ID, database.Loaded, part)
		}
		if err != nil {
			return err
		}
	}
	if _, err := reader.Manifest(); err != nil {
		return err
	}
	event.Text, event.Status, event.Detail = "Loaded", progress.Done, bytesText(size)
	l.report(event)
	return l.compare(ctx, from, m)
}

func (l loading) loadState(ctx context.Context, part io.Reader, want bundle.Volume) error {
	summary, err := l.survey.unpackState(ctx, part, want.UID, want.GID, l.owner)
	if err == nil && (summary.Files != want.Files || summary.Bytes != want.Bytes) {
		err = fmt.Errorf("the state volume has %d files of %d bytes, and the backup had %d of %d", summary.Files, summary.Bytes, want.Files, want.Bytes)
	}
	return err
}

// compare counts and hashes the rows of what was loaded.
func (l loading) compare(ctx context.Context, from source, m bundle.Manifest) error {
	event := progress.Event{ID: "Tables", Text: "Comparing", Status: progress.Working, Total: int64(len(m.Content.Tables))}
	l.report(event)
	sums, err := database.Sums(ctx, l.survey.engine, l.database.ID, database.Loaded, func(database.Sum) {
		event.Current++
		l.report(event)
	})
	if err != nil {
		return err
	}
	if differences := backup.Differences(m.Content.Tables, tablesOf(sums)); len(differences) > 0 {
		return problem.Problem{
			ID: "backup-differs", Where: from.String(), What: "what was loaded is not what the backup says: " + some(differences),
			Fix: "take another backup, or an older one; nothing was replaced",
		}
	}
	event.Text, event.Status, event.Detail = "Equal", progress.Done, fmt.Sprintf("every row of %d tables", len(sums))
	l.report(event)
	return nil
}

// forget removes what was loaded.
func (l loading) forget(ctx context.Context) error {
	return errors.Join(l.onState(ctx, "discard"), database.Drop(ctx, l.survey.engine, l.database.ID, database.Loaded))
}

// clear removes every container but the databases': none of them may see half of
// a change, and a stopped one is started again by an engine that starts again.
func (r restoring) clear(ctx context.Context) error {
	containers, err := r.survey.engine.Containers(ctx, r.survey.stack.Project.Name)
	if err != nil {
		return err
	}
	for _, c := range containers {
		if slices.Contains(pairServices, c.Service) {
			continue
		}
		event := progress.Event{ID: "Container " + c.Name, Text: "Removing", Status: progress.Working}
		r.report(event)
		if err := r.survey.engine.Remove(ctx, c.ID); err != nil {
			return err
		}
		event.Text, event.Status = "Removed", progress.Done
		r.report(event)
	}
	return nil
}

// swap gives what was loaded the place of what was there, or undoes that; done
// before, as far as it was, it is completed.
func (r restoring) swap(ctx context.Context, in bool) error {
	s := r.survey
	if err := r.clear(ctx); err != nil {
		return err
	}
	c, err := s.primaryDatabase(ctx)
	if err != nil {
		return err
	}
	there, err := database.Look(ctx, s.engine, c.ID)
	if err != nil {
		return err
	}
	verb, change := "swap", database.SwapIn
	if !in {
		verb, change = "swap-back", database.SwapOut
	}
	if err := r.onState(ctx, verb); err != nil {
		return err
	}
	swapped := there.Before && !there.Loaded
	switch {
	case swapped == in && (there.Before || there.Loaded):
		return nil
	case there.Current && (there.Before != there.Loaded):
		return change(ctx, s.engine, c.ID)
	case !in && there.Current:
		return nil // there is nothing of the restore
	}
	return problem.Problem{
		ID: "restore-databases", Where: c.Name, What: fmt.Sprintf("the databases are not those of a restore: %s: %t, %s: %t, %s: %t", database.User, there.Current, database.Loaded, there.Loaded, database.Before, there.Before),
		Fix: "see them with inmanta-docker exec " + c.Service + " psql -U inmanta -l postgres, and give them their names back by hand",
	}
}

// start starts the deployment, and returns when it serves, as that edition where
// one is named.
func (r restoring) start(ctx context.Context, edition string) error {
	limited, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	s := r.survey
	problems, err := s.examine(limited, nil, false, r.report)
	if err == nil {
		err = problems.OrNil()
	}
	if err != nil {
		return err
	}
	err = s.carryOut(limited, r.report)
	var result readiness.Result
	if err == nil {
		result, _, err = s.await(limited, r.report)
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return r.app.showFailure(limited, r.ui, s, err)
	}
	if o := result.API.Status; edition != "" && o != nil && o.Edition != edition {
		return problem.Problem{ID: "backup-edition", Where: s.deployment.Dir, What: fmt.Sprintf("the backup is of the %s, and what serves is the %s", edition, o.Edition), Fix: "restore into a deployment of that edition"}
	}
	return nil
}

// discard removes what is not in use any more: what was there before, or what was
// loaded.
func (r restoring) discard(ctx context.Context, restored bool) error {
	s := r.survey
	c, err := s.primaryDatabase(ctx)
	if err != nil {
		return err
	}
	name := database.Before
	if !restored {
		name = database.Loaded
		// Names may be given late, as where the standby that is to know was away.
		if err := r.nothingAside(ctx, c, "have it put back: inmanta-docker restore --put-back"); err != nil {
			return err
		}
	}
	if err := database.Drop(ctx, s.engine, c.ID, name); err != nil {
		return err
	}
	return r.onState(ctx, "discard")
}

// nothingAside is a problem where what a restore has put aside is there.
func (r restoring) nothingAside(ctx context.Context, c readiness.Container, fix string) error {
	there, err := database.Look(ctx, r.survey.engine, c.ID)
	if err != nil || !there.Before {
		return err
	}
	return problem.Problem{
		ID: "restore-databases", Where: c.Name, What: "there is a database " + database.Before + ", which is what was there before a restore", Fix: fix,
	}
}

// environmentNames are the environments in the deployment's database, whether the
// orchestrator serves or not.
func (s survey) environmentNames(ctx context.Context) ([]string, error) {
	c, err := s.primaryDatabase(ctx)
	if err != nil {
		return nil, err
	}
	return database.Environments(ctx, s.engine, c.ID)
}
