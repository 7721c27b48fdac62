package command

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/engine"
	"github.com/inmanta/inmanta-docker/plan"
	"github.com/inmanta/inmanta-docker/preflight"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/readiness"
	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/topology"
	"github.com/inmanta/inmanta-docker/ui"
)

// survey is all that is known of a deployment, its host and its engine before
// anything is touched.
type survey struct {
	deployment deployment.Deployment
	stack      topology.Stack
	engine     *engine.Engine
	// sidecar is the sidecars' binary; nil where no service mounts it.
	sidecar  *deployment.Sidecar
	observed plan.Observed
	plan     plan.Plan
	warnings problem.List
}

// survey looks at everything, and refuses all that is wrong at once. What may
// take a while it shows on u. The caller closes the engine.
func (a *app) survey(ctx context.Context, u *ui.UI, removeOrphans bool) (survey, error) {
	d, err := deployment.Open(a.request)
	if err != nil {
		return survey{}, err
	}
	stack, loadErr := topology.Load(ctx, d)
	s := survey{deployment: d, stack: stack}
	if s.engine, err = a.engine(); err != nil {
		return s, err
	}
	report, stop := u.Progress()
	problems, err := s.examine(ctx, loadErr, removeOrphans, report)
	stop()
	if err != nil || len(problems) > 0 {
		return s, errors.Join(err, problems.OrNil(), s.engine.Close())
	}
	return s, nil
}

// examine finds all that is wrong, and the plan if nothing is.
func (s *survey) examine(ctx context.Context, loadErr error, removeOrphans bool, report progress.Report) (problem.List, error) {
	if loadErr != nil {
		problems, _ := preflight.Static(s.deployment, s.stack)
		if !s.explained(problems, loadErr) {
			problems = append(problems, problem.In(loadErr)...)
		}
		return append(problems, problem.In(s.engine.Ping(ctx))...), ctx.Err()
	}
	sidecarErr := s.findSidecar()
	var problems problem.List
	var observeErr error
	var group sync.WaitGroup
	group.Go(func() { problems, s.warnings = s.check(ctx, report) })
	group.Go(func() { s.observed, observeErr = plan.Observe(ctx, s.engine.API(), plan.QueryFor(s.stack.Project)) })
	group.Wait()
	problems = append(problem.In(sidecarErr), problems...)
	if ctx.Err() != nil || len(problems) > 0 {
		return problems, ctx.Err()
	}
	if observeErr != nil {
		return nil, observeErr
	}
	made, err := plan.Make(s.desired(removeOrphans), s.observed)
	s.plan = made
	return nil, err
}

// explained says whether a setting that was refused is why the files do not
// compose: then its problem says it better than the parser does.
func (s *survey) explained(problems problem.List, loadErr error) bool {
	for _, p := range problems {
		for _, setting := range settings.All {
			value, from, set := s.deployment.Setting(setting.Name)
			if set && p.Where == from.Place() && strings.Contains(loadErr.Error(), value) {
				return true
			}
		}
	}
	return false
}

// findSidecar looks at the sidecars' binary, if a service mounts it.
func (s *survey) findSidecar() error {
	dir := s.stack.Project.WorkingDir
	if !s.stack.Mounts(filepath.Join(dir, deployment.SidecarFile)) {
		return nil
	}
	found, err := deployment.FindSidecar(dir, sidecarBinary())
	s.sidecar = &found
	return err
}

// program is the sidecars' binary as containers mount it.
func (s survey) program() plan.Program {
	if s.sidecar == nil || s.sidecar.Digest == "" {
		return plan.Program{}
	}
	return plan.Program{Path: s.sidecar.Path, Digest: s.sidecar.Digest, Since: s.sidecar.Since}
}

// desired is what the files say, for a plan.
func (s survey) desired(removeOrphans bool) plan.Desired {
	return plan.Desired{
		Project: s.stack.Project, Provenance: s.stack.Settings, Secret: settings.IsSecret,
		OneShot: isOneShot, Program: s.program(), RemoveOrphans: removeOrphans, Now: time.Now(),
	}
}

// isOneShot says what readiness says of the service's containers later.
func isOneShot(service types.ServiceConfig) bool {
	return service.Labels[readiness.OneShotLabel] == "true"
}

// check is preflight on an engine that answers.
func (s *survey) check(ctx context.Context, report progress.Report) (problems, warnings problem.List) {
	facts, unknown := preflight.Gather(ctx, s.engine, s.stack, s.deployment, report)
	facts.Sidecar = s.sidecar
	problems, warnings = preflight.Check(s.deployment, s.stack, facts)
	return append(unknown, problems...), warnings
}
