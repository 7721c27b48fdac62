package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/inmanta/inmanta-docker/pair"
	"github.com/inmanta/inmanta-docker/plan"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/readiness"
	"github.com/inmanta/inmanta-docker/topology"
	"github.com/inmanta/inmanta-docker/ui"
)

func (a *app) dbVerb() *cobra.Command {
	verb := &cobra.Command{
		Use:   "db",
		Short: "Look after two databases, or bring one back as it was at a moment",
		Long: `Look after the two databases of docker-compose.db-replica.yml, of which one is the
primary and the other its standby: how they are, which is which, and what to do
when one of them is gone. None is ever promoted without being told to.

Or bring the one of docker-compose.db-archive.yml back as it was at a moment: recover.`,
		SuggestionsMinimumDistance: 2,
		RunE:                       a.verbOf,
	}
	status := &cobra.Command{
		Use:   "status",
		Short: "Show both databases, and whether every commit is stored by both",
		Long: `Show both databases: their roles, timelines and positions, how far the standby is
behind, and in one sentence whether every commit is stored by both before it is
acknowledged, and what to do where it is not.

Exit codes: 0 every commit is stored by both; 1 it is not, or it could not be found out.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.dbStatus(cmd.Context()) },
	}
	a.jsonFlag(status, "both")
	var acceptLoss bool
	failover := &cobra.Command{
		Use:   "failover",
		Short: "Make the standby the primary, whose primary is gone",
		Long: `Make the standby the primary, whose primary is gone. It is refused while there is a
primary that runs: switchover is for that, and loses nothing.

The old primary is stopped first if its container still runs without serving, and it
is made sure that nothing runs on its volume. A standby is only promoted if it has a
durable note that it has all that its primary acknowledged: then nothing is lost. Of
one that has not, or whose primary was run without it, some of what was acknowledged
may be missing: that takes --accept-data-loss, and what is given up is printed.

Nothing is written before the other database is back: inmanta-docker db rejoin.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.failover(cmd.Context(), acceptLoss) },
	}
	failover.Flags().BoolVar(&acceptLoss, "accept-data-loss", false, "Promote it although what the old primary acknowledged may be lost for good")
	verb.AddCommand(status, failover, a.dbCertificatesVerb(), a.recoverVerb(),
		&cobra.Command{
			Use:   "switchover",
			Short: "Have primary and standby change places; nothing is lost",
			Long: `Have primary and standby change places, and wait until every commit is stored by both
again and the orchestrator, which is restarted, serves. Nothing is lost, and commits
wait meanwhile. It is refused unless both run and are in step.`,
			Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return a.switchover(cmd.Context()) },
		},
		&cobra.Command{
			Use:   "rejoin",
			Short: "Start the database that is down, and wait until both are in step",
			Long: `Start the database that is down, and wait until every commit is stored by both. It
finds out by itself whether it can go on from where it is or has to be copied anew;
what it had is kept until the copy is in step.`,
			Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return a.rejoin(cmd.Context()) },
		},
		&cobra.Command{
			Use:   "reinit NODE",
			Short: "Copy the standby anew from the primary, and wait until both are in step",
			Long: `Copy the standby (db or db-replica) anew from the primary, and wait until every commit
is stored by both. Commits wait meanwhile. It is refused on the primary.`,
			Example: "  inmanta-docker db reinit db-replica",
			Args:    cobra.ExactArgs(1),
			RunE:    func(cmd *cobra.Command, args []string) error { return a.reinit(cmd.Context(), args[0]) },
		},
	)
	return verb
}

// pairSurvey is the deployment, which has two databases, and how they are. The
// caller closes the survey's engine.
func (a *app) pairSurvey(ctx context.Context) (survey, pair.Status, error) {
	d, stack, err := a.open(ctx)
	if err != nil {
		return survey{}, pair.Status{}, err
	}
	s := survey{deployment: d, stack: stack}
	if !s.hasPair() {
		return s, pair.Status{}, problem.Problem{
			ID: "no-replica", Where: d.Dir, What: "this deployment has one database, and no other to stand in for it",
			Fix: "add it: " + upWith(d, topology.Replica),
		}
	}
	if s.engine, err = a.reach(ctx); err != nil {
		return s, pair.Status{}, err
	}
	found, err := s.pair(ctx)
	if err != nil {
		return s, pair.Status{}, errors.Join(err, s.engine.Close())
	}
	return s, found, nil
}

func (a *app) dbStatus(ctx context.Context) error {
	s, found, err := a.pairSurvey(ctx)
	if err != nil {
		return err
	}
	defer s.engine.Close()
	u := a.ui()
	if a.json {
		u.Value(found)
	} else {
		showPair(u, found, time.Now())
	}
	if err := u.Err(); err != nil {
		return err
	}
	if !found.Durable {
		return exit(ExitFailure)
	}
	return nil
}

// changePair does something with the pair while no up is at work.
func (a *app) changePair(ctx context.Context, change func(u *ui.UI, s survey, found pair.Status, report progress.Report) error) error {
	u := a.ui()
	release, err := a.turn(ctx, u)
	if err != nil {
		return err
	}
	defer release()
	s, found, err := a.pairSurvey(ctx)
	if err != nil {
		return err
	}
	defer s.engine.Close()
	report, stop := u.Progress()
	defer stop()
	if err := change(u, s, found, report); err != nil {
		stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return a.showPairFailure(ctx, u, s, err)
	}
	return u.Err()
}

// showPairFailure says why something was not done; of the orchestrator that does
// not serve, with all that is known.
func (a *app) showPairFailure(ctx context.Context, u *ui.UI, s survey, err error) error {
	var known problem.Problem
	if errors.As(err, &known) {
		return err
	}
	return a.showFailure(ctx, u, s, err)
}

// settledPair waits until every commit is stored by both and the orchestrator, if
// there is one, serves; since is when that began to be otherwise, and changed that
// another node has become the primary.
func (s survey) settledPair(ctx context.Context, u *ui.UI, since time.Time, changed bool, report progress.Report, done func(pair.Status) bool) error {
	group, waiting := errgroup.WithContext(ctx)
	group.Go(func() error {
		now, err := s.awaitPair(waiting, report, func(now pair.Status) bool { return now.Durable && done(now) })
		if err != nil {
			return err
		}
		u.Note(progress.Done, fmt.Sprintf("every commit is stored by both (%s)", took(since)))
		if changed {
			return nil // it is being seen to
		}
		return s.followPrimary(waiting, u, since, now.Primary, report)
	})
	if changed {
		group.Go(func() error { return s.followPrimary(waiting, u, since, "", report) })
	}
	return group.Wait()
}

// followPrimary waits until the orchestrator serves, as renewOrchestrator has it.
func (s survey) followPrimary(ctx context.Context, u *ui.UI, since time.Time, primary string, report progress.Report) error {
	if _, ok := s.stack.Project.Services[topology.Orchestrator]; !ok {
		return nil
	}
	if _, err := s.renewOrchestrator(ctx, primary, report); err != nil {
		return err
	}
	if err := s.waitFor(ctx, topology.Orchestrator, report); err != nil {
		return err
	}
	u.Note(progress.Done, fmt.Sprintf("the orchestrator serves (%s)", took(since)))
	return nil
}

// renewOrchestrator restarts an orchestrator that was started before the primary's
// container, or whatever it was started before if there is a new primary and none
// is named, and says whether there was one: its connections are gone. It would find
// out within seconds and end by itself, and until then seems to serve.
func (s survey) renewOrchestrator(ctx context.Context, primary string, report progress.Report) (renewed bool, err error) {
	containers, err := readiness.Observe(ctx, s.engine.API(), s.stack.Project.Name)
	if err != nil {
		return false, err
	}
	var since time.Time
	for _, c := range containers {
		if c.Service == primary {
			since = c.Started
		}
	}
	for _, c := range containers {
		if c.Service != topology.Orchestrator || c.State != "running" || primary != "" && c.Started.After(since) {
			continue
		}
		event := progress.Event{ID: "Container " + c.Name, Text: "Restarting", Detail: "its database is another one now", Status: progress.Working}
		report(event)
		if err := s.engine.Restart(ctx, c.ID); err != nil {
			return renewed, err
		}
		event.Text, event.Detail, event.Status = "Restarted", "", progress.Done
		report(event)
		renewed = true
	}
	return renewed, nil
}

// took is how long something took so far.
func took(since time.Time) string { return fmt.Sprintf("after %.1fs", time.Since(since).Seconds()) }

func (a *app) switchover(ctx context.Context) error {
	return a.changePair(ctx, func(u *ui.UI, s survey, found pair.Status, report progress.Report) error {
		from, to, err := found.Switchover()
		if err != nil {
			return err
		}
		report(progress.Event{ID: "Switchover", Text: "Working", Detail: from.Name + " hands over to " + to.Name, Status: progress.Working})
		began := time.Now()
		if err := s.order(ctx, from, "switchover"); err != nil {
			return err
		}
		report(progress.Event{ID: "Switchover", Text: "Done", Status: progress.Done})
		u.Note(progress.Done, fmt.Sprintf("%s is the primary (%s)", to.Name, took(began)))
		return s.settledPair(ctx, u, began, true, report, func(now pair.Status) bool { return now.Primary == to.Name })
	})
}

func (a *app) failover(ctx context.Context, acceptLoss bool) error {
	return a.changePair(ctx, func(u *ui.UI, s survey, found pair.Status, report progress.Report) error {
		to, gone, err := found.Failover()
		if err != nil {
			return err
		}
		began := time.Now()
		if err := s.fence(ctx, gone, report); err != nil {
			return err
		}
		left, err := s.inspectVolume(ctx, gone.Name)
		if err != nil {
			return err
		}
		loss, lossy, err := pair.Loss(to, gone, left)
		switch {
		case err != nil:
			return err
		case lossy && !acceptLoss:
			return problem.Problem{
				ID: "data-loss", Where: to.Name, What: loss,
				Fix: fmt.Sprintf("start %s if there is any way to (inmanta-docker db rejoin), which loses nothing; only if it is gone for good, and what it has more is to be LOST, say so: inmanta-docker db failover --accept-data-loss", gone.Name),
			}
		}
		order := []string{"failover", "--primary-is-dead"}
		if lossy {
			u.Note(progress.Warning, "GIVEN UP for good: "+loss)
			order = append(order, "--accept-data-loss")
		}
		report(progress.Event{ID: "Failover", Text: "Working", Detail: to.Name + " takes over", Status: progress.Working})
		if err := s.order(ctx, to, order...); err != nil {
			return err
		}
		report(progress.Event{ID: "Failover", Text: "Done", Status: progress.Done})
		u.Note(progress.Done, fmt.Sprintf("%s is the primary (%s)", to.Name, took(began)))
		if _, err := s.renewOrchestrator(ctx, "", report); err != nil {
			return err
		}
		u.Note(progress.Warning, fmt.Sprintf("Nothing is acknowledged before %s is back, as a copy of %s: inmanta-docker db rejoin", gone.Name, to.Name))
		return nil
	})
}

func (a *app) rejoin(ctx context.Context) error {
	return a.changePair(ctx, func(u *ui.UI, s survey, found pair.Status, report progress.Report) error {
		began := time.Now()
		up := 0
		for _, n := range found.Nodes {
			if n.ContainerState == "running" || n.ContainerState == pair.Elsewhere {
				up++
			}
		}
		if up == 0 {
			return problem.Problem{ID: "no-rejoin", Where: s.deployment.Dir, What: found.Verdict, Fix: found.Fix}
		}
		for _, n := range found.Nodes {
			if err := s.start(ctx, n, report); err != nil {
				return err
			}
		}
		return s.settledPair(ctx, u, began, false, report, func(pair.Status) bool { return true })
	})
}

// start has a node run that is down; one that has no container is given one.
func (s survey) start(ctx context.Context, n pair.Node, report progress.Report) error {
	event := progress.Event{ID: "Container " + n.Container, Text: "Starting", Status: progress.Working}
	begin := s.engine.Start
	switch n.ContainerState {
	case "running", "restarting", pair.Elsewhere:
		return nil
	case pair.Absent:
		if err := s.findSidecar(); err != nil {
			return err
		}
		return s.engine.Up(ctx, plan.Mark(s.stack.Project, s.program()), []string{n.Name}, report)
	case "paused":
		event.Text, begin = "Unpausing", s.engine.Unpause
	}
	report(event)
	if err := begin(ctx, n.Container); err != nil {
		return err
	}
	event.Text, event.Status = "Started", progress.Done
	report(event)
	return nil
}

func (a *app) reinit(ctx context.Context, name string) error {
	return a.changePair(ctx, func(u *ui.UI, s survey, found pair.Status, report progress.Report) error {
		node, err := found.Reinit(name)
		if err != nil {
			return err
		}
		began := time.Now()
		if err := s.order(ctx, node, "reinit"); err != nil {
			return err
		}
		// It has given up its note by now; where commits do not wait it never has
		// one, and is seen to be copied.
		left := false
		return s.settledPair(ctx, u, began, false, report, func(now pair.Status) bool {
			n, _ := now.Node(name)
			left = left || n.State != pair.Following
			return n.State == pair.Following && (n.InStep || left)
		})
	})
}
