package command

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/containerd/errdefs"

	"github.com/inmanta/inmanta-docker/database"
	"github.com/inmanta/inmanta-docker/plan"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/topology"
)

// carryOut makes the engine run what the plan says, wave by wave: a wave begins
// when those before it are ready, which is found out by trying and not by
// waiting for the engine's next health check. The database's password is tried
// before anything that needs it is touched.
func (s survey) carryOut(ctx context.Context, report progress.Report) error {
	if s.has(plan.Image, plan.Pull) {
		if err := s.engine.Pull(ctx, s.stack.Project, report); err != nil {
			return err
		}
	}
	taken, err := s.takeCodeServer(ctx, report)
	if err != nil {
		return err
	}
	if taken && !s.changes(topology.Code) {
		if err := s.renewCode(ctx, report); err != nil {
			return err
		}
	}
	if s.plan.Empty() {
		return nil
	}
	tried, err := s.tryRunning(ctx)
	if err != nil {
		return err
	}
	for _, n := range s.plan.Nodes {
		if n.Kind == plan.Network && n.Action == plan.Remove {
			if err := s.engine.RemoveNetwork(ctx, n.Name); err != nil {
				return err
			}
		}
	}
	all := s.stack.Project.ServiceNames()
	if s.has(plan.Network, plan.Recreate) {
		// A network can only go when nobody is on it any more.
		if err := s.prepare(ctx, all, report); err != nil {
			return err
		}
	}
	marked := plan.Mark(s.stack.Project, s.program())
	for _, wave := range topology.Waves(s.stack.Project) {
		changing := slices.DeleteFunc(slices.Clone(wave), func(service string) bool { return !s.changes(service) })
		if len(changing) == 0 {
			continue
		}
		for _, needed := range s.needs(changing) {
			serving, err := s.ready(ctx, needed, report)
			if err != nil {
				return err
			}
			if needed == topology.Database && !tried {
				tried = true
				if err := s.tryPassword(ctx, serving); err != nil {
					return err
				}
			}
		}
		if err := s.prepare(ctx, changing, report); err != nil {
			return err
		}
		if err := s.engine.Up(ctx, marked, changing, report); err != nil {
			return err
		}
		for _, beyond := range []bool{false, true} {
			if err := s.each(ctx, changing, plan.Restart, beyond, report, "Restarting", "Restarted", s.engine.Restart); err != nil {
				return err
			}
		}
	}
	if err := s.prepare(ctx, slices.DeleteFunc(all, s.changes), report); err != nil {
		return err
	}
	return s.each(ctx, nil, plan.Remove, false, report, "Removing", "Removed", s.engine.Remove)
}

// has says whether the plan does that to anything of that kind.
func (s survey) has(kind plan.Kind, action plan.Action) bool {
	return slices.ContainsFunc(s.plan.Nodes, func(n plan.Node) bool { return n.Kind == kind && n.Action == action })
}

// changes says whether the plan does anything to the service's containers.
func (s survey) changes(service string) bool {
	return slices.ContainsFunc(s.plan.Nodes, func(n plan.Node) bool {
		return n.Kind == plan.Container && n.Key == service && n.Action != plan.Leave && n.Action != plan.Remove
	})
}

// needs are the services that must be ready before those of a wave may start. Of
// one that only has to be started, the wave before has seen to that.
func (s survey) needs(wave []string) []string {
	var needs []string
	for _, service := range wave {
		for need, how := range s.stack.Project.Services[service].DependsOn {
			if _, ok := s.stack.Project.Services[need]; ok && how.Condition != types.ServiceConditionStarted && !slices.Contains(needs, need) {
				needs = append(needs, need)
			}
		}
	}
	slices.Sort(needs)
	return needs
}

// prepare does what Compose would not do by itself, so that it then does the
// rest: containers that are to go, or to be made anew, for a reason that it does
// not see are removed, and paused ones go on. What is done already is not done
// twice.
func (s survey) prepare(ctx context.Context, services []string, report progress.Report) error {
	for _, action := range []plan.Action{plan.Remove, plan.Recreate} {
		if err := s.each(ctx, services, action, true, report, "Removing", "Removed", s.engine.Remove); err != nil {
			return err
		}
	}
	return s.each(ctx, services, plan.Start, true, report, "Unpausing", "Unpaused", s.engine.Unpause)
}

// each does something to every container of the services (nil: whatever its
// service) for which the plan has the action.
func (s survey) each(ctx context.Context, services []string, action plan.Action, beyond bool, report progress.Report,
	doing, done string, do func(ctx context.Context, container string) error,
) error {
	for _, n := range s.plan.Nodes {
		if n.Kind != plan.Container || n.Action != action || n.BeyondCompose != beyond || services != nil && !slices.Contains(services, n.Key) {
			continue
		}
		event := progress.Event{ID: "Container " + n.Name, Text: doing, Status: progress.Working}
		report(event)
		if err := do(ctx, n.Name); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
		event.Text, event.Status = done, progress.Done
		report(event)
	}
	return nil
}

// tryRunning tries the password on a database that runs already, before
// anything is touched. One that does not answer, such as one that is only just
// starting or about to end, has not been tried.
func (s survey) tryRunning(ctx context.Context) (tried bool, err error) {
	for _, c := range s.observed.Containers {
		if c.Service == topology.Database && !c.OneOff && c.State == "running" {
			err := s.tryPassword(ctx, c.Service)
			if err != nil && !errors.Is(err, database.ErrPassword) {
				return false, ctx.Err()
			}
			return true, err
		}
	}
	return false, nil
}

// tryPassword makes sure that the configured password opens the database, if its
// container is here.
func (s survey) tryPassword(ctx context.Context, service string) error {
	config, ok := s.stack.Project.Configs[topology.PasswordConfig]
	if !ok {
		return nil // the operator's own files say it in some other way
	}
	containers, err := s.engine.Containers(ctx, s.stack.Project.Name)
	if err != nil {
		return err
	}
	for _, c := range containers {
		if c.Service != service || c.State != "running" {
			continue
		}
		err := database.Login(ctx, s.engine, c.ID, c.ID[:12], config.Content)
		if errors.Is(err, database.ErrPassword) {
			return s.wrongPassword(err)
		}
		return err
	}
	return nil
}

func (s survey) wrongPassword(err error) problem.Problem {
	where := settings.DatabasePassword
	if _, from, ok := s.deployment.Setting(settings.DatabasePassword); ok {
		where = from.Place()
	}
	volume := s.stack.Project.Volumes["inmanta-db-data"].Name
	return problem.Problem{
		ID: "database-password", Where: where,
		What: fmt.Sprintf("the database refuses this password: volume %s was made with another; the orchestrator was not touched", volume),
		Fix: fmt.Sprintf("set %s to the password the volume was made with (\"inmanta\" if none was ever set), or change it in the database: "+
			"`inmanta-docker exec db psql -U %s -c '\\password'`", settings.DatabasePassword, database.User),
		Err: err,
	}
}
