package engine

import (
	"context"
	"fmt"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/containerd/errdefs"
	"github.com/docker/compose/v5/pkg/api"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/progress"
)

// Up creates, recreates and starts the named services of the project, and no
// other: what they need must run already.
func (e *Engine) Up(ctx context.Context, project *types.Project, services []string, report progress.Report) error {
	needed, create, service, err := e.making(project, services, report)
	if err != nil {
		return err
	}
	alone, err := project.WithSelectedServices(services, types.IgnoreDependencies)
	if err != nil {
		return err
	}
	return service.Up(ctx, needed, api.UpOptions{Create: create, Start: api.StartOptions{Project: alone, Services: services}})
}

// Create is the first half of Up: the containers are there then, and those that
// are new or different are not started.
func (e *Engine) Create(ctx context.Context, project *types.Project, services []string, report progress.Report) error {
	needed, create, service, err := e.making(project, services, report)
	if err != nil {
		return err
	}
	return service.Create(ctx, needed, create)
}

// making is how Compose makes the containers of those services. They are made
// with what they need in sight, which Compose notes in their labels for whoever
// asks later what waits for what; and started without, or Compose would wait for
// the engine's own health checks.
func (e *Engine) making(project *types.Project, services []string, report progress.Report) (*types.Project, api.CreateOptions, api.Compose, error) {
	needed, err := project.WithSelectedServices(services)
	if err != nil {
		return nil, api.CreateOptions{}, nil, err
	}
	service, err := e.Compose(report)
	if err != nil {
		return nil, api.CreateOptions{}, nil, err
	}
	return needed, api.CreateOptions{
		Services: services, Recreate: api.RecreateDiverged, RecreateDependencies: api.RecreateNever,
		IgnoreOrphans: true, Inherit: true,
	}, service, nil
}

// Pull fetches the images of the project that are not there, as each service's
// pull policy says.
func (e *Engine) Pull(ctx context.Context, project *types.Project, report progress.Report) error {
	service, err := e.Compose(report)
	if err != nil {
		return err
	}
	return service.Pull(ctx, project, api.PullOptions{})
}

// Remove stops and removes one container, leaving its named volumes. Its
// service's own grace period holds.
func (e *Engine) Remove(ctx context.Context, id string) error {
	if _, err := e.API().ContainerStop(ctx, id, client.ContainerStopOptions{}); err != nil {
		return fmt.Errorf("stopping container %s: %w", id, err)
	}
	if _, err := e.API().ContainerRemove(ctx, id, client.ContainerRemoveOptions{}); err != nil {
		return fmt.Errorf("removing container %s: %w", id, err)
	}
	return nil
}

// RemoveNetwork removes a network that no container is on.
func (e *Engine) RemoveNetwork(ctx context.Context, id string) error {
	if _, err := e.API().NetworkRemove(ctx, id, client.NetworkRemoveOptions{}); err != nil {
		return fmt.Errorf("removing network %s: %w", id, err)
	}
	return nil
}

// Unpause lets a paused container go on.
func (e *Engine) Unpause(ctx context.Context, id string) error {
	if _, err := e.API().ContainerUnpause(ctx, id, client.ContainerUnpauseOptions{}); err != nil {
		return fmt.Errorf("unpausing container %s: %w", id, err)
	}
	return nil
}

// Start starts a container that is there and does not run.
func (e *Engine) Start(ctx context.Context, id string) error {
	if _, err := e.API().ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
		return fmt.Errorf("starting container %s: %w", id, err)
	}
	return nil
}

// Stop stops a container, and kills it when its service's own grace period is over.
func (e *Engine) Stop(ctx context.Context, id string) error {
	if _, err := e.API().ContainerStop(ctx, id, client.ContainerStopOptions{}); err != nil {
		return fmt.Errorf("stopping container %s: %w", id, err)
	}
	return nil
}

// Kill ends a container at once, one that is paused too.
func (e *Engine) Kill(ctx context.Context, id string) error {
	if _, err := e.API().ContainerKill(ctx, id, client.ContainerKillOptions{}); err != nil {
		return fmt.Errorf("killing container %s: %w", id, err)
	}
	return nil
}

// Using are the containers that run with a volume, by name.
func (e *Engine) Using(ctx context.Context, volume string) ([]string, error) {
	found, err := e.API().ContainerList(ctx, client.ContainerListOptions{Filters: make(client.Filters).Add("volume", volume)})
	if err != nil {
		return nil, fmt.Errorf("listing the containers that use volume %s: %w", volume, err)
	}
	var names []string
	for _, c := range found.Items {
		names = append(names, trimSlash(c.Names))
	}
	return names, nil
}

// HasVolume says whether there is a volume of that name.
func (e *Engine) HasVolume(ctx context.Context, name string) (bool, error) {
	_, err := e.API().VolumeInspect(ctx, name, client.VolumeInspectOptions{})
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for volume %s: %w", name, err)
	}
	return true, nil
}

// Restart stops a container, within its service's own grace period, and starts it.
func (e *Engine) Restart(ctx context.Context, id string) error {
	if _, err := e.API().ContainerRestart(ctx, id, client.ContainerRestartOptions{}); err != nil {
		return fmt.Errorf("restarting container %s: %w", id, err)
	}
	return nil
}

// Container is one container of a project.
type Container struct {
	ID, Name, Service string
	// State is the engine's word: running, exited, restarting, …
	State string
}

// Containers are those of the project, stopped ones included.
func (e *Engine) Containers(ctx context.Context, project string) ([]Container, error) {
	found, err := e.API().ContainerList(ctx, client.ContainerListOptions{
		All:     true,
		Filters: make(client.Filters).Add("label", api.ProjectLabel+"="+project, api.OneoffLabel+"=False"),
	})
	if err != nil {
		return nil, fmt.Errorf("listing containers: %w", err)
	}
	var containers []Container
	for _, c := range found.Items {
		containers = append(containers, Container{
			ID: c.ID, Name: trimSlash(c.Names), Service: c.Labels[api.ServiceLabel], State: string(c.State),
		})
	}
	return containers, nil
}

func trimSlash(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0][1:]
}
