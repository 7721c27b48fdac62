package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/inmanta/inmanta-docker/backup"
	"github.com/inmanta/inmanta-docker/database"
	"github.com/inmanta/inmanta-docker/orchestrator"
	"github.com/inmanta/inmanta-docker/pair"
	"github.com/inmanta/inmanta-docker/plan"
	"github.com/inmanta/inmanta-docker/readiness"
	"github.com/inmanta/inmanta-docker/topology"
)

// health is the verdict of status.
type health string

const (
	healthy   health = "healthy"
	unhealthy health = "unhealthy"
	down      health = "down"
)

// status is what the verb finds, and prints with --json.
type status struct {
	// Health is healthy (exit code 0), unhealthy (3) or down (4).
	Health health `json:"health" jsonschema:"enum=healthy,enum=unhealthy,enum=down"`
	// Reasons say why it is not healthy, a clause each.
	Reasons   []string `json:"reasons"`
	Project   string   `json:"project"`
	Directory string   `json:"directory"`
	// Topology are the compose files, in order.
	Topology []string `json:"topology"`
	// URL is where the API can be reached from here; empty where it cannot.
	URL string `json:"url,omitempty"`
	// Orchestrator is what it says of itself; absent when it does not answer.
	Orchestrator *orchestrator.Status       `json:"orchestrator,omitempty"`
	Environments []orchestrator.Environment `json:"environments"`
	// HaltedForBackup are the environments that a backup has halted and not resumed
	// yet, by ID: one that is at work, or was cut short.
	HaltedForBackup []string `json:"halted_for_backup"`
	// Database is what it says of itself; absent when it does not answer.
	Database *database.Status `json:"database,omitempty"`
	// Pair is how the two databases are; absent where there is one.
	Pair *pair.Status `json:"pair,omitempty"`
	// SSH is how to reach the ssh sidecar; absent where none runs.
	SSH *sshAccess `json:"ssh,omitempty"`
	// Logrotate is what the logrotate sidecar says of itself; absent where none
	// runs, or it does not answer.
	Logrotate *rotation `json:"logrotate,omitempty"`
	// Dumps is what the db-dump sidecar says of itself; absent where none runs, or
	// it does not answer.
	Dumps *dumps `json:"dumps,omitempty"`
	// Archive is what the db-archive sidecar says of itself; absent where none runs,
	// or it does not answer.
	Archive *archive `json:"archive,omitempty"`
	// CodeURL is where the code sidecar's editor is reached; absent where none runs.
	CodeURL string `json:"code_url,omitempty"`
	// Init is the init sidecar's last run; absent where none is on record.
	Init       *lastRun              `json:"init,omitempty"`
	Containers []readiness.Container `json:"containers"`
	// Backups are the last ones that were made of it or verified here, newest first.
	Backups []backup.Made `json:"backups"`
	// Drift is where what runs differs from what the files say.
	Drift []plan.Node `json:"drift"`
}

func (a *app) statusVerb() *cobra.Command {
	verb := &cobra.Command{
		Use:   "status",
		Short: "Show how the deployment is and where to reach it",
		Long: `Show what runs and how it is: the orchestrator and its environments, the database,
every container, where to reach them, and where what runs differs from what the
files say.

Exit codes: 0 healthy; 1 it could not be found out; 3 unhealthy; 4 down. That what
runs differs from the files is shown, and is not unhealthy.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context()) },
	}
	a.jsonFlag(verb, "the status")
	return verb
}

func (a *app) status(ctx context.Context) error {
	d, stack, err := a.open(ctx)
	if err != nil {
		return err
	}
	e, err := a.reach(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	s := survey{deployment: d, stack: stack, engine: e}
	if err := s.findSidecar(); err != nil {
		return err
	}
	found, err := s.look(ctx)
	if err != nil {
		return err
	}
	u := a.ui()
	if a.json {
		u.Value(found)
	} else {
		showStatus(u, found, time.Now())
	}
	if err := u.Err(); err != nil {
		return err
	}
	switch found.Health {
	case unhealthy:
		return exit(ExitUnhealthy)
	case down:
		return exit(ExitDown)
	}
	return nil
}

// patience is how long status waits for answers: somebody looks at a stack that
// hangs just because it hangs.
const patience = 10 * time.Second

// look asks the engine, the orchestrator and the database at the same time.
func (s survey) look(ctx context.Context) (status, error) {
	found := status{
		Project: s.stack.Project.Name, Directory: s.deployment.Dir,
		Reasons: []string{}, Environments: []orchestrator.Environment{}, Drift: []plan.Node{},
	}
	for _, f := range s.deployment.Files {
		found.Topology = append(found.Topology, f.Name())
	}
	record, err := backup.Remembered(s.deployment.Dir)
	if err != nil {
		return found, err
	}
	found.Backups = append([]backup.Made{}, record.Backups...)
	found.HaltedForBackup = append([]string{}, record.Halted...)
	containers, err := readiness.Observe(ctx, s.engine.API(), s.stack.Project.Name)
	if err != nil {
		return found, err
	}
	found.Containers = append([]readiness.Container{}, containers...)
	found.CodeURL = s.askCode(containers)

	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var apiErr, databaseErr, sshErr, logrotateErr, dumpErr, archiveErr, initErr, driftErr error
	var group sync.WaitGroup
	group.Go(func() { _, apiErr = s.askOrchestrator(patient, containers, &found, false) })
	group.Go(func() { databaseErr = s.askDatabase(patient, containers, &found) })
	group.Go(func() { sshErr = s.askSSH(patient, containers, &found) })
	group.Go(func() { found.Logrotate, logrotateErr = tell[rotation](patient, s, containers, logrotateSidecar) })
	group.Go(func() { found.Dumps, dumpErr = tell[dumps](patient, s, containers, dumpSidecar) })
	group.Go(func() { found.Archive, archiveErr = tell[archive](patient, s, containers, archiveSidecar) })
	group.Go(func() { found.Init, initErr = s.lastRun(patient, containers) })
	group.Go(func() { found.Drift, driftErr = s.drift(ctx) })
	group.Wait()
	if ctx.Err() != nil {
		return found, ctx.Err()
	}
	if driftErr != nil {
		return found, driftErr
	}
	found.Health, found.Reasons = judge(found, s.stack.Project.ServiceNames(), apiErr, databaseErr, sshErr, logrotateErr, dumpErr, archiveErr, initErr)
	if underWay, ok, err := backup.UnderWay(s.deployment.Dir); err != nil {
		return found, err
	} else if ok {
		found.Health, found.Reasons = halfRestored(found.Health, found.Reasons, underWay)
	}
	return found, nil
}

// askOrchestrator asks what the orchestrator says. One that asks for a login tells
// everybody no more than its verdict; where a login is wanted, it tells all, and the
// token is what let it. That takes it some two seconds.
func (s survey) askOrchestrator(ctx context.Context, containers []readiness.Container, found *status, login bool) (token string, err error) {
	for _, c := range containers {
		if c.Service != topology.Orchestrator || c.State != "running" {
			continue
		}
		api, url, err := readiness.Reach(ctx, s.engine.API(), c)
		if err != nil {
			return "", err
		}
		defer api.Close()
		found.URL = url
		answer, err := api.Status(ctx)
		if errors.Is(err, orchestrator.ErrLogin) && login {
			if token, err = orchestrator.Token(ctx, s.engine, c.ID); err != nil {
				return "", fmt.Errorf("%w, and gives none: %w", orchestrator.ErrLogin, err)
			}
			api = api.With(token)
			answer, err = api.Status(ctx)
		}
		if errors.Is(err, orchestrator.ErrLogin) && !login {
			well, failed := api.Healthy(ctx)
			if failed == nil && !well {
				failed = fmt.Errorf("%w, and reports a warning or an error to those who have one", err)
			}
			return "", failed
		}
		if err != nil {
			return "", err
		}
		found.Orchestrator = &answer
		environments, err := api.Environments(ctx)
		found.Environments = append(found.Environments, environments...)
		return token, err
	}
	return "", nil
}

// askDatabase asks the database; of two, how both are, and then the primary.
func (s survey) askDatabase(ctx context.Context, containers []readiness.Container, found *status) error {
	asked := topology.Database
	if s.hasPair() {
		both, err := s.pair(ctx)
		if err != nil {
			return err
		}
		found.Pair, asked = &both, both.Primary
	}
	for _, c := range containers {
		if c.Service != asked || c.State != "running" {
			continue
		}
		answer, err := database.Ask(ctx, s.engine, c.ID)
		if err != nil {
			return err
		}
		found.Database = &answer
		return nil
	}
	return nil
}

func (s survey) askSSH(ctx context.Context, containers []readiness.Container, found *status) error {
	for _, c := range containers {
		if c.Service != topology.SSH || c.State != "running" {
			continue
		}
		answer, err := askSSH(ctx, s.engine, c)
		found.SSH = &answer
		return err
	}
	return nil
}

func (s survey) drift(ctx context.Context) ([]plan.Node, error) {
	observed, err := plan.Observe(ctx, s.engine.API(), plan.QueryFor(s.stack.Project))
	if err != nil {
		return nil, err
	}
	made, err := plan.Make(s.desired(false), observed)
	if err != nil {
		return nil, err
	}
	return append([]plan.Node{}, plan.Drift(made)...), nil
}

// halfRestored is that verdict where a restore is not over: while it is loaded what was
// there is as it was.
func halfRestored(h health, reasons []string, j backup.Journal) (health, []string) {
	if j.Phase == backup.Loading {
		return h, reasons
	}
	if h == healthy {
		h = unhealthy
	}
	return h, append(reasons, "a restore of "+j.Where+" is not over: unless it is at work, inmanta-docker restore --continue, or --put-back")
}

// judge says how a deployment with these services is, from what was found;
// unanswered is why some of them did not answer, nil for those that did.
func judge(found status, services []string, unanswered ...error) (health, []string) {
	reasons := []string{}
	running, done := 0, readiness.Done(found.Containers)
	for _, service := range services {
		there := false
		for _, c := range found.Containers {
			if c.Service != service {
				continue
			}
			there = true
			switch {
			case done[c.ID]:
			case c.State == "running" && c.Health != "unhealthy":
				running++
			case c.State == "running":
				running++
				reasons = append(reasons, c.Name+" is unhealthy")
			case service == topology.Init && found.Init != nil && found.Init.Problem != "":
				reasons = append(reasons, fmt.Sprintf("%s is %s: %s", c.Name, containerState(c), found.Init.Problem))
			default:
				reasons = append(reasons, c.Name+" is "+containerState(c))
			}
		}
		if !there {
			reasons = append(reasons, "service "+service+" has no container")
		}
	}
	if running == 0 {
		return down, reasons
	}
	for _, err := range unanswered {
		if err != nil {
			reasons = append(reasons, firstLine(err))
		}
	}
	if found.Orchestrator != nil {
		if ok, why := orchestrator.Serving(*found.Orchestrator); !ok {
			reasons = append(reasons, "the orchestrator does not serve: "+why)
		}
	}
	if found.Pair != nil && !found.Pair.Durable {
		reasons = append(reasons, found.Pair.Verdict)
	}
	// The engine's health checks learn of it later, and have room for less.
	if found.Logrotate != nil && !found.Logrotate.Healthy {
		for _, why := range found.Logrotate.Reasons {
			reasons = append(reasons, topology.Logrotate+": "+why)
		}
	}
	if found.Dumps != nil && !found.Dumps.Healthy {
		for _, why := range found.Dumps.Reasons {
			reasons = append(reasons, topology.DBDump+": "+why)
		}
	}
	if found.Archive != nil && !found.Archive.Healthy {
		for _, why := range found.Archive.Reasons {
			reasons = append(reasons, topology.DBArchive+": "+why)
		}
	}
	if len(reasons) > 0 {
		return unhealthy, slices.Compact(reasons)
	}
	return healthy, reasons
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
