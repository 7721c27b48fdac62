package command

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/inmanta/inmanta-docker/engine"
	"github.com/inmanta/inmanta-docker/pair"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
)

// databaseFolder is where a database container has its volume.
const databaseFolder = "/var/lib/postgresql/data"

// fencing is what of an engine it takes to fence a node.
type fencing interface {
	Stop(ctx context.Context, container string) error
	Kill(ctx context.Context, container string) error
	Using(ctx context.Context, volume string) (containers []string, err error)
}

// fence makes sure that a node is gone.
func (s survey) fence(ctx context.Context, gone pair.Node, report progress.Report) error {
	volume, ok := s.databaseVolume(gone.Name)
	if !ok {
		return notFenced(gone, "its service has no volume at "+databaseFolder)
	}
	return fence(ctx, s.engine, gone, volume, report)
}

// fence makes sure that a node is gone: its container does not run, and nothing
// else that runs has its volume. An engine that is started again would start a
// container again that was stopped; its agent then finds that the other node has
// taken over before it starts a server.
func fence(ctx context.Context, engine fencing, gone pair.Node, volume string, report progress.Report) error {
	if gone.Container != "" && !slices.Contains([]string{"exited", "created", "dead"}, gone.ContainerState) {
		event := progress.Event{ID: "Container " + gone.Container, Text: "Stopping", Detail: "it does not serve, and must not again", Status: progress.Working}
		report(event)
		end := engine.Stop
		if gone.ContainerState == "paused" {
			end = engine.Kill // it would not hear of anything else
		}
		if err := end(ctx, gone.Container); err != nil {
			return notFenced(gone, err.Error())
		}
		event.Text, event.Detail, event.Status = "Stopped", "", progress.Done
		report(event)
	}
	using, err := engine.Using(ctx, volume)
	if err != nil {
		return notFenced(gone, err.Error())
	}
	if len(using) > 0 {
		return notFenced(gone, "its volume is in use by the container "+strings.Join(using, ", "))
	}
	return nil
}

// notFenced is the problem that the old primary may be alive.
func notFenced(gone pair.Node, why string) problem.Problem {
	return problem.Problem{
		ID: "not-fenced", Where: gone.Name, What: "it could not be made sure that it does not run: " + why,
		Fix: "stop what has its volume, then try again; nothing was promoted",
	}
}

// databaseVolume is the volume, by its name on the engine, that a database has.
func (s survey) databaseVolume(service string) (name string, ok bool) {
	return s.volumeOf(service, databaseFolder)
}

// inspectVolume looks into the volume of a node that is down; nil where there is
// none.
func (s survey) inspectVolume(ctx context.Context, node string) (*pair.Inspection, error) {
	volume, ok := s.databaseVolume(node)
	if !ok {
		return nil, nil
	}
	if has, err := s.engine.HasVolume(ctx, volume); err != nil || !has {
		return nil, err
	}
	service := s.stack.Project.Services[node]
	files := map[string]string{}
	for _, v := range service.Volumes {
		if v.Type == types.VolumeTypeBind && path.Clean(v.Target) == sidecarPath {
			files[v.Source] = sidecarPath
		}
	}
	result, err := s.engine.RunOnce(ctx, engine.Once{
		Image: service.Image, Command: []string{sidecarPath, "postgres", "inspect", databaseFolder},
		Volumes: map[string]string{volume: databaseFolder}, Files: files,
	})
	if err == nil && result.ExitCode != 0 {
		err = fmt.Errorf("%s", result.Stderr)
	}
	var found pair.Inspection
	if err == nil {
		found, err = pair.ReadInspection(result.Stdout)
	}
	if err != nil {
		return nil, problem.Problem{
			ID: "volume-unreadable", Where: "volume " + volume, What: fmt.Sprintf("what the old primary left could not be looked at: %v", err),
			Fix: "find out why; without it nobody knows what a failover gives up, and nothing was promoted", Err: err,
		}
	}
	return &found, nil
}
