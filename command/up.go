package command

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/inmanta/inmanta-docker/backup"
	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/lock"
	"github.com/inmanta/inmanta-docker/pair"
	"github.com/inmanta/inmanta-docker/plan"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/readiness"
	"github.com/inmanta/inmanta-docker/topology"
	"github.com/inmanta/inmanta-docker/ui"
)

// upOptions are the flags of up.
type upOptions struct {
	dryRun, noWait, removeOrphans bool
	timeout                       time.Duration
}

func (a *app) upVerb() *cobra.Command {
	var o upOptions
	var ignored bool
	verb := &cobra.Command{
		Use:   "up",
		Short: "Start the deployment and wait until the orchestrator serves",
		Long: `Start the deployment: check everything first and refuse all that is wrong at once;
then create, recreate and start what differs from the files; then wait until every
container is healthy and the orchestrator's API answers with all its parts running.

Containers always run in the background. The topology given with -f or --with is
remembered in .env.

Exit codes: 0 it serves; 1 it was refused or does not serve; 130 interrupted.
With --dry-run: 0 nothing to do; 2 there are changes.`,
		Args: wholeTopology,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.dryRun = o.dryRun || a.global.dryRun
			return a.up(cmd.Context(), o)
		},
	}
	flags := verb.Flags()
	flags.BoolVar(&o.dryRun, "dry-run", false, "Print what would be done and why, and do nothing")
	flags.BoolVar(&o.noWait, "no-wait", false, "Return as soon as everything is started")
	flags.DurationVar(&o.timeout, "timeout", 10*time.Minute, "How long to wait until the orchestrator serves")
	flags.BoolVar(&o.removeOrphans, "remove-orphans", false, "Remove containers of services that the topology no longer has")
	flags.BoolVarP(&ignored, "detach", "d", true, "As in docker compose; always the case here")
	flags.BoolVar(&ignored, "wait", true, "As in docker compose; always the case here unless --no-wait")
	a.jsonFlag(verb, "the plan (with --dry-run), the outcome, and progress")
	return verb
}

// up is the verb: each step takes what the one before it found.
func (a *app) up(ctx context.Context, o upOptions) error {
	u := a.ui()
	release := func() {}
	if !o.dryRun {
		var err error
		if release, err = a.turn(ctx, u); err != nil {
			return err
		}
	}
	defer func() { release() }()
	s, err := a.survey(ctx, u, o.removeOrphans)
	if err != nil {
		return err
	}
	defer s.engine.Close()
	if j, ok, err := backup.UnderWay(s.deployment.Dir); err != nil || ok && !o.dryRun {
		if err == nil {
			err = j.CutShort()
		}
		return err
	}
	for _, w := range s.warnings {
		u.Note(progress.Warning, w.Error()+": "+w.Fix)
	}
	if o.dryRun {
		return a.showPlan(u, s.plan)
	}
	if err := s.settle(u); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	report, stop := u.Progress()
	var result readiness.Result
	err = s.carryOut(limited, report)
	if !s.outlivesDatabase() {
		release() // nothing is changed any more
	}
	var both *pair.Status
	if err == nil && !o.noWait {
		result, both, err = s.await(limited, report)
	}
	stop()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return a.showFailure(limited, u, s, err)
	case o.noWait:
		u.Note(progress.Done, "started; whether it serves was not waited for: `inmanta-docker status` says it")
		return u.Err()
	}
	if err := a.resumeCutShort(ctx, u, s); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// It serves all the same.
		u.Note(progress.Warning, firstLine(err))
	}
	return a.showServing(ctx, u, s, result, both)
}

// turn waits until no other up is at work on the deployment: two at once would
// each make what the other is making. Where it cannot be told, it goes on.
func (a *app) turn(ctx context.Context, u *ui.UI) (release func(), err error) {
	// What is wrong with it is found when everything else is.
	if d, err := deployment.Open(a.request); err == nil {
		release, err := lock.Take(ctx, d.Dir, func() {
			u.Note(progress.Warning, "Another command is at work on this deployment, such as up or backup; waiting for it to be done.")
		})
		if err == nil || ctx.Err() != nil {
			return release, err
		}
	}
	return func() {}, nil
}

// outlivesDatabase says whether an orchestrator is left as it is that may have been
// started before its database.
func (s survey) outlivesDatabase() bool {
	return (s.changes(topology.Database) || s.changes(topology.Replica)) && !s.changes(topology.Orchestrator)
}

// await waits until the deployment serves. An orchestrator whose database was just
// made anew seems to do so for a moment, before it notices and ends.
func (s survey) await(ctx context.Context, report progress.Report) (result readiness.Result, both *pair.Status, err error) {
	result, both, err = s.awaitOnce(ctx, report)
	if err != nil || !s.outlivesDatabase() {
		return result, both, err
	}
	primary := topology.Database
	if both != nil {
		primary = both.Primary
	}
	if primary == "" {
		return result, both, nil // it is not known whose connections are gone
	}
	if renewed, err := s.renewOrchestrator(ctx, primary, report); err != nil || !renewed {
		return result, both, err
	}
	return s.awaitOnce(ctx, report)
}

// awaitOnce waits until the deployment seems to serve. Two databases are waited for
// until both are in step; where that is not so in time, such as when a large one is
// copied, the rest may serve all the same.
func (s survey) awaitOnce(ctx context.Context, report progress.Report) (result readiness.Result, both *pair.Status, err error) {
	if !s.hasPair() {
		result, err = readiness.Wait(ctx, s.engine.API(), s.watched(), report)
		return result, nil, err
	}
	group, waiting := errgroup.WithContext(ctx)
	if slices.ContainsFunc(s.stack.Project.ServiceNames(), func(service string) bool { return !slices.Contains(pairServices, service) }) {
		group.Go(func() (err error) {
			result, err = readiness.Wait(waiting, s.engine.API(), s.watched(), report)
			return err
		})
	}
	group.Go(func() error {
		found, err := s.awaitPair(waiting, report, func(now pair.Status) bool { return now.Durable })
		both = &found
		if errors.Is(err, context.DeadlineExceeded) && found.Primary != "" {
			return nil // it is on its way
		}
		return err
	})
	if err = group.Wait(); err == nil {
		// As they are by now: readiness may have been done long ago.
		result.Containers, err = readiness.Observe(context.WithoutCancel(ctx), s.engine.API(), s.stack.Project.Name)
	}
	return result, both, err
}

// watched is what readiness is to wait for.
func (s survey) watched() readiness.Stack {
	stack := readiness.Stack{Project: s.stack.Project.Name, Services: s.stack.Project.ServiceNames(), Secrets: s.secrets()}
	switch _, both := s.stack.Project.Services[topology.Replica]; {
	case s.hasPair():
		stack.Apart = pairServices // see await
	case !both:
		// One that is left over has nobody to follow.
		stack.Apart = []string{topology.Replica}
	}
	if _, ok := s.stack.Project.Services[topology.Orchestrator]; ok {
		stack.Orchestrator = topology.Orchestrator
	}
	return stack
}

// waitFor returns as soon as one service is ready for those that need it.
func (s survey) waitFor(ctx context.Context, service string, report progress.Report) error {
	_, err := readiness.WaitService(ctx, s.engine.API(), s.watched(), service, report)
	return err
}

// showFailure says why the deployment does not serve. A problem says so itself;
// what the engine or Compose refused with becomes a report first.
func (a *app) showFailure(ctx context.Context, u *ui.UI, s survey, err error) error {
	var failure *readiness.Report
	var known problem.Problem
	switch {
	case errors.As(err, &failure):
	case errors.As(err, &known):
		return err
	default:
		failure = readiness.Explain(ctx, s.engine.API(), s.watched(), err)
	}
	if a.json {
		u.Value(failure)
	} else {
		u.Report(failureSections(failure))
	}
	if err := u.Err(); err != nil {
		return err
	}
	return exit(ExitFailure)
}

// outcome is what up prints as JSON when the deployment serves.
type outcome struct {
	Serving bool   `json:"serving"`
	Project string `json:"project"`
	// URL is where the API can be reached; empty where that is not from here.
	URL     string `json:"url,omitempty"`
	Version string `json:"version,omitempty"`
	// Init is the init sidecar's last run; absent where none is on record.
	Init *lastRun `json:"init,omitempty"`
	// Pair is how the two databases are; absent where there is one.
	Pair       *pair.Status          `json:"pair,omitempty"`
	Containers []readiness.Container `json:"containers"`
}

// showServing prints what runs, in which version, and where to reach it.
func (a *app) showServing(ctx context.Context, u *ui.UI, s survey, result readiness.Result, both *pair.Status) error {
	found := outcome{Serving: true, Project: s.stack.Project.Name, URL: result.API.URL, Pair: both, Containers: result.Containers}
	product := ""
	if o := result.API.Status; o != nil {
		found.Version, product = o.Version, orchestratorLine(*o)
	}
	var err error
	if found.Init, err = s.lastRun(ctx, result.Containers); err != nil {
		u.Note(progress.Warning, firstLine(err))
	}
	if a.json {
		u.Value(found)
		return u.Err()
	}
	var rows []ui.Row
	for _, c := range result.Containers {
		version, where := "", ""
		switch c.Service {
		case topology.Orchestrator:
			version, where = product, found.URL
		case topology.SSH:
			where = sshAddress(c, s.engine.Host()).Command
		case topology.Code:
			where = s.codeURL(c)
		case topology.Database, topology.Replica:
			if both != nil {
				n, _ := both.Node(c.Service)
				where = n.Role
			}
		case topology.Init:
			if found.Init != nil {
				version, where = found.Init.version(), found.Init.outcome()
			}
		}
		rows = append(rows, ui.Row{Status: progress.Done, Cells: []string{c.Service, c.Name, c.Image, version, where}})
	}
	u.Table([]string{"SERVICE", "CONTAINER", "IMAGE", "VERSION", "WHERE"}, rows)
	if both != nil {
		u.Line(pairSentence(*both))
	}
	return u.Err()
}

// showPlan prints what up would do.
func (a *app) showPlan(u *ui.UI, p plan.Plan) error {
	if a.json {
		u.Value(p)
	} else {
		u.Line(p.String())
	}
	if err := u.Err(); err != nil {
		return err
	}
	if code := p.ExitCode(); code != plan.ExitNothing {
		return exit(code)
	}
	return nil
}

// settle stores what later commands need to find the same deployment.
func (s survey) settle(u *ui.UI) error {
	written, d, err := s.deployment.Materialise()
	for _, w := range written {
		u.Note(progress.Done, "wrote "+w.Path)
	}
	if err != nil {
		return err
	}
	if s.sidecar != nil {
		written, ok, err := s.sidecar.Place()
		if err != nil {
			return err
		}
		if ok {
			u.Note(progress.Done, "wrote "+written.Path)
		}
	}
	if d.FromStdin() {
		u.Note(progress.Warning, "A compose file from standard input is not remembered: later commands need it again (-f -).")
	}
	remembered, err := d.Remember()
	if err != nil {
		return err
	}
	if remembered {
		u.Note(progress.Done, "remembered the topology in "+d.EnvFiles[0].Path)
	}
	return nil
}
