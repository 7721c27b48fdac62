package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/docker/compose/v5/pkg/api"

	"github.com/inmanta/inmanta-docker/progress"
)

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
