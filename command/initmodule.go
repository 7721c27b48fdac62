package command

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/inmanta/inmanta-docker/plan"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/readiness"
	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
	"github.com/inmanta/inmanta-docker/topology"
	"github.com/inmanta/inmanta-docker/ui"
)

func (a *app) initModuleVerb() *cobra.Command {
	var again bool
	var timeout time.Duration
	verb := &cobra.Command{
		Use:   "init-module",
		Short: "Run the init sidecar: initialise the orchestrator with a module's test case",
		Long: `Run the init sidecar, which initialises the orchestrator with a module's test case,
and wait until it is done. It does nothing when the orchestrator was initialised with
the same commit and the same arguments before; --again runs the test case all the same.
Nothing else of the deployment is touched: its other containers must run.

Exit codes: 0 it is initialised; 1 it was refused, or it is not; 130 interrupted.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.initModule(cmd.Context(), again, timeout) },
	}
	verb.Flags().BoolVar(&again, "again", false, "Run it although nothing has changed since the last time")
	verb.Flags().DurationVar(&timeout, "timeout", 30*time.Minute, "How long to wait until it is done")
	a.jsonFlag(verb, "the run")
	return verb
}

func (a *app) initModule(ctx context.Context, again bool, timeout time.Duration) error {
	u := a.ui()
	release, err := a.turn(ctx, u)
	if err != nil {
		return err
	}
	defer func() { release() }()
	s, err := a.survey(ctx, u, false)
	if err != nil {
		return err
	}
	defer s.engine.Close()
	for _, w := range s.warnings {
		u.Note(progress.Warning, w.Error()+": "+w.Fix)
	}
	if err := s.mayInitialise(again); err != nil {
		return err
	}
	if err := s.settle(u); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	report, stop := u.Progress()
	var result readiness.Result
	err = s.startInit(limited, again, report)
	release() // nothing is changed any more
	if err == nil {
		result, err = readiness.WaitService(limited, s.engine.API(), s.watched(), topology.Init, report)
	}
	stop()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return a.showFailure(limited, u, s, err)
	}
	return a.showRun(ctx, u, s, result)
}

// mayInitialise says why the init sidecar cannot be run now.
func (s survey) mayInitialise(again bool) error {
	if _, ok := s.stack.Project.Services[topology.Init]; !ok {
		return noSidecar(s.deployment, topology.Init)
	}
	running := map[string]bool{}
	for _, c := range s.observed.Containers {
		if !c.OneOff && c.State == "running" {
			running[c.Service] = true
		}
	}
	switch {
	case again && running[topology.Init]:
		return problem.Problem{
			ID: "init-running", Where: s.deployment.Dir, What: "the init sidecar is at work already",
			Fix: "wait until it is done (inmanta-docker init-module does), or end it: inmanta-docker stop " + topology.Init,
		}
	case !running[topology.Orchestrator]:
		return problem.Problem{
			ID: "orchestrator-down", Where: s.deployment.Dir, What: "the orchestrator does not run, so there is nothing to initialise",
			Fix: "start the deployment, the init sidecar included: inmanta-docker up",
		}
	}
	return nil
}

// startInit starts the init sidecar's container, made anew where the files say
// something else by now.
func (s survey) startInit(ctx context.Context, again bool, report progress.Report) error {
	services := []string{topology.Init}
	marked := plan.Mark(s.stack.Project, s.program())
	if err := s.prepare(ctx, services, report); err != nil {
		return err
	}
	if again {
		// The sidecar looks for this file before it looks at anything else.
		if err := s.engine.Create(ctx, marked, services, report); err != nil {
			return err
		}
		containers, err := s.engine.Containers(ctx, s.stack.Project.Name)
		if err != nil {
			return err
		}
		for _, c := range containers {
			if c.Service != topology.Init {
				continue
			}
			if err := s.engine.WriteFile(ctx, c.ID, initrecord.Folder, initrecord.Again, nil); err != nil {
				return err
			}
		}
	}
	return s.engine.Up(ctx, marked, services, report)
}

// showRun prints what the init sidecar did.
func (a *app) showRun(ctx context.Context, u *ui.UI, s survey, result readiness.Result) error {
	run, err := s.lastRun(ctx, result.Containers)
	if err != nil {
		return err
	}
	switch {
	case run == nil: // the user's own, perhaps
		u.Note(progress.Done, "done")
	case a.json:
		u.Value(run)
	default:
		u.KeyValues([]ui.Fact{{Key: "init", Value: run.line(time.Now())}})
	}
	return u.Err()
}
