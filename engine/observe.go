package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/docker/compose/v5/pkg/api"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/problem"
)

// Ping makes sure that the engine answers.
func (e *Engine) Ping(ctx context.Context) error {
	_, err := e.API().Ping(ctx, client.PingOptions{})
	if err == nil || ctx.Err() != nil {
		return err
	}
	p := problem.Problem{ID: "engine-unreachable", Where: e.Host(), What: "no container engine answers", Err: err}
	switch {
	case errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "permission denied"):
		p.ID = "engine-permission"
		p.What = "this user may not talk to the container engine"
		p.Fix = "run the command with sudo, or add the user to the group docker and log in again"
	case strings.HasPrefix(e.Host(), "unix://"):
		p.Fix = "start it (systemctl start docker), or set DOCKER_HOST to one that runs; `make up` installs and starts one on Debian and Ubuntu"
	default:
		p.What += fmt.Sprintf(" (%v)", err)
		p.Fix = "check DOCKER_HOST and the docker context, and that the engine runs there"
	}
	return p
}

// Found is one deployment that has left something on the engine.
type Found struct {
	Project string
	// Dir is the directory it was made from; empty where only volumes are left.
	Dir string
	// HasVolumes says that volumes of this stack exist under its name.
	HasVolumes bool
}

// String is the deployment in a list.
func (f Found) String() string {
	switch {
	case f.Dir != "":
		return fmt.Sprintf("%s (%s)", f.Project, f.Dir)
	case f.HasVolumes:
		return f.Project + " (only its data)"
	}
	return f.Project + " (only its network)"
}

// volumePrefix begins the key of every volume of this stack.
const volumePrefix = "inmanta-"

// Deployments are the projects on this engine that have containers or networks,
// and those of this stack that have volumes, by name.
func (e *Engine) Deployments(ctx context.Context) ([]Found, error) {
	filter := make(client.Filters).Add("label", api.ProjectLabel)
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
	found := map[string]Found{}
	for _, n := range networks.Items {
		found[n.Labels[api.ProjectLabel]] = Found{Project: n.Labels[api.ProjectLabel]}
	}
	for _, v := range volumes.Items {
		if strings.HasPrefix(v.Labels[api.VolumeLabel], volumePrefix) {
			found[v.Labels[api.ProjectLabel]] = Found{Project: v.Labels[api.ProjectLabel], HasVolumes: true}
		}
	}
	for _, c := range containers.Items {
		name := c.Labels[api.ProjectLabel]
		found[name] = Found{Project: name, Dir: c.Labels[api.WorkingDirLabel], HasVolumes: found[name].HasVolumes}
	}
	var list []Found
	for _, f := range found {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b Found) int { return strings.Compare(a.Project, b.Project) })
	return list, nil
}
