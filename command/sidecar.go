package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/readiness"
)

// sidecarPath is where the sidecars' binary is in their containers.
const sidecarPath = "/usr/local/bin/" + deployment.SidecarFile

// sidecarUser is the user that sidecars serve, and are asked as.
const sidecarUser = "inmanta"

// sidecar finds the container of a sidecar, by its service: one that runs, well
// or not. The caller closes the survey's engine.
func (a *app) sidecar(ctx context.Context, service string) (survey, readiness.Container, error) {
	fail := func(err error) (survey, readiness.Container, error) {
		return survey{}, readiness.Container{}, err
	}
	d, stack, err := a.open(ctx)
	if err != nil {
		return fail(err)
	}
	if _, ok := stack.Project.Services[service]; !ok {
		return fail(noSidecar(d, service))
	}
	e, err := a.reach(ctx)
	if err != nil {
		return fail(err)
	}
	s := survey{deployment: d, stack: stack, engine: e}
	c, err := s.runningSidecar(ctx, service)
	if err != nil {
		return fail(errors.Join(err, e.Close()))
	}
	return s, c, nil
}

// noSidecar is the problem that the topology has no such sidecar.
func noSidecar(d deployment.Deployment, service string) problem.Problem {
	return problem.Problem{
		ID: "no-" + service + "-sidecar", Where: d.Dir, What: "this deployment has no " + service + " sidecar",
		Fix: "add it: " + upWith(d, service),
	}
}

// upWith is the command that adds an overlay to a deployment.
func upWith(d deployment.Deployment, overlay string) string {
	return fmt.Sprintf("inmanta-docker %s -f %s up", fileFlags(d), deployment.OverlayFile(overlay))
}

// upAgain is the command that starts a deployment as this command line has it:
// what is chosen on it is remembered by up alone.
func upAgain(d deployment.Deployment) string {
	if !d.Chosen {
		return "inmanta-docker up"
	}
	return "inmanta-docker " + fileFlags(d) + " up"
}

// fileFlags are the flags that choose the deployment's topology.
func fileFlags(d deployment.Deployment) string {
	var flags []string
	for _, f := range d.Files {
		flags = append(flags, "-f "+f.Name())
	}
	return strings.Join(flags, " ")
}

// runningSidecar is the container of a sidecar, which runs.
func (s survey) runningSidecar(ctx context.Context, service string) (readiness.Container, error) {
	containers, err := readiness.Observe(ctx, s.engine.API(), s.stack.Project.Name)
	if err != nil {
		return readiness.Container{}, err
	}
	down := problem.Problem{
		ID: service + "-down", Where: s.deployment.Dir, What: "the " + service + " sidecar has no container", Fix: "start it: " + upAgain(s.deployment),
	}
	for _, c := range containers {
		if c.Service != service {
			continue
		}
		down.Where = c.Name
		switch c.State {
		case "running":
			return c, nil
		case "paused":
			down.What, down.Fix = "the "+service+" sidecar is paused", "docker unpause "+c.Name
		default:
			down.What = "the " + service + " sidecar does not run: it is " + containerState(c)
		}
		return c, down
	}
	return readiness.Container{}, down
}

// unhealthySidecar is the problem that a sidecar which runs is not well, as far
// as the engine knows; nil where it is, or is only just starting.
func unhealthySidecar(c readiness.Container) error {
	if c.Health != "unhealthy" {
		return nil
	}
	p := problem.Problem{
		ID: c.Service + "-unhealthy", Where: c.Name, What: "the " + c.Service + " sidecar is unhealthy",
		Fix: "see what it says: inmanta-docker logs " + c.Service,
	}
	if len(c.Probes) > 0 && c.Probes[len(c.Probes)-1].Output != "" {
		p.What += ": " + c.Probes[len(c.Probes)-1].Output
	}
	return p
}

// settled returns once a sidecar that is only just starting is ready, or why it
// does not become so soon.
func (s survey) settled(ctx context.Context, c readiness.Container) error {
	if c.Health != "starting" {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.waitFor(limited, c.Service, progress.Discard)
}
