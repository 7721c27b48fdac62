package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/docker/compose/v5/pkg/api"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/progress"
)

// Unmarked are the containers, volumes and networks of a project without a label,
// a word and a name each.
func (e *Engine) Unmarked(ctx context.Context, project, label string) ([]string, error) {
	filter := make(client.Filters).Add("label", api.ProjectLabel+"="+project)
	containers, err := e.API().ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filter})
	if err != nil {
		return nil, fmt.Errorf("listing containers: %w", err)
	}
	volumes, err := e.API().VolumeList(ctx, client.VolumeListOptions{Filters: filter})
	if err != nil {
		return nil, fmt.Errorf("listing volumes: %w", err)
	}
	networks, err := e.API().NetworkList(ctx, client.NetworkListOptions{Filters: filter})
	if err != nil {
		return nil, fmt.Errorf("listing networks: %w", err)
	}
	var list []string
	note := func(kind, name string, labels map[string]string) {
		if _, ok := labels[label]; !ok {
			list = append(list, kind+" "+name)
		}
	}
	for _, c := range containers.Items {
		note("container", trimSlash(c.Names), c.Labels)
	}
	for _, v := range volumes.Items {
		note("volume", v.Name, v.Labels)
	}
	for _, n := range networks.Items {
		note("network", n.Name, n.Labels)
	}
	return list, nil
}

// Down removes all that there is of a project: containers, networks and volumes,
// and so its data. A project of which there is nothing is no error.
func (e *Engine) Down(ctx context.Context, project string) error {
	found, err := e.Deployments(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(found, func(f Found) bool { return f.Project == project }) {
		return nil
	}
	service, err := e.Compose(progress.Discard)
	if err == nil {
		err = service.Down(ctx, project, api.DownOptions{Volumes: true, RemoveOrphans: true})
	}
	if err != nil {
		return fmt.Errorf("removing the project %s: %w", project, err)
	}
	return nil
}
