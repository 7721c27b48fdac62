package command

import (
	"context"
	"sync"
	"time"

	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/engine"
	"github.com/inmanta/inmanta-docker/plan"
	"github.com/inmanta/inmanta-docker/preflight"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/topology"
)

// survey is all that is known of a deployment, its host and its engine before
// anything is touched.
type survey struct {
	deployment deployment.Deployment
	stack      topology.Stack
	engine     *engine.Engine
	observed   plan.Observed
	plan       plan.Plan
	warnings   problem.List
}

// survey looks at everything, and refuses all that is wrong at once. The caller
// closes the engine.
func (a *app) survey(ctx context.Context, removeOrphans bool) (survey, error) {
	d, err := deployment.Open(a.request)
	if err != nil {
		return survey{}, err
	}
	stack, loadErr := topology.Load(ctx, d)
	s := survey{deployment: d, stack: stack}
	var engineErr error
	s.engine, engineErr = a.reach(ctx)
	if loadErr != nil || engineErr != nil {
		problems, _ := preflight.Static(d, stack)
		// A setting that cannot be is often why the files do not compose; then
		// it says so better than the parser.
		if len(problems) == 0 {
			problems = problem.In(loadErr)
		}
		if engineErr == nil {
			engineErr = s.engine.Close()
		}
		return s, append(problems, problem.In(engineErr)...)
	}
	var problems problem.List
	var observeErr error
	var group sync.WaitGroup
	group.Go(func() { problems, s.warnings = check(ctx, s.engine, d, stack) })
	group.Go(func() { s.observed, observeErr = plan.Observe(ctx, s.engine.API(), plan.QueryFor(stack.Project)) })
	group.Wait()
	if observeErr != nil {
		problems = append(problems, problem.In(observeErr)...)
	}
	if len(problems) == 0 {
		var err error
		s.plan, err = plan.Make(s.desired(removeOrphans), s.observed)
		problems = problem.In(err)
	}
	if len(problems) > 0 {
		s.engine.Close()
		return s, problems
	}
	return s, nil
}

// desired is what the files say, for a plan.
func (s survey) desired(removeOrphans bool) plan.Desired {
	return plan.Desired{
		Project: s.stack.Project, Provenance: s.stack.Settings, Secret: settings.IsSecret,
		RemoveOrphans: removeOrphans, Now: time.Now(),
	}
}

// check is preflight on an engine that answers.
func check(ctx context.Context, e *engine.Engine, d deployment.Deployment, stack topology.Stack) (problems, warnings problem.List) {
	facts, unknown := preflight.Gather(ctx, e, stack, d)
	problems, warnings = preflight.Check(d, stack, facts)
	return append(unknown, problems...), warnings
}
